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
        guard let answer = Answer(received.readableBytesView), received.readableBytes >= answer.length,
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

    init?(_ bytes: ByteBufferView) {
        guard bytes.count > 12, let end = Self.endOfHead(bytes),
            let body = Self.number("content-length:", in: bytes[..<end])
        else { return nil }
        isGood = bytes[bytes.startIndex + 9] == UInt8(ascii: "2")
        length = end + 4 - bytes.startIndex + body
        if bytes[(bytes.startIndex + 9)..<(bytes.startIndex + 12)].elementsEqual("503".utf8) {
            retryAfterSeconds = Self.number("retry-after:", in: bytes[..<end])
        }
    }

    /// The digits of the field of this name, in lower case and with its colon.
    private static func number(_ name: StaticString, in head: ByteBufferView) -> Int? {
        name.withUTF8Buffer { name in
            var index = head.startIndex
            while index < head.endIndex {
                var matched = 0
                while matched < name.count, index + matched < head.endIndex,
                    head[index + matched] | 0x20 == name[matched] | 0x20
                {
                    matched += 1
                }
                if matched == name.count {
                    var number = 0
                    for byte in head[(index + matched)...] {
                        if byte == UInt8(ascii: "\r") { break }
                        if byte >= 0x30, byte <= 0x39 { number = number * 10 + Int(byte - 0x30) }
                    }
                    return number
                }
                while index < head.endIndex, head[index] != UInt8(ascii: "\n") { index += 1 }
                index += 1
            }
            return nil
        }
    }

    private static func endOfHead(_ bytes: ByteBufferView) -> Int? {
        var index = bytes.startIndex
        while index + 3 < bytes.endIndex {
            if bytes[index] == 13, bytes[index + 1] == 10, bytes[index + 2] == 13, bytes[index + 3] == 10 {
                return index
            }
            index += 1
        }
        return nil
    }
}
