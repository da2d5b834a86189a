import AsyncHTTPClient
import Cryptography
import Encodings
import HTTPTypes
import Hummingbird
import Lightning
import LightningBackends
import Logging
import NIOCore
import Storage
import Synchronization
import WebServer

/// Somebody else's seller, who asks for money over L402 as Aperture does, with a Lightning account of his own. It knows
/// nothing of this project's paywall; its token is 66 random-looking bytes and no macaroon.
final class LightningShop: Sendable {
    private struct State {
        var sold: [String: [UInt8]] = [:]
        var shown: [String] = []
        var served = 0
        var isHolding = false
        var isRefusing = false
    }

    static let priceSat: UInt64 = 10
    private let state = Mutex(State())
    private let account: SimulatedBackend

    init(simulatorURL: String, http: HTTPClient) async throws {
        account = try SimulatedBackend(
            url: simulatorURL,
            token: SimulatedNetwork.newToken(),
            httpClient: http,
            clock: .system,
            logger: Logger(label: "shop")
        )
        try await account.openAccount(name: "a shop")
        start = try await account.balanceMsat()
    }

    private let start: UInt64

    /// What came in over Lightning so far, in sat.
    var earned: UInt64 { get async throws { (try await account.balanceMsat() - start) / 1000 } }
    var served: Int { state.withLock { $0.served } }
    /// Every credential that was shown, in order.
    var shown: [String] { state.withLock { $0.shown } }

    /// Gives no answer to those who paid, until `release`.
    func hold() { state.withLock { $0.isHolding = true } }
    func release() { state.withLock { $0.isHolding = false } }
    /// Answers those who paid with a fresh challenge, or serves them again.
    func refuse(_ isRefusing: Bool) { state.withLock { $0.isRefusing = isRefusing } }

    private func answer(_ request: Request) async throws -> Response {
        guard let authorization = request.headers[.authorization], isPaid(authorization) else {
            return try await challenge()
        }
        state.withLock { $0.shown.append(authorization) }
        // Never for ever, so that a test that fails ends.
        for _ in 0..<10_000 where state.withLock({ $0.isHolding }) { try await Task.sleep(for: .milliseconds(1)) }
        if state.withLock({ $0.isRefusing }) { return try await challenge() }
        state.withLock { $0.served += 1 }
        return Response(status: .ok, body: ResponseBody(byteBuffer: ByteBuffer(string: "bought \(request.uri.path)\n")))
    }

    private func isPaid(_ authorization: String) -> Bool {
        let parts = authorization.dropFirst("L402 ".count).split(separator: ":").map(String.init)
        guard authorization.hasPrefix("L402 "), parts.count == 2, let preimage = try? Hex.decode(parts[1]) else {
            return false
        }
        return state.withLock { $0.sold[parts[0]] } == Hashing.sha256(preimage)
    }

    private func challenge() async throws -> Response {
        let invoice = try await account.createInvoice(
            amountMsat: Self.priceSat * 1000,
            description: "one call",
            expirySeconds: 600
        )
        let token = Base64.encode(Hashing.sha256(invoice.paymentHash) + Hashing.sha256(invoice.bytesOfItsOwn))
        state.withLock { $0.sold[token] = invoice.paymentHash }
        var headers = HTTPFields()
        for scheme in ["LSAT", "L402"] {
            let value = "\(scheme) macaroon=\"\(token)\", invoice=\"\(invoice.text)\""
            headers.append(HTTPField(name: .wwwAuthenticate, value: value))
        }
        return Response(status: .init(code: 402), headers: headers)
    }

    /// Serves it on a port of the system's choice while `body` runs.
    func whileServing<T: Sendable>(_ body: @Sendable @escaping (_ url: String) async throws -> T) async throws -> T {
        let (ports, announce) = AsyncStream<Int>.makeStream()
        let router = Router()
        router.get("**") { [self] request, _ in try await answer(request) }
        let application = Application(
            router: router,
            server: .plain(),
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                announce.yield(channel.localAddress?.port ?? 0)
                announce.finish()
            }
        )
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await application.run() }
            var iterator = ports.makeAsyncIterator()
            guard let port = await iterator.next() else {
                throw ServerProcess.NotReady(description: "the shop did not start")
            }
            let result = try await body("http://127.0.0.1:\(port)")
            group.cancelAll()
            return result
        }
    }
}

extension BOLT11Invoice {
    /// Some bytes that only this invoice has.
    fileprivate var bytesOfItsOwn: [UInt8] { contents.paymentSecret }
}
