import Cryptography
import Encodings
import Records
import SignedDocuments
import TestSupport
import Testing

@testable import Market

@Suite("Which listing is probed, and when")
struct ProbePlanTests {
    private static let now = Sample.now
    private static let sellers = (UInt8(1)...40).map { DocumentSigner(Sample.key($0)).did }

    private static func candidate(
        _ seller: Int,
        _ name: Int = 0,
        host: String? = nil,
        ranked: Bool = false,
        lastAgo: Int64? = nil,
        failures: Int = 0
    ) -> ProbePlan.Candidate {
        .init(
            key: RecordKey(author: sellers[seller], kind: "listing", name: "s\(name)"),
            host: host ?? "h\(seller).example:443",
            rankedAt: ranked ? now : nil,
            last: lastAgo.map { now.adding(seconds: -$0) },
            failures: failures
        )
    }

    /// Plays a node that probes for some hours; each answer is what `fails` says of a listing.
    private static func play(
        _ candidates: [ProbePlan.Candidate],
        perHour: Int,
        hours: Int64,
        seed: UInt64,
        fails: (ProbePlan.Candidate) -> Bool = { _ in false }
    ) -> [(candidate: ProbePlan.Candidate, at: Timestamp)] {
        var random = SeededRandom(seed: seed)
        let plan = ProbePlan(perHour: perHour, salt: seed)
        var candidates = candidates
        var begun: [(candidate: ProbePlan.Candidate, at: Timestamp)] = []
        var time = now
        while let gap = plan.gap(using: &random), time < now.adding(seconds: hours * 3_600) {
            time = time.adding(milliseconds: max(1, gap))
            let recent = begun.suffix(perHour).map { ProbePlan.Begun(host: $0.candidate.host, at: $0.at) }
            guard let next = plan.next(of: candidates, begun: recent, busy: [], now: time, using: &random),
                let place = candidates.firstIndex(where: { $0.key == next.key })
            else { continue }
            candidates[place].last = time
            candidates[place].failures = fails(next) ? candidates[place].failures + 1 : 0
            begun.append((next, time))
        }
        return begun
    }

    /// The most within any hour.
    private static func peak(_ times: [Timestamp]) -> Int {
        let sorted = times.sorted()
        return sorted.indices.map { index in
            sorted[...index].count { $0 > sorted[index].adding(seconds: -3_600) }
        }.max() ?? 0
    }

    @Test(
        "[LIV-4] In no hour are there more probes than the budget, nor more than a quarter to one host",
        arguments: 1...6
    )
    func budget(_ seed: UInt64) {
        let perHour = [1, 4, 60, 61, 240, 7][Int(seed) - 1]
        // Half of the listings stand at one host.
        let candidates = (0..<40).flatMap { seller in
            (0..<20).map { Self.candidate(seller, $0, host: seller < 20 ? "one.example:443" : nil) }
        }
        let begun = Self.play(candidates, perHour: perHour, hours: 3, seed: seed)
        #expect(Self.peak(begun.map(\.at)) <= perHour)
        #expect(begun.count >= perHour)
        let hosts = Dictionary(grouping: begun, by: \.candidate.host)
        for (host, probes) in hosts {
            #expect(Self.peak(probes.map(\.at)) <= max(1, perHour / 4), "\(host)")
            let times = probes.map(\.at).sorted()
            for (early, late) in zip(times, times.dropFirst()) {
                #expect(late.milliseconds(since: early) >= 60_000, "\(host)")
            }
        }
    }

    @Test("[LIV-4] A seller with a thousand listings on as many hosts gets no more than its share")
    func flood() {
        let flood = (0..<1_000).map { Self.candidate(0, $0, host: "f\($0).example:443") }
        let begun = Self.play(flood + (1..<10).map { Self.candidate($0) }, perHour: 60, hours: 1, seed: 9)
        #expect(Set(begun.map(\.candidate.key.author)).count == 10)
        // Nine others are looked at first, each with the same chance.
        #expect(begun.prefix(18).count { $0.candidate.key.author != Self.sellers[0] } >= 7)
    }

