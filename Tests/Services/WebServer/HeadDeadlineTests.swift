import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import Synchronization
import TestSockets
import Testing

@testable import WebServer

/// Clients that are slow with the head of a request, over real sockets.
@Suite("The head of a request has its time")
struct HeadDeadlineTests {
    private func serve(_ door: HTTPDoor, _ work: @escaping @Sendable (Int) async throws -> Void) async throws {
        let router = Router()
        router.get("health") { _, _ in "well" }
        router.post("taken") { request, _ in
            let body = try await request.body.collect(upTo: 1024)
            return "\(body.readableBytes) bytes"
        }
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        let application = Application(
            router: router,
            server: door.builder,
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                if let bound = channel.localAddress?.port { port.yield(bound) }
            },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
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

    @Test(
        "GWY-15: a head that comes a byte at a time ends with 408; so does a second one on a connection that was good"
    )
    func slow() async throws {
        var door = HTTPDoor()
        door.headSeconds = 5
        try await serve(door) { port in
            for isSecond in [false, true] {
                let peer = try await RawPeer.connect(port)
                if isSecond {
                    try await peer.send("POST /taken HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
                    #expect(try await peer.response().body == "2 bytes")
                }
                try await peer.send("GET /health HTTP/1.1\r\nX-Slow: ")
                let answer = Task { try await peer.response() }
                let sending = Task {
                    for _ in 0..<300 {
                        try await peer.send("a")
                        try await Task.sleep(for: .milliseconds(100))
                    }
                    await peer.close()
                }
                let (head, body) = try await answer.value
                #expect(head.hasPrefix("HTTP/1.1 408"))
                #expect(body.contains("request-timeout"))
                sending.cancel()
                #expect(await peer.isEnded())
            }
        }
    }

    @Test("GWY-15: a connection that sends nothing ends too; one that had a request may wait, and so may a slow body")
    func silent() async throws {
        var door = HTTPDoor()
        door.headSeconds = 5
        try await serve(door) { port in
            let good = try await RawPeer.connect(port)
            try await good.send("GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await good.response().body == "well")
            let body = try await RawPeer.connect(port)
            try await body.send("POST /taken HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nhe")
            let silent = try await RawPeer.connect(port)
            #expect(await silent.isEnded())
            // Twice the time of a head later these two are as good as before.
            let another = try await RawPeer.connect(port)
            #expect(await another.isEnded())
            try await good.send("GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await good.response().body == "well")
            try await body.send("ad")
            #expect(try await body.response().body == "4 bytes")
            await good.close()
            await body.close()
        }
    }

    @Test("GWY-15: of connections that wait for a head, over the limit the oldest that still waits ends")
    func oldest() {
        let closed = Mutex<[Int]>([])
        let waiting = HalfOpenConnections(limit: 2)
        func enter(_ number: Int) -> HalfOpenConnections.Place {
            waiting.enter { closed.withLock { $0.append(number) } }
        }
        let places = [enter(0), enter(1)]
        waiting.leave(places[0])
        _ = enter(2)
        #expect(closed.withLock { $0 } == [])
        _ = enter(3)
        #expect(closed.withLock { $0 } == [1])
        // It is gone already, and its own end changes nothing.
        waiting.leave(places[1])
        _ = enter(4)
        _ = enter(5)
        #expect(closed.withLock { $0 } == [1, 2, 3])
        #expect(waiting.count == 2)
    }

    @Test("GWY-15: connections that wait for a head are kept to half of all, so that who sends one is served")
    func halfOpen() async throws {
        var door = HTTPDoor(maximumConnections: 8)
        door.headSeconds = 3600
        try await serve(door) { port in
            // One that is in the middle of a request is not among them, however old.
            let old = try await RawPeer.connect(port)
            let head = "POST /taken HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
            try await old.send(head)
            #expect(try await old.head().hasPrefix("HTTP/1.1 100"))
            try await old.send("he")
            // In which order they are counted is the server's affair; of nine that wait, five end, or were one too many.
            var waiting: [RawPeer] = []
            for _ in 0..<9 {
                let peer = try await RawPeer.connect(port)
                try? await peer.send("GET /he")
                waiting.append(peer)
            }
            let ended = AsyncStream<Void>.makeStream()
            let watching = waiting.map { peer in
                Task { if await peer.isEnded() { ended.continuation.yield() } }
            }
            var ends = ended.stream.makeAsyncIterator()
            for _ in 0..<5 { _ = await ends.next() }
            try await old.send("ad")
            #expect(try await old.response().body == "4 bytes")
            let next = try await RawPeer.connect(port)
            try await next.send("GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await next.response().body == "well")
            for peer in waiting + [next, old] { await peer.close() }
            for task in watching { await task.value }
        }
    }
}
