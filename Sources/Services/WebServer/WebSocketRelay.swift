public import NIOCore
public import NIOWebSocket

/// Passes the frames of a WebSocket on between a client and another server, on one event loop (RFC 6455).
///
/// A frame is read only while the other side takes what it was given, so that a slow reader holds the sender back by TCP and
/// no more than a frame waits here. Pings, pongs and goodbyes cross as they are. A peer that breaks the protocol is told so; the
/// other one is told that its peer is gone.
final class WebSocketRelay {
    /// How long a goodbye may take.
    private static let goodbyeSeconds: Int64 = 2
    /// How the gateway's own pings are told from the peers'.
    private static let heartbeat = Array("mintmark".utf8)

    private let client: WebSocketRelayEnd
    private let server: WebSocketRelayEnd
    private let limits: WebSocketRelayLimits
    private let onEnd: @Sendable (TimeAmount) -> Void
    private var timers: [Scheduled<Void>] = []
    private var heartbeats: RepeatedTask?
    private var began: NIODeadline?
    /// When it was no longer what was sold: a side said goodbye, or was gone.
    private var over: NIODeadline?
    private var isEnding: Bool { over != nil }
    private var hasEnded = false

    init(
        client: WebSocketRelayEnd,
        server: WebSocketRelayEnd,
        limits: WebSocketRelayLimits,
        onEnd: @escaping @Sendable (TimeAmount) -> Void
    ) {
        self.client = client
        self.server = server
        self.limits = limits
        self.onEnd = onEnd
    }

    /// Begins once both ends are in their pipelines.
    func begin(on eventLoop: any EventLoop) {
        client.relay = self
        server.relay = self
        began = .now()
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        if let seconds = limits.seconds {
            timers.append(
                eventLoop.scheduleTask(in: .seconds(seconds)) {
                    bound.value.end(
                        client: (WebSocketRelayLimits.closeCode, "the paid time is over"),
                        server: (1001, "the client's paid time is over")
                    )
                }
            )
        }
        let interval = TimeAmount.seconds(limits.pingIntervalSeconds)
        heartbeats = eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in bound.value.beat() }
        server.begin()
        client.begin()
        guard client.isOpen else { return ended(client) }
        guard server.isOpen else { return ended(server) }
    }

    private func other(_ end: WebSocketRelayEnd) -> WebSocketRelayEnd { end === client ? server : client }

    // MARK: Frames

    func received(_ frame: WebSocketFrame, from end: WebSocketRelayEnd) {
        guard (frame.maskKey != nil) == end.isClient, !frame.rsv1, !frame.rsv2, !frame.rsv3 else {
            return broken(by: end, 1002, "a frame is masked wrongly, or uses a reserved bit")
        }
        let data = frame.unmaskedData
        switch frame.opcode {
        case .connectionClose: receivedGoodbye(data, from: end)
        case .ping: pass(.ping, data, true, from: end)
        case .pong:
            // The answer to a ping of ours ends here.
            if !data.readableBytesView.elementsEqual(Self.heartbeat) { pass(.pong, data, true, from: end) }
        case .text, .binary, .continuation:
            guard (frame.opcode == .continuation) == end.isInMessage else {
                return broken(by: end, 1002, "the pieces of a message are out of order")
            }
            end.isInMessage = !frame.fin
            pass(frame.opcode, data, frame.fin, from: end)
        default: broken(by: end, 1002, "a frame has an opcode that RFC 6455 reserves")
        }
    }

    private func pass(_ opcode: WebSocketOpcode, _ data: ByteBuffer, _ fin: Bool, from end: WebSocketRelayEnd) {
        guard !isEnding else { return }
        other(end).send(opcode, data, fin: fin)
    }

    private func receivedGoodbye(_ data: ByteBuffer, from end: WebSocketRelayEnd) {
        end.hasSaidGoodbye = true
        let other = other(end)
        if end.wasToldGoodbye {
            // The answer to one that it was told.
            end.closeAfterFlush()
            if !other.wasToldGoodbye { other.sayGoodbye(data) }
            if other.hasSaidGoodbye { other.closeAfterFlush() }
            return
        }
        guard data.readableBytes == 0 || Self.isGoodbye(data) else {
            return broken(by: end, 1002, "the goodbye has a code that RFC 6455 does not allow")
        }
        over = over ?? .now()
        other.sayGoodbye(data)
        endSoon()
        // The answer goes back when the other side has given it; where it is gone already, at once.
        if !other.isOpen {
            end.sayGoodbye(data)
            end.closeAfterFlush()
        }
    }

    private static func isGoodbye(_ data: ByteBuffer) -> Bool {
        guard let code = data.getInteger(at: data.readerIndex, as: UInt16.self) else { return false }
        return [1000...1003, 1007...1014, 3000...4999].contains { $0.contains(code) }
    }

    // MARK: Ends

    /// A side breaks the protocol, or sends more than is let through.
    func broken(by end: WebSocketRelayEnd, _ code: UInt16, _ reason: String) {
        let isClients = end.isClient
        self.end(
            client: isClients ? (code, reason) : (1014, "the service broke the protocol"),
            server: isClients ? (1001, "the client broke the protocol") : (code, reason)
        )
        // The decoder may read no more after an error, so its goodbye may never be seen.
        end.closeAfterFlush()
    }

    /// A side's connection is gone.
    func ended(_ end: WebSocketRelayEnd) {
        let other = other(end)
        guard other.isOpen else { return finish() }
        if !isEnding {
            self.end(client: (1014, "the service is gone"), server: (1001, "the client is gone"))
        } else if other.hasSaidGoodbye {
            // It waits for an answer that does not come.
            if !other.wasToldGoodbye { other.sayGoodbye(1001, "the other side is gone") }
            other.closeAfterFlush()
        }
    }

    /// The server is stopping.
    func goAway() {
        end(client: (1001, "the server is stopping"), server: (1001, "the gateway is stopping"))
    }

    private func end(client clients: (UInt16, String), server servers: (UInt16, String)) {
        guard !isEnding else { return }
        over = .now()
        client.sayGoodbye(clients.0, clients.1)
        server.sayGoodbye(servers.0, servers.1)
        endSoon()
    }

    private func endSoon() {
        guard let eventLoop = client.eventLoop ?? server.eventLoop else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        timers.append(
            eventLoop.scheduleTask(in: .seconds(Self.goodbyeSeconds)) {
                bound.value.client.close()
                bound.value.server.close()
            }
        )
        // What is still to come is read, as the goodbyes are among it.
        client.readOn()
        server.readOn()
    }

    private func finish() {
        guard !hasEnded else { return }
        hasEnded = true
        heartbeats?.cancel()
        for timer in timers { timer.cancel() }
        client.relay = nil
        server.relay = nil
        let end = over ?? .now()
        onEnd(end - (began ?? end))
    }

    private func beat() {
        for end in [client, server] {
            guard end.wasHeard || end.isReadHeld else {
                end.close()
                continue
            }
            end.wasHeard = false
            if end.isWritable, !isEnding { end.send(.ping, ByteBuffer(bytes: Self.heartbeat), fin: true) }
        }
    }

    // MARK: Pace

    func mayRead(_ end: WebSocketRelayEnd) -> Bool { isEnding || other(end).isWritable }

    func becameWritable(_ end: WebSocketRelayEnd) { other(end).readOn() }
}

