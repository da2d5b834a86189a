import AsyncHTTPClient
import CanonicalJSON
import Ethereum
import Hummingbird
import NIOCore
import NIOHTTP1
import Paywall
import Settlement
import Synchronization
import Testing

@Suite("The facilitator by HTTP: our routes, and the client of others'")
struct FacilitatorTests {
    private func code(_ body: () async throws -> Void) async -> SettlementError.Code? {
        do {
            try await body()
            return nil
        } catch {
            return (error as? SettlementError)?.code
        }
    }

    private func routes(_ facilitator: any Facilitator, _ catalogue: [X402.DiscoveredResource] = []) -> Router<
        BasicRequestContext
    > {
        let router = Router()
        FacilitatorRoutes(facilitator, logger: SettlementFixture.logger) { catalogue }.add(to: router.group("x402"))
        return router
    }

    @Test("Another node settles over our routes")
    func theWholeWay() async throws {
        try await SettlementFixture.run { fixture in
            let settler = try fixture.settler()
            let resource = X402.DiscoveredResource(
                resource: "https://a.example/x",
                accepts: [fixture.requirements()],
                lastUpdated: 1_790_000_000
            )
            let router = routes(settler, [resource])
            try await serve(router) { url in
                let outside = try OutsideFacilitator(url: url + "/x402/", client: SettlementFixture.client)
                let supported = try await outside.supported()
                #expect(supported.kinds.map(\.network) == ["eip155:84532", "base-sepolia"])
                #expect(supported.signers == ["eip155:84532": [settler.account.description]])
                let request = try fixture.request(fixture.authorization())
                #expect(try await outside.verify(request).isValid)
                let settled = try await outside.settle(request)
                #expect(settled.success)
                #expect(try await outside.settle(request) == settled)
                #expect(try await outside.verify(request).invalidReason == "invalid_exact_evm_nonce_already_used")
                #expect(fixture.chain.tokens(of: fixture.payee) == UInt256(10_000))

                let page = try await HTTPClient.shared.execute(
                    HTTPClientRequest(url: url + "/x402/discovery/resources?type=http&limit=5"),
                    timeout: .seconds(60)
                )
                let body = try await JSONValue.parse(Array(page.body.collect(upTo: 1 << 20).readableBytesView))
                #expect(body["items"]?[0]?["resource"] == "https://a.example/x")
                #expect(body["pagination"] == ["limit": 5, "offset": 0, "total": 1])
            }
        }
    }

    @Test("A message that can't be read is 400, a chain that can't be asked 503; neither sends anything")
    func badMessages() async throws {
        try await SettlementFixture.run { fixture in
            let router = routes(try fixture.settler())
            try await serve(router) { url in
                func post(_ path: String, _ body: [UInt8]) async throws -> (Int, JSONValue) {
                    var request = HTTPClientRequest(url: url + path)
                    request.method = .POST
                    request.body = .bytes(body)
                    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
                    let bytes = try await response.body.collect(upTo: 1 << 20)
                    return (Int(response.status.code), try JSONValue.parse(Array(bytes.readableBytesView)))
                }
                let large = [UInt8](repeating: 0x20, count: X402.maximumReadBytes + 1)
                for body in [[], Array("{}".utf8), Array("[]".utf8), [0xFF], large] {
                    let verified = try await post("/x402/verify", body)
                    #expect(verified.0 == 400)
                    #expect(verified.1["isValid"] == false)
                    let settled = try await post("/x402/settle", body)
                    #expect(settled.0 == 400)
                    #expect(settled.1["success"] == false)
                }
                fixture.chain.fail("eth_chainId", .proxyError, times: 2)
                let request = try fixture.request(fixture.authorization()).json.serialized()
                #expect(try await post("/x402/verify", request).0 == 503)
                #expect(try await post("/x402/settle", request).0 == 503)
                #expect(fixture.chain.look { $0.received.isEmpty })
                #expect(try await post("/x402/settle", request).1["success"] == true)
            }
        }
    }

    @Test("Whatever an outside facilitator answers that is no clear word leaves the payment pending")
    func strangeFacilitators() async throws {
        let answers: [(UInt, String, String?)] = [
            (200, #"{"success":true,"transaction":"0x1","network":"eip155:84532","payer":"0x1"}"#, nil),
            (200, #"{"success":true,"transaction":"0x1","network":"eip155:1"}"#, "settlement_pending"),
            (200, #"{"success":true,"transaction":"","network":"eip155:84532"}"#, "settlement_pending"),
            (200, #"{"success":false,"transaction":"","network":"eip155:84532"}"#, "settlement_pending"),
            (
                200, #"{"success":false,"errorReason":"insufficient_funds","transaction":"","network":"eip155:84532"}"#,
                "insufficient_funds"
            ),
            (
                402, #"{"success":false,"errorReason":"insufficient_funds","transaction":"","network":"eip155:84532"}"#,
                "insufficient_funds"
            ),
            (
                500, #"{"success":false,"errorReason":"insufficient_funds","transaction":"","network":"eip155:84532"}"#,
                "settlement_pending"
            ),
            (
                200,
                #"{"success":false,"errorReason":"unexpected_settle_error","transaction":"","network":"eip155:84532"}"#,
                "settlement_pending"
            ),
            (307, "", "settlement_pending"), (502, "bad gateway", "settlement_pending"),
            (404, "{}", "settlement_pending"),
            (200, "", "settlement_pending"),
            (200, "{\"success\":true" + String(repeating: " ", count: 70_000), "settlement_pending"),
        ]
        try await SettlementFixture.run { fixture in
            let request = try fixture.request(fixture.authorization())
            let next = NextAnswer()
            let router = Router()
            router.post("settle") { _, _ -> Response in
                let index = next.index
                guard index < answers.count else {
                    try await Task.sleep(for: .seconds(3))
                    return Response(status: .ok)
                }
                return Response(
                    status: .init(code: Int(answers[index].0)),
                    body: ResponseBody(byteBuffer: ByteBuffer(string: answers[index].1))
                )
            }
            try await serve(router) { url in
                let outside = try OutsideFacilitator(url: url, client: SettlementFixture.client)
                for (index, expected) in answers.enumerated() {
                    next.set(index)
                    let answer = try await outside.settle(request)
                    #expect(answer.success == (expected.2 == nil), "\(index)")
                    #expect(answer.errorReason == expected.2, "\(index)")
                }
                next.set(answers.count)
                let impatient = try OutsideFacilitator(
                    url: url,
                    client: SettlementFixture.client,
                    timeoutMilliseconds: 200
                )
                #expect(try await impatient.settle(request).errorReason == "settlement_pending")
                #expect(await code { _ = try await outside.supported() } == .invalidAnswer)
            }
            let nobody = try OutsideFacilitator(url: "http://127.0.0.1:1", client: SettlementFixture.client)
            #expect(await code { _ = try await nobody.settle(request) } == .unreachable)
            #expect(throws: SettlementError.self) {
                try OutsideFacilitator(url: "http://a?b", client: SettlementFixture.client)
            }
        }
    }
}

/// Which answer comes next.
private final class NextAnswer: Sendable {
    private let stored = Mutex(0)

    var index: Int { stored.withLock { $0 } }

    func set(_ index: Int) { stored.withLock { $0 = index } }
}
