import CanonicalJSON
import Encodings
import Foundation
import HTTPTypes
import Hummingbird
import Synchronization
import WebServer

/// Somebody else's seller over x402 (version 2, `exact` on Base Sepolia), written from its specification: it takes any payment that
/// it has not seen, and serves the same one again.
final class X402Shop: Sendable {
    private struct State {
        var shown: [String] = []
        var taken: Set<String> = []
        var served = 0
        var isHolding = false
        var isChallenging = false
    }

    static let asset = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
    private let state = Mutex(State())

    /// Every payment that was shown, in order.
    var shown: [String] { state.withLock { $0.shown } }
    var taken: Int { state.withLock { $0.taken.count } }
    func hold() { state.withLock { $0.isHolding = true } }
    func release() { state.withLock { $0.isHolding = false } }
    /// Answers payments with a fresh challenge, or serves them again.
    func challengeAnew(_ isChallenging: Bool) { state.withLock { $0.isChallenging = isChallenging } }

    private func answer(_ request: Request) async throws -> Response {
        guard let name = HTTPField.Name("PAYMENT-SIGNATURE"), let payment = request.headers[name] else {
            return challenge()
        }
        state.withLock { $0.shown.append(payment) }
        // Never for ever, so that a test that fails ends.
        for _ in 0..<10_000 where state.withLock({ $0.isHolding }) { try await Task.sleep(for: .milliseconds(1)) }
        if state.withLock({ $0.isChallenging }) { return challenge() }
        state.withLock { _ = $0.taken.insert(payment) }
        let settlement = #"{"success":true,"transaction":"0xabc","network":"eip155:84532"}"#
        var headers = HTTPFields()
        if let name = HTTPField.Name("PAYMENT-RESPONSE") { headers[name] = Base64.encode(Array(settlement.utf8)) }
        let body = ResponseBody(byteBuffer: ByteBuffer(string: "bought \(request.uri.path)\n"))
        return Response(status: .ok, headers: headers, body: body)
    }

    private func challenge() -> Response {
        let json: JSONValue = [
            "x402Version": 2, "resource": ["url": "http://shop.example/data"],
            "accepts": [
                [
                    "scheme": "exact", "network": "eip155:84532", "amount": "10000", "asset": .string(Self.asset),
                    "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C", "maxTimeoutSeconds": 300,
                    "extra": ["name": "USDC", "version": "2"],
                ]
            ],
        ]
        var headers = HTTPFields()
        if let name = HTTPField.Name("PAYMENT-REQUIRED") { headers[name] = Base64.encode(json.serialized()) }
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

    /// Lets a node that was made and does not run yet pay here.
    static func configure(_ node: TestedNode) throws {
        let file = URL(filePath: node.directory + "/config.json")
        guard case .object(var settings) = try JSONValue.parse([UInt8](Data(contentsOf: file))) else { return }
        settings["wallet"] = ["evmAssets": [.string("eip155:84532/\(asset)=usd:6")], "rates": ["usd=10400"]]
        try Data(JSONValue.object(settings).serialized()).write(to: file)
    }
}
