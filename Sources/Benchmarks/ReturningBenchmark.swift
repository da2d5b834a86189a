internal import AsyncHTTPClient
internal import Cryptography
internal import Encodings
internal import Foundation
internal import Gateway
internal import Hummingbird
internal import Lightning
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Paywall
internal import SignedDocuments
internal import Storage
internal import Synchronization
internal import Workers

/// How many calls a second a returning L402 credential makes, beside unpriced ones through the same gateway.
///
/// With a pass for an hour, each call verifies the macaroon and is counted ([GRA-10]). With a pass of a million calls, each is
/// also claimed, settled and receipted on a durable disk.
struct ReturningBenchmark {
    var clients = 32
    var rounds = 3
    var paidCalls = 6_000
    var otherCalls = 15_000

    private static let answer = #"{"city":"Bern","celsius":21,"sky":"clear"}"#

    func run() async throws -> [Measure] {
        try await run("l402-return", price: 10, pass: .seconds(3600))
            + run("l402-bundle", price: 1, pass: .calls(1_000_000))
    }

    private func run(_ name: String, price: UInt64, pass: CallPass) async throws -> [Measure] {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mintmark-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let database = try Database(
            path: folder.appending(path: "node.sqlite").path,
            migrations: GatewayTables.migrations,
            logger: LocalServers.logger
        )
        let workers = WorkerPool(threads: max(ProcessInfo.processInfo.activeProcessorCount - 1, 1))
        let invoices = KnownInvoices()
        let gateway = Gateway(
            database: database,
            purse: try ForeignMint(),
            callers: NobodySigns(),
            workers: workers,
            sellerSecret: .random(),
            sealingKey: SecureRandom.bytes(32),
            invoices: invoices,
            signer: DocumentSigner(Ed25519.PrivateKey()),
            group: MultiThreadedEventLoopGroup.singleton,
            clock: .system,
            logger: LocalServers.logger
        )
        try await gateway.start()
        let measures = try await LocalServers.withUpstream(Self.answer) { upstream in
            try await gateway.add(
                ServiceDefinition(
                    name: "weather",
                    upstream: UpstreamAddress("http://127.0.0.1:\(upstream)"),
                    prices: PriceList([
                        PriceRule(pathPattern: "/paid/*", price: Price(amount: price)),
                        PriceRule(pathPattern: "/free/*", price: Price(amount: 0)),
                    ]),
                    accepts: [.l402],
                    pass: pass
                )
            )
            return try await load(name, gateway, invoices: invoices)
        }
        let findings = try await database.read { connection in
            try LedgerStore.audit(in: connection) + GatewayTables.audit(in: connection)
        }
        guard findings.isEmpty else { throw BenchmarkError(findings.joined(separator: "; ")) }
        await gateway.shutdown()
        await workers.stop()
        await database.close()
        return measures
    }

    private func load(_ name: String, _ gateway: Gateway, invoices: KnownInvoices) async throws -> [Measure] {
        let router = Router()
        router.add(middleware: GatewayMiddleware(gateway: gateway) { _ in "127.0.0.1" })
        let free = [ByteBuffer](repeating: LoadGenerator.get("/s/weather/free/today"), count: otherCalls)
        let (clients, paidCalls, rounds) = (clients, paidCalls, rounds)
        let (paidRuns, freeRuns) = try await LocalServers.with(router.buildResponder()) { port in
            /// A round on a credential of its own: a pass for a time is good for 10,000 calls.
            func paid() async throws -> [ByteBuffer] {
                let credential = try await Self.credential(port: port, invoices: invoices)
                let call = LoadGenerator.get("/s/weather/paid/today", headers: ["Authorization: \(credential)"])
                return [ByteBuffer](repeating: call, count: paidCalls)
            }
            let seller = LoadGenerator(port: port, connections: clients)
            _ = try await seller.run(Array(free.prefix(paidCalls / 4)))
            _ = try await seller.run(Array(paid().prefix(paidCalls / 4)))
            var runs: ([LoadGenerator.Result], [LoadGenerator.Result]) = ([], [])
            for _ in 0..<rounds {
                runs.1.append(try await seller.run(free))
                runs.0.append(try await seller.run(paid()))
            }
            return runs
        }
        let failures = (paidRuns + freeRuns).map(\.failures).reduce(0, +)
        guard failures == 0 else { throw BenchmarkError("\(failures) calls were not answered with 200") }
        let unpriced = Timing.median(freeRuns.map(\.perSecond))
        return [
            Measure(
                name: "\(name)-\(clients)-clients",
                value: Timing.median(paidRuns.map(\.perSecond)),
                unit: "1/s",
                yardstick: unpriced
            ),
            Measure(
                name: "\(name)-p99",
                value: Timing.median(paidRuns.map { $0.percentile(0.99) }),
                unit: "ms"
            ),
        ]
    }

    /// Asks for the price, pays the invoice, and makes the credential.
    private static func credential(port: Int, invoices: KnownInvoices) async throws -> String {
        let client = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        do {
            let request = HTTPClientRequest(url: "http://127.0.0.1:\(port)/s/weather/paid/today")
            let answer = try await client.execute(request, timeout: .seconds(30))
            _ = try await answer.body.collect(upTo: 1 << 20)
            try await client.shutdown()
            let lines = answer.headers["www-authenticate"]
            guard let challenge = L402.challenges(wwwAuthenticate: lines).first,
                let invoice = try? BOLT11Invoice(decoding: challenge.invoice),
                let preimage = invoices.preimage(of: invoice.paymentHash)
            else { throw BenchmarkError("the gateway asked for no payment over L402") }
            return challenge.authorization(preimage: preimage)
        } catch {
            try? await client.shutdown()
            throw error
        }
    }
}

/// A Lightning account whose payer is this process: it tells the preimages.
private final class KnownInvoices: SellerInvoices {
    let amountStepMsat: UInt64 = 1000
    private let key = Secp256k1.Scalar.random()
    private let preimages = Mutex<[[UInt8]: [UInt8]]>([:])

    func preimage(of hash: [UInt8]) -> [UInt8]? { preimages.withLock { $0[hash] } }

    func invoice(amountMsat: UInt64, description: String, expirySeconds: UInt32) async throws -> BOLT11Invoice {
        try make(amountMsat, .text(description), expirySeconds)
    }

    private func make(_ msat: UInt64, _ purpose: InvoicePurpose, _ expirySeconds: UInt32) throws -> BOLT11Invoice {
        let preimage = SecureRandom.bytes(32)
        let contents = InvoiceContents(
            currency: LightningNetwork.simulated.currency,
            amountMsat: msat,
            timestamp: Timestamp(secondsSince1970: WallClock.system.now().secondsSince1970),
            paymentHash: Hashing.sha256(preimage),
            paymentSecret: SecureRandom.bytes(32),
            purpose: purpose,
            expirySeconds: UInt64(expirySeconds)
        )
        let invoice = try BOLT11Invoice.sign(contents, key: key)
        preimages.withLock { $0[invoice.paymentHash] = preimage }
        return invoice
    }
}
