import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSockets
import Testing
import WebServer

/// The door before Hummingbird, over real sockets.
@Suite struct DoorTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Answers every message with itself.
    private struct Echo: WebSocketResponder {
        let peer: any WebSocketConnection
        func receive(_ text: [UInt8]) async { peer.send(text) }
        func closed() {}
    }

    private static func echo(_ connections: Int = 8) -> WebSocketRoute {
        WebSocketRoute(
            path: "/echo",
            limits: WebSocketLimits(connections: connections, pingIntervalSeconds: 3600),
            check: { request in
                guard request.header("x-closed") == nil else {
                    throw WebSocketRefusal(status: 400, body: Array("{\"code\":31001}".utf8))
                }
            },
            respond: { Echo(peer: $0) }
        )
    }

    private func serve(_ door: HTTPDoor, _ work: @escaping @Sendable (Int) async throws -> Void) async throws {
        let router = Router()
        router.get("health") { _, _ in "well" }
        router.get("echo") { _, _ in Response(status: .upgradeRequired) }
        router.post("taken") { request, _ in
            let body = try await request.body.collect(upTo: 1024)
            return "\(body.readableBytes) bytes"
        }
        router.post("refused") { _, _ in Response(status: .contentTooLarge) }
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        let application = Application(
            router: router,
            server: door.builder,
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                if let bound = channel.localAddress?.port { port.yield(bound) }
            },
            logger: Self.logger
        )
        let running = Task { try await application.run() }
        var iterator = ports.makeAsyncIterator()
        let bound = try #require(await iterator.next())
        do {
            try await work(bound)
        } catch {
            running.cancel()
            _ = try? await running.value
            throw error
        }
        running.cancel()
        _ = try? await running.value
    }

    private static let continuing = "Host: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"

    @Test("A client that waits for leave to send its body gets it at once")
    func interim() async throws {
        try await serve(HTTPDoor()) { port in
            let peer = try await RawPeer.connect(port)
            try await peer.send("POST /taken HTTP/1.1\r\n" + Self.continuing)
            #expect(try await peer.head() == "HTTP/1.1 100 Continue\r\n\r\n")
            try await peer.send("hello")
            let answer = try await peer.response()
            #expect(answer.head.hasPrefix("HTTP/1.1 200 OK"))
            #expect(answer.body == "5 bytes")
            // The connection goes on.
            try await peer.send("GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await peer.response().body == "well")
            await peer.close()
        }
    }

    @Test("A request that its headers are enough to refuse is refused without asking for the body")
    func refusedBeforeTheBody() async throws {
        try await serve(HTTPDoor(continueAfterMilliseconds: 60_000)) { port in
            let peer = try await RawPeer.connect(port)
            try await peer.send("POST /refused HTTP/1.1\r\n" + Self.continuing)
            #expect(try await peer.head().hasPrefix("HTTP/1.1 413"))
            await peer.close()
        }
    }

    @Test("A client that does not wait gets no interim answer")
    func impatient() async throws {
        try await serve(HTTPDoor(continueAfterMilliseconds: 60_000)) { port in
            let peer = try await RawPeer.connect(port)
            try await peer.send("POST /taken HTTP/1.1\r\n" + Self.continuing + "hello")
            #expect(try await peer.response().body == "5 bytes")
            await peer.close()
        }
    }

    private static let quick: [String: @Sendable () -> DoorAnswer?] = [
        "/health": { DoorAnswer(status: 200, headers: [("X-Quick", "yes")], body: Array("quick".utf8)) },
        "/taken": { nil },
    ]

    @Test("Over the limit a connection is told so at once, and health still answers")
    func overLimit() async throws {
        var door = HTTPDoor(maximumConnections: 1, quickAnswers: Self.quick)
        door.overLimitSeconds = 3600
        try await serve(door) { port in
            let first = try await RawPeer.connect(port)
            try await first.send("GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await first.response().body == "quick")
            let refusals = [
                "POST /taken HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
                // Not well enough for a quick answer, and another method.
                "GET /taken HTTP/1.1\r\nHost: h\r\n\r\n", "DELETE /health HTTP/1.1\r\nHost: h\r\n\r\n",
            ]
            for request in refusals {
                let second = try await RawPeer.connect(port)
                try await second.send(request)
                let refused = try await second.response()
                #expect(refused.head.hasPrefix("HTTP/1.1 503"))
                #expect(refused.head.lowercased().contains("retry-after: 1"))
                #expect(refused.body.contains("\"code\":\"overloaded\""))
                #expect(await second.isEnded())
            }
            let third = try await RawPeer.connect(port)
            try await third.send("GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await third.response().body == "quick")
            #expect(await third.isEnded())
            // The first one goes on, and when it ends its place is free.
            try await first.send("POST /taken HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
            #expect(try await first.response().body == "2 bytes")
            #expect(await first.isEnded())
        }
    }

    @Test("What says nothing over the limit is ended after a while")
    func silentOverLimit() async throws {
        var door = HTTPDoor(maximumConnections: 1)
        door.overLimitSeconds = 0
        try await serve(door) { port in
            let first = try await RawPeer.connect(port)
            try await first.send("GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await first.response().body == "well")
            let second = try await RawPeer.connect(port)
            #expect(await second.isEnded())
            await first.close()
        }
    }

    @Test("A quick answer is given by the door itself, in its turn, and the connection goes on")
    func quickAnswers() async throws {
        try await serve(HTTPDoor(quickAnswers: Self.quick)) { port in
            let peer = try await RawPeer.connect(port)
            for _ in 0..<3 {
                try await peer.send("GET /health?x=1 HTTP/1.1\r\nHost: h\r\n\r\n")
                let answer = try await peer.response()
                #expect(answer.head.hasPrefix("HTTP/1.1 200 OK") && answer.head.contains("X-Quick: yes"))
                #expect(answer.body == "quick")
                // Without one, and with a body, the request goes the usual way.
                try await peer.send("POST /taken HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
                #expect(try await peer.response().body == "2 bytes")
                try await peer.send("GET /health HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
                #expect(try await peer.response().body == "well")
            }
            // Behind a request that is not answered yet it waits its turn.
            try await peer.send(
                "POST /taken HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nhel"
                    + "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
            )
            #expect(try await peer.response().body == "3 bytes")
            #expect(try await peer.response().body == "well")
            try await peer.send("GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            #expect(try await peer.response().body == "quick")
            #expect(await peer.isEnded())
            let old = try await RawPeer.connect(port)
            try await old.send("GET /health HTTP/1.0\r\n\r\n")
            #expect(try await old.response().body == "quick")
            #expect(await old.isEnded())
        }
    }

    @Test("The handshake of RFC 6455, 1.3, and messages both ways")
    func webSocket() async throws {
        try await serve(HTTPDoor(webSockets: [Self.echo()])) { port in
            let peer = try await RawPeer.connect(port)
            let head = try await peer.openWebSocket("/echo?x=1")
            #expect(head.hasPrefix("HTTP/1.1 101"))
            #expect(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
            for text in ["a", String(repeating: "b", count: 300), String(repeating: "c", count: 70_000)] {
                try await peer.sendText(text)
                #expect(try await peer.text() == text)
            }
            try await peer.sendFrame(1, Array("half ".utf8), isFinal: false)
            try await peer.sendFrame(9, [1])
            try await peer.sendFrame(0, Array("whole".utf8))
            #expect(try await peer.frame() == RawPeer.Frame(opcode: 10, payload: [1]))
            #expect(try await peer.text() == "half whole")
            try await peer.sendFrame(8, [0x03, 0xE8])
            #expect(try await peer.frame().closeCode == 1000)
            #expect(await peer.isEnded())
        }
    }

    @Test("A WebSocket on a connection that has served a request before")
    func laterUpgrade() async throws {
        try await serve(HTTPDoor(webSockets: [Self.echo()])) { port in
            let peer = try await RawPeer.connect(port)
            try await peer.send("GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await peer.response().body == "well")
            #expect(try await peer.openWebSocket("/echo").hasPrefix("HTTP/1.1 101"))
            try await peer.sendText("x")
            #expect(try await peer.text() == "x")
            await peer.close()
        }
    }

    @Test("What is no WebSocket, or not let in, is answered with HTTP")
    func refusals() async throws {
        try await serve(HTTPDoor(webSockets: [Self.echo(1)])) { port in
            let plain = try await RawPeer.connect(port)
            try await plain.send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await plain.head().hasPrefix("HTTP/1.1 426"))
            await plain.close()
            let old = try await RawPeer.connect(port)
            try await old.send(
                "GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            #expect(try await old.head().hasPrefix("HTTP/1.1 400"))
            let stranger = try await RawPeer.connect(port)
            #expect(try await stranger.openWebSocket("/echo", headers: ["X-Closed: 1"]).hasPrefix("HTTP/1.1 400"))
            let first = try await RawPeer.connect(port)
            #expect(try await first.openWebSocket("/echo").hasPrefix("HTTP/1.1 101"))
            let second = try await RawPeer.connect(port)
            let full = try await second.openWebSocket("/echo")
            #expect(full.hasPrefix("HTTP/1.1 503"))
            #expect(full.lowercased().contains("retry-after: 5"))
            try await first.sendFrame(8, [0x03, 0xE8])
            #expect(await first.isEnded())
            let third = try await RawPeer.connect(port)
            #expect(try await third.openWebSocket("/echo").hasPrefix("HTTP/1.1 101"))
            await third.close()
        }
    }

    @Test("The server's stop ends open WebSockets with 1001")
    func stop() async throws {
        let held = Held()
        try await serve(HTTPDoor(webSockets: [Self.echo()])) { port in
            let peer = try await RawPeer.connect(port)
            #expect(try await peer.openWebSocket("/echo").hasPrefix("HTTP/1.1 101"))
            try await peer.sendText("x")
            #expect(try await peer.text() == "x")
            held.peer.withLock { $0 = peer }
        }
        // `serve` has returned, so the server ended although the socket was open.
        let peer = try #require(held.peer.withLock { $0 })
        #expect(try await peer.frame().closeCode == 1001)
        #expect(await peer.isEnded())
    }

    private final class Held: Sendable {
        let peer = Mutex<RawPeer?>(nil)
    }
}
