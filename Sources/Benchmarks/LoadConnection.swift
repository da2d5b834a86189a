internal import Foundation
internal import NIOCore
internal import NIOPosix

/// What one client of the load generator does: a request at a time, on a connection that is made anew where the server
/// ended it.
struct LoadClient: Sendable {
    let queue: RequestQueue
    let port: Int
    let heedsRetryAfter: Bool
    let timeoutNanoseconds: Int64

    /// - Parameters:
    ///   - request: what a connection before this one was put off with.
    ///   - finished: fulfilled when there is nothing left to send; failed where no connection can be made.
    func connect(
        on eventLoop: any EventLoop,
        sending request: ByteBuffer? = nil,
        finished: EventLoopPromise<Void>
    ) -> EventLoopFuture<Void> {
        ClientBootstrap(group: eventLoop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        LoadConnection(client: self, sending: request, finished: finished)
                    )
                }
            }
            .connect(host: "127.0.0.1", port: port)
            .map { _ in }
            .flatMapErrorThrowing { error in
                finished.fail(error)
                throw error
            }
    }
}

final class LoadConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        case waiting(since: NIODeadline)
        /// Put off: the same request is sent again later.
        case pausing
        case ended
    }

    private let client: LoadClient
    private let finished: EventLoopPromise<Void>
    private var request: ByteBuffer?
    private var received = ByteBuffer()
    private var state = State.ended
    private var watch: RepeatedTask?

    init(client: LoadClient, sending request: ByteBuffer?, finished: EventLoopPromise<Void>) {
        self.client = client
        self.request = request
        self.finished = finished
    }

    func channelActive(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        watch = context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
            let (connection, context) = bound.value
            connection.endIfLate(context)
        }
        if request == nil { request = client.queue.next() }
        send(context)
    }

    private func send(_ context: ChannelHandlerContext) {
        guard let request else {
            state = .ended
            context.close(promise: nil)
            return
        }
        state = .waiting(since: .now())
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var part = unwrapInboundIn(data)
        received.writeBuffer(&part)
        guard let answer = Answer(received), received.readableBytes >= answer.length,
            case .waiting(let since) = state
        else { return }
        received.clear()
        if client.heedsRetryAfter, let seconds = answer.retryAfterSeconds {
            client.queue.putOff()
            return pause(seconds, context)
        }
        client.queue.answered(answer.isGood, sentAt: since)
        request = client.queue.next()
        send(context)
    }

    private func pause(_ seconds: Int, _ context: ChannelHandlerContext) {
        state = .pausing
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: .seconds(Int64(seconds))) {
            let (connection, context) = bound.value
            if context.channel.isActive { connection.send(context) } else { connection.reconnect(context) }
        }
    }

    private func reconnect(_ context: ChannelHandlerContext) {
        _ = client.connect(on: context.eventLoop, sending: request, finished: finished)
    }

    private func endIfLate(_ context: ChannelHandlerContext) {
        guard case .waiting(let since) = state else { return }
        // Counted as unanswered when the connection has ended.
        if (NIODeadline.now() - since).nanoseconds > client.timeoutNanoseconds { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        watch?.cancel()
        switch state {
        case .pausing: break
        case .ended: finished.succeed()
        case .waiting:
            client.queue.unanswered()
            request = client.queue.next()
            if request == nil { finished.succeed() } else { reconnect(context) }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

/// What is to be known of an HTTP answer whose head has arrived.
private struct Answer {
    var isGood: Bool
    /// Of a 503.
    var retryAfterSeconds: Int?
    var length: Int

    /// - Returns: nil where the head is not whole yet, or names no length.
    init?(_ buffer: ByteBuffer) {
        let read = buffer.withUnsafeReadableBytes { Self.read($0) }
        guard let read else { return nil }
        self = read
    }

    private init(isGood: Bool, retryAfterSeconds: Int?, length: Int) {
        self.isGood = isGood
        self.retryAfterSeconds = retryAfterSeconds
        self.length = length
    }

    /// One way through the head, from line to line: a receipt makes a long line.
    private static func read(_ bytes: UnsafeRawBufferPointer) -> Answer? {
        guard bytes.count > 12, let base = bytes.baseAddress else { return nil }
        let isOverloaded = bytes[9] == 0x35 && bytes[10] == 0x30 && bytes[11] == 0x33
        var body: Int?
        var retryAfterSeconds: Int?
        var start = 0
        while let end = memchr(base + start, 0x0A, bytes.count - start) {
            let line = UnsafeRawBufferPointer(rebasing: bytes[start..<base.distance(to: UnsafeRawPointer(end))])
            if line.count <= 1 {
                guard let body else { return nil }
                return Answer(
                    isGood: bytes[9] == UInt8(ascii: "2"),
                    retryAfterSeconds: retryAfterSeconds,
                    length: start + line.count + 1 + body
                )
            }
            if body == nil { body = number("content-length:", in: line) }
            if isOverloaded, retryAfterSeconds == nil { retryAfterSeconds = number("retry-after:", in: line) }
            start += line.count + 1
        }
        return nil
    }

    /// The digits of a line that begins with this name, which is in lower case and has its colon.
    private static func number(_ name: StaticString, in line: UnsafeRawBufferPointer) -> Int? {
        name.withUTF8Buffer { name in
            guard line.count > name.count else { return nil }
            for index in 0..<name.count where line[index] | 0x20 != name[index] | 0x20 { return nil }
            var number = 0
            for byte in line[name.count...] where (0x30...0x39).contains(byte) {
                number = number &* 10 &+ Int(byte - 0x30)
            }
            return number
        }
    }
}
