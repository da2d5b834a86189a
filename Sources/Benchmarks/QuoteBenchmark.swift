internal import CanonicalJSON
internal import Foundation
internal import Lightning
internal import LightningBackends
internal import NIOCore

/// Quotes a second at a node with the simulated Lightning backend, each a process: a mint quote asks the network for an
/// invoice; a melt quote reads one.
struct QuoteBenchmark {
    var clients = 32
    var quotes = 5_000

    func run() async throws -> [Measure] {
        let results = try await RunningNode.with { node in
            let generator = LoadGenerator(port: node.port, connections: clients)
            let mint = LoadGenerator.post("/mint/v1/mint/quote/bolt11", Array(#"{"amount":64,"unit":"sat"}"#.utf8))
            // Anybody's invoice; a quote takes nothing.
            let invoice = try await node.payer.createInvoice(
                amountMsat: 64_000,
                description: "melt",
                expirySeconds: 3600
            )
            let asked: JSONValue = ["request": .string(invoice.text), "unit": "sat"]
            let melt = LoadGenerator.post("/mint/v1/melt/quote/bolt11", asked.serialized())
            var results: [(String, LoadGenerator.Result)] = []
            for (name, request) in [("mint-quotes", mint), ("melt-quotes", melt)] {
                _ = try await generator.run(Array(repeating: request, count: clients * 4))
                let result = try await generator.run(Array(repeating: request, count: quotes))
                guard result.failures == 0 else { throw BenchmarkError("\(result.failures) \(name) were refused") }
                results.append((name, result))
            }
            return results
        }
        guard let results else {
            return [Measure(name: "quotes", value: nil, unit: "1/s", note: RunningNode.missing)]
        }
        return results.flatMap { name, result in
            [
                Measure(name: "\(name)-\(clients)-clients", value: result.perSecond, unit: "1/s"),
                Measure(name: "\(name)-p99", value: result.percentile(0.99), unit: "ms"),
            ]
        }
    }
}
