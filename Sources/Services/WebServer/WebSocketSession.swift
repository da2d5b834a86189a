internal import NIOCore
internal import NIOWebSocket
internal import Synchronization

/// One open WebSocket, on the server's side (RFC 6455): puts messages together, answers pings, holds back a peer that
/// sends faster than it is answered, and drops one that neither reads nor speaks.
final class WebSocketSession: ChannelDuplexHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundIn = Never
    typealias OutboundOut = WebSocketFrame

    /// How long a peer has to answer a goodbye.
    private static let goodbyeSeconds: Int64 = 2
    /// Messages that were read but not answered before reading stops.
    private static let unansweredMessages = 8

    private let route: WebSocketRoute
    private let link: SessionLink
    private let responder: any WebSocketResponder
    private let messages: AsyncStream<[UInt8]>.Continuation
    private let stream: AsyncStream<[UInt8]>
    private var context: ChannelHandlerContext?
    private var fragments: [UInt8]?
    private var unanswered = 0
    private var isReadHeld = false
    private var wasHeard = true
    private var saidGoodbye = false
    private var heartbeat: RepeatedTask?
    private var end: Scheduled<Void>?

    init(_ route: WebSocketRoute, channel: any Channel) {
        self.route = route
        link = SessionLink(channel: channel, outboundBytes: route.limits.outboundBytes)
        responder = route.respond(link)
        (stream, messages) = AsyncStream.makeStream()
    }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        link.attach(bound)
        let interval = TimeAmount.seconds(route.limits.pingIntervalSeconds)
        heartbeat = context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            bound.value.beat()
        }
        let eventLoop = context.eventLoop
        Task { [responder, stream] in
            for await message in stream {
                await responder.receive(message)
                eventLoop.execute { bound.value.answered() }
            }
            responder.closed()
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        heartbeat?.cancel()
        end?.cancel()
        link.detach()
        messages.finish()
        route.leave()
    }

    private func beat() {
        guard let context else { return }
        guard wasHeard else { return context.close(promise: nil) }
        wasHeard = false
        write(.ping, [], context)
    }

    /// Says that the server is stopping (RFC 6455, 7.4.1: 1001).
    func goAway() {
        sayGoodbye(1001, "the server is stopping")
    }

    func sayGoodbye(_ code: UInt16, _ reason: String) {
        guard let context, !saidGoodbye else { return }
        saidGoodbye = true
        messages.finish()
        // A control frame has at most 125 bytes.
        let text = reason.utf8.prefix(120)
        write(.connectionClose, [UInt8(code >> 8), UInt8(code & 255)] + text, context)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        end = context.eventLoop.scheduleTask(in: .seconds(Self.goodbyeSeconds)) { bound.value.close(promise: nil) }
    }

    func drop() {
        context?.close(promise: nil)
    }

    // MARK: Reading

    func read(context: ChannelHandlerContext) {
        // After the goodbye everything is read, as the peer's own goodbye is among it.
        if unanswered < Self.unansweredMessages || saidGoodbye {
            context.read()
        } else {
            isReadHeld = true
        }
    }

    private func answered() {
        unanswered -= 1
        guard isReadHeld, unanswered < Self.unansweredMessages, let context else { return }
        isReadHeld = false
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        wasHeard = true
        // No extension is agreed on, and a client always masks (RFC 6455, 5.1 and 5.2).
        guard frame.maskKey != nil, !frame.rsv1, !frame.rsv2, !frame.rsv3 else {
            return sayGoodbye(1002, "a frame is not masked, or uses a reserved bit")
        }
        let bytes = [UInt8](frame.unmaskedData.readableBytesView)
        switch frame.opcode {
        case .connectionClose: receiveGoodbye(bytes, context)
        case .ping: if !saidGoodbye { write(.pong, bytes, context) }
        case .pong: break
        case .text, .binary, .continuation: receive(frame, bytes)
        default: sayGoodbye(1002, "a frame has an opcode that RFC 6455 reserves")
        }
    }

    private func receive(_ frame: WebSocketFrame, _ bytes: [UInt8]) {
        guard !saidGoodbye else { return }
        var message = bytes
        switch (frame.opcode, fragments) {
        case (.binary, _): return sayGoodbye(1003, "only text is understood here")
        case (.text, nil): break
        case (.continuation, let earlier?): message = earlier + bytes
        default: return sayGoodbye(1002, "the pieces of a message are out of order")
        }
        guard message.count <= route.limits.messageBytes else {
            return sayGoodbye(1009, "a message has at most \(route.limits.messageBytes) bytes")
        }
        guard frame.fin else {
            fragments = message
            return
        }
        fragments = nil
        guard String(validating: message, as: UTF8.self) != nil else {
            return sayGoodbye(1007, "the text is not UTF-8")
        }
        unanswered += 1
        messages.yield(message)
    }

    private func receiveGoodbye(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
        messages.finish()
        guard !saidGoodbye else { return context.close(promise: nil) }
        saidGoodbye = true
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        let buffer = context.channel.allocator.buffer(bytes: bytes.prefix(2))
        let answer = WebSocketFrame(fin: true, opcode: .connectionClose, data: buffer)
        context.writeAndFlush(wrapOutboundOut(answer)).whenComplete { _ in bound.value.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case NIOWebSocketError.invalidFrameLength:
            sayGoodbye(1009, "a message has at most \(route.limits.messageBytes) bytes")
            // The decoder reads no more after an error, so the peer's goodbye will not be seen.
            closeAfterFlush(context)
        case is NIOWebSocketError:
            sayGoodbye(1002, "a frame is malformed")
            closeAfterFlush(context)
        default:
            context.close(promise: nil)
        }
    }

    /// What was written stands in front of this on the event loop.
    private func closeAfterFlush(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.eventLoop.execute { bound.value.close(promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent: goAway()
        case ChannelEvent.inputClosed: context.close(promise: nil)
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    // MARK: Writing

    /// A text message that ``SessionLink`` has counted already.
    func writeCounted(_ text: [UInt8]) {
        guard let context, !saidGoodbye else { return link.wrote(text.count) }
        send(.text, text, context)
    }

    private func write(_ opcode: WebSocketOpcode, _ bytes: [UInt8], _ context: ChannelHandlerContext) {
        link.count(bytes.count)
        send(opcode, bytes, context)
    }

    private func send(_ opcode: WebSocketOpcode, _ bytes: [UInt8], _ context: ChannelHandlerContext) {
        let frame = WebSocketFrame(fin: true, opcode: opcode, data: context.channel.allocator.buffer(bytes: bytes))
        let link = link
        let count = bytes.count
        context.writeAndFlush(wrapOutboundOut(frame)).whenComplete { _ in link.wrote(count) }
        // Pings are answered too, so a peer that only pings and never reads meets the same limit.
        if link.isOverLimit { context.close(promise: nil) }
    }
}

/// What others hold of a session: safe on any thread, and harmless once the session is gone.
final class SessionLink: WebSocketConnection {
    private static let ids = Atomic<UInt64>(1)

    private struct State {
        var session: NIOLoopBound<WebSocketSession>?
        /// Bytes that were given to `send` and have not reached the socket.
        var outbound = 0
    }

    /// Beside its bytes, what a waiting frame costs in memory.
    private static let frameOverhead = 128

    let id: UInt64
    private let eventLoop: any EventLoop
    private let limit: Int
    private let state = Mutex(State())

    init(channel: any Channel, outboundBytes: Int) {
        id = Self.ids.wrappingAdd(1, ordering: .relaxed).oldValue
        eventLoop = channel.eventLoop
        limit = outboundBytes
    }

    func attach(_ session: NIOLoopBound<WebSocketSession>) {
        state.withLock { $0.session = session }
    }

    func detach() {
        state.withLock { $0.session = nil }
    }

    func count(_ bytes: Int) {
        state.withLock { $0.outbound += bytes + Self.frameOverhead }
    }

    func wrote(_ bytes: Int) {
        state.withLock { $0.outbound -= bytes + Self.frameOverhead }
    }

    var isOverLimit: Bool { state.withLock { $0.outbound > limit } }

    func send(_ text: [UInt8]) {
        let (session, isOver) = state.withLock { state in
            let isOver = state.outbound + text.count + Self.frameOverhead > limit
            if !isOver, state.session != nil { state.outbound += text.count + Self.frameOverhead }
            return (state.session, isOver)
        }
        guard let session else { return }
        eventLoop.execute {
            if isOver {
                session.value.drop()
            } else {
                session.value.writeCounted(text)
            }
        }
    }

    func close(code: UInt16, reason: String) {
        guard let session = state.withLock({ $0.session }) else { return }
        eventLoop.execute { session.value.sayGoodbye(code, reason) }
    }
}
