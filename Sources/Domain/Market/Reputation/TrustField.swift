internal import SignedDocuments

/// One role's graph with a walk for each viewer. Nodes are numbered as they come, so that the same calls in the same order give
/// the same figures to the last bit.
struct TrustField: Sendable {
    let parameters: Reputation.Parameters
    private(set) var numbers: [DIDKey: Int] = [:]
    /// By number. A number that was given up keeps its last name until it is used again.
    private(set) var dids: [DIDKey] = []
    private var free: [Int] = []
    private(set) var graph = TrustGraph()
    private(set) var walks: [TrustWalk] = []

    init(viewers: [DIDKey], seeds: [DIDKey], parameters: Reputation.Parameters) {
        self.parameters = parameters
        var seen: Set<DIDKey> = []
        let seeds = seeds.filter { seen.insert($0).inserted }
        for did in viewers + seeds where numbers[did] == nil { add(did) }
        for viewer in viewers {
            let own = seeds.isEmpty ? 1 : parameters.ownShare
            var roots = [(node: numbers[viewer] ?? 0, share: own)]
            roots += seeds.map { (node: numbers[$0] ?? 0, share: (1 - own) / Double(seeds.count)) }
            walks.append(TrustWalk(roots: roots, restart: parameters.restart, tolerance: parameters.tolerance))
        }
        for viewer in walks.indices { walks[viewer].grow(to: dids.count) }
        recompute()
    }

    private mutating func add(_ did: DIDKey) {
        if let number = free.popLast() {
            dids[number] = did
            numbers[did] = number
        } else {
            numbers[did] = dids.count
            dids.append(did)
            graph.addNode()
        }
    }

    /// - Parameter settles: false where more calls follow and ``settle()`` comes after them.
    mutating func record(_ call: SettledCall, period: Int64, settles: Bool = true) throws(ReputationRefusal) {
        try makeRoom(for: call)
        for did in [call.judge, call.judged] where numbers[did] == nil { add(did) }
        guard let judge = numbers[call.judge], let judged = numbers[call.judged], judge != judged else { return }
        for viewer in walks.indices {
            walks[viewer].grow(to: dids.count)
            walks[viewer].withdraw(judge, graph.rows[judge])
        }
        graph.add(
            from: judge,
            to: judged,
            isGood: call.outcome.isGood,
            period: period,
            decay: parameters.decay,
            most: parameters.maximumPairsPerJudge
        )
        for viewer in walks.indices { walks[viewer].deposit(judge, graph.rows[judge]) }
        if settles { settle() }
    }

    mutating func settle() {
        for viewer in walks.indices { settle(viewer: viewer) }
    }

    mutating func settle(viewer: Int) {
        walks[viewer].settle(graph)
    }

    mutating func recompute() {
        for viewer in walks.indices { walks[viewer].recompute(graph) }
    }

    func score(of node: Int, for viewer: Int, period: Int64) -> Reputation.Score {
        let walk = walks[viewer]
        var score = Reputation.Score(trust: max(0, walk.estimate[node]), good: 0, bad: 0)
        let own = walk.roots[0].node
        if let edge = graph.edge(from: own, to: node) {
            let factor = TrustGraph.power(parameters.decay, max(0, period - graph.rows[own].period))
            (score.good, score.bad) = (edge.good * factor, edge.bad * factor)
        }
        return score
    }

    // MARK: Room

    /// Where there is none, the rows that no viewer's trust reaches are given up: they carry nothing to anybody who is asked.
    private mutating func makeRoom(for call: SettledCall) throws(ReputationRefusal) {
        if hasRoom(for: call) { return }
        sweep()
        guard hasRoom(for: call) else {
            throw ReputationRefusal(.full, "As many nodes and pairs are known as may be.")
        }
    }

    private func hasRoom(for call: SettledCall) -> Bool {
        let judge = numbers[call.judge], judged = numbers[call.judged]
        let new = (judge == nil ? 1 : 0) + (judged == nil ? 1 : 0)
        guard numbers.count + new <= parameters.maximumNodes else { return false }
        if let judge, let judged, graph.edge(from: judge, to: judged) != nil { return true }
        return graph.edgeCount < parameters.maximumPairs
    }

    private mutating func sweep() {
        var isKept = dids.indices.map { node in walks.contains { $0.isReached(node) } }
        for root in walks.flatMap(\.roots) { isKept[root.node] = true }
        for node in dids.indices where !isKept[node] { graph.clear(node) }
        for row in graph.rows { for edge in row.edges { isKept[edge.to] = true } }
        let unused = dids.indices.filter { !isKept[$0] && numbers[dids[$0]] == $0 }
        for node in unused.reversed() {
            numbers[dids[node]] = nil
            free.append(node)
        }
    }
}
