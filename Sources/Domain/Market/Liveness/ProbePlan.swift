public import Encodings
public import Records
internal import SignedDocuments

/// Which listing is probed next, and when ([LIV-4]). Whoever sells must not know beforehand, and no seller may draw the budget
/// to itself, however many listings and hosts it has.
public struct ProbePlan: Sendable {
    public static let windowSeconds: Int64 = 3_600
    public static let maximumPerHour = 3_600
    /// How long what was ranked counts as such.
    public static let rankedSeconds: Int64 = 86_400
    /// A host is asked at most once in that time.
    public static let hostSeconds: Int64 = 60
    /// After the first failure; twice as long after each further one, up to so much that a day holds three.
    static let firstRetrySeconds: Int64 = 300
    static let maximumRetrySeconds: Int64 = 4 * 3_600
    static let rankedIntervalSeconds: Int64 = 1_800
    static let otherIntervalSeconds: Int64 = 6 * 3_600

    /// A listing that may be probed.
    public struct Candidate: Sendable, Hashable {
        public var key: RecordKey
        /// Host and port, in small letters.
        public var host: String
        /// When a search last showed it.
        public var rankedAt: Timestamp?
        /// When it was last probed.
        public var last: Timestamp?
        /// Failures since the last success, however long ago.
        public var failures: Int

        public init(key: RecordKey, host: String, rankedAt: Timestamp? = nil, last: Timestamp? = nil, failures: Int = 0)
        {
            self.key = key
            self.host = host
            self.rankedAt = rankedAt
            self.last = last
            self.failures = failures
        }

        func isRanked(_ now: Timestamp) -> Bool {
            guard let rankedAt else { return false }
            return rankedAt > now.adding(seconds: -ProbePlan.rankedSeconds)
        }
    }

    /// A probe that was begun within the last hour.
    public struct Begun: Sendable, Hashable {
        public var host: String
        public var at: Timestamp

        public init(host: String, at: Timestamp) {
            self.host = host
            self.at = at
        }
    }

    /// Probes in any hour, at most; 0: none.
    public let perHour: Int
    /// Known to nobody else: what makes a listing's next time another than its neighbours'.
    private let salt: UInt64

    public init(perHour: Int, salt: UInt64) {
        self.perHour = min(max(0, perHour), Self.maximumPerHour)
        self.salt = salt
    }

    /// Of one host in any hour, at most: a quarter of all.
    public var perHostAnHour: Int { max(1, perHour / 4) }

    /// How long to wait until the next probe, in milliseconds: as between events that know nothing of each other, so that what was
    /// seen says nothing of what comes. nil where nothing is probed.
    public func gap(using random: inout some RandomNumberGenerator) -> Int64? {
        guard perHour > 0 else { return nil }
        let mean = Double(Self.windowSeconds * 1_000) / Double(perHour)
        return Int64(mean * min(10, Self.exponential(using: &random)))
    }

    /// Of the exponential distribution with a mean of one, up to ten.
    private static func exponential(using random: inout some RandomNumberGenerator) -> Double {
        // Von Neumann's: it needs comparisons alone, and no logarithm.
        var whole = 0.0
        while whole < 10 {
            let first = Double.random(in: 0..<1, using: &random)
            var (last, isEven) = (first, true)
            while true {
                let next = Double.random(in: 0..<1, using: &random)
                if next > last { break }
                (last, isEven) = (next, !isEven)
            }
            if isEven { return whole + first }
            whole += 1
        }
        return whole
    }

    /// When a listing is to be probed again at the earliest; at once where it never was.
    public func due(_ candidate: Candidate, now: Timestamp) -> Timestamp? {
        // A clock that was set back must not keep it from being probed.
        guard let last = candidate.last, last <= now.adding(seconds: Self.windowSeconds) else { return nil }
        let seconds =
            candidate.failures > 0
            ? Self.retry(after: candidate.failures)
            : candidate.isRanked(now) ? Self.rankedIntervalSeconds : Self.otherIntervalSeconds
        // From a half to one and a half of it.
        let share = Int64(mixed(candidate.key, last) % 1_000)
        return last.adding(milliseconds: seconds * (500 + share))
    }

    private static func retry(after failures: Int) -> Int64 {
        min(maximumRetrySeconds, firstRetrySeconds << Int64(min(max(failures, 1) - 1, 16)))
    }

    /// The next one to be probed; nil where none is due, or the budget of the hour is spent.
    ///
    /// - Parameters:
    ///   - begun: all probes that were begun within the last hour.
    ///   - busy: hosts that one is under way to.
    public func next(
        of candidates: [Candidate],
        begun: [Begun],
        busy: Set<String>,
        now: Timestamp,
        using random: inout some RandomNumberGenerator
    ) -> Candidate? {
        let from = now.adding(seconds: -Self.windowSeconds)
        // What stands ahead counts too: the clock was set back, and the budget is not to be had twice.
        let recent = begun.filter { $0.at > from }
        guard recent.count < perHour else { return nil }
        let rested = now.adding(seconds: -Self.hostSeconds)
        var shares: [String: Int] = [:]
        var resting = busy
        for probe in recent {
            shares[probe.host, default: 0] += 1
            if probe.at > rested, probe.at <= now { resting.insert(probe.host) }
        }
        let open = candidates.filter { candidate in
            !resting.contains(candidate.host) && shares[candidate.host, default: 0] < perHostAnHour
                && (due(candidate, now: now).map { $0 <= now } ?? true)
        }
        let ranked = open.filter { $0.isRanked(now) }
        let takesRanked = Int.random(in: 0..<4, using: &random) > 0
        return Self.one(of: ranked.isEmpty || !takesRanked ? open : ranked, using: &random)
    }

    /// First whose, then which: each seller has the same chance. Of one seller's the one that waits longest.
    private static func one(of due: [Candidate], using random: inout some RandomNumberGenerator) -> Candidate? {
        let sellers = Dictionary(grouping: due, by: { $0.key.author.string })
        guard let seller = sellers.keys.sorted().randomElement(using: &random), let own = sellers[seller] else {
            return nil
        }
        let oldest = own.map { $0.last?.millisecondsSince1970 ?? .min }.min() ?? .min
        return own.filter { ($0.last?.millisecondsSince1970 ?? .min) == oldest }
            .sorted { $0.key.name < $1.key.name }.randomElement(using: &random)
    }

    /// FNV-1a over what names the probe, then mixed.
    private func mixed(_ key: RecordKey, _ last: Timestamp) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ salt
        for byte in "\(key.author.string)/\(key.name)/\(last.millisecondsSince1970)".utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
        }
        hash = (hash ^ (hash >> 33)) &* 0xFF51_AFD7_ED55_8CCD
        return hash ^ (hash >> 33)
    }
}
