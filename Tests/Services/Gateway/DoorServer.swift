import AsyncHTTPClient
import Foundation
import Gateway
import Hummingbird
import HummingbirdCore
import NIOCore
import NIOPosix
import Synchronization
import TestSockets
import WebServer

/// A router behind a door, as the node has it.
func withDoor<T: Sendable>(
    _ router: Router<BasicRequestContext>,
    _ door: HTTPDoor,
    _ body: @escaping @Sendable (Int) async throws -> T
) async throws -> T {
    let ports = AsyncStream<Int>.makeStream()
    let application = Application(
        router: router,
        server: door.builder,
        configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)),
        onServerRunning: { channel in
            ports.continuation.yield(channel.localAddress?.port ?? 0)
            ports.continuation.finish()
        },
        logger: quiet
    )
    return try await withThrowingTaskGroup(of: T?.self) { group in
        group.addTask {
            try await application.run()
            return nil
        }
        group.addTask {
            for await port in ports.stream { return try await body(port) }
            throw CancellationError()
        }
        defer { group.cancelAll() }
        while let result = try await group.next() {
            if let result { return result }
        }
        throw CancellationError()
    }
}

/// A seller behind a door, in front of an upstream at `upstreamPort`.
func withDoorSeller<T: Sendable>(
    upstream upstreamPort: Int,
    sellsOverLightning: Bool = false,
    configure: (inout GatewayConfiguration) -> Void = { _ in },
    service: @escaping @Sendable (inout ServiceDefinition) -> Void = { _ in },
    _ body: @escaping @Sendable (TestNode, Int) async throws -> T
) async throws -> T {
    let node = try TestNode(sellsOverLightning: sellsOverLightning, configure: configure)
    try await node.start()
    do {
        try await node.sell(upstream: upstreamPort, configure: service)
        var door = HTTPDoor(quickAnswers: [
            "/health": { DoorAnswer(status: 200, headers: [], body: Array("node".utf8)) }
        ])
        let gateway = try node.gateway
        door.isForeign = { gateway.sells(at: $0) }
        door.webSocketGate = gateway.webSocketGate
        let result = try await withDoor(try node.router(), door) { port in try await body(node, port) }
        try await node.stop()
        return result
    } catch {
        try await node.stop()
        throw error
    }
}

/// An upstream that answers each request's head with the bytes it is told to, and counts.
final class RawUpstream: Sendable {
    struct Reply: Sendable {
        var bytes: [UInt8]
        /// Ends the connection after it; after a handshake, once something more came.
        var closes = true

        init(_ text: String, closes: Bool = true) {
            bytes = Array(text.utf8)
            self.closes = closes
        }
    }

    private let heads = Mutex<[String]>([])
    private let accepted = Mutex(0)
    private let received = Mutex<[UInt8]>([])

    /// The heads that came, as sent.
    var requests: [String] { heads.withLock { $0 } }
    var connections: Int { accepted.withLock { $0 } }
    /// What came after the heads.
    var rest: [UInt8] { received.withLock { $0 } }

    /// Serves on a port of the system's choice while `body` runs.
    func whileServing<T: Sendable>(
        _ reply: @escaping @Sendable (_ head: String) -> Reply?,
        _ body: @escaping @Sendable (Int) async throws -> T
    ) async throws -> T {
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    accepted.withLock { $0 += 1 }
                    try channel.pipeline.syncOperations.addHandler(Handler(self, reply))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        do {
            let result = try await body(channel.localAddress?.port ?? 0)
            try await channel.close()
            return result
        } catch {
            try? await channel.close()
            throw error
        }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let upstream: RawUpstream
        private let reply: @Sendable (String) -> Reply?
        private var bytes: [UInt8] = []
        private var isRaw = false
        private var closesLater = false

        init(_ upstream: RawUpstream, _ reply: @escaping @Sendable (String) -> Reply?) {
            self.upstream = upstream
            self.reply = reply
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let new = Array(unwrapInboundIn(data).readableBytesView)
            if isRaw {
                upstream.received.withLock { $0 += new }
                if closesLater { context.close(promise: nil) }
                return
            }
            bytes += new
            guard let end = String(decoding: bytes, as: UTF8.self).range(of: "\r\n\r\n") else { return }
            let head = String(String(decoding: bytes, as: UTF8.self)[..<end.upperBound])
            let left = Array(bytes.dropFirst(head.utf8.count))
            bytes = []
            upstream.heads.withLock { $0.append(head) }
            upstream.received.withLock { $0 += left }
            guard let reply = reply(head) else { return }
            isRaw = head.lowercased().contains("upgrade: websocket")
            closesLater = isRaw && reply.closes && reply.bytes.starts(with: "HTTP/1.1 101 ".utf8)
            let closesNow = reply.closes && !closesLater
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: reply.bytes))).whenComplete { _ in
                if closesNow { bound.value.close(promise: nil) }
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }

    static let hello = Reply("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", closes: false)
}

/// What a client that speaks bytes gets until the server ends the connection, or for some seconds.
func exchange(_ port: Int, _ text: String, seconds: Int64 = 5) async throws -> String {
    let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
        .connect(host: "127.0.0.1", port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
    let raw = channel.channel
    let close = raw.eventLoop.scheduleTask(in: .seconds(seconds)) { raw.close(promise: nil) }
    defer { close.cancel() }
    return try await channel.executeThenClose { inbound, outbound in
        try await outbound.write(ByteBuffer(string: text))
        var read: [UInt8] = []
        do {
            for try await piece in inbound { read += Array(piece.readableBytesView) }
        } catch {
            // A reset is an end like any other here.
        }
        return String(decoding: read, as: UTF8.self)
    }
}
