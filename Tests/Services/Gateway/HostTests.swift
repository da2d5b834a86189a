import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Encodings
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1
import Paywall
import Testing
import WebServer

@testable import Gateway

@Suite("Services by host")
struct HostTests {
    private static let sold: @Sendable (inout ServiceDefinition) -> Void = { $0.proxy.hosts = ["weather.example"] }

    private func get(_ target: String, host: String, headers: String = "") -> String {
        "GET \(target) HTTP/1.1\r\nHost: \(host)\r\n\(headers)Connection: close\r\n\r\n"
    }

    @Test("GWY-1: every path of the host is the service's, the node's own elsewhere")
    func byHost() async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ _ in RawUpstream.hello }) { upstreamPort in
            try await withDoorSeller(upstream: upstreamPort, service: Self.sold) { node, port in
                for host in ["weather.example", "WEATHER.example:443", "weather.example:\(port)"] {
                    #expect(try await exchange(port, get("/today", host: host)).hasPrefix("HTTP/1.1 402"))
                    #expect(try await exchange(port, get("/free/x?y=1", host: host)).hasSuffix("hello"))
                }
                // Paths that are the node's own elsewhere.
                for path in ["/health", "/s/weather/free/x", "/receipts/x", "/api/services"] {
                    #expect(
                        try await exchange(port, get(path, host: "weather.example")).hasPrefix("HTTP/1.1 402"),
                        "\(path) was not the service's"
                    )
                }
                let token = try node.payment(2)
                let paid = try await exchange(
                    port,
                    get("/a", host: "weather.example", headers: "X-Cashu: \(token)\r\n")
                )
                #expect(paid.hasSuffix("hello"))
                #expect(upstream.requests.last?.hasPrefix("GET /a HTTP/1.1") == true)
                // The same payment by the path is the same call: it is not charged twice.
                let again = try await exchange(
                    port,
                    get("/s/weather/a", host: "localhost", headers: "X-Cashu: \(token)\r\n")
                )
                #expect(again.lowercased().contains("idempotent-replayed: true"))
                #expect(try await exchange(port, get("/health", host: "localhost")).hasSuffix("node"))
                for host in [
                    "other.example", "sub.weather.example", "weather.example.evil.example", "weather.example.",
                ] {
                    #expect(try await exchange(port, get("/free/x", host: host)).hasPrefix("HTTP/1.1 404"))
                }
            }
        }
    }

    @Test(
        "GWY-2: a request that names its host in two ways is refused and reaches no upstream",
        arguments: [
            "GET /free/x HTTP/1.1\r\nHost: weather.example\r\nHost: other.example\r\n\r\n",
            "GET /free/x HTTP/1.1\r\nHost: weather.example\r\nHost: weather.example\r\n\r\n",
            "GET /free/x HTTP/1.1\r\nConnection: close\r\n\r\n",
            "GET /free/x HTTP/1.1\r\nHost:\r\n\r\n",
            "GET http://weather.example/free/x HTTP/1.1\r\nHost: other.example\r\n\r\n",
            "GET http://other.example/free/x HTTP/1.1\r\nHost: weather.example\r\n\r\n",
            "GET http://u@weather.example/free/x HTTP/1.1\r\nHost: weather.example\r\n\r\n",
            "GET /free/x HTTP/1.1\r\nHost: weather.example, other.example\r\n\r\n",
            "GET /free/x HTTP/1.1\r\nHost: weather.example:80:90\r\n\r\n",
            "GET /free/x HTTP/1.1\r\nHost: weather.example/x\r\n\r\n",
            "GET /free/x HTTP/1.1\r\nHost: weather.example@other.example\r\n\r\n",
            "GET /free/x HTTP/1.1\r\nHost: weather.example:8a\r\n\r\n",
            "GET ftp://weather.example/free/x HTTP/1.1\r\nHost: weather.example\r\n\r\n",
            "GET free/x HTTP/1.1\r\nHost: weather.example\r\n\r\n",
        ]
    )
    func twoHosts(request: String) async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ _ in RawUpstream.hello }) { upstreamPort in
            try await withDoorSeller(upstream: upstreamPort, service: Self.sold) { _, port in
                let answer = try await exchange(port, request)
                #expect(answer.hasPrefix("HTTP/1.1 400"), "\(answer.prefix(100))")
                #expect(upstream.requests.isEmpty)
            }
        }
    }

    @Test("GWY-2: a target in absolute form of the same host is read as its path")
    func absolute() async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ _ in RawUpstream.hello }) { upstreamPort in
            try await withDoorSeller(upstream: upstreamPort, service: Self.sold) { _, port in
                let answer = try await exchange(port, get("HTTP://weather.example/free/x?a=b", host: "weather.example"))
                #expect(answer.hasSuffix("hello"))
                #expect(upstream.requests.first?.hasPrefix("GET /free/x?a=b HTTP/1.1\r\n") == true)
                // No path at all is "/", which has a price.
                #expect(
                    try await exchange(port, get("http://weather.example", host: "weather.example")).contains(" 402 ")
                )
            }
        }
    }

    @Test("GWY-1: a host is one service's, never the node's own, and a name")
    func hosts() async throws {
        let node = try TestNode { $0.publicOrigins = ["https://api.example"] }
        try await node.start()
        func sell(_ name: String, _ hosts: [String]) async throws {
            let json: JSONValue = [
                "name": .string(name), "upstream": "http://127.0.0.1:9", "prices": [["amount": "1"]],
                "hosts": .array(hosts.map { .string($0) }),
            ]
            try await node.gateway.add(ServiceDefinition(json: json), replaces: true)
        }
        for bad in [
            "Weather.example", "127.0.0.1", "a..b", "-a.b", "localhost", "a.b:80", "*.a.b", "[::1]", "", "api.example",
        ] {
            await #expect(throws: GatewayError.self, "\(bad) was taken") { try await sell("a", [bad]) }
        }
        try await sell("a", ["a.example", "b.example"])
        await #expect(throws: GatewayError.self) { try await sell("b", ["b.example"]) }
        try await sell("a", ["a.example"])
        try await sell("b", ["b.example"])
        #expect(try node.gateway.sells(at: "b.example:8402"))
        try await node.restart()
        #expect(try node.gateway.sells(at: "B.example"))
        try await node.gateway.remove(service: "b")
        #expect(try !node.gateway.sells(at: "b.example"))
        try await node.stop()
    }

    @Test("GWY-3: the signed address has the public scheme and port, and the service's host")
    func signedAddress() async throws {
        func uri(_ origins: [String], authority: String) async throws -> String? {
            let node = try TestNode { $0.publicOrigins = origins }
            try await node.start()
            try await node.sell(upstream: 9) { $0.proxy.hosts = ["weather.example"] }
            let gateway = try node.gateway
            let entry = try #require(gateway.registry.entry("weather"))
            let call = IncomingCall(
                service: entry.definition,
                upstream: entry.upstream,
                method: "GET",
                path: try RequestPath("/a"),
                target: "/a?b=c",
                rawTarget: "/a?b=c",
                isByHost: true,
                headers: HTTPFields(),
                authority: authority,
                rule: try PriceRule(pathPattern: "/*", price: Price(amount: 1)),
                slot: try #require(CallSlot(CallCount(limit: 1))),
                at: node.clock.wall.now()
            )
            let found = gateway.targetURI(of: call)
            try await node.stop()
            return found
        }
        #expect(
            try await uri(["https://api.example"], authority: "Weather.example") == "https://weather.example/a?b=c"
        )
        #expect(
            try await uri(["https://api.example:8443"], authority: "weather.example:8443")
                == "https://weather.example:8443/a?b=c"
        )
        #expect(try await uri(["https://api.example"], authority: "weather.example:8443") == nil)
        #expect(try await uri(["https://api.example:8443"], authority: "weather.example") == nil)
        #expect(try await uri([], authority: "weather.example:81") == "http://weather.example:81/a?b=c")
    }
}
