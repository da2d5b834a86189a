import CanonicalJSON
import Cryptography
import Encodings
import Market
import Receipts
import Records
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing
import TransparencyLog

@testable import Trading

/// A node's book with the calls that its wallet and its gateway would have.
private final class Desk: Sendable {
    let folder: TemporaryFolder
    let database: Database
    let book: CallBook
    let node = Sample.signer(1)
    let hands: Hands

    init(folder given: TemporaryFolder? = nil, calls: [TradedCall] = [], maximumCalls: Int = 1_000) throws {
        folder = try given ?? TemporaryFolder()
        database = try Database(
            path: folder.path + "/node.sqlite",
            migrations: CallBook.migrations,
            logger: Sample.logger
        )
        let hands = Hands()
        self.hands = hands
        book = CallBook(
            database: database,
            viewer: Sample.signer(1).did,
            seeds: [Sample.signer(9).did],
            sources: .init(
                calls: { side, kind, sequence, count in hands.calls(side, kind, sequence, count) },
                listing: { _, service in
                    guard service == "weather", var listing = try? Sample.listing() else { return nil }
                    listing.promise = Listing.Promise("p95=500ms,deadline=1s")
                    return listing
                },
                isOwn: { $0 == Sample.signer(2).did }
            ),
            clock: .stopped(at: Sample.now.adding(seconds: 60)),
            maximumCalls: maximumCalls
        )
        hands.put(calls)
    }

    final class Hands: Sendable {
        private let kept = Mutex<[TradedCall]>([])
        func put(_ calls: [TradedCall]) { kept.withLock { $0 += calls } }
        var all: [TradedCall] { kept.withLock { $0 } }
        func calls(
            _ side: TradedCall.Side,
            _ kind: TradedCall.Kind,
            _ sequence: Int64,
            _ count: Int
        ) -> [TradedCall] {
            let due = all.filter { $0.side == side && $0.kind == kind && $0.sequence > sequence }
            return Array(due.sorted { $0.sequence < $1.sequence }.prefix(count))
        }
    }

    /// A call that the node paid for, or that it served to `other`.
    func call(
        _ side: TradedCall.Side,
        _ sequence: Int64,
        with other: UInt8,
        reference: String? = nil,
        milliseconds: Int64 = 100,
        amount: UInt64 = 2,
        status: Int = 200,
        outcome: ReceiptOutcome = .served,
        isSound: Bool = true,
        breach: ReceiptBreach? = nil,
        at: Timestamp = Sample.now
    ) throws -> TradedCall {
        let (seller, buyer) = side == .buyer ? (Sample.signer(other), node) : (node, Sample.signer(other))
        let suffix = String(sequence + 1_000_000_000_000).suffix(12)
        let claims = ReceiptClaims(
            id: "0f4d2f6e-6f0f-4b8e-9a43-\(suffix)",
            seller: ReceiptParty(did: seller.did),
            buyer: ReceiptParty(did: buyer.did),
            service: "weather",
            method: "GET",
            target: "/today",
            requestDigest: Hashing.sha256([]),
            responseDigest: Hashing.sha256([1]),
            status: status,
            amount: amount,
            unit: "sat",
            paymentDigest: Hashing.sha256([2]),
            dialect: "nut24",
            requestedAt: at,
            respondedAt: at.adding(milliseconds: milliseconds),
            outcome: outcome,
            settlement: breach.map { ReceiptSettlement(returned: $0.refund, form: "fresh-token", breach: $0) }
        )
        return TradedCall(
            side: side,
            sequence: sequence,
            reference: reference ?? "call-\(sequence)",
            deed: isSound ? Deed(try Receipt.issue(claims, by: seller, now: at)) : nil,
            ownMilliseconds: side == .buyer ? milliseconds + 20 : nil
        )
    }

    func score(_ other: UInt8, _ role: ReputationRole = .selling) async throws -> Reputation.Score {
        try #require(try await book.standings(of: [Sample.signer(other).did], as: role).first).score
    }
}

