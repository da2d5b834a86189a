import AsyncHTTPClient
import Cashu
import Cryptography
import Encodings
import Foundation
import Gateway
import Hummingbird
import Ledger
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Paywall
import Receipts
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import WebServer
import Workers

let quiet: Logger = {
    var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    logger.logLevel = .critical
    return logger
}()

let identityKey = { () -> Ed25519.PrivateKey? in try? Ed25519.PrivateKey(seed: [UInt8](repeating: 9, count: 32)) }()

/// A key that is held elsewhere, and can be out of reach.
final class DistantKey: SigningKey {
    private let key: Ed25519.PrivateKey
    private let isAway = Mutex(false)

    init(_ key: Ed25519.PrivateKey) { self.key = key }

    var did: DIDKey { DIDKey(key.publicKey) }

    func setAway(_ isAway: Bool) { self.isAway.withLock { $0 = isAway } }

    func sign(_ input: SigningInput) throws -> [UInt8] {
        guard !isAway.withLock({ $0 }) else { throw DocumentError(.keyUnavailable, "the key is away") }
        return try key.sign(input)
    }
}

/// A server on a port of the system's choice, for as long as the body runs.
func withServer<Context: RequestContext & InitializableFromSource<ApplicationRequestContextSource>, T: Sendable>(
    _ router: Router<Context>,
    _ body: @escaping @Sendable (Int) async throws -> T
) async throws -> T {
    let ports = AsyncStream<Int>.makeStream()
    let app = Application(
        router: router,
        server: .plain(),
        configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)),
        onServerRunning: { channel in
            ports.continuation.yield(channel.localAddress?.port ?? 0)
            ports.continuation.finish()
        },
        logger: quiet
    )
    return try await withThrowingTaskGroup(of: T?.self) { group in
        group.addTask {
            try await app.run()
            return nil
        }
        group.addTask {
            var port = 0
            for await found in ports.stream { port = found }
            return try await body(port)
        }
        while let result = try await group.next() {
            if let result {
                group.cancelAll()
                return result
            }
        }
        throw CancellationError()
    }
}

/// A seller: a gateway with its database, which survives being stopped.
final class TestNode: Sendable {
    let folder: TemporaryFolder
    let clock = TestClock()
    let mint: TestMint
    let purse: TestPurse
    let lightning: TestInvoices?
    let sellerSecret: Secp256k1.Scalar
    let workers: WorkerPool
    let key: DistantKey
    private let current = Mutex<(database: Database, gateway: Gateway)?>(nil)
    let configuration: GatewayConfiguration

    /// - Parameter sellsOverLightning: whether the seller has a Lightning account.
    init(
        feePPK: UInt64 = 0,
        sellsOverLightning: Bool = false,
        configure: (inout GatewayConfiguration) -> Void = { _ in }
    ) throws {
        folder = try TemporaryFolder()
        mint = try TestMint(feePPK: feePPK)
        purse = TestPurse([mint], clock: clock)
        lightning = sellsOverLightning ? try TestInvoices(clock: clock) : nil
        sellerSecret = try Secp256k1.Scalar(bytes: [UInt8](repeating: 3, count: 32))
        workers = WorkerPool(threads: 2)
        guard let identityKey else { throw GatewayError(.purseFailed, "no key") }
        key = DistantKey(identityKey)
        var configuration = GatewayConfiguration()
        configure(&configuration)
        self.configuration = configuration
    }

    var gateway: Gateway {
        get throws {
            guard let found = current.withLock({ $0 }) else { throw GatewayError(.purseFailed, "not started") }
            return found.gateway
        }
    }

    var database: Database {
        get throws {
            guard let found = current.withLock({ $0 }) else { throw GatewayError(.purseFailed, "not started") }
            return found.database
        }
    }

    func start() async throws {
        let database = try Database(
            path: folder.path + "/node.sqlite",
            migrations: GatewayTables.migrations,
            logger: quiet
        )
        let gateway = try Gateway(
            database: database,
            purse: purse,
            callers: TestCallers(),
            workers: workers,
            sellerSecret: sellerSecret,
            sealingKey: [UInt8](repeating: 8, count: 32),
            invoices: lightning,
            signer: DocumentSigner(heldBy: key),
            group: MultiThreadedEventLoopGroup.singleton,
            clock: clock.wall,
            configuration: configuration,
            logger: quiet
        )
        current.withLock { $0 = (database, gateway) }
        try await gateway.start()
    }

