import CanonicalJSON
import Cryptography
import Encodings
import Receipts
import SignedDocuments
import TestSupport
import Testing

@testable import Market

@Suite("Settled calls") struct SettledCallTests {
    private let now = Sample.now.adding(seconds: 10)

    private func refusal(
        _ receipt: Receipt,
        _ role: ReputationRole = .selling,
        _ outcome: CallOutcome = .good,
        _ operators: SettledCall.Operators = .init(),
        now: Timestamp? = nil
    ) -> ReputationRefusal.Code? {
        do throws(ReputationRefusal) {
            _ = try SettledCall(receipt, judging: role, outcome: outcome, operators: operators, now: now ?? self.now)
            return nil
        } catch {
            return error.code
        }
    }

    @Test("[REP-1] [REP-2] The receipt says who judges whom in which role")
    func sides() throws {
        let receipt = try Calls.receipt()
        let (seller, buyer) = (Calls.did(Calls.seller), Calls.did(Calls.buyer))
        let selling = try SettledCall(receipt, outcome: .late, now: now)
        #expect((selling.judge, selling.judged, selling.outcome) == (buyer, seller, .late))
        let buying = try SettledCall(receipt, judging: .buying, outcome: .good, now: now)
        #expect((buying.judge, buying.judged, buying.role) == (seller, buyer, .buying))
        #expect(buying.at == receipt.claims.respondedAt)
    }

    @Test("[REP-1] Without a valid receipt of a payment by a named buyer nothing counts")
    func unsettled() throws {
        #expect(refusal(try Calls.receipt()) == nil)
        #expect(refusal(try Calls.receipt(buyer: nil)) == .badReceipt)
        #expect(refusal(try Calls.receipt(amount: 0)) == .notPaid)
        #expect(refusal(try Calls.receipt(), now: Sample.now.adding(seconds: -61)) == .badReceipt)
        let refunded = try Calls.receipt(outcome: .refunded)
        #expect(refusal(refunded) == .badReceipt)
        #expect(refusal(refunded, .selling, .failed) == nil)
        // Changed after it was signed.
        var document = try Calls.receipt().document
        document["service"] = "other"
        #expect(refusal(try Receipt(document: document)) == .badReceipt)
    }

    @Test("[REP-3] Two sides of one operator count for nothing")
    func oneOperator() throws {
        let (seller, issuer) = (Calls.did(Calls.seller), Calls.did(Sample.key(30)))
        #expect(refusal(try Calls.receipt(buyer: seller)) == .sameOperator)
        let receipt = try Calls.receipt()
        #expect(refusal(receipt, .selling, .good, .init(buyer: [seller])) == .sameOperator)
        #expect(refusal(receipt, .buying, .good, .init(seller: [issuer], buyer: [issuer])) == .sameOperator)
        #expect(refusal(receipt, .selling, .good, .init(seller: [issuer], buyer: [Calls.did(Sample.key(31))])) == nil)
        let agent = try Calls.receipt { claims in
            claims.seller.agentID = "urn:uuid:1"
            claims.buyer?.agentID = "urn:uuid:1"
        }
        #expect(refusal(agent) == .sameOperator)
    }
}

@Suite("Reputation") struct ReputationTests {
    private static let dids = ReputationSimulation.dids
    private let now = Timestamp(secondsSince1970: 0)

    private func call(
        _ judge: Int,
        _ judged: Int,
        _ outcome: CallOutcome = .good,
        _ role: ReputationRole = .selling,
        week: Int64 = 0
    ) -> SettledCall {
        SettledCall(
            role: role,
            judge: Self.dids[judge],
            judged: Self.dids[judged],
            outcome: outcome,
            at: Timestamp(secondsSince1970: week * 7 * 86_400)
        )
    }

    private func near(_ left: Double, _ right: Double, _ tolerance: Double = 1e-5) -> Bool {
        abs(left - right) <= tolerance
    }

    @Test("[REP-4] Trust is the walk's share: worked out by hand for a viewer, a seed and two whom they know")
    func walk() throws {
        var reputation = Reputation(viewers: [Self.dids[0]], seeds: [Self.dids[1]])
        // The viewer halves its trust between 2 and 3; the seed gives all to 3.
        for (judge, judged) in [(0, 2), (0, 3), (1, 3)] { try reputation.record(call(judge, judged)) }
        let trust = (0...3).map { reputation.score(of: Self.dids[$0], at: now).trust }
        #expect(near(trust[0], 0.15) && near(trust[1], 0.15))
        #expect(near(trust[2], 0.7 * 0.15 / 2) && near(trust[3], 0.7 * (0.15 / 2 + 0.15)))
        // Half of the calls bad weigh a sixteenth: one good of 2 calls against 1 is 1/16 to 1.
        try reputation.record(call(0, 2, .failed))
        #expect(near(reputation.score(of: Self.dids[2], at: now).trust, 0.7 * 0.15 / 17))
        let alone = Reputation(viewers: [Self.dids[0]])
        #expect(near(alone.score(of: Self.dids[0], at: now).trust, 0.3))
    }

