import Encodings
import TestSupport
import Testing

@testable import Market

@Suite("What results of a listing mean")
struct LivenessVerdictTests {
    private static let now = Sample.now

    /// Results by their age in seconds: a dot went well, an x failed, a question mark is unclear.
    private static func results(
        _ text: String,
        every seconds: Int64 = 600,
        source: LivenessResult.Source = .probe,
        endingAgo end: Int64 = 0
    ) -> [LivenessResult] {
        let count = Int64(text.count)
        return text.enumerated().map { place, mark in
            LivenessResult(
                at: now.adding(seconds: -end - (count - 1 - Int64(place)) * seconds),
                outcome: mark == "." ? .good : mark == "x" ? .failed : .unclear,
                source: source,
                milliseconds: mark == "." ? 20 : nil
            )
        }
    }

    private static func state(_ results: [LivenessResult]...) -> LivenessState {
        LivenessVerdict(results.flatMap { $0 }, now: now).state
    }

    @Test(
        "[LIV-5] Three failures over ten minutes without a success between them are death; fewer, or quicker ones, are not"
    )
    func dead() {
        #expect(Self.state([]) == .unknown)
        #expect(Self.state(Self.results("?")) == .unknown)
        #expect(Self.state(Self.results(".")) == .alive)
        #expect(Self.state(Self.results("x")) == .unknown)
        #expect(Self.state(Self.results("xx")) == .unknown)
        #expect(Self.state(Self.results("xxx")) == .dead)
        #expect(Self.state(Self.results("xxx", every: 299)) == .unknown)
        #expect(Self.state(Self.results("xxx", every: 300)) == .dead)
        #expect(Self.state(Self.results(".xx")) == .alive)
        #expect(Self.state(Self.results("..xxx")) == .dead)
        #expect(Self.state(Self.results("xxxx.")) == .alive)
        // What is unclear neither kills nor saves.
        #expect(Self.state(Self.results("x?x?x")) == .dead)
        #expect(Self.state(Self.results("xxx?")) == .dead)
        #expect(Self.state(Self.results("?.?")) == .alive)
    }

    @Test("[LIV-5] After a day nothing is known any more, and what is from ahead says nothing")
    func old() {
        #expect(Self.state(Self.results("xxx", endingAgo: 86_400)) == .unknown)
        #expect(Self.state(Self.results(".", endingAgo: 86_399)) == .alive)
        #expect(Self.state(Self.results(".", endingAgo: 86_400)) == .unknown)
        #expect(Self.state(Self.results(".", endingAgo: -301)) == .unknown)
        #expect(Self.state(Self.results(".", endingAgo: -300)) == .alive)
    }

    @Test("[LIV-5] A result weighs half after six hours, so the share follows what is new")
    func decay() {
        let fell = LivenessVerdict(Self.results("..xx", every: 6 * 3_600), now: Self.now)
        // Weights from the oldest: 1/8, 1/4, 1/2, 1.
        #expect(fell.successPermille == 200)
        let rose = LivenessVerdict(Self.results("xx..", every: 6 * 3_600), now: Self.now)
        #expect(rose.successPermille == 800)
        #expect(rose.good == 2 && rose.failed == 2 && rose.failuresInARow == 0)
        #expect(fell.failuresInARow == 2)
        #expect(LivenessVerdict([], now: Self.now).successPermille == nil)
    }

    @Test("[LIV-5] Latency is that of the good ones, of the latest 32 of each source")
    func latency() {
        var results = (0..<100).map { number in
            LivenessResult(
                at: Self.now.adding(seconds: Int64(number) - 100),
                outcome: .good,
                milliseconds: Int64(number)
            )
        }
        results.append(LivenessResult(at: Self.now, outcome: .failed, milliseconds: 10_000))
        let verdict = LivenessVerdict(results, now: Self.now)
        #expect(verdict.good == 31 && verdict.failed == 1)
        #expect(verdict.latency.count == 31)
        #expect((84...87).contains(verdict.latency.milliseconds(atPercentile: 50) ?? 0))
        #expect((95...103).contains(verdict.latency.milliseconds(atPercentile: 100) ?? 0))
    }

    @Test(
        "[LIV-6] Who serves probes and fails customers is dead; a paid call that went well takes back what probes showed"
    )
    func callsWin() {
        let failed = Self.results("xxx", source: .call, endingAgo: 3_600)
        // Probes in plenty, later than the calls.
        let good = Self.results("..................", every: 60)
        #expect(Self.state(failed, good) == .dead)
        #expect(Self.state(Self.results("xx", source: .call, endingAgo: 3_600), good) == .alive)
        let dead = Self.results("xxxxxx", endingAgo: 60)
        #expect(Self.state(dead) == .dead)
        #expect(Self.state(dead, Self.results(".", source: .call)) == .alive)
        #expect(Self.state(failed, Self.results(".", source: .call)) == .alive)
    }

    @Test("[LIV-6] A paid call weighs as much as eight probes")
    func weight() {
        let probes = (0..<8).map { _ in LivenessResult(at: Self.now, outcome: .good) }
        let call = LivenessResult(at: Self.now, outcome: .failed, source: .call)
        #expect(LivenessVerdict(probes + [call], now: Self.now).successPermille == 500)
    }

    @Test(
        "[LIV-5] [LIV-6] Whatever came: the order of results is nothing, a success never makes it worse, and shares stay in bounds"
    )
    func properties() {
        for seed in UInt64(1)...300 {
            var random = SeededRandom(seed: seed)
            let results = (0..<Int.random(in: 0...90, using: &random)).map { _ in
                LivenessResult(
                    at: Self.now.adding(seconds: Int64.random(in: -100_000...1_000, using: &random)),
                    outcome: LivenessResult.Outcome.allCases.randomElement(using: &random) ?? .good,
                    source: Bool.random(using: &random) ? .probe : .call,
                    milliseconds: Int64.random(in: -5...90_000_000, using: &random)
                )
            }
            let verdict = LivenessVerdict(results, now: Self.now)
            #expect(LivenessVerdict(results.shuffled(using: &random), now: Self.now).state == verdict.state, "\(seed)")
            #expect((0...1_000).contains(verdict.successPermille ?? 0), "\(seed)")
            #expect(verdict.good + verdict.failed <= 64, "\(seed)")
            // The latest word of a paying customer.
            let call = LivenessResult(at: Self.now.adding(seconds: 300), outcome: .good, source: .call)
            #expect(LivenessVerdict(results + [call], now: Self.now).state == .alive, "\(seed)")
            if verdict.state == .dead { #expect(verdict.failuresInARow >= 3, "\(seed)") }
        }
        // The ends of time don't trap.
        for at in [Int64.min, .max, 0] {
            let result = LivenessResult(at: Timestamp(millisecondsSince1970: at), outcome: .failed)
            for now in [Int64.min, .max, 0] {
                _ = LivenessVerdict([result], now: Timestamp(millisecondsSince1970: now))
            }
        }
    }
}
