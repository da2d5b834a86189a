internal import AsyncHTTPClient
internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Ethereum
internal import Foundation
internal import Gateway
internal import Hummingbird
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Paywall
internal import Settlement
internal import SignedDocuments
internal import Storage
internal import Synchronization
internal import Workers

/// How many calls a second are paid for over x402's `exact` through the gateway: each authorisation is checked (EIP-712, signature),
/// claimed and reserved, its call served and receipted, on a durable disk; settling them afterwards is not part of the figure,
/// as a chain is not. Beside it the official Python server, whose facilitator in memory believes everything.
struct X402Benchmark {
    var clients = 16
    var rounds = 3
    var calls = 6_000
    var officialCalls = 1_500

    private static let network = "eip155:84532"
    private static let asset = "usdc:0x036CbD53842c5426634e7929541eC2318f3dCF7e:USDC:2:usd=10000"

    func run() async throws -> [Measure] {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mintmark-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let official = try await official(folder)
        let ours = try await ours(folder)
        var measures = [
            Measure(
                name: "x402-reserved-\(clients)-clients",
                value: Timing.median(ours.map(\.perSecond)),
                unit: "1/s",
                yardstick: official?.perSecond
            ),
            Measure(name: "x402-reserved-p50", value: Timing.median(ours.map { $0.percentile(0.5) }), unit: "ms"),
            Measure(name: "x402-reserved-p99", value: Timing.median(ours.map { $0.percentile(0.99) }), unit: "ms"),
            Measure(
                name: "x402-reserved-cpu-of-everything",
                value: Timing.median(ours.map(\.cpuMicroseconds)),
                unit: "us"
            ),
        ]
        if let official {
            measures += [
                Measure(name: "x402-official-server-\(clients)-clients", value: official.perSecond, unit: "1/s"),
                Measure(name: "x402-official-server-p99", value: official.percentile(0.99), unit: "ms"),
            ]
        } else {
            let note = "the official server is not installed: `Tests/Interop/run x402_peer` installs it"
            measures.append(Measure(name: "x402-official-server", value: nil, unit: "1/s", note: note))
        }
        return measures
    }

    // MARK: Ours

    private func ours(_ folder: URL) async throws -> [LoadGenerator.Result] {
        let database = try Database(
            path: folder.appending(path: "node.sqlite").path,
            migrations: GatewayTables.migrations,
            logger: LocalServers.logger
        )
        let workers = WorkerPool(threads: max(ProcessInfo.processInfo.activeProcessorCount - 1, 1))
        let payTo = try EthereumKey(bytes: [UInt8](repeating: 0x23, count: 32)).address
        let asset = try X402.Asset(Self.asset, chainID: UInt256(84_532))
        var configuration = GatewayConfiguration()
        configuration.exact = ExactSale(
            assets: [asset],
            payTo: payTo,
            facilitator: NobodySettles(),
            reserveCaps: [asset.unit: Price.maximumAmount],
            settlementsAtOnce: 0
        )
        let gateway = Gateway(
            database: database,
            purse: NoEcash(),
            callers: NobodyAsks(),
            workers: workers,
            sellerSecret: .random(),
            sealingKey: SecureRandom.bytes(32),
            signer: DocumentSigner(Ed25519.PrivateKey()),
            group: MultiThreadedEventLoopGroup.singleton,
            clock: .system,
            configuration: configuration,
            logger: LocalServers.logger
        )
        try await gateway.start()
        let results = try await LocalServers.withUpstream(#"{"city":"Bern","celsius":21,"sky":"clear"}"#) { upstream in
            var service = try ServiceDefinition(
                name: "weather",
                upstream: UpstreamAddress("http://127.0.0.1:\(upstream)"),
                prices: PriceList([PriceRule(pathPattern: "/*", price: Price(amount: 1, unit: "usd"))]),
                accepts: [.x402Exact]
            )
            service.reservesX402 = true
            try await gateway.add(service)
            return try await load(gateway)
        }
        let reserved = try await database.read {
            try $0.first("SELECT count(*) FROM gateway_x402 WHERE state = 'reserved'")?.int(0) ?? 0
        }
        guard reserved == calls * rounds + calls / 4 else {
            throw BenchmarkError("\(reserved) payments are reserved in the books")
        }
        let findings = try await database.read { try LedgerStore.audit(in: $0) }
        guard findings.isEmpty else { throw BenchmarkError(findings.joined(separator: "; ")) }
        await gateway.shutdown()
        await workers.stop()
        await database.close()
        return results
    }

    private func load(_ gateway: Gateway) async throws -> [LoadGenerator.Result] {
        let router = Router()
        router.add(middleware: GatewayMiddleware(gateway: gateway) { _ in "127.0.0.1" })
        let (calls, rounds, clients) = (calls, rounds, clients)
        return try await LocalServers.with(router.buildResponder()) { port in
            let path = "/s/weather/today"
            let required = try await Self.challenge(port: port, path: path)
            let requests = try Self.requests(path, required, count: calls * rounds + calls / 4)
            let generator = LoadGenerator(port: port, connections: clients)
            let warm = try await generator.run(Array(requests.prefix(calls / 4)))
            var results = [LoadGenerator.Result]()
            for round in 0..<rounds {
                results.append(try await generator.run(Array(requests[(calls / 4 + round * calls)...].prefix(calls))))
            }
            let failures = warm.failures + results.map(\.failures).reduce(0, +)
            guard failures == 0 else { throw BenchmarkError("\(failures) paid calls were not answered with 200") }
            return results
        }
    }