@Suite("A node's own calls") struct CallBookTests {
    @Test(
        "[REP-16] A bid that was not shown counts once as a call that failed, also after a restart, and an own one never"
    )
    func withheld() async throws {
        let desk = try Desk(calls: [])
        desk.hands.put([
            try desk.call(.buyer, 1, with: 10), try desk.call(.buyer, 2, with: 11), try desk.call(.buyer, 3, with: 11),
        ])
        func bid(_ other: UInt8, call: UInt8 = 1) throws -> WithheldBid {
            let commitment: JSONObject = [
                "type": "MintmarkBidCommitment", "bidder": .string(Sample.signer(other).did.string),
                "call": .string(MultihashDigest.encode([UInt8](repeating: call, count: 32))),
                "commitment": .string(MultihashDigest.encode([UInt8](repeating: 9, count: 32))), "time": 1,
            ]
            let signed = try DataIntegrity.sign(commitment, by: Sample.signer(other), created: Sample.now)
            return WithheldBid(commitment: try Signed(document: signed), at: Sample.now)
        }
        let before = try #require(try await desk.book.standings(of: [Sample.signer(10).did]).first)
        #expect(before.percent > 1)
        try await desk.book.count([bid(10), bid(12), bid(1), bid(2)])
        try await desk.book.count([bid(10)])
        try await desk.book.count([bid(12, call: 2)])
        func check(_ desk: Desk) async throws {
            #expect(try await desk.score(10).good == 1)
            #expect(try await desk.score(10).bad == 1)
            #expect(try await desk.score(12).bad == 2)
            #expect(try await desk.score(2).bad == 0)
            let after = try await desk.book.standings(of: [10, 12].map { Sample.signer($0).did })
            #expect(after[0].percent < before.percent && after[0].percent > 0)
            // Who did nothing else is trusted nothing.
            #expect(after[1].trustPPM == 0)
        }
        try await check(desk)
        try await check(try Desk(folder: desk.folder, calls: desk.hands.all))
    }

    @Test("[REP-15] A job counts beside the calls of its side, by its own order, and not in the windows of times")
    func jobs() async throws {
        let desk = try Desk()
        func job(_ side: TradedCall.Side, _ sequence: Int64, with other: UInt8) throws -> TradedCall {
            var job = try desk.call(side, sequence, with: other, reference: "job-\(sequence)")
            job.kind = .job
            return job
        }
        var empty = try job(.buyer, 3, with: 10)
        empty.deed = nil
        desk.hands.put([
            try desk.call(.buyer, 1, with: 10), try job(.buyer, 1, with: 10), try job(.buyer, 2, with: 11), empty,
            try job(.seller, 1, with: 12),
        ])
        #expect(try await desk.score(10).good == 2)
        #expect(try await desk.score(11).good == 1)
        #expect(try await desk.score(12, .buying).good == 1)
        // Read once, also after a restart, and those that come after it.
        let again = try Desk(folder: desk.folder, calls: desk.hands.all + [try job(.buyer, 4, with: 11)])
        #expect(try await again.score(10).good == 2)
        #expect(try await again.score(11).good == 2)
        let seller = Sample.signer(10).did
        let windows = try await desk.book.windows(side: .buyer, seller: seller, service: "weather")
        #expect(SLAFigures(windows).calls == 1)
    }

    @Test("[LIV-6] Paid calls of a service are results of its liveness: those of this buyer alone, since a time")
    func liveness() async throws {
        let desk = try Desk()
        desk.hands.put([
            try desk.call(.buyer, 1, with: 10), try desk.call(.buyer, 2, with: 10, milliseconds: 1_500),
            try desk.call(.buyer, 3, with: 10, status: 502), try desk.call(.seller, 1, with: 10),
            try desk.call(.buyer, 4, with: 10, at: Sample.now.adding(seconds: -100_000)),
            try desk.call(.buyer, 5, with: 11),
        ])
        let key = RecordKey(author: Sample.signer(10).did, kind: "listing", name: "weather")
        let none = RecordKey(author: Sample.signer(10).did, kind: "listing", name: "chess")
        let results = try await desk.book.liveness(of: [key, none], since: Sample.now.adding(seconds: -86_400))
        #expect(results[none] == [])
        #expect(results[key]?.count == 3)
        #expect(results[key]?.allSatisfy { $0.source == .call } == true)
        // One was late by what the listing promises, one failed.
        #expect(results[key]?.count { $0.outcome == .good } == 1)
        #expect(results[key]?.compactMap(\.milliseconds).sorted() == [100, 100, 1_500])
    }

