import NIOCore
import NIOEmbedded
import NIOWebSocket
import Synchronization
import Testing

@testable import WebServer

/// One connection's rules, with a clock that the test turns.
@Suite struct SessionTests {
    /// Keeps what it is told.
    final class Listener: WebSocketResponder {
        let peer: any WebSocketConnection
        let heard = Mutex<[String]>([])

        init(_ peer: any WebSocketConnection) { self.peer = peer }
        func receive(_ text: [UInt8]) async { heard.withLock { $0.append(String(decoding: text, as: UTF8.self)) } }
        func closed() {}
    }

    private func open(_ limits: WebSocketLimits = WebSocketLimits()) throws -> (
        EmbeddedChannel, any WebSocketConnection
    ) {
        let channel = EmbeddedChannel()
        let shared = Shared()
        let route = WebSocketRoute(path: "/", limits: limits) { peer in
            shared.box.withLock { $0 = peer }
            return Listener(peer)
        }
        try channel.pipeline.syncOperations.addHandler(WebSocketSession(route, channel: channel))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return (channel, try #require(shared.box.withLock { $0 }))
    }

    private func frame(
        _ opcode: WebSocketOpcode,
        _ text: [UInt8] = [],
        fin: Bool = true,
        masked: Bool = true
    ) -> WebSocketFrame {
        var data = ByteBuffer(bytes: text)
        let key = WebSocketMaskingKey([1, 2, 3, 4])
        if masked, let key { data.webSocketMask(key) }
        return WebSocketFrame(fin: fin, opcode: opcode, maskKey: masked ? key : nil, data: data)
    }

    /// The next frame that went out.
    private func next(_ channel: EmbeddedChannel) throws -> (opcode: WebSocketOpcode, bytes: [UInt8])? {
        try channel.readOutbound(as: WebSocketFrame.self).map { ($0.opcode, Array($0.data.readableBytesView)) }
    }

    private func code(_ channel: EmbeddedChannel) throws -> Int? {
        while let (opcode, bytes) = try next(channel) {
            if opcode == .connectionClose { return Int(bytes[0]) << 8 | Int(bytes[1]) }
        }
        return nil
    }

    @Test("A ping is answered, and a peer that stays silent after one is dropped")
    func heartbeat() throws {
        let (channel, _) = try open(WebSocketLimits(pingIntervalSeconds: 30))
        try channel.writeInbound(frame(.ping, [7]))
        let answer = try #require(try next(channel))
        #expect(answer.opcode == .pong)
        #expect(answer.bytes == [7])
        channel.embeddedEventLoop.advanceTime(by: .seconds(30))
        #expect(try next(channel)?.opcode == .ping)
        try channel.writeInbound(frame(.pong))
        channel.embeddedEventLoop.advanceTime(by: .seconds(30))
        #expect(try next(channel)?.opcode == .ping)
        #expect(channel.isActive)
        channel.embeddedEventLoop.advanceTime(by: .seconds(30))
        #expect(!channel.isActive)
    }

    @Test("What breaks RFC 6455 ends the connection with its code")
    func violations() throws {
        let cases: [(WebSocketFrame, Int)] = [
            (frame(.text, Array("x".utf8), masked: false), 1002),
            (frame(.continuation, Array("x".utf8)), 1002),
            (frame(.binary, [1]), 1003),
            (frame(.text, [0xFF]), 1007),
            (frame(.text, [UInt8](repeating: 0x61, count: 1025)), 1009),
        ]
        for (bad, expected) in cases {
            let (channel, _) = try open(WebSocketLimits(messageBytes: 1024))
            try channel.writeInbound(bad)
            #expect(try code(channel) == expected)
            // The peer that never says goodbye is not waited for for ever.
            channel.embeddedEventLoop.advanceTime(by: .seconds(2))
            #expect(!channel.isActive)
        }
    }

    @Test("A message in pieces is bounded as a whole")
    func pieces() throws {
        let (channel, _) = try open(WebSocketLimits(messageBytes: 1024))
        try channel.writeInbound(frame(.text, [UInt8](repeating: 0x61, count: 600), fin: false))
        #expect(try next(channel) == nil)
        try channel.writeInbound(frame(.continuation, [UInt8](repeating: 0x61, count: 600)))
        #expect(try code(channel) == 1009)
    }

    @Test("The peer's goodbye is answered with its code")
    func goodbye() throws {
        let (channel, _) = try open()
        try channel.writeInbound(frame(.connectionClose, [0x03, 0xE8]))
        #expect(try code(channel) == 1000)
        channel.embeddedEventLoop.run()
        #expect(!channel.isActive)
    }

    @Test("The server's end is said with 1001")
    func quiesce() throws {
        let (channel, _) = try open()
        channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        #expect(try code(channel) == 1001)
        #expect(channel.isActive)
        try channel.writeInbound(frame(.connectionClose, [0x03, 0xE9]))
        #expect(!channel.isActive)
    }

    @Test("A peer that does not read is dropped at the limit")
    func slowReader() throws {
        let (channel, peer) = try open(WebSocketLimits(outboundBytes: 10_000))
        let stuck = Stuck()
        try channel.pipeline.syncOperations.addHandler(stuck, position: .first)
        for _ in 0..<8 { peer.send([UInt8](repeating: 0x61, count: 1000)) }
        channel.embeddedEventLoop.run()
        #expect(channel.isActive)
        peer.send([UInt8](repeating: 0x61, count: 1000))
        channel.embeddedEventLoop.run()
        #expect(!channel.isActive)
        #expect(stuck.bytes <= 10_000)
    }

    private final class Shared: Sendable {
        let box = Mutex<(any WebSocketConnection)?>(nil)
    }

    /// A socket whose peer never reads.
    private final class Stuck: ChannelOutboundHandler {
        typealias OutboundIn = WebSocketFrame
        private var waiting: [EventLoopPromise<Void>] = []
        var bytes = 0

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            bytes += unwrapOutboundIn(data).data.readableBytes
            if let promise { waiting.append(promise) }
        }

        func flush(context: ChannelHandlerContext) {}

        func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
            for promise in waiting { promise.fail(ChannelError.ioOnClosedChannel) }
            context.close(mode: mode, promise: promise)
        }
    }
}
