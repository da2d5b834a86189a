public import Encodings
public import Records
public import SignedDocuments

/// What other nodes say of listings ([LIV-9]): each has one voice on each, its latest, while that is young.
public struct LivenessVoices: Sendable {
    /// Nodes that are listened to, those whose records are latest.
    public static let maximumRaters = 256
    /// What was last tried longer ago is no voice.
    public static let windowSeconds: Int64 = 6 * 3_600
    /// One node alone does not sink anybody.
    public static let leastDead = 2

    /// What they say of one listing.
    public struct Tally: Sendable, Hashable {
        public var alive = 0
        public var dead = 0
        /// The median of what they say of its latency.
        public var latencyMilliseconds: Int64?

        public init() {}

        /// Dead where at least two nodes, and two of three, say so; alive where more than half do.
        public var state: LivenessState {
            if dead >= LivenessVoices.leastDead, dead * 3 >= (alive + dead) * 2 { return .dead }
            return alive > dead ? .alive : .unknown
        }
    }

    private struct Rater: Sendable {
        var created: Timestamp
        var entries: [RecordKey: LivenessReport.Entry]
    }

    private let own: DIDKey
    private var raters: [DIDKey: Rater] = [:]

    /// - Parameter own: the node, which hears itself elsewhere.
    public init(own: DIDKey) {
        self.own = own
    }

    public var count: Int { raters.count }

    /// Takes what a node says in the place of what it said. That the node counts is the caller's to know.
    public mutating func hear(_ report: LivenessReport, by author: DIDKey, created: Timestamp) {
        guard author != own else { return }
        if let known = raters[author], known.created > created { return }
        var entries: [RecordKey: LivenessReport.Entry] = [:]
        for entry in report.entries where entry.seller != author {
            entries[RecordKey(author: entry.seller, kind: Listing.kind.name, name: entry.service)] = entry
        }
        raters[author] = Rater(created: created, entries: entries)
        guard raters.count > Self.maximumRaters else { return }
        let oldest = raters.min { ($0.value.created, $0.key.string) < ($1.value.created, $1.key.string) }
        if let oldest { raters[oldest.key] = nil }
    }

    public func tally(of listing: RecordKey, now: Timestamp) -> Tally {
        var tally = Tally()
        var latencies: [Int64] = []
        for rater in raters.values {
            guard let entry = rater.entries[listing], entry.last > now.adding(seconds: -Self.windowSeconds) else {
                continue
            }
            if entry.state == .alive { tally.alive += 1 } else { tally.dead += 1 }
            if let latency = entry.latencyMilliseconds { latencies.append(latency) }
        }
        if !latencies.isEmpty { tally.latencyMilliseconds = latencies.sorted()[(latencies.count - 1) / 2] }
        return tally
    }
}

/// What a node knows of a listing's liveness: its own results, and what others say.
public struct LivenessStanding: Sendable, Hashable {
    public var own: LivenessVerdict
    public var others: LivenessVoices.Tally

    public init(own: LivenessVerdict, others: LivenessVoices.Tally) {
        self.own = own
        self.others = others
    }

    /// Where own results show something, others are not asked.
    public var state: LivenessState { own.state == .unknown ? others.state : own.state }

    /// What it adds to a score, in thousandths: up to ``maximumPoints`` by the share of own tries that went well, half of them
    /// where others alone say that it is alive; 0 where nothing is known or it is dead ([LIV-7]).
    public var points: Int64 {
        guard state == .alive else { return 0 }
        if own.state == .alive, let share = own.successPermille { return Self.maximumPoints * share / 1_000 }
        return Self.maximumPoints / 2
    }

    public static let maximumPoints: Int64 = 300
}
