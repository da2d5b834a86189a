import AsyncHTTPClient
import CanonicalJSON
import Gateway
import NIOCore
import NIOHTTP1
import Storage
import TestSockets
import Testing

@Suite("Attacks on the proxy over raw sockets")
struct AttackTests {
    private static let next = "GET /s/weather/free/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test(
        "CALL-22: requests that two servers could cut differently reach no upstream",
        arguments: [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\(next)",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n\(next)",
            "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n\(next)",
            "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n\(next)",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n\(next)",
            "X: 1\r\n Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc\(next)",
            "Content-Length: 0x5\r\n\r\nhello\(next)",
            "Content-Length: 5, 5\r\n\r\nhello\(next)",
            "Content-Length: -1\r\n\r\n\(next)",
            "Content-Length: 99999999999999999999\r\n\r\n\(next)",
            "Transfer-Encoding: chunked\r\n\r\n5;\u{1}\r\nhello\r\n0\r\n\r\n\(next)",
            "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n\(next)",
            "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n\(next)",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n\(next)",
            "X-A: b\rX-B: c\r\n\r\n",
            "X-A: b\u{0}c\r\n\r\n",
            "X A: b\r\n\r\n",
            ": b\r\n\r\n",
        ]
    )
    func smuggling(rest: String) async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ _ in RawUpstream.hello }) { upstreamPort in
            try await withDoorSeller(upstream: upstreamPort) { _, port in
                let answer = try await exchange(
                    port,
                    "POST /s/weather/free/x HTTP/1.1\r\nHost: a\r\n" + rest,
                    seconds: 2
                )
                #expect(!upstream.requests.contains { $0.contains("smuggled") }, "\(answer.prefix(300))")
                // None was passed on as it is.
                #expect(upstream.requests.allSatisfy { !$0.contains("cow") && !$0.contains("\u{0}") })
                #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 4") || answer.hasPrefix("HTTP/1.1 5"), "\(answer)")
            }
        }
    }

    @Test(
        "CALL-12, CALL-22: a path with an encoded line end, NUL or white space is refused",
        arguments: ["/a%0d%0aX:%201", "/a%00", "/a\tb", "/a%0Ab", "/a\u{b}"]
    )
    func paths(path: String) async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ _ in RawUpstream.hello }) { upstreamPort in
            try await withDoorSeller(upstream: upstreamPort) { _, port in
                let answer = try await exchange(
                    port,
                    "GET /s/weather/free\(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                    seconds: 2
                )
                #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 4"), "\(answer.prefix(100))")
                #expect(upstream.requests.isEmpty)
            }
        }
    }

    @Test("GWY-12: header bombs end the connection, and the node goes on")
    func headerBombs() async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ _ in RawUpstream.hello }) { upstreamPort in
            try await withDoorSeller(upstream: upstreamPort) { _, port in
                let bombs = [
                    "X: " + String(repeating: "a", count: 200_000) + "\r\n",
                    String(repeating: "X: a\r\n", count: 5000),
                    (0..<5000).map { "X\($0): a\r\n" }.joined(),
                    String(repeating: "a", count: 200_000) + ": x\r\n",
                ]
                for bomb in bombs {
                    let answer = try await exchange(
                        port,
                        "GET /s/weather/free/x HTTP/1.1\r\nHost: a\r\n\(bomb)\r\n",
                        seconds: 3
                    )
                    #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 4"), "\(answer.prefix(100))")
                }
                let long = try await exchange(
                    port,
                    "GET /s/weather/free/\(String(repeating: "a", count: 100_000)) HTTP/1.1\r\nHost: a\r\n\r\n",
                    seconds: 3
                )
                #expect(long.isEmpty || long.hasPrefix("HTTP/1.1 4"))
                #expect(upstream.requests.isEmpty)
                let well = try await exchange(
                    port,
                    "GET /s/weather/free/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                )
                #expect(well.hasSuffix("hello"))
            }
        }
    }

    @Test("GWY-12: a body that stops, short or long: 408, nothing is taken or it is refunded")
    func slowBody() async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ _ in nil }) { upstreamPort in
            try await withDoorSeller(
                upstream: upstreamPort,
                service: { $0.timeouts = CallTimeouts(connectSeconds: 1, idleSeconds: 2, totalSeconds: 3) }
            ) { node, port in
                let token = try node.payment(2)
                let peer = try await RawPeer.connect(port)
                try await peer.send(
                    "POST /s/weather/x HTTP/1.1\r\nHost: a\r\nX-Cashu: \(token)\r\nContent-Length: 100\r\n\r\nab"
                )
                let answer = try await peer.response()
                #expect(answer.head.hasPrefix("HTTP/1.1 408"))
                #expect(answer.body.contains("\"code\":\"request-timeout\""))
                await peer.close()
                let claims = try await node.database.read {
                    try $0.first("SELECT count(*) FROM gateway_claims")?.int(0)
                }
                #expect(claims == 0)
                // Over a megabyte it is claimed, and stops while the upstream reads it.
                let second = try await RawPeer.connect(port)
                try await second.send(
                    "POST /s/weather/x HTTP/1.1\r\nHost: a\r\nX-Cashu: \(token)\r\nContent-Length: 3000000\r\n\r\n"
                )
                try await second.send([UInt8](repeating: 0x61, count: 2_000_000))
                let refunded = try await second.response()
                #expect(refunded.head.hasPrefix("HTTP/1.1 408") || refunded.head.hasPrefix("HTTP/1.1 504"))
                #expect(refunded.head.lowercased().contains("x-cashu: cashub"))
                await second.close()
                #expect(try await node.requireConservation() == [])
            }
        }
    }

    @Test(
        "CALL-14, GWY-12: an upstream that sends no HTTP, two lengths, an endless head or no end is refunded",
        arguments: [
            ("garbage\r\n\r\n", 502), ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 502),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
            ("HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 300_000) + "\r\n\r\n", 502),
            ("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", 502), ("HTTP/1.1 200 OK\r\nX Y: z\r\n\r\n", 502),
            ("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", 502), ("HTTP/1.1 200 OK\r\n", 504),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", 504),
        ]
    )
    func badUpstream(answer: String, status: Int) async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ _ in RawUpstream.Reply(answer, closes: status == 502) }) { upstreamPort in
            try await withDoorSeller(
                upstream: upstreamPort,
                service: { $0.timeouts = CallTimeouts(connectSeconds: 1, idleSeconds: 1, totalSeconds: 3) }
            ) { node, port in
                try await withClient { client in
                    let paid = try await client.call(port, payment: node.payment(2))
                    #expect(paid.status == status)
                    #expect(paid.header("X-Cashu") != nil)
                    #expect(try await node.requireConservation() == [])
                }
            }
        }
    }
}
