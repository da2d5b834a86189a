public import Encodings

/// What one try of a listed service showed.
public struct LivenessResult: Sendable, Hashable {
    public enum Outcome: String, Sendable, CaseIterable {
        /// It answered as the listing says.
        case good = "ok"
        case failed
        /// It answered, and neither so nor otherwise: it counts for nothing.
        case unclear
    }

    public enum Source: String, Sendable, CaseIterable {
        /// An unpaid call that asked for the price ([LIV-1]).
        case probe
        /// A paid call of this node's own.
        case call
    }

    public var at: Timestamp
    public var outcome: Outcome
    public var source: Source
    /// Until the answer's head; nil where none came.
    public var milliseconds: Int64?

    public init(at: Timestamp, outcome: Outcome, source: Source = .probe, milliseconds: Int64? = nil) {
        self.at = at
        self.outcome = outcome
        self.source = source
        self.milliseconds = milliseconds
    }
}

/// Whether a listed service is there.
public enum LivenessState: String, Sendable, CaseIterable {
    case alive
    case unknown
    case dead
}

/// What the latest results of one listing mean together ([LIV-5], [LIV-6]).
public struct LivenessVerdict: Sendable, Hashable {
    /// Of each source so many results are looked at, the latest.
    public static let maximumResults = 32
    /// What lies further back says nothing.
    public static let windowSeconds: Int64 = 86_400
    /// After that time a result weighs half.
    public static let halfLifeSeconds: Int64 = 6 * 3_600
    /// A paid call weighs as much as so many probes.
    public static let callWeight = 8.0
    /// So many failures one after another, the last of them at least ``deadSeconds`` after the first, mean that it is dead.
    public static let deadFailures = 3
    public static let deadSeconds: Int64 = 600
    /// Clocks may differ by that; what is from further ahead says nothing.
    static let aheadSeconds: Int64 = 300

    public let state: LivenessState
    /// Of the results in the window.
    public let good: Int
    public let failed: Int
    /// Of a thousand, by weight; nil where nothing counts.
    public let successPermille: Int64?
    /// Of the good ones; a percentile is up to a sixteenth too high.
    public let latency: LatencyHistogram
    /// When the last one was that counts.
    public let last: Timestamp?
    /// Failures since the last success.
    public let failuresInARow: Int

    /// - Parameter results: of one listing, in any order.
    public init(_ results: [LivenessResult], now: Timestamp) {
        let from = now.adding(seconds: -Self.windowSeconds)
        let until = now.adding(seconds: Self.aheadSeconds)
        let looked = LivenessResult.Source.allCases.flatMap { source in
            results.filter { $0.source == source && $0.at > from && $0.at <= until }
                .sorted { $0.at < $1.at }.suffix(Self.maximumResults)
        }
        let counted = looked.filter { $0.outcome != .unclear }.sorted { $0.at < $1.at }
        var (sum, whole) = (0.0, 0.0)
        var latency = LatencyHistogram()
        for result in counted {
            let age = Double(max(0, now.milliseconds(since: result.at))) / 1_000
            var weight = Self.half(age / Double(Self.halfLifeSeconds))
            if result.source == .call { weight *= Self.callWeight }
            whole += weight
            if result.outcome == .good {
                sum += weight
                if let milliseconds = result.milliseconds { latency.add(milliseconds) }
            }
        }
        good = counted.count { $0.outcome == .good }
        failed = counted.count - good
        successPermille = whole > 0 ? Int64((sum * 1_000 / whole).rounded()) : nil
        self.latency = latency
        last = counted.last?.at
        let calls = Self.run(counted.filter { $0.source == .call })
        let all = Self.run(counted)
        failuresInARow = max(all.count, calls.count)
        // A good probe does not take back what paid calls showed; a good call takes back what probes did.
        if Self.isDead(calls) || Self.isDead(all) {
            state = .dead
        } else {
            state = good > 0 ? .alive : .unknown
        }
    }

    /// Without Foundation: 2 to the power of -x, from the halves and a rest below one.
    private static func half(_ x: Double) -> Double {
        let whole = x.rounded(.down)
        guard whole < 64 else { return 0 }
        // Within one half-life a straight line from 1 to a half is near enough, and goes down all the time.
        return (1 - (x - whole) / 2) / Double(UInt64(1) << UInt64(whole))
    }

    private struct Run {
        var count = 0
        var first: Timestamp?
        var last: Timestamp?
    }

    /// The failures since the last success.
    private static func run(_ results: [LivenessResult]) -> Run {
        var run = Run()
        for result in results.reversed() {
            guard result.outcome == .failed else { break }
            run.count += 1
            run.first = result.at
            run.last = run.last ?? result.at
        }
        return run
    }

    private static func isDead(_ run: Run) -> Bool {
        guard run.count >= deadFailures, let first = run.first, let last = run.last else { return false }
        return last.milliseconds(since: first) >= deadSeconds * 1_000
    }
}