    // MARK: The official server

    private func official(_ folder: URL) async throws -> LoadGenerator.Result? {
        let python = URL(filePath: ".build/interop-x402-venv/bin/python")
        guard FileManager.default.isExecutableFile(atPath: python.path) else { return nil }
        let server = ChildProcess(python, ["Tests/Interop/x402_rate.py"], folder: folder)
        let ready = try await server.start(timeoutSeconds: 60)
        defer { server.stop() }
        guard let port = ready.line["port"]?.int64Value.map(Int.init) else { throw BenchmarkError("no port") }
        let required = try await Self.challenge(port: port, path: "/paid")
        let requests = try Self.requests("/paid", required, count: officialCalls + officialCalls / 4)
        let generator = LoadGenerator(port: port, connections: clients)
        _ = try await generator.run(Array(requests.prefix(officialCalls / 4)))
        let result = try await generator.run(Array(requests.dropFirst(officialCalls / 4)))
        guard result.failures == 0 else {
            throw BenchmarkError("the official server did not answer \(result.failures) calls with 200")
        }
        return result
    }

    // MARK: The buyer

    private static func challenge(port: Int, path: String) async throws -> X402.PaymentRequired {
        let client = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        do {
            let required = try await challenge(client, "http://127.0.0.1:\(port)\(path)")
            try await client.shutdown()
            return required
        } catch {
            try? await client.shutdown()
            throw error
        }
    }

    private static func challenge(_ client: HTTPClient, _ url: String) async throws -> X402.PaymentRequired {
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "Host", value: "127.0.0.1")
        let deadline = ContinuousClock.now.advanced(by: .seconds(30))
        while true {
            do {
                let answer = try await client.execute(request, timeout: .seconds(10))
                _ = try await answer.body.collect(upTo: 1 << 20)
                guard let value = answer.headers.first(name: X402.challengeHeader) else {
                    throw BenchmarkError("there is no challenge")
                }
                return try X402.PaymentRequired(json: X402.object(header: value))
            } catch is HTTPClientError where ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(100))
            } catch  where "\(error)".contains("refused") && ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    /// Paid requests, each with an authorisation of its own.
    private static func requests(_ path: String, _ required: X402.PaymentRequired, count: Int) throws -> [ByteBuffer] {
        guard let way = required.accepts.first(where: { $0.scheme == "exact" }),
            let chainID = X402.Network.chainID(of: way.network, version: .v2)
        else { throw BenchmarkError("`exact` is not offered") }
        let token = AuthorizedToken(
            contract: try Address(way.asset),
            chainID: chainID,
            name: way.extra?["name"]?.stringValue ?? "",
            version: way.extra?["version"]?.stringValue ?? ""
        )
        let to = try Address(way.payTo)
        let end = UInt256(UInt64(WallClock.system.now().secondsSince1970) + UInt64(way.maxTimeoutSeconds) + 300)
        let key = EthereumKey(.random())
        return try Parallel.map(count) { _ in
            let authorization = try TransferAuthorization(
                from: key.address,
                to: to,
                value: way.amount,
                validAfter: .zero,
                validBefore: end,
                nonce: SecureRandom.bytes(32)
            )
            let signature = authorization.sign(for: token, key: key)
            let payment = X402.PaymentPayload(
                accepted: way,
                payload: X402.ExactEVM.Payload(authorization: authorization, signature: signature.bytes).json,
                resource: required.resource
            )
            return LoadGenerator.get(path, headers: ["PAYMENT-SIGNATURE: \(try X402.header(payment.json))"])
        }
    }
}

/// Nothing is settled while calls are measured.
private struct NobodySettles: Facilitator {
    func verify(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.VerifyResponse {
        throw SettlementError(.unreachable, "nothing is verified by others here")
    }

    func settle(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.SettleResponse {
        throw SettlementError(.unreachable, "nothing is settled here")
    }

    func supported() async throws(SettlementError) -> X402.Supported {
        X402.Supported(kinds: [], extensions: [], signers: [:])
    }
}

/// A seller that takes no ecash.
private struct NoEcash: SellerPurse {
    var acceptedMints: [MintURL] { [] }

    func terms(of mint: MintURL, maximumAgeSeconds: Int64) async throws -> MintTerms {
        throw BenchmarkError("no mint is asked")
    }

    func redeem(_ batch: RedemptionBatch) async throws -> BatchReport { throw BenchmarkError("no ecash is redeemed") }

    func redeemPayment(_ batch: RedemptionBatch) async -> OnlineOutcome { .refused(message: "no ecash is taken") }

    func refundToken(id: String, amount: UInt64, unit: CurrencyUnit, mint: MintURL) async throws -> String {
        throw BenchmarkError("a call was refunded")
    }
}

private struct NobodyAsks: CallerCheck {
    func check(_ facts: CallFacts, requirement: PassportRequirement?) async -> CallerVerdict { .anonymous }
}
