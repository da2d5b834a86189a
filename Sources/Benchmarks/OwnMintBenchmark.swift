internal import AsyncHTTPClient
internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import Paywall

/// How many calls a second are sold for ecash of the node's own mint (NUT-24), by a `mintmark serve` process of its own that is
/// seller and mint: claimed, served, receipted on a durable disk, and redeemed at the mint.
///
/// What is locked to the seller is taken at once and redeemed in batches meanwhile; the second figure goes on until the mint calls
/// the last proof spent. What is locked to nobody is redeemed before each call.
struct OwnMintBenchmark {
    var clients = 32
    var rounds = 3
    var lockedCalls = 6_000
    var openCalls = 1_500

    func run() async throws -> [Measure] {
        let settings = ["--set", "ecash.offlineCap=10000000"]
        let measures = try await RunningNode.with(settings) { node in
            try await LocalServers.withUpstream(#"{"celsius":21}"#) { upstream in
                try node.command([
                    "service", "add", "weather", "--upstream", "http://127.0.0.1:\(upstream)", "--price", "1sat",
                    "--accept", "cashu",
                ])
                return try await measure(node)
            }
        }
        return measures ?? [Measure(name: "own-mint", value: nil, unit: "1/s", note: RunningNode.missing)]
    }

    private func measure(_ node: RunningNode) async throws -> [Measure] {
        let mint = node.mint
        let keyset = try await mint.keyset()
        let sellerKey = try await Self.sellerKey(node)
        let warmUp = lockedCalls / 4
        let locked = try await mint.proofs(keyset, rounds * lockedCalls + warmUp) {
            try SpendingSecret(
                kind: SpendingSecret.p2pk,
                nonce: Hex.encode(SecureRandom.bytes(16)),
                data: sellerKey,
                tags: []
            ).serialized()
        }
        let open = try await mint.proofs(keyset, rounds * openCalls) { Hex.encode(SecureRandom.bytes(32)) }
        let address = try MintURL(node.url + "/mint")
        func calls(_ proofs: some Sequence<Proof>) throws -> [ByteBuffer] {
            try proofs.map { proof in
                let token = try Token(mint: address, unit: .sat, proofs: [proof]).serialized()
                return LoadGenerator.get("/s/weather/x", headers: ["X-Cashu: \(token)"])
            }
        }
        let load = LoadGenerator(port: node.port, connections: clients)
        guard try await load.run(calls(locked.prefix(warmUp))).failures == 0 else {
            throw BenchmarkError("calls of the warm-up failed")
        }
        var runs: (locked: [LoadGenerator.Result], open: [LoadGenerator.Result]) = ([], [])
        var whole: [Double] = []
        for round in 0..<rounds {
            let proofs = Array(locked[(warmUp + round * lockedCalls)...].prefix(lockedCalls))
            let requests = try calls(proofs)
            let began = ContinuousClock.now
            runs.locked.append(try await load.run(requests))
            try await mint.waitUntilSpent(proofs)
            whole.append(Double(lockedCalls) / Timing.inSeconds(ContinuousClock.now - began))
            runs.open.append(try await load.run(calls(open[(round * openCalls)...].prefix(openCalls))))
        }
        let failures = (runs.locked + runs.open).map(\.failures).reduce(0, +)
        guard failures == 0 else { throw BenchmarkError("\(failures) calls were not answered with 200") }
        func median(_ values: [LoadGenerator.Result], _ value: (LoadGenerator.Result) -> Double) -> Double {
            Timing.median(values.map(value))
        }
        return [
            Measure(
                name: "own-mint-nut24-\(clients)-clients",
                value: median(runs.locked, \.perSecond),
                unit: "1/s",
                yardstick: 3000
            ),
            Measure(name: "own-mint-nut24-until-redeemed", value: Timing.median(whole), unit: "1/s"),
            Measure(name: "own-mint-nut24-p99", value: median(runs.locked) { $0.percentile(0.99) }, unit: "ms"),
            Measure(name: "own-mint-redeemed-first", value: median(runs.open, \.perSecond), unit: "1/s"),
            Measure(name: "own-mint-redeemed-first-p99", value: median(runs.open) { $0.percentile(0.99) }, unit: "ms"),
        ]
    }

    /// The key that the seller's challenge asks to lock to.
    private static func sellerKey(_ node: RunningNode) async throws -> String {
        let answer = try await node.http.get(url: node.url + "/s/weather/x").get()
        guard let challenge = answer.headers.first(name: "X-Cashu"),
            let lock = try NUT24.parseChallenge(challenge).lock
        else { throw BenchmarkError("the seller asks for no ecash: \(answer.status)") }
        return lock.data
    }
}

extension RemoteMint {
    /// Proofs of one sat that this mint issues, with their DLEQ proofs.
    /// - Parameter secret: makes the secret of each.
    func proofs(_ keyset: Keyset, _ count: Int, secret: () throws -> String) async throws -> [Proof] {
        var proofs: [Proof] = []
        while proofs.count < count {
            let size = min(count - proofs.count, 100)
            let quote = try await post(
                "/v1/mint/quote/bolt11",
                ["amount": .integer(Int64(size)), "unit": "sat"]
            )
            try await pay(try quote.string("request"))
            let blindings = try (0..<size).map { _ in
                BlindingSecret(
                    amount: 1,
                    keysetID: keyset.id,
                    secret: try secret(),
                    blindingFactor: .random()
                )
            }
            let id = try quote.string("quote")
            try await waitUntilPaid(id)
            let answer = try await post(
                "/v1/mint/bolt11",
                ["quote": .string(id), "outputs": .array(try blindings.map { try $0.output().json })]
            )
            let signatures = try SignaturesResponse(json: answer).signatures
            proofs += try zip(blindings, signatures).map { try $0.proof(from: $1, keyset: keyset) }
        }
        return proofs
    }

    private func waitUntilPaid(_ quote: String) async throws {
        for _ in 0..<200 {
            if try await get("/v1/mint/quote/bolt11/\(quote)")["state"]?.stringValue == "PAID" { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw BenchmarkError("\(url) does not see its invoice paid")
    }

    /// Waits until the mint calls all of them spent (NUT-07).
    func waitUntilSpent(_ proofs: [Proof]) async throws {
        let ys = try proofs.map { JSONValue.string(Hex.encode(try $0.hashedSecret().compressed)) }
        for start in stride(from: 0, to: ys.count, by: 500) {
            let part = JSONValue.array(Array(ys[start...].prefix(500)))
            for attempt in 1... {
                let states = try await post("/v1/checkstate", ["Ys": part]).array("states")
                if states.allSatisfy({ $0["state"]?.stringValue == "SPENT" }) { break }
                guard attempt < 600 else { throw BenchmarkError("the seller does not redeem what it took") }
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }
}
