/// How messages spread over the honest nodes.
package struct SpreadReport: Sendable {
    package let scenario: GossipScenario
    /// For each message, when it came to each node that it got to, in order, in milliseconds.
    package private(set) var spreads: [[Int32]] = []
    /// Nodes that should have had them, over all messages.
    package private(set) var expected = 0
    /// Messages that arrived, each copy counted.
    package internal(set) var copies = 0
    /// Nodes that each message was meant for.
    package private(set) var audiences: [Int] = []

    init(scenario: GossipScenario) {
        self.scenario = scenario
    }

    /// - Parameter times: of each node that should have the message; below zero where it has it not.
    mutating func add(_ times: [Int32]) {
        expected += times.count
        audiences.append(times.count)
        spreads.append(times.filter { $0 >= 0 }.sorted())
    }

    package var deliveries: Int { spreads.reduce(0) { $0 + $1.count } }
    package var deliveredShare: Double { expected == 0 ? 0 : Double(deliveries) / Double(expected) }
    package var copiesPerDelivery: Double { deliveries == 0 ? 0 : Double(copies) / Double(deliveries) }

    /// Of all deliveries; 0 where there are none.
    package func milliseconds(percentile: Double) -> Int {
        Self.percentile(spreads.flatMap { $0 }.sorted(), percentile)
    }
    /// Of the node that each message came to last.
    package func lastNodeMilliseconds(percentile: Double) -> Int {
        Self.percentile(spreads.compactMap(\.last).sorted(), percentile)
    }

    private static func percentile(_ sorted: [Int32], _ percentile: Double) -> Int {
        guard !sorted.isEmpty else { return 0 }
        return Int(sorted[min(sorted.count - 1, Int(Double(sorted.count) * percentile / 100))])
    }

    /// The share of its nodes that each message had reached after so many milliseconds: the least, the median and the most
    /// over all messages.
    func reached(after milliseconds: Int32) -> (least: Double, median: Double, most: Double) {
        let shares = zip(spreads, audiences).map { spread, audience -> Double in
            guard audience > 0 else { return 0 }
            var low = 0
            var high = spread.count
            while low < high {
                let middle = (low + high) / 2
                if spread[middle] <= milliseconds { low = middle + 1 } else { high = middle }
            }
            return Double(low) / Double(audience)
        }.sorted()
        guard let least = shares.first, let most = shares.last else { return (0, 0, 0) }
        return (least, shares[shares.count / 2], most)
    }
}