    @Test("[LIV-4] The dead are asked ever more seldom, and three times in a day at least")
    func backoff() {
        let plan = ProbePlan(perHour: 60, salt: 3)
        var waits: [Int64] = []
        for failures in [1, 2, 3, 4, 8, 9, 10, 1_000, .max] {
            let candidate = Self.candidate(1, lastAgo: 0, failures: failures)
            waits.append(plan.due(candidate, now: Self.now)?.milliseconds(since: Self.now) ?? 0)
        }
        for (wait, base) in zip(waits, [300, 600, 1_200, 2_400, 14_400, 14_400, 14_400, 14_400, 14_400] as [Int64]) {
            #expect((base * 500...base * 1_500).contains(wait), "\(base)")
        }
        let begun = Self.play([Self.candidate(1)], perHour: 60, hours: 48, seed: 4) { _ in true }
        #expect((12...24).contains(begun.count), "\(begun.count)")
    }

    @Test("[LIV-4] What was shown lately is probed about each half hour and first, all else each six hours")
    func ranked() {
        let candidates = (0..<20).map { Self.candidate($0) } + (20..<24).map { Self.candidate($0, ranked: true) }
        let begun = Self.play(candidates, perHour: 40, hours: 6, seed: 5)
        let first = begun.prefix(5).count { $0.candidate.rankedAt != nil }
        #expect(first >= 2)
        let shares = Dictionary(grouping: begun, by: { $0.candidate.rankedAt != nil }).mapValues(\.count)
        // Four for six hours each half hour, from a half to one and a half of it; twenty once or twice.
        #expect((30...100).contains(shares[true] ?? 0), "\(shares)")
        #expect((20...60).contains(shares[false] ?? 0), "\(shares)")
    }

    @Test(
        "[LIV-4] What was seen of the gaps says nothing of the next one: their mean is the budget's, and half are shorter by a third"
    )
    func gaps() throws {
        var random = SeededRandom(seed: 6)
        let plan = ProbePlan(perHour: 60, salt: 1)
        let gaps = try (0..<20_000).map { _ in try #require(plan.gap(using: &random)) }
        let mean = gaps.reduce(0, +) / Int64(gaps.count)
        #expect((58_500...61_500).contains(mean), "\(mean)")
        // Of the exponential distribution: ln 2, and after one mean the rest is as long again.
        let median = gaps.sorted()[gaps.count / 2]
        #expect((40_500...42_700).contains(median), "\(median)")
        let late = gaps.filter { $0 > 60_000 }.map { $0 - 60_000 }
        let rest = late.reduce(0, +) / Int64(max(1, late.count))
        #expect((57_000...63_000).contains(rest), "\(rest)")
        #expect((gaps.max() ?? 0) <= 600_000)
    }

    @Test("[LIV-4] The time of a listing's next probe cannot be told from another's, or without the node's salt")
    func salted() {
        let candidate = Self.candidate(1, lastAgo: 0)
        let times = Set((UInt64(0)..<50).map { ProbePlan(perHour: 1, salt: $0).due(candidate, now: Self.now) })
        #expect(times.count > 40)
        let plan = ProbePlan(perHour: 1, salt: 7)
        #expect(Set((0..<40).map { plan.due(Self.candidate($0, lastAgo: 0), now: Self.now) }).count > 30)
    }

    @Test("[LIV-4] Nothing is probed with a budget of 0, to a host that is busy, or where nothing is due")
    func nothing() {
        var random = SeededRandom(seed: 1)
        let candidates = [Self.candidate(1)]
        let off = ProbePlan(perHour: 0, salt: 0)
        #expect(off.gap(using: &random) == nil)
        #expect(off.next(of: candidates, begun: [], busy: [], now: Self.now, using: &random) == nil)
        let plan = ProbePlan(perHour: 60, salt: 0)
        let busy: Set<String> = ["h1.example:443"]
        #expect(plan.next(of: candidates, begun: [], busy: busy, now: Self.now, using: &random) == nil)
        #expect(plan.next(of: candidates, begun: [], busy: [], now: Self.now, using: &random) == candidates[0])
        let fresh = [Self.candidate(1, lastAgo: 600)]
        #expect(plan.next(of: fresh, begun: [], busy: [], now: Self.now, using: &random) == nil)
        // A clock that was set back by a week: the listing is asked, and the budget is not there twice.
        let ahead = [Self.candidate(1, lastAgo: -7 * 86_400)]
        #expect(plan.next(of: ahead, begun: [], busy: [], now: Self.now, using: &random) == ahead[0])
        let begun = (0..<60).map { _ in ProbePlan.Begun(host: "x", at: Self.now.adding(seconds: 7 * 86_400)) }
        #expect(plan.next(of: ahead, begun: begun, busy: [], now: Self.now, using: &random) == nil)
    }
}