    @Test("[REP-5] The value is trust times the fourth power of the own mean; whom nobody knows has none")
    func value() throws {
        var reputation = Reputation(viewers: [Self.dids[0]])
        for _ in 0..<3 { try reputation.record(call(0, 1)) }
        try reputation.record(call(0, 1, .wrong))
        let score = reputation.score(of: Self.dids[1], at: now)
        #expect((score.good, score.bad) == (3, 1))
        #expect(near(score.ownMean, 4.0 / 6) && near(score.value, score.trust * 16.0 / 81, 1e-9))
        #expect(reputation.score(of: Self.dids[9], at: now).value == 0)
        try reputation.record(call(0, 2))
        #expect(
            reputation.ranking(at: now).map(\.did)
                == [Self.dids[2], Self.dids[1]].sorted { one, other in
                    reputation.score(of: one, at: now).value > reputation.score(of: other, at: now).value
                }
        )
        #expect(reputation.ranking(for: 3, at: now).isEmpty)
    }

    @Test("[REP-2] What one does as a buyer tells nothing of it as a seller")
    func roles() throws {
        var reputation = Reputation(viewers: [Self.dids[0]])
        try reputation.record(call(0, 1, .good, .buying))
        #expect(reputation.score(of: Self.dids[1], at: now).value == 0)
        #expect(reputation.score(of: Self.dids[1], as: .buying, at: now).value > 0)
    }

    @Test("[REP-6] Own calls weigh 0.8 a week later; trust does not depend on when the calls came in")
    func decay() throws {
        let calls = [
            call(0, 1), call(0, 2, week: 1), call(0, 1, .failed, week: 5), call(0, 2, week: 2), call(0, 1, week: 4),
        ]
        var forth = Reputation(viewers: [Self.dids[0]]), back = forth
        for call in calls { try forth.record(call) }
        for call in calls.reversed() { try back.record(call) }
        for number in 1...2 {
            let (one, other) = [forth, back].map {
                $0.score(of: Self.dids[number], at: Timestamp(secondsSince1970: 5 * 7 * 86_400))
            }.pair
            #expect(
                near(one.trust, other.trust, 1e-6) && near(one.good, other.good, 1e-9) && near(one.bad, other.bad, 1e-9)
            )
        }
        let later = forth.score(of: Self.dids[1], at: Timestamp(secondsSince1970: 7 * 7 * 86_400))
        #expect(near(later.bad, 0.64) && near(later.good, 0.8 * 0.8 * 0.8 + 0.32768 * 0.64))
        // Of 4,000 weeks ago nothing is left, and nothing goes wrong.
        try forth.record(call(0, 3, week: 9_000))
        #expect(forth.score(of: Self.dids[1], at: Timestamp(secondsSince1970: 9_000 * 7 * 86_400)).good == 0)
        #expect(forth.score(of: Self.dids[3], at: Timestamp(secondsSince1970: 9_000 * 7 * 86_400)).good == 1)
    }

    @Test(
        "[REP-6] A traitor that turns after 500 good calls falls behind one with ten good ones within a dozen bad calls"
    )
    func traitor() throws {
        var reputation = Reputation(viewers: [Self.dids[0]])
        reputation.record((0..<500).map { _ in call(0, 1) } + (0..<10).map { _ in call(0, 2) })
        func isFirst() -> Bool { reputation.ranking(at: now).first?.did == Self.dids[1] }
        #expect(isFirst())
        reputation.record((0..<3).map { _ in call(0, 1, .failed) })
        #expect(isFirst())
        reputation.record((0..<9).map { _ in call(0, 1, .failed) })
        #expect(!isFirst())
        #expect(
            reputation.score(of: Self.dids[1], at: now).good + reputation.score(of: Self.dids[1], at: now).bad <= 50.001
        )
    }

    @Test("[REP-7] What is kept up call by call is what is worked out from nothing, and the same each time")
    func incremental() throws {
        var random = SeededRandom(seed: 3)
        let calls = (0..<1_500).compactMap { number -> SettledCall? in
            let (judge, judged) = (Int.random(in: 0..<40, using: &random), Int.random(in: 0..<40, using: &random))
            let outcome: CallOutcome = Int.random(in: 0..<4, using: &random) == 0 ? .failed : .good
            return judge == judged ? nil : call(judge, judged, outcome, week: Int64(number / 200))
        }
        func trust(_ reputation: Reputation) -> [Double] {
            (0..<40).map { reputation.score(of: Self.dids[$0], at: now).trust }
        }
        var kept = Reputation(viewers: [Self.dids[0]], seeds: [Self.dids[1], Self.dids[2]])
        for call in calls { try kept.record(call) }
        var again = Reputation(viewers: [Self.dids[0]], seeds: [Self.dids[1], Self.dids[2]])
        for call in calls { try again.record(call) }
        #expect(trust(kept) == trust(again))
        var batch = Reputation(viewers: [Self.dids[0]], seeds: [Self.dids[1], Self.dids[2]])
        #expect(batch.record(calls) == calls.count)
        var anew = kept
        anew.recompute()
        let bound = kept.parameters.tolerance * 40 / kept.parameters.restart
        for other in [batch, anew] {
            let error = zip(trust(kept), trust(other)).reduce(0) { $0 + abs($1.0 - $1.1) }
            #expect(error <= 2 * bound, "\(error)")
        }
        #expect(trust(kept).reduce(0, +) <= 1 + bound)
    }

    @Test(
        "[REP-8] At the bounds judges whom no trust reaches go, what is trusted stays, and then nothing more is counted"
    )
    func bounds() throws {
        var parameters = Reputation.Parameters()
        parameters.maximumNodes = 10
        parameters.maximumPairsPerJudge = 3
        var reputation = Reputation(viewers: [Self.dids[0]], seeds: [Self.dids[1]], parameters: parameters)
        for judged in 2...3 { try reputation.record(call(0, judged)) }
        for stranger in 10..<60 {
            try reputation.record(call(stranger, stranger + 20))
            #expect(reputation.count().nodes <= 10)
        }
        #expect((2...3).allSatisfy { reputation.score(of: Self.dids[$0], at: now).value > 0 })
        // Of one judge the pairs that weigh most.
        for judged in [2, 3, 4, 5] { try reputation.record(call(0, judged)) }
        #expect(reputation.score(of: Self.dids[4], at: now).good == 0)
        #expect([2, 3, 5].allSatisfy { reputation.score(of: Self.dids[$0], at: now).good > 0 })
        // All are trusted: there is no room.
        parameters.maximumPairsPerJudge = 100
        var full = Reputation(viewers: [Self.dids[0]], parameters: parameters)
        for judged in 1..<10 { try full.record(call(0, judged)) }
        #expect(throws: ReputationRefusal.self) { try full.record(call(0, 11)) }
        try full.record(call(0, 5))
        #expect(full.count().nodes == 10)
        parameters.maximumPairs = 4
        var pairs = Reputation(viewers: [Self.dids[0]], parameters: parameters)
        #expect(pairs.record((1...6).map { call(0, $0) }) == 4)
        // A number that was given up and taken again has nothing of its old trust.
        #expect(reputation.ranking(at: now).allSatisfy { $0.score.trust > 0 })
    }

    @Test("[REP-9] A score is told with the own calls, the seeds, and the ways by which trust comes")
    func why() throws {
        var reputation = Reputation(viewers: [Self.dids[0]], seeds: [Self.dids[1]])
        for (judge, judged) in [(0, 2), (2, 3), (3, 4), (1, 4), (9, 4)] { try reputation.record(call(judge, judged)) }
        let why = reputation.why(Self.dids[4], at: now)
        #expect(why.paths.map(\.through) == [[1, 4], [0, 2, 3, 4]].map { $0.map { Self.dids[$0] } })
        #expect(why.paths.map(\.beginsAtSeed) == [true, false])
        #expect(near(why.paths.map(\.trust).reduce(0, +), why.score.trust))
        #expect(why.judges == 2 && !why.isSeed && why.beforehand == 0)
        let seed = reputation.why(Self.dids[1], at: now)
        #expect(seed.isSeed && near(seed.beforehand, 0.15) && seed.paths.isEmpty)
        #expect(reputation.why(Self.dids[50], at: now).paths.isEmpty)
        // A ring of judges is no endless way.
        for step in 20..<40 { try reputation.record(call(step, step == 39 ? 20 : step + 1)) }
        try reputation.record(call(0, 20))
        #expect(reputation.why(Self.dids[30], at: now).paths.allSatisfy { $0.through.count <= 6 })
    }

    @Test(
        "[REP-10] A crowd whom nobody honest dealt with raises nobody; one who is trusted gives them no more than its share"
    )
    func crowd() throws {
        var reputation = Reputation(viewers: [Self.dids[0]], seeds: [Self.dids[1]])
        for judged in 1...3 { try reputation.record(call(0, judged)) }
        for judge in 10..<40 {
            for judged in 10..<40 where judge != judged { try reputation.record(call(judge, judged)) }
        }
        #expect((10..<40).allSatisfy { reputation.score(of: Self.dids[$0], at: now).value == 0 })
        // 3 turns out to be one of them.
        for _ in 0..<50 { try reputation.record(call(3, 10)) }
        let theirs = (10..<40).reduce(0) { $0 + reputation.score(of: Self.dids[$1], at: now).trust }
        let its = reputation.score(of: Self.dids[3], at: now).trust
        #expect(theirs <= its * 0.7 / 0.3 + 1e-4)
        #expect(
            (10..<40).allSatisfy {
                reputation.score(of: Self.dids[$0], at: now).value < reputation.score(of: Self.dids[2], at: now).value
            }
        )
    }
}

extension [Reputation.Score] {
    fileprivate var pair: (Reputation.Score, Reputation.Score) { (self[0], self[1]) }
}
