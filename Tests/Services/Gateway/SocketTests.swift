import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Crypto
import Foundation
import Gateway
import Hummingbird
import NIOCore
import Receipts
import Storage
import Synchronization
import TestSockets
import Testing
import WebServer

@Suite("WebSockets that are sold")
struct SocketTests {
    /// The answer to the handshake with the key in `head` (RFC 6455, 4.2.2).
    private static func accept(_ head: String, _ more: String = "", frames: [UInt8] = []) -> RawUpstream.Reply {
        let key = head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("sec-websocket-key: ") }?.dropFirst(
            19
        )
        let text = String(key ?? "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        let accept = Data(Insecure.SHA1.hash(data: Data(text.utf8))).base64EncodedString()
        var reply = RawUpstream.Reply(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: \(accept)\r\n\(more)\r\n",
            closes: false
        )
        reply.bytes += frames
        return reply
    }

    private static let sold: @Sendable (inout ServiceDefinition) -> Void = { $0.proxy.webSockets = WebSocketRules() }

    /// A seller in front of an echo.
    private func withEcho(
        service: @escaping @Sendable (inout ServiceDefinition) -> Void = SocketTests.sold,
        _ body: @escaping @Sendable (TestNode, Int) async throws -> Void
    ) async throws {
        let route = WebSocketRoute(path: "/live", respond: { EchoResponder(peer: $0) })
        try await withDoor(.init(context: BasicRequestContext.self), HTTPDoor(webSockets: [route])) { upstreamPort in
            try await withDoorSeller(upstream: upstreamPort, service: service, body)
        }
    }

