public import Encodings
public import SignedDocuments

/// What one or more viewers think of others, from settled calls alone (`Specs/reputation.md`): how much trust reaches somebody
/// from the viewer and its seeds along calls that went well, times the fourth power of the viewer's own mean with it. One
/// call more changes one row, and only what hangs on it is worked out again.
public struct Reputation: Sendable {
    public struct Parameters: Sendable, Hashable {
        /// The chance at each step to go back to the viewer and its seeds.
        public var restart = 0.3
        /// What of that goes to the viewer itself, the rest to its seeds; all where it has none.
        public var ownShare = 0.5
        /// What a call weighs a period later.
        public var decay = 0.8
        public var periodSeconds: Int64 = 7 * 86_400
        /// What may be left over at a node.
        public var tolerance = 1e-7
        /// Nodes that are known in a role.
        public var maximumNodes = 20_000
        /// Pairs that are known in a role.
        public var maximumPairs = 1_000_000
        /// Whom one judge can be known to have dealt with.
        public var maximumPairsPerJudge = 512

        public init() {}
    }

    /// What a viewer thinks of somebody in a role.
    public struct Score: Sendable, Hashable {
        /// How much of the walk from the viewer and its seeds is there, 0 to 1.
        public var trust: Double
        /// The viewer's own calls, with what decay leaves of them.
        public var good: Double
        public var bad: Double

        /// The mean of the Beta distribution that begins with one good and one bad.
        public var ownMean: Double { (good + 1) / (good + bad + 2) }

        /// The hybrid: trust × own mean to the fourth. Greater is better; only the order means something.
        public var value: Double {
            let square = ownMean * ownMean
            return trust * square * square
        }
    }

    public let parameters: Parameters
    public let viewers: [DIDKey]
    public let seeds: [DIDKey]
    private var selling: TrustField
    private var buying: TrustField

    /// - Parameters:
    ///   - viewers: at least one; each sees with its own eyes.
    ///   - seeds: whom all of them trust beforehand.
    public init(viewers: [DIDKey], seeds: [DIDKey] = [], parameters: Parameters = Parameters()) {
        self.viewers = viewers
        self.seeds = seeds
        self.parameters = parameters
        selling = TrustField(viewers: viewers, seeds: seeds, parameters: parameters)
        buying = selling
    }

    func field(_ role: ReputationRole) -> TrustField { role == .selling ? selling : buying }

    /// Counts a settled call.
    /// - Throws: ``ReputationRefusal`` `full`.
    public mutating func record(_ call: SettledCall) throws(ReputationRefusal) {
        try add(call, settles: true)
    }

    /// Counts many, and works out what hangs on them once.
    /// - Returns: how many were counted; the rest had no room.
    @discardableResult
    public mutating func record(_ calls: some Sequence<SettledCall>) -> Int {
        var counted = 0
        for call in calls {
            if (try? add(call, settles: false)) != nil { counted += 1 }
        }
        selling.settle()
        buying.settle()
        return counted
    }

    /// - Parameter settles: false where ``settle(viewer:)`` comes before the next question.
    mutating func add(_ call: SettledCall, settles: Bool) throws(ReputationRefusal) {
        let period = period(at: call.at)
        switch call.role {
        case .selling: try selling.record(call, period: period, settles: settles)
        case .buying: try buying.record(call, period: period, settles: settles)
        }
    }

    mutating func settle(viewer: Int) {
        selling.settle(viewer: viewer)
        buying.settle(viewer: viewer)
    }

    /// Works everything out from nothing; what ``record(_:)`` keeps up is the same within the tolerance.
    public mutating func recompute() {
        selling.recompute()
        buying.recompute()
    }

    /// - Parameter viewer: the place among ``viewers``.
    public func score(
        of did: DIDKey,
        as role: ReputationRole = .selling,
        for viewer: Int = 0,
        at now: Timestamp
    ) -> Score {
        let field = field(role)
        guard viewers.indices.contains(viewer), let node = field.numbers[did] else {
            return Score(trust: 0, good: 0, bad: 0)
        }
        return field.score(of: node, for: viewer, period: period(at: now))
    }

    /// All that some trust reaches, the best first; of the same value those known longer.
    ///
    /// - Parameter most: how many.
    public func ranking(
        as role: ReputationRole = .selling,
        for viewer: Int = 0,
        at now: Timestamp,
        most: Int = 100
    ) -> [(did: DIDKey, score: Score)] {
        let field = field(role)
        guard viewers.indices.contains(viewer) else { return [] }
        let period = period(at: now)
        let all = field.dids.indices.map { (node: $0, score: field.score(of: $0, for: viewer, period: period)) }
        return all.filter { $0.score.value > 0 && field.dids[$0.node] != viewers[viewer] }
            .sorted { ($1.score.value, $0.node) < ($0.score.value, $1.node) }
            .prefix(max(0, most))
            .map { (field.dids[$0.node], $0.score) }
    }

    /// How many nodes and pairs are known in a role.
    public func count(as role: ReputationRole = .selling) -> (nodes: Int, pairs: Int) {
        (field(role).numbers.count, field(role).graph.edgeCount)
    }

    func period(at instant: Timestamp) -> Int64 {
        let seconds = instant.secondsSince1970
        return seconds >= 0 ? seconds / max(1, parameters.periodSeconds) : 0
    }
}
