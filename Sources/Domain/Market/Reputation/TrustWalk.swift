/// A walker's stay at each node: personalised PageRank, kept up by pushing what is left over (Gauss–Southwell). It begins at
/// its roots, follows the trust of rows, and goes back to the roots with the chance ``restart`` at each step; where a row trusts
/// nobody the walk ends.
///
/// With P for the rows' shares, `estimate + left` obeys: left = restart·roots + (1 − restart)·Pᵀ·estimate − estimate. When a row
/// changes only `left` does, at the row's edges, and what is below the tolerance stays there. The sum of the error is at most
/// the sum of |left| ÷ restart.
struct TrustWalk: Sendable {
    /// Where it begins, with shares that add to 1, by number of the node.
    let roots: [(node: Int, share: Double)]
    let restart: Double
    let tolerance: Double
    private(set) var estimate: [Double] = []
    private var left: [Double] = []
    private var waiting: [Int] = []
    private var isWaiting: [Bool] = []

    init(roots: [(node: Int, share: Double)], restart: Double, tolerance: Double) {
        self.roots = roots
        self.restart = restart
        self.tolerance = tolerance
    }

    /// Room for so many nodes.
    mutating func grow(to count: Int) {
        let more = count - estimate.count
        guard more > 0 else { return }
        estimate.append(contentsOf: repeatElement(0, count: more))
        left.append(contentsOf: repeatElement(0, count: more))
        isWaiting.append(contentsOf: repeatElement(false, count: more))
    }

    func isReached(_ node: Int) -> Bool { estimate[node] != 0 || left[node] != 0 }

    /// Takes back what a row gave, before it changes.
    mutating func withdraw(_ node: Int, _ row: TrustGraph.Row) { give(row, -estimate[node]) }

    /// Gives what a row gives now.
    mutating func deposit(_ node: Int, _ row: TrustGraph.Row) { give(row, estimate[node]) }

    private mutating func give(_ row: TrustGraph.Row, _ amount: Double) {
        guard amount != 0, row.total > 0 else { return }
        let share = (1 - restart) * amount / row.total
        for edge in row.edges { add(share * edge.trust, to: edge.to) }
    }

    private mutating func add(_ amount: Double, to node: Int) {
        left[node] += amount
        if abs(left[node]) > tolerance, !isWaiting[node] {
            isWaiting[node] = true
            waiting.append(node)
        }
    }

    /// Pushes until nothing above the tolerance is left, first come, first served.
    /// - Returns: how many pushes it took.
    @discardableResult
    mutating func settle(_ graph: TrustGraph) -> Int {
        var next = 0
        while next < waiting.count {
            let node = waiting[next]
            next += 1
            isWaiting[node] = false
            let amount = left[node]
            guard abs(amount) > tolerance else { continue }
            left[node] = 0
            estimate[node] += amount
            give(graph.rows[node], amount)
        }
        waiting.removeAll(keepingCapacity: true)
        return next
    }

    /// Begins again from nothing.
    mutating func recompute(_ graph: TrustGraph) {
        for node in estimate.indices { (estimate[node], left[node], isWaiting[node]) = (0, 0, false) }
        waiting.removeAll(keepingCapacity: true)
        for root in roots { add(restart * root.share, to: root.node) }
        settle(graph)
    }
}