    @Test("[REP-12] Each call counts once by how it went, as buyer and as seller, and a restart changes nothing")
    func counted() async throws {
        let desk = try Desk()
        desk.hands.put([
            try desk.call(.buyer, 1, with: 10), try desk.call(.buyer, 2, with: 10, milliseconds: 1_500),
            try desk.call(.buyer, 3, with: 11, status: 502), try desk.call(.buyer, 4, with: 11, isSound: false),
            try desk.call(.buyer, 5, with: 11, outcome: .refunded), try desk.call(.seller, 1, with: 12, status: 500),
        ])
        // Asked at once, each is read once.
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 { group.addTask { try await desk.book.follow() } }
            try await group.waitForAll()
        }
        func check(_ desk: Desk) async throws {
            let (first, second) = (try await desk.score(10), try await desk.score(11))
            #expect((first.good, first.bad) == (1, 1) && (second.good, second.bad) == (0, 2))
            #expect(first.trust > 0 && second.trust == 0)
            let buyer = try await desk.score(12, .buying)
            #expect((buyer.good, buyer.bad) == (1, 0))
            #expect(try await desk.score(12).value == 0)
        }
        try await check(desk)
        desk.hands.put([try desk.call(.buyer, 6, with: 13)])
        #expect(try await desk.score(13).good == 1)
        await desk.database.close()
        let again = try Desk(folder: desk.folder, calls: desk.hands.all)
        try await check(again)
        #expect(try await again.score(13).good == 1)
        #expect(try await again.book.standings().map(\.did).contains(Sample.signer(9).did))
    }

    @Test("[REP-1] [REP-3] [REP-12] Free calls, and calls with keys of one's own, count for nothing")
    func excluded() async throws {
        let desk = try Desk()
        desk.hands.put([
            try desk.call(.buyer, 1, with: 10, amount: 0), try desk.call(.buyer, 2, with: 1),
            try desk.call(.buyer, 3, with: 2), try desk.call(.seller, 1, with: 2), try desk.call(.seller, 2, with: 1),
            TradedCall(side: .seller, sequence: 3, reference: "", deed: nil),
            // Another's receipt, shown by who wants to see it blamed.
            try desk.call(.buyer, 4, with: 10, status: 500, isSound: false),
        ])
        for role in ReputationRole.allCases {
            for other in [1, 2, 10] as [UInt8] {
                let score = try await desk.score(other, role)
                #expect(score.good == 0 && score.bad == 0)
            }
        }
        // What was no receipt is passed over once and for all.
        desk.hands.put([try desk.call(.seller, 4, with: 14)])
        #expect(try await desk.score(14, .buying).good == 1)
    }

    @Test("[REP-12] A receipt that takes the place of another is what counts")
    func replaced() async throws {
        let desk = try Desk()
        desk.hands.put([try desk.call(.buyer, 1, with: 10, reference: "a")])
        #expect(try await desk.score(10).good == 1)
        desk.hands.put([try desk.call(.buyer, 2, with: 10, reference: "a", outcome: .refunded)])
        let score = try await desk.score(10)
        #expect((score.good, score.bad) == (0, 1))
    }

    @Test("[REP-12] Of very many calls the latest are kept")
    func bounded() async throws {
        let desk = try Desk(maximumCalls: 3)
        desk.hands.put(try (1...10).map { try desk.call(.buyer, $0, with: UInt8(20 + $0)) })
        try await desk.book.follow()
        let kept = try await desk.database.read {
            try $0.rows("SELECT sequence FROM trading_calls ORDER BY sequence").map { try $0.int64(0) }
        }
        #expect(kept == [8, 9, 10])
    }

    @Test("[SLA-2] [SLA-6] A service's calls in windows of time, by the seller's times; others' are left out")
    func windows() async throws {
        let desk = try Desk()
        let start = Timestamp(millisecondsSince1970: Sample.now.millisecondsSince1970 / 3_600_000 * 3_600_000)
        func at(_ hour: Int64) -> Timestamp { start.adding(seconds: hour * 3_600 + 60) }
        desk.hands.put([
            try desk.call(.buyer, 1, with: 10, milliseconds: 90, at: at(-50)),
            try desk.call(.buyer, 2, with: 10, milliseconds: 200, at: at(-2)),
            try desk.call(.buyer, 3, with: 10, milliseconds: 2_000, at: at(-2)),
            try desk.call(.buyer, 4, with: 10, status: 500, at: at(0)),
            try desk.call(.buyer, 5, with: 11, at: at(0)),
        ])
        let windows = try await desk.book.windows(side: .buyer, seller: Sample.signer(10).did, service: "weather")
        #expect(windows.map(\.start) == [start.adding(seconds: -7_200), start])
        #expect(windows.map(\.calls) == [2, 1] && windows.map(\.late) == [1, 0] && windows.map(\.failed) == [0, 1])
        #expect(windows[0].latencyMilliseconds(atPercentile: 50).map { (200...212).contains($0) } == true)
        let own = try await desk.book.ownLatency(seller: Sample.signer(10).did, service: "weather")
        #expect(own.count == 4)
        let none = try await desk.book.windows(side: .seller, seller: desk.node.did, service: "weather")
        #expect(none.isEmpty)
    }

    @Test("[SLA-14] Calls that broke their promise are told with what went back for them, also where all of it did")
    func broken() async throws {
        let desk = try Desk()
        let seller = Sample.signer(10).did
        desk.hands.put([
            try desk.call(.buyer, 1, with: 10),
            try desk.call(
                .buyer,
                2,
                with: 10,
                milliseconds: 1_500,
                amount: 2,
                breach: .init(rule: "late", promised: 1_000, refund: 3)
            ),
            // Unwilling: late, and nothing came.
            try desk.call(.buyer, 3, with: 10, milliseconds: 1_500, at: Sample.now.adding(seconds: 1)),
            try desk.call(
                .buyer,
                4,
                with: 10,
                milliseconds: 1_500,
                amount: 0,
                breach: .init(rule: "schema", promised: nil, refund: 5),
                at: Sample.now.adding(seconds: 2)
            ),
            try desk.call(.buyer, 5, with: 11, status: 500),
        ])
        let broken = try await desk.book.broken(side: .buyer, seller: seller, service: "weather", since: Sample.now)
        #expect(broken.map(\.rule) == [.schema, .late, .late])
        #expect(broken.map(\.refund) == [5, 0, 3] && broken.map(\.amount) == [0, 2, 2])
        #expect(broken.map(\.reference) == ["call-4", "call-3", "call-2"])
        #expect(broken.allSatisfy { $0.milliseconds == 1_500 && $0.unit == "sat" })
        let sums = try await desk.book.brokenSums(side: .buyer, seller: seller, service: "weather", since: Sample.now)
        #expect(sums.map(\.rule) == [.late, .schema])
        #expect(sums.map(\.calls) == [2, 1] && sums.map(\.refunded) == [1, 1] && sums.map(\.refund) == [3, 5])
        // A refund does not make it good, and one of all does not make it vanish.
        let score = try await desk.score(10)
        #expect((score.good, score.bad) == (1, 3))
        let later = Sample.now.adding(seconds: 2)
        #expect(try await desk.book.broken(side: .buyer, seller: seller, service: "weather", since: later).count == 1)
        let none = try await desk.book.broken(side: .seller, seller: seller, service: "weather", since: Sample.now)
        #expect(none.isEmpty)
    }

    @Test("[REP-13] What was sold is told signed, with the root over the receipts")
    func statement() async throws {
        let desk = try Desk()
        let calls = [
            try desk.call(.seller, 1, with: 12, amount: 5), try desk.call(.seller, 2, with: 13, amount: 7, status: 500),
            try desk.call(.seller, 3, with: 13, milliseconds: 1_500),
        ]
        desk.hands.put(calls + [try desk.call(.seller, 4, with: 2), try desk.call(.buyer, 1, with: 10)])
        let statement = try await desk.book.statement(by: desk.node)
        #expect(try DataIntegrity.verify(statement).signer == desk.node.did)
        #expect(statement["subject"]?.stringValue == desk.node.did.string && statement["type"] == "MintmarkReputation")
        #expect(statement["calls"] == 3 && statement["ok"] == 1 && statement["failed"] == 1 && statement["late"] == 1)
        #expect(statement["buyers"] == 2 && statement["amounts"] == [["unit": "sat", "amount": "14"]])
        var tree = MerkleFrontier()
        for call in calls {
            tree.append(leaf: MerkleTree.leaf(try #require(call.deed).document))
        }
        #expect(statement["receipts"]?["root"]?.stringValue == Hex.encode(tree.root))
        let idle = try Desk()
        let nothing = try await idle.book.statement(by: idle.node)
        #expect(nothing["calls"] == 0 && nothing["from"] == nil)
    }

    @Test(
        "[REP-14] A search puts sellers of whom much is thought before others, tells why, and leaves out who is below"
    )
    func ranked() async throws {
        let shelf = try Shelf()
        let desk = try Desk()
        for (number, seller) in [UInt8(10), 11, 12].enumerated() {
            try await shelf.keep(
                Sample.record(
                    Sample.listing(),
                    created: Sample.now.adding(seconds: Int64(-number)),
                    by: Sample.signer(seller)
                )
            )
        }
        desk.hands.put([
            try desk.call(.buyer, 1, with: 10, status: 500), try desk.call(.buyer, 2, with: 12),
            try desk.call(.buyer, 3, with: 12),
        ])
        let found = try await shelf.index.search(ListingQuery("weather"))
        #expect(found.listings.map(\.record.author) == [10, 11, 12].map { Sample.signer($0).did })
        let standings = try await desk.book.standings(of: found.listings.map(\.record.author))
        let ranked = found.ranked(by: standings, count: 10)
        #expect(ranked.listings.map(\.record.author) == [12, 10, 11].map { Sample.signer($0).did })
        let part = try #require(ranked.listings.first?.parts.last)
        #expect(part.name == "reputation" && part.points > 0 && part.why.contains("own calls went well 100 %"))
        #expect(ranked.listings[1].parts.last?.why.contains("own calls went well 0 %") == true)
        #expect(ranked.listings[2].parts.last?.why == "nothing is known of the seller")
        #expect(found.ranked(by: standings, atLeast: 1, count: 10).listings.count == 1)
        #expect(found.ranked(by: standings, count: 2).listings.count == 2)
    }
}