    /// Stops at once, as a killed process would; the file stays.
    func stop() async throws {
        guard let (database, gateway) = current.withLock({ $0 }) else { return }
        await gateway.shutdown()
        await database.close()
        current.withLock { $0 = nil }
    }

    /// Kills and starts again.
    func restart() async throws {
        try await stop()
        try await start()
    }

    func sell(
        _ name: String = "weather",
        upstream port: Int,
        amount: UInt64 = 2,
        idempotent: Bool = false,
        configure: (inout ServiceDefinition) -> Void = { _ in }
    ) async throws {
        var service = try ServiceDefinition(
            name: name,
            upstream: UpstreamAddress("http://127.0.0.1:\(port)"),
            prices: PriceList([
                PriceRule(pathPattern: "/*", price: Price(amount: amount)),
                PriceRule(pathPattern: "/free/*", price: Price(amount: 0)),
            ]),
            isIdempotent: idempotent,
            timeouts: CallTimeouts(connectSeconds: 2, idleSeconds: 2, totalSeconds: 20)
        )
        configure(&service)
        try await gateway.add(service, replaces: true)
    }

    /// A token of `amounts` locked to the seller.
    func payment(_ amounts: UInt64..., tags: [[String]] = []) throws -> String {
        let key = Secp256k1.Point(multiplyingGeneratorBy: sellerSecret).compressed
        return try mint.token(amounts.map { try mint.locked($0, to: key, tags: tags) })
    }

    func router() throws -> Router<BasicRequestContext> {
        let router = Router(context: BasicRequestContext.self)
        let gateway = try gateway
        router.add(middleware: GatewayMiddleware(gateway: gateway) { _ in "127.0.0.1" })
        GatewayRoutes(gateway).addPublic(to: router)
        GatewayRoutes(gateway).addOperator(to: router.group("api"))
        return router
    }

    /// The ledger adds up, and what is held is what the proofs say.
    func requireConservation() async throws -> [String] {
        try await database.read { connection in
            var findings = try LedgerStore.audit(in: connection)
            let held = try connection.first(
                "SELECT coalesce(sum(amount), 0) FROM gateway_proofs WHERE state IN ('held', 'due', 'sent')"
            )?.int64(0)
            let booked = try LedgerStore.accounts(prefix: "gateway:unredeemed:", in: connection).reduce(0) {
                $0 + Int64($1.balance)
            }
            if held != booked { findings.append("held \(held ?? -1), booked \(booked)") }
            let open = try connection.first(
                """
                SELECT coalesce((SELECT sum(total) FROM gateway_claims
                        WHERE state IN ('running', 'interrupted', 'refunding')), 0)
                    + coalesce((SELECT sum(change) FROM gateway_quotes WHERE state = 'due'), 0)
                """
            )?.int64(0)
            let escrow = try LedgerStore.accounts(prefix: "gateway:escrow", in: connection).reduce(0) {
                $0 + Int64($1.balance)
            }
            if open != escrow { findings.append("open \(open ?? -1), in escrow \(escrow)") }
            return findings + (try GatewayTables.audit(in: connection))
        }
    }
}

/// One answer, read whole.
struct Answer: Sendable {
    var status: Int
    var headers: [(name: String, value: String)]
    var body: [UInt8]

    func header(_ name: String) -> String? {
        headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }

    var text: String { String(decoding: body, as: UTF8.self) }

    var receipt: Receipt? {
        header("Agent-Receipt").flatMap { try? Receipt(header: $0) }
    }
}

/// A client that keeps its connections.
func withClient<T: Sendable>(_ body: (HTTPClient) async throws -> T) async throws -> T {
    var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 128
    let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    do {
        let result = try await body(client)
        try await client.shutdown()
        return result
    } catch {
        try? await client.shutdown()
        throw error
    }
}

extension HTTPClient {
    func call(
        _ port: Int,
        _ path: String = "/s/weather/today",
        method: String = "GET",
        payment: String? = nil,
        key: String? = nil,
        headers: [(String, String)] = [],
        body: HTTPClientRequest.Body? = nil,
        limit: Int = 1 << 24
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
        request.method = .RAW(value: method)
        if let payment { request.headers.add(name: "X-Cashu", value: payment) }
        if let key { request.headers.add(name: "Idempotency-Key", value: key) }
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        request.body = body
        let response = try await execute(request, timeout: .seconds(60))
        let collected = try await response.body.collect(upTo: limit)
        return Answer(
            status: Int(response.status.code),
            headers: response.headers.map { ($0.name, $0.value) },
            body: Array(collected.readableBytesView)
        )
    }
}
