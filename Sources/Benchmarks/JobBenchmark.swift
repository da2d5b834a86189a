internal import CanonicalJSON
internal import Foundation
internal import NIOHTTP1

/// Buying by escrow between `mintmark serve` processes: firm quotes of five sellers, one job at a time, and many at once. The
/// service answers at once, so that what is measured is beyond its own time.
struct JobBenchmark {
    var rounds = 100
    var jobs = 1_000
    var clients = 16
    private static let sellers = 5
    /// In parcels, so that many coins can be spent at a time.
    private static let parcel = 64

    func run() async throws -> [Measure] {
        try await TradingNodes.measures("jobs", "1/s", with: Self.sellers + 1) { market in try await measure(market) }
    }

    private func measure(_ market: TradingNodes) async throws -> [Measure] {
        let (buyer, sellers) = (market.nodes[0], market.nodes.dropFirst())
        for seller in sellers { try await open(seller) }
        guard let seller = sellers.first else { return [] }
        for other in sellers.dropFirst() { try await fund(buyer, at: other, Self.parcel) }
        for _ in 0...(jobs + rounds * 2) / Self.parcel + clients { try await fund(buyer, at: seller, Self.parcel) }
        let all = sellers.map(\.jobURL)
        let quotes = try await times {
            let answer = try await buyer.call(.POST, "/api/market/quotes", Self.order(all)).array("quotes")
            guard answer.count == Self.sellers, answer.allSatisfy({ $0["price"] != nil }) else {
                throw BenchmarkError("a round of quotes has only \(answer.count { $0["price"] != nil })")
            }
        }
        let alone = try await times { try await Self.buy(buyer, seller) }
        let seconds = Timing.inSeconds(
            try await ContinuousClock().measure {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for client in 0..<clients {
                        let count = jobs / clients + (client < jobs % clients ? 1 : 0)
                        group.addTask { for _ in 0..<count { try await Self.buy(buyer, seller) } }
                    }
                    try await group.waitForAll()
                }
            }
        )
        func point(_ values: [Double], _ share: Double) -> Double {
            values[min(values.count - 1, Int(Double(values.count) * share))]
        }
        return [
            Measure(name: "market-quotes-p50", value: point(quotes, 0.5), unit: "ms", yardstick: 60),
            Measure(name: "market-quotes-p99", value: point(quotes, 0.99), unit: "ms"),
            Measure(name: "job-p50", value: point(alone, 0.5), unit: "ms", yardstick: 60),
            Measure(name: "job-p99", value: point(alone, 0.99), unit: "ms"),
            Measure(name: "jobs", value: Double(jobs) / seconds, unit: "1/s", yardstick: 200),
        ]
    }

    /// Milliseconds, sorted; of the first rounds none, while connections and caches warm up.
    private func times(_ work: () async throws -> Void) async throws -> [Double] {
        var times: [Double] = []
        for round in 0..<rounds + 10 {
            let taken = try await ContinuousClock().measure { try await work() }
            if round >= 10 { times.append(Timing.inSeconds(taken) * 1_000) }
        }
        return times.sorted()
    }

    private func open(_ seller: TradingNode) async throws {
        let services = try await seller.call(.GET, "/api/services").array("services")
        guard let upstream = services.first?["upstream"] else { throw BenchmarkError("\(seller.name) sells nothing") }
        _ = try await seller.call(
            .POST,
            "/api/services",
            [
                "name": "job", "upstream": upstream, "prices": [["path": "/*", "amount": "1", "unit": "sat"]],
                "listing": ["escrow": ["key"]],
            ]
        )
    }

    private func fund(_ buyer: TradingNode, at seller: TradingNode, _ amount: Int) async throws {
        let answer = try await buyer.call(
            .POST,
            "/api/wallet/fund",
            ["amount": .string(String(amount)), "unit": "sat", "mint": .string(seller.url + "/mint")]
        )
        guard answer["state"] == "issued" else { throw BenchmarkError("the wallet was not funded: \(answer)") }
    }

    private static func order(_ urls: [String]) -> JSONValue {
        ["sellers": JSONValue(urls), "budget": "5sat", "waitMilliseconds": 30_000]
    }

    private static func buy(_ buyer: TradingNode, _ seller: TradingNode) async throws {
        let job = try await buyer.call(.POST, "/api/market/buy", order([seller.jobURL]))
        guard job["ending"] == "claimed", job["answer"] != nil else {
            throw BenchmarkError("a job ended otherwise: \(job)")
        }
    }
}

extension TradingNode {
    fileprivate var jobURL: String { url + "/s/job/today" }
}
