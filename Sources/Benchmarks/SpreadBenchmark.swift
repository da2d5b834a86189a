internal import CanonicalJSON
internal import Foundation
internal import NIOHTTP1

/// How soon a listing that is new at one node is found at all others, and how soon a node that joins then finds it.
struct SpreadBenchmark {
    var nodes = 20
    var listings = 20
    var joiners = 5
    /// The most that one listing may take.
    private static let patienceSeconds = 30.0
    private static let poll = Duration.milliseconds(10)

    func run() async throws -> [Measure] {
        try await TradingNodes.measures("listing-spread", "ms", with: nodes) { market in try await measure(market) }
    }

    private func measure(_ market: TradingNodes) async throws -> [Measure] {
        guard let upstream = try await market.issuer.call(.GET, "/api/services").array("services").first?["upstream"],
            let peer = market.nodes.last
        else { throw BenchmarkError("the first node sells nothing") }
        var spread: [Double] = []
        for number in 0..<listings {
            let began = ContinuousClock.now
            _ = try await market.issuer.call(
                .POST,
                "/api/services",
                [
                    "name": .string("offer-\(number)"), "upstream": upstream,
                    "prices": [["path": "/*", "amount": "1", "unit": "sat"]],
                    "summary": "Tidal forecasts",
                ]
            )
            spread.append(
                try await withThrowingTaskGroup(of: Double.self) { group in
                    for node in market.nodes.dropFirst() {
                        group.addTask { try await Self.found("offer-\(number)", at: node, since: began) }
                    }
                    return try await group.reduce(0, max)
                }
            )
        }
        var (late, started): ([Double], [Double]) = ([], [])
        for number in 0..<joiners {
            let began = ContinuousClock.now
            let joiner = try await market.join("late \(number)", at: peer)
            let ready = ContinuousClock.now
            var last = 0.0
            started.append(Timing.inSeconds(ready - began) * 1_000)
            for listing in 0..<listings {
                last = max(last, try await Self.found("offer-\(listing)", at: joiner, since: ready))
            }
            late.append(last)
        }
        (spread, late) = (spread.sorted(), late.sorted())
        return [
            Measure(
                name: "listing-spread-p50",
                value: spread[spread.count / 2],
                unit: "ms",
                note: "from its being put on sale to the last of \(nodes) nodes finding it; \(listings) listings"
            ),
            Measure(name: "listing-spread-worst", value: spread.last, unit: "ms", yardstick: 2_000),
            Measure(
                name: "listing-late-joiner-worst",
                value: late.last,
                unit: "ms",
                yardstick: 5_000,
                note:
                    "from its being ready to its finding all \(listings); \(joiners) nodes, each made and ready within \(Int(started.max() ?? 0)) ms"
            ),
        ]
    }

    /// Milliseconds until a search finds the listing there.
    private static func found(
        _ name: String,
        at node: TradingNode,
        since began: ContinuousClock.Instant
    ) async throws -> Double {
        while true {
            let listings = try await node.call(.GET, "/api/market/search?q=tidal%20\(name)").array("listings")
            let milliseconds = Timing.inSeconds(ContinuousClock.now - began) * 1_000
            if listings.contains(where: { $0["name"] == .string(name) }) { return milliseconds }
            guard milliseconds < patienceSeconds * 1_000 else {
                throw BenchmarkError("after \(Int(patienceSeconds)) s \(node.name) has not found \(name)")
            }
            try await Task.sleep(for: poll)
        }
    }
}