/// One side's connection of a ``WebSocketRelay``, behind its frame decoder. Frames that come before there is a relay wait
/// here; nothing is read meanwhile, so that they are those of one read.
public final class WebSocketRelayEnd: ChannelDuplexHandler {
    public typealias InboundIn = WebSocketFrame
    public typealias OutboundIn = Never
    public typealias OutboundOut = WebSocketFrame

    let isClient: Bool
    var relay: WebSocketRelay?
    var isInMessage = false
    var hasSaidGoodbye = false
    private(set) var wasToldGoodbye = false
    var wasHeard = true
    private(set) var isReadHeld = false
    private var context: ChannelHandlerContext?
    private var waiting: [WebSocketFrame] = []
    private var failure: (any Error)?

    /// - Parameter isClient: whether a client is at the other end, which masks what it sends.
    public init(isClient: Bool) {
        self.isClient = isClient
    }

    public func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    public func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        relay?.ended(self)
    }

    var eventLoop: (any EventLoop)? { context?.eventLoop }
    var isOpen: Bool { context?.channel.isActive ?? false }
    var isWritable: Bool { context?.channel.isWritable ?? false }

    func begin() {
        for frame in waiting { relay?.received(frame, from: self) }
        waiting = []
        if let failure, let context { errorCaught(context: context, error: failure) }
        readOn()
    }

    // MARK: Reading

    public func read(context: ChannelHandlerContext) {
        if relay?.mayRead(self) == true { context.read() } else { isReadHeld = true }
    }

    func readOn() {
        guard isReadHeld, let context, relay?.mayRead(self) == true else { return }
        isReadHeld = false
        context.read()
    }

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        wasHeard = true
        if let relay { relay.received(frame, from: self) } else { waiting.append(frame) }
    }

    public func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { relay?.becameWritable(self) }
        context.fireChannelWritabilityChanged()
    }

    public func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let relay else { return failure = error }
        switch error {
        case NIOWebSocketError.invalidFrameLength: relay.broken(by: self, 1009, "a frame is longer than is let through")
        case is NIOWebSocketError: relay.broken(by: self, 1002, "a frame is malformed")
        default: context.close(promise: nil)
        }
    }

    public func channelInactive(context: ChannelHandlerContext) {
        relay?.ended(self)
        context.fireChannelInactive()
    }

    public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent: relay?.goAway()
        case ChannelEvent.inputClosed: context.close(promise: nil)
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    // MARK: Writing

    func send(_ opcode: WebSocketOpcode, _ data: ByteBuffer, fin: Bool) {
        guard let context, !wasToldGoodbye else { return }
        let frame = WebSocketFrame(fin: fin, opcode: opcode, maskKey: isClient ? nil : .random(), data: data)
        context.writeAndFlush(wrapOutboundOut(frame), promise: nil)
    }

    func sayGoodbye(_ data: ByteBuffer) {
        send(.connectionClose, data, fin: true)
        wasToldGoodbye = true
    }

    func sayGoodbye(_ code: UInt16, _ reason: String) {
        var data = ByteBuffer(integer: code)
        data.writeString(String(reason.prefix(120)))
        sayGoodbye(data)
    }

    func close() { context?.close(promise: nil) }

    /// What was written stands in front of this on the event loop.
    func closeAfterFlush() {
        guard let context else { return }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: .milliseconds(200)) { bound.value.close(promise: nil) }
    }
}
