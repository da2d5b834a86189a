internal import AsyncHTTPClient
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Foundation
internal import Gateway
internal import Hummingbird
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Paywall
internal import SignedDocuments
internal import Storage
internal import Synchronization
internal import Workers

/// How many calls a second go through the gateway: paid, unpriced, and beside them a bare proxy of the same libraries.
///
/// Each paid call is claimed, served, settled and receipted on a durable disk. The ecash is another node's: its proofs
/// are locked to the seller and carry DLEQ proofs, so the seller takes them without asking; what it does later, redeeming
/// them in batches, is not part of the figure.
struct PaidCallBenchmark {
    var clients = 32
    /// The three kinds of call take turns in rounds, so that a busy moment touches all.
    var rounds = 3
    var paidCalls = 6_000
    var otherCalls = 15_000

    private static let answer = #"{"city":"Bern","celsius":21,"sky":"clear"}"#

    func run() async throws -> [Measure] {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mintmark-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let database = try Database(
            path: folder.appending(path: "node.sqlite").path,
            migrations: GatewayTables.migrations,
            logger: LocalServers.logger
        )
        let workers = WorkerPool(threads: max(ProcessInfo.processInfo.activeProcessorCount - 1, 1))
        let purse = try ForeignMint()
        let sellerSecret = Secp256k1.Scalar.random()
        var configuration = GatewayConfiguration()
        configuration.unredeemedCap = 10_000_000
        let gateway = Gateway(
            database: database,
            purse: purse,
            callers: NobodySigns(),
            workers: workers,
            sellerSecret: sellerSecret,
            sealingKey: SecureRandom.bytes(32),
            signer: DocumentSigner(Ed25519.PrivateKey()),
            group: MultiThreadedEventLoopGroup.singleton,
            clock: .system,
            configuration: configuration,
            logger: LocalServers.logger
        )
        try await gateway.start()
        // Learns the mint's terms, without which the first calls would be redeemed before they are served.
        await gateway.housekeep()
        let warmUp = paidCalls / 4
        let payments = try purse.payments(count: rounds * paidCalls + warmUp, lockedTo: gateway.sellerKey)
        let measures = try await LocalServers.withUpstream(Self.answer) { upstream in
            try await sell(gateway, upstream: upstream)
            return try await load(gateway, payments: payments, warmUp: warmUp, upstream: upstream)
        }
        let states = try await SQLiteClaimStore(database: database).totals().claimsByState
        let served = states[.served] ?? 0
        guard served == payments.count else {
            throw BenchmarkError("\(payments.count) calls were paid for; in the books they stand as \(states)")
        }
        let findings = try await database.read { try LedgerStore.audit(in: $0) }
        guard findings.isEmpty else { throw BenchmarkError(findings.joined(separator: "; ")) }
        await gateway.shutdown()
        await workers.stop()
        await database.close()
        return measures
    }

    private func sell(_ gateway: Gateway, upstream: Int) async throws {
        try await gateway.add(
            ServiceDefinition(
                name: "weather",
                upstream: UpstreamAddress("http://127.0.0.1:\(upstream)"),
                prices: PriceList([
                    PriceRule(pathPattern: "/paid/*", price: Price(amount: 1)),
                    PriceRule(pathPattern: "/free/*", price: Price(amount: 0)),
                ])
            )
        )
    }

