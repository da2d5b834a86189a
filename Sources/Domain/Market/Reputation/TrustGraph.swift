/// Who has dealt with whom in one role, and how it went: one row a judge, one edge a pair. Good and bad calls are kept with the
/// weight that decay leaves them, in units of the row's latest period; the share of trust that a row gives is the same in any
/// unit, so nothing has to be worked out anew as time goes by.
struct TrustGraph: Sendable {
    struct Edge: Sendable {
        /// The number of the one who is judged.
        var to: Int
        var good: Double
        var bad: Double

        /// Good calls times the fourth power of their share among all: half bad is a sixteenth.
        var trust: Double {
            guard good > 0 else { return 0 }
            let mean = good / (good + bad)
            return good * (mean * mean) * (mean * mean)
        }

        var weight: Double { good + bad }
    }

    struct Row: Sendable {
        /// By `to`, rising.
        var edges: [Edge] = []
        /// Which period's calls weigh 1 in this row.
        var period: Int64 = 0
        /// The sum of the edges' trust.
        var total = 0.0
    }

    /// What a pair's calls weigh together at most: over it all of them lose alike, so that those before the last fifty or so are
    /// forgotten, and who turns bad after many good calls is found out as soon as another.
    static let maximumWeight = 50.0

    private(set) var rows: [Row] = []
    private(set) var edgeCount = 0

    mutating func addNode() {
        rows.append(Row())
    }

    func edge(from: Int, to: Int) -> Edge? {
        let edges = rows[from].edges
        let place = Self.place(of: to, in: edges)
        return place < edges.count && edges[place].to == to ? edges[place] : nil
    }

    /// Counts one call.
    ///
    /// - Parameter most: edges that a row may have; over it the one of the least weight goes.
    mutating func add(from: Int, to: Int, isGood: Bool, period: Int64, decay: Double, most: Int) {
        var row = rows[from]
        rows[from].edges = []
        if row.edges.isEmpty { row.period = period }
        let before = row.edges.count
        if period > row.period {
            let factor = Self.power(decay, period - row.period)
            for place in row.edges.indices {
                row.edges[place].good *= factor
                row.edges[place].bad *= factor
            }
            row.period = period
        }
        let weight = Self.power(decay, row.period - period)
        var place = Self.place(of: to, in: row.edges)
        if place == row.edges.count || row.edges[place].to != to {
            if row.edges.count >= most, let least = Self.least(row.edges) {
                row.edges.remove(at: least)
                if least < place { place -= 1 }
            }
            row.edges.insert(Edge(to: to, good: 0, bad: 0), at: place)
        }
        if isGood { row.edges[place].good += weight } else { row.edges[place].bad += weight }
        let whole = row.edges[place].weight
        if whole > Self.maximumWeight {
            row.edges[place].good *= Self.maximumWeight / whole
            row.edges[place].bad *= Self.maximumWeight / whole
        }
        row.total = row.edges.reduce(0) { $0 + $1.trust }
        edgeCount += row.edges.count - before
        rows[from] = row
    }

    mutating func clear(_ node: Int) {
        edgeCount -= rows[node].edges.count
        rows[node] = Row()
    }

    /// `base` to a power of 0 or more; what lies far back is nothing.
    static func power(_ base: Double, _ exponent: Int64) -> Double {
        guard exponent < 4_096 else { return 0 }
        var (result, factor, rest) = (1.0, base, exponent)
        while rest > 0 {
            if rest & 1 == 1 { result *= factor }
            factor *= factor
            rest >>= 1
        }
        return result
    }

    /// The first of the least weight.
    private static func least(_ edges: [Edge]) -> Int? {
        edges.indices.min { (edges[$0].weight, $0) < (edges[$1].weight, $1) }
    }

    private static func place(of node: Int, in edges: [Edge]) -> Int {
        var (low, high) = (0, edges.count)
        while low < high {
            let middle = (low + high) / 2
            if edges[middle].to < node { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
