public import Encodings
public import SignedDocuments

/// Why a viewer thinks of somebody what it thinks ([REP-9]).
public struct ReputationWhy: Sendable, Hashable {
    /// A way by which trust comes, from the viewer or a seed to the one who is judged.
    public struct Path: Sendable, Hashable {
        /// The first is the viewer or a seed, the last the one who is judged.
        public var through: [DIDKey]
        public var beginsAtSeed: Bool
        /// What of the trust comes over the last step of this path, 0 to 1.
        public var trust: Double
    }

    public var score: Reputation.Score
    public var isSeed: Bool
    /// What the viewer trusts it beforehand, as a seed (or because it is the viewer).
    public var beforehand: Double
    /// The strongest ways, at most ``maximumPaths``.
    public var paths: [Path]
    /// How many judges trust comes from in all.
    public var judges: Int

    public static let maximumPaths = 5
    static let maximumSteps = 6
}

extension Reputation {
    /// Looks at every row once.
    public func why(
        _ did: DIDKey,
        as role: ReputationRole = .selling,
        for viewer: Int = 0,
        at now: Timestamp
    ) -> ReputationWhy {
        var why = ReputationWhy(
            score: score(of: did, as: role, for: viewer, at: now),
            isSeed: seeds.contains(did),
            beforehand: 0,
            paths: [],
            judges: 0
        )
        let field = field(role)
        guard viewers.indices.contains(viewer), let node = field.numbers[did] else { return why }
        let walk = field.walks[viewer]
        why.beforehand = walk.roots.reduce(0) { $0 + ($1.node == node ? walk.restart * $1.share : 0) }
        let sources = field.sources(of: node, for: viewer)
        why.judges = sources.count
        for source in sources.prefix(ReputationWhy.maximumPaths) {
            guard let through = field.wayBack(from: source.node, to: node, for: viewer), let first = through.first
            else { continue }
            why.paths.append(
                ReputationWhy.Path(
                    through: through.map { field.dids[$0] },
                    beginsAtSeed: first != walk.roots[0].node,
                    trust: source.trust
                )
            )
        }
        return why
    }
}

extension TrustField {
    /// From whom trust comes to a node, the most first.
    fileprivate func sources(of node: Int, for viewer: Int) -> [(node: Int, trust: Double)] {
        let walk = walks[viewer]
        var sources: [(node: Int, trust: Double)] = []
        for judge in graph.rows.indices where walk.estimate[judge] > 0 && graph.rows[judge].total > 0 {
            guard let edge = graph.edge(from: judge, to: node), edge.trust > 0 else { continue }
            let share = edge.trust / graph.rows[judge].total
            sources.append((judge, (1 - walk.restart) * walk.estimate[judge] * share))
        }
        return sources.sorted { ($1.trust, $0.node) < ($0.trust, $1.node) }
    }

    /// The strongest way back from a judge to a root, in the walk's direction, with the one judged at its end; nil where it is
    /// longer than is told.
    fileprivate func wayBack(from judge: Int, to node: Int, for viewer: Int) -> [Int]? {
        let roots = Set(walks[viewer].roots.map(\.node))
        var way = [judge, node]
        while !roots.contains(way[0]) {
            guard way.count < ReputationWhy.maximumSteps,
                let before = sources(of: way[0], for: viewer).first(where: { !way.contains($0.node) })
            else { return nil }
            way.insert(before.node, at: 0)
        }
        return way
    }
}
