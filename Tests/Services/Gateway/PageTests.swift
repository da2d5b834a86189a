import AsyncHTTPClient
import CanonicalJSON
import Gateway
import Hummingbird
import NIOCore
import NIOHTTP1
import Paywall
import Testing

@Suite("Web pages that pay")
struct PageTests {
    private static let page = "https://shop.example"
    private static let cors: @Sendable (inout ServiceDefinition) -> Void = { $0.proxy.cors = .anybody }

    @Test("GWY-4: a preflight is answered without payment and reaches no upstream")
    func preflight() async throws {
        try await withSeller(service: Self.cors) { _, upstream, client, port in
            let answer = try await client.call(
                port,
                method: "OPTIONS",
                headers: [
                    ("Origin", Self.page), ("Access-Control-Request-Method", "POST"),
                    ("Access-Control-Request-Headers", "x-cashu, x-own"),
                ]
            )
            #expect(answer.status == 204)
            #expect(answer.header("Access-Control-Allow-Origin") == "*")
            #expect(answer.header("Access-Control-Allow-Methods") == "POST")
            let allowed = try #require(answer.header("Access-Control-Allow-Headers")).lowercased()
            for name in ["authorization", "x-cashu", "payment-signature", "x-payment", "idempotency-key", "x-own"] {
                #expect(allowed.contains(name), "\(name) is missing")
            }
            #expect(answer.header("Access-Control-Allow-Credentials") == nil)
            #expect(answer.header("Access-Control-Max-Age") != nil)
            #expect(upstream.count == 0)
            let odd = try await client.call(
                port,
                method: "OPTIONS",
                headers: [
                    ("Origin", Self.page), ("Access-Control-Request-Method", "GET"),
                    ("Access-Control-Request-Headers", "a b, c:d"),
                ]
            )
            #expect(odd.status == 400)
        }
    }

    @Test("GWY-5: a page reads the challenge and the receipt; a listed origin alone is let in")
    func reads() async throws {
        try await withSeller(service: { $0.proxy.cors = CORSPolicy(origins: [Self.page]) }) { node, _, client, port in
            let unpaid = try await client.call(port, headers: [("Origin", Self.page)])
            #expect(unpaid.status == 402)
            #expect(unpaid.header("Access-Control-Allow-Origin") == Self.page)
            let exposed = try #require(unpaid.header("Access-Control-Expose-Headers")).lowercased()
            for name in [
                "www-authenticate", "x-cashu", "payment-required", "payment-response", "payment-receipt", "retry-after",
                "agent-receipt", "agent-receipt-id", "idempotent-replayed",
            ] {
                #expect(exposed.contains(name), "\(name) is missing")
            }
            #expect(unpaid.header("Vary")?.contains("Origin") == true)
            let paid = try await client.call(port, payment: node.payment(2), headers: [("Origin", Self.page)])
            #expect(paid.status == 200)
            #expect(paid.header("Access-Control-Allow-Origin") == Self.page)
            for stranger in [
                "https://evil.example", "https://shop.example.evil.example", "null", "http://shop.example",
            ] {
                let seen = try await client.call(port, headers: [("Origin", stranger)])
                #expect(seen.header("Access-Control-Allow-Origin") == nil)
                #expect(seen.header("Vary")?.contains("Origin") == true)
                let asked = try await client.call(
                    port,
                    method: "OPTIONS",
                    headers: [("Origin", stranger), ("Access-Control-Request-Method", "GET")]
                )
                #expect(asked.status == 403)
                #expect(asked.header("Access-Control-Allow-Origin") == nil)
            }
        }
    }

    @Test("GWY-5: the upstream's own CORS fields are dropped where the service names origins, and passed on where not")
    func upstreams() async throws {
        let upstream = RawUpstream()
        let reply = RawUpstream.Reply(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: https://old.example\r\n"
                + "Access-Control-Allow-Credentials: true\r\nVary: Accept\r\nX-Own: 1\r\n\r\n",
            closes: false
        )
        try await upstream.whileServing({ _ in reply }) { upstreamPort in
            for isOpen in [true, false] {
                try await withDoorSeller(
                    upstream: upstreamPort,
                    service: { if isOpen { $0.proxy.cors = .anybody } }
                ) { _, port in
                    try await withClient { client in
                        let answer = try await client.call(
                            port,
                            "/s/weather/free/x",
                            headers: [("Origin", Self.page)]
                        )
                        let origins = answer.headers.filter { $0.name.lowercased() == "access-control-allow-origin" }
                        #expect(origins.map(\.value) == [isOpen ? "*" : "https://old.example"])
                        #expect((answer.header("Access-Control-Allow-Credentials") == nil) == isOpen)
                        #expect(
                            answer.header("Access-Control-Expose-Headers")?.contains("X-Own") == (isOpen ? true : nil)
                        )
                    }
                }
            }
        }
    }

    @Test(
        "GWY-4: origins that can't be are refused",
        arguments: [
            [], ["*", "https://a.example"], ["https://a.example/"], ["https://A.example"], ["a.example"],
            ["https://a.example:443"], ["null"],
        ]
    )
    func badOrigins(origins: [String]) {
        #expect(throws: GatewayError.self) {
            try ServiceDefinition(
                name: "a",
                upstream: UpstreamAddress("http://a"),
                prices: .init(flat: .init(amount: 1)),
                proxy: ProxyRules(cors: CORSPolicy(origins: origins))
            )
        }
    }
}