    @Test("GWY-10: unpaid: 402 with a challenge, and the upstream hears nothing")
    func unpaid() async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ Self.accept($0) }) { upstreamPort in
            try await withDoorSeller(upstream: upstreamPort, service: Self.sold) { _, port in
                let peer = try await RawPeer.connect(port)
                let head = try await peer.openWebSocket("/s/weather/live")
                #expect(head.hasPrefix("HTTP/1.1 402"))
                #expect(head.lowercased().contains("x-cashu: creqa"))
                // Frames sent all the same go nowhere.
                try? await peer.sendText("hello")
                #expect(await peer.isEnded())
                #expect(upstream.requests.isEmpty)
            }
        }
    }

    @Test("GWY-10, GWY-11: paid once: 101 with the receipt, messages both ways, a goodbye that crosses; again is 409")
    func paid() async throws {
        try await withEcho { node, port in
            let token = try node.payment(2)
            let peer = try await RawPeer.connect(port)
            let head = try await peer.openWebSocket("/s/weather/live", headers: ["X-Cashu: \(token)"])
            #expect(head.hasPrefix("HTTP/1.1 101"))
            #expect(head.lowercased().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="))
            let line = try #require(
                head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("agent-receipt: ") }
            )
            let receipt = try Receipt(header: String(line.dropFirst(15)))
            #expect(receipt.verdict().isValid)
            #expect(receipt.claims.status == 101)
            for text in ["hello", String(repeating: "x", count: 70_000), ""] {
                try await peer.sendText(text)
                #expect(try await peer.text() == text)
            }
            try await peer.sendFrame(9, Array("ping".utf8))
            #expect(try await peer.frame() == RawPeer.Frame(opcode: 10, payload: Array("ping".utf8)))
            try await peer.sendFrame(8, [0x03, 0xE8] + Array("bye".utf8))
            #expect(try await peer.frame().closeCode == 1000)
            #expect(await peer.isEnded())
            let second = try await RawPeer.connect(port)
            #expect(
                try await second.openWebSocket("/s/weather/live", headers: ["X-Cashu: \(token)"]).hasPrefix(
                    "HTTP/1.1 409"
                )
            )
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("GWY-10: a WebSocket of a service by host, and one that is free")
    func byHostAndFree() async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ Self.accept($0, frames: [0x81, 2, 0x68, 0x69]) }) { upstreamPort in
            try await withDoorSeller(
                upstream: upstreamPort,
                service: {
                    $0.proxy.webSockets = WebSocketRules(paidSeconds: 1)
                    $0.proxy.hosts = ["localhost.example"]
                }
            ) { _, port in
                let peer = try await RawPeer.connect(port)
                try await peer.send(
                    "GET /free/live HTTP/1.1\r\nHost: localhost.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                        + "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
                )
                #expect(try await peer.head().hasPrefix("HTTP/1.1 101"))
                #expect(try await peer.text() == "hi")
                let head = try #require(upstream.requests.first).lowercased()
                #expect(head.hasPrefix("get /free/live http/1.1"))
                #expect(head.contains("sec-websocket-protocol: a, b"))
                #expect(!head.contains("sec-websocket-extensions"))
                #expect(!head.contains("dghlihnhbxbszsbub25jzq=="))
                await peer.close()
            }
        }
    }

    @Test(
        "GWY-10, CALL-14: an upstream that does not take the WebSocket is refunded",
        arguments: [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "",
            "garbage\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
            "protocol", "extension",
        ]
    )
    func refused(answer: String) async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ head in
            switch answer {
            case "protocol": Self.accept(head, "Sec-WebSocket-Protocol: other\r\n")
            case "extension": Self.accept(head, "Sec-WebSocket-Extensions: permessage-deflate\r\n")
            default: RawUpstream.Reply(answer)
            }
        }) { upstreamPort in
            try await withDoorSeller(upstream: upstreamPort, service: Self.sold) { node, port in
                let peer = try await RawPeer.connect(port)
                let head = try await peer.openWebSocket("/s/weather/live", headers: ["X-Cashu: \(try node.payment(2))"])
                #expect(head.hasPrefix("HTTP/1.1 502"))
                #expect(head.lowercased().contains("x-cashu: cashub"))
                let states = try await node.database.read {
                    try $0.rows("SELECT state FROM gateway_claims").map { try $0.text(0) }
                }
                #expect(states == ["refunded"])
                #expect(try await node.requireConservation() == [])
            }
        }
    }

    @Test("GWY-11: when the paid time is over the client is told so with 4402")
    func paidTime() async throws {
        try await withEcho(service: { $0.proxy.webSockets = WebSocketRules(paidSeconds: 1) }) { node, port in
            let peer = try await RawPeer.connect(port)
            _ = try await peer.openWebSocket("/s/weather/live", headers: ["X-Cashu: \(try node.payment(2))"])
            try await peer.sendText("hello")
            #expect(try await peer.text() == "hello")
            let goodbye = try await peer.frame()
            #expect(goodbye.closeCode == 4402)
            #expect(await peer.isEnded())
        }
    }

    @Test("GWY-11: frames that are not masked, too long, reserved or out of order end it, and the upstream hears of it")
    func badFrames() async throws {
        let rules = WebSocketRules(frameBytes: 1000)
        for (frame, code) in [
            ([0x81, 2, 0x68, 0x69], 1002), ([0x82, 0xFE, 0x04, 0x00, 1, 2, 3, 4], 1009),
            ([0x83, 0x80, 1, 2, 3, 4], 1002),
            ([0x80, 0x81, 1, 2, 3, 4, 5], 1002), ([0xC1, 0x81, 1, 2, 3, 4, 5], 1002), ([0x09, 0x80, 1, 2, 3, 4], 1002),
            ([0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4], 1009),
        ] as [([UInt8], Int)] {
            let upstream = RawUpstream()
            try await upstream.whileServing({ Self.accept($0) }) { upstreamPort in
                try await withDoorSeller(upstream: upstreamPort, service: { $0.proxy.webSockets = rules }) { _, port in
                    let peer = try await RawPeer.connect(port)
                    #expect(try await peer.openWebSocket("/s/weather/free/live").hasPrefix("HTTP/1.1 101"))
                    try await peer.send(frame)
                    #expect(try await peer.frame().closeCode == code, "\(frame)")
                    #expect(await peer.isEnded())
                    for _ in 0..<200 where upstream.rest.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
                    // A masked goodbye of 1001.
                    let rest = upstream.rest
                    #expect(rest.first == 0x88)
                    if rest.count >= 8 {
                        #expect([rest[6] ^ rest[2], rest[7] ^ rest[3]] == [0x03, 0xE9])
                    } else {
                        Issue.record("the upstream was not told")
                    }
                }
            }
        }
    }

    @Test("GWY-11: an upstream that masks, or is gone: 1014; a client that is gone: the upstream gets 1001")
    func gone() async throws {
        for frames in [[0x81, 0x81, 1, 2, 3, 4, 5], []] as [[UInt8]] {
            let upstream = RawUpstream()
            try await upstream.whileServing({ head in
                var reply = Self.accept(head, frames: frames)
                reply.closes = frames.isEmpty
                return reply
            }) { upstreamPort in
                try await withDoorSeller(upstream: upstreamPort, service: Self.sold) { _, port in
                    let peer = try await RawPeer.connect(port)
                    #expect(try await peer.openWebSocket("/s/weather/free/live").hasPrefix("HTTP/1.1 101"))
                    if frames.isEmpty { try await peer.sendText("go") }
                    #expect(try await peer.frame().closeCode == 1014)
                    #expect(await peer.isEnded())
                }
            }
        }
        let upstream = RawUpstream()
        try await upstream.whileServing({ Self.accept($0) }) { upstreamPort in
            try await withDoorSeller(upstream: upstreamPort, service: Self.sold) { node, port in
                let peer = try await RawPeer.connect(port)
                _ = try await peer.openWebSocket("/s/weather/free/live")
                await peer.close()
                for _ in 0..<500 where upstream.rest.count < 8 { try await Task.sleep(for: .milliseconds(10)) }
                #expect(upstream.rest.first == 0x88)
                // Its place is free again.
                try await withClient { client in
                    var running: Int64 = 1
                    for _ in 0..<500 where running != 0 {
                        let totals = try JSONValue.parse(try await client.call(port, "/api/gateway").body)
                        running = totals["callsRunning"]?.int64Value ?? -1
                        try await Task.sleep(for: .milliseconds(10))
                    }
                    #expect(running == 0)
                }
            }
        }
    }

    @Test("GWY-11: who answers no ping is dropped, and who sends to a peer that does not read is held back")
    func halfDead() async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ Self.accept($0) }) { upstreamPort in
            try await withDoorSeller(
                upstream: upstreamPort,
                service: { $0.proxy.webSockets = WebSocketRules(pingSeconds: 1) }
            ) { _, port in
                let peer = try await RawPeer.connect(port)
                _ = try await peer.openWebSocket("/s/weather/free/live")
                #expect(try await peer.frame().opcode == 9)
                // The upstream answers no ping either; one of the two is noticed first.
                #expect(await peer.isEnded())
            }
        }
        // A client that does not read: an upstream that sends a hundred megabytes is stopped long before.
        let flood = RawUpstream()
        let frame: [UInt8] = [0x82, 126, 0xFF, 0xFF] + [UInt8](repeating: 7, count: 65_535)
        let many = (0..<400).flatMap { _ in frame }
        try await flood.whileServing({ Self.accept($0, frames: many) }) { upstreamPort in
            try await withDoorSeller(upstream: upstreamPort, service: Self.sold) { _, port in
                let peer = try await RawPeer.connect(port)
                #expect(try await peer.openWebSocket("/s/weather/free/live").hasPrefix("HTTP/1.1 101"))
                for _ in 0..<400 { #expect(try await peer.frame().payload.count == 65_535) }
                await peer.close()
            }
        }
    }

    @Test("GWY-10: where a service sells none, the request is any other request; a bad handshake takes no money")
    func plain() async throws {
        let upstream = RawUpstream()
        try await upstream.whileServing({ _ in RawUpstream.hello }) { upstreamPort in
            try await withDoorSeller(upstream: upstreamPort) { _, port in
                let peer = try await RawPeer.connect(port)
                #expect(try await peer.openWebSocket("/s/weather/free/live").hasPrefix("HTTP/1.1 200"))
                #expect(upstream.requests.first?.lowercased().contains("upgrade") == false)
                await peer.close()
            }
            try await withDoorSeller(upstream: upstreamPort, service: Self.sold) { node, port in
                let token = try node.payment(2)
                let answer = try await exchange(
                    port,
                    "GET /s/weather/live HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        + "Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: x\r\nX-Cashu: \(token)\r\n\r\n"
                )
                #expect(answer.hasPrefix("HTTP/1.1 400"))
                let claims = try await node.database.read {
                    try $0.first("SELECT count(*) FROM gateway_claims")?.int(0)
                }
                #expect(claims == 0)
            }
        }
    }
}

private struct EchoResponder: WebSocketResponder {
    let peer: any WebSocketConnection
    func receive(_ text: [UInt8]) async { peer.send(text) }
    func closed() {}
}