    private func load(_ gateway: Gateway, payments: [String], warmUp: Int, upstream: Int) async throws -> [Measure] {
        let router = Router()
        router.add(middleware: GatewayMiddleware(gateway: gateway) { _ in "127.0.0.1" })
        let paid = payments.map { LoadGenerator.get("/s/weather/paid/today", headers: ["X-Cashu: \($0)"]) }
        let free = [ByteBuffer](repeating: LoadGenerator.get("/s/weather/free/today"), count: otherCalls)
        let clients = clients
        let paidCalls = paidCalls
        let rounds = rounds
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 512
        configuration.httpVersion = .http1Only
        let client = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton, configuration: configuration)
        let proxy = BareProxy(client: client, upstream: "http://127.0.0.1:\(upstream)")
        let responder = router.buildResponder()
        let (paidRuns, freeRuns, bareRuns) = try await LocalServers.with(proxy) { proxyPort in
            try await LocalServers.with(responder) { port in
                let bare = LoadGenerator(port: proxyPort, connections: clients)
                let seller = LoadGenerator(port: port, connections: clients)
                _ = try await bare.run(Array(free.prefix(warmUp)))
                _ = try await seller.run(Array(free.prefix(warmUp)))
                let warm = try await seller.run(Array(paid.prefix(warmUp)))
                guard warm.failures == 0 else { throw BenchmarkError("\(warm.failures) calls of the warm-up failed") }
                var runs: ([LoadGenerator.Result], [LoadGenerator.Result], [LoadGenerator.Result]) = ([], [], [])
                for round in 0..<rounds {
                    runs.2.append(try await bare.run(free))
                    runs.1.append(try await seller.run(free))
                    runs.0.append(try await seller.run(Array(paid[(warmUp + round * paidCalls)...].prefix(paidCalls))))
                }
                return runs
            }
        }
        try await client.shutdown()
        let failures = (paidRuns + freeRuns + bareRuns).map(\.failures).reduce(0, +)
        guard failures == 0 else { throw BenchmarkError("\(failures) calls were not answered with 200") }
        func rate(_ runs: [LoadGenerator.Result]) -> Double { Timing.median(runs.map(\.perSecond)) }
        func percentile(_ share: Double) -> Double { Timing.median(paidRuns.map { $0.percentile(share) }) }
        let bare = rate(bareRuns)
        return [
            Measure(name: "paid-call-\(clients)-clients", value: rate(paidRuns), unit: "1/s", yardstick: bare),
            Measure(name: "unpriced-call-\(clients)-clients", value: rate(freeRuns), unit: "1/s", yardstick: bare),
            Measure(name: "bare-proxy-\(clients)-clients", value: bare, unit: "1/s"),
            Measure(name: "paid-call-p50", value: percentile(0.5), unit: "ms"),
            Measure(name: "paid-call-p99", value: percentile(0.99), unit: "ms"),
            Measure(
                name: "paid-call-cpu-of-everything",
                value: Timing.median(paidRuns.map(\.cpuMicroseconds)),
                unit: "us",
                yardstick: Timing.median(bareRuns.map(\.cpuMicroseconds))
            ),
        ]
    }
}

/// Another node's mint, as far as a seller sees it: its keys are known, its ecash is at hand, nothing is redeemed.
struct ForeignMint: SellerPurse {
    let url: MintURL
    let keys: MintKeyset

    init() throws {
        url = try MintURL("https://mint.example")
        keys = try MintKeyset(seed: SecureRandom.bytes(32), unit: .sat, counter: 0)
    }

    var acceptedMints: [MintURL] { [url] }

    func terms(of mint: MintURL, maximumAgeSeconds: Int64) async throws -> MintTerms {
        MintTerms(
            mint: url,
            fetchedAt: WallClock.system.now(),
            clockOffsetMilliseconds: 0,
            supportsSpendingConditions: true,
            supportsP2PK: true,
            supportsDLEQ: true,
            keysets: [keys.keyset.id: keys.keyset]
        )
    }

    func redeem(_ batch: RedemptionBatch) async throws -> BatchReport {
        throw BenchmarkError("a proof was to be redeemed while calls were measured")
    }

    func redeemPayment(_ batch: RedemptionBatch) async -> OnlineOutcome {
        .refused(message: "the seller was to take the payment without asking")
    }

    func refundToken(id: String, amount: UInt64, unit: CurrencyUnit, mint: MintURL) async throws -> String {
        throw BenchmarkError("a call was refunded")
    }

    /// Tokens of one proof of 1 sat each, locked as a buyer's pool locks them: with locktime, refund key and DLEQ.
    func payments(count: Int, lockedTo sellerKey: [UInt8]) throws -> [String] {
        let refundKey = Secp256k1.Point(multiplyingGeneratorBy: .random()).compressed
        let locktime = WallClock.system.now().secondsSince1970 + 6 * 3600
        return try Parallel.map(count) { _ in
            let secret = SpendingSecret(
                kind: SpendingSecret.p2pk,
                nonce: Hex.encode(SecureRandom.bytes(16)),
                data: Hex.encode(sellerKey),
                tags: [["locktime", String(locktime)], ["refund", Hex.encode(refundKey)]]
            )
            let blinding = BlindingSecret(
                amount: 1,
                keysetID: keys.keyset.id,
                secret: try secret.serialized(),
                blindingFactor: .random()
            )
            let proof = try blinding.proof(from: keys.sign(blinding.output()), keyset: keys.keyset)
            return try Token(mint: url, unit: .sat, proofs: [proof]).serialized()
        }
    }
}

/// The services measured ask nobody who calls.
struct NobodySigns: CallerCheck {
    func check(_ facts: CallFacts, requirement: PassportRequirement?) async -> CallerVerdict { .anonymous }
}

/// Preparations on every core.
enum Parallel {
    static func map<T: Sendable>(_ count: Int, _ make: @escaping @Sendable (Int) throws -> T) throws -> [T] {
        let parts = ProcessInfo.processInfo.activeProcessorCount
        let made = Mutex<[Int: Result<[T], any Error>]>([:])
        DispatchQueue.concurrentPerform(iterations: parts) { part in
            let range = (count * part / parts)..<(count * (part + 1) / parts)
            let result = Result { try range.map { try make($0) } }
            made.withLock { $0[part] = result }
        }
        return try (0..<parts).flatMap { part in try made.withLock { $0[part] }?.get() ?? [] }
    }
}
