internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOWebSocket

/// Stands between the HTTP decoder and Hummingbird: it answers `Expect: 100-continue` and what is answered at once, and
/// makes a WebSocket of a connection where one is asked for.
///
/// A connection that has become a WebSocket still counts as one of Hummingbird's: it waits at the end of the pipeline
/// for a request that never comes, and ends with the connection. What it wants to write or close does not pass here.
final class DoorHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private enum State {
        case http
        /// Answered here as soon as the request has been read to its end.
        case answering(DoorAnswer, closes: Bool)
        /// The request is answered here; the rest of it is not looked at.
        case refused
        /// Waiting whether the WebSocket is let in.
        case opening
        case webSocket(WebSocketSession)
        /// One that is passed on.
        case relay(WebSocketRelay)
    }

    private let door: HTTPDoor
    private let deadline: HeadDeadline
    private let logger: Logger
    private var state = State.http
    /// Requests whose answer has not ended.
    private var openRequests = 0
    private var interim: Scheduled<Void>?

    init(_ door: HTTPDoor, deadline: HeadDeadline, logger: Logger) {
        self.door = door
        self.deadline = deadline
        self.logger = logger
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        deadline.onLate = {
            let (handler, context) = bound.value
            handler.lateHead(context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        interim?.cancel()
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        switch part {
        case .head: deadline.headCame()
        case .end: deadline.requestEnded()
        case .body: break
        }
        switch (state, part) {
        case (.http, .head(var head)):
            if let refusal = RequestTarget.settle(&head) {
                // The answers to what came before it are lost: who sends this can't be trusted to cut requests as we do.
                state = .refused
                return refusal.send(on: context, closes: true)
            }
            receive(head, wrapInboundOut(.head(head)), context)
        case (.http, .body), (.http, .end):
            // The client did not wait for the interim answer.
            cancelInterim()
            context.fireChannelRead(data)
        case (.answering(let answer, let closes), .end):
            state = closes ? .refused : .http
            answer.send(on: context, closes: closes)
        default: break
        }
    }

    /// The client took too long over a head of which something came.
    private func lateHead(_ context: ChannelHandlerContext) {
        guard case .http = state, openRequests == 0 else {
            context.close(promise: nil)
            return
        }
        refuse(.lateHead, context)
    }

    private func receive(_ head: HTTPRequestHead, _ data: NIOAny, _ context: ChannelHandlerContext) {
        // Not before the answers to what came before it.
        if openRequests == 0, head.method == .GET {
            let path = head.uri.prefix { $0 != "?" }
            if head.asksForWebSocket, let route = door.webSockets.first(where: { $0.path == path }),
                !door.isForeign(head.headers.first(name: "host") ?? "")
            {
                return open(route, head, context)
            }
            if head.asksForWebSocket, let gate = door.webSocketGate {
                let ask = WebSocketAsk(head, context)
                if gate.claims(ask) { return pass(ask, to: gate, head, context) }
            }
            if let answer = door.quickAnswer(to: head) {
                state = .answering(answer, closes: !head.isKeepAlive || head.version != .http1_1)
                return
            }
        }
        openRequests += 1
        if head.version == .http1_1, head.headers["expect"].contains(where: { $0.lowercased() == "100-continue" }) {
            scheduleInterim(context)
        }
        context.fireChannelRead(data)
    }

    private func scheduleInterim(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        interim = context.eventLoop.scheduleTask(in: .milliseconds(door.continueAfterMilliseconds)) {
            let (handler, context) = bound.value
            guard handler.interim != nil else { return }
            handler.interim = nil
            let head = HTTPResponseHead(version: .http1_1, status: .continue)
            context.writeAndFlush(handler.wrapOutboundOut(.head(head)), promise: nil)
        }
    }

    private func cancelInterim() {
        interim?.cancel()
        interim = nil
    }

    /// Answers by itself and closes the connection.
    private func refuse(_ refusal: WebSocketRefusal, _ context: ChannelHandlerContext) {
        state = .refused
        DoorAnswer(refusal).send(on: context, closes: true)
    }

    // MARK: WebSockets

    private func open(_ route: WebSocketRoute, _ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        state = .opening
        let request = WebSocketRequest(
            path: route.path,
            headers: head.headers.map { ($0.name, $0.value) },
            peerAddress: context.remoteAddress?.ipAddress
        )
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let channel = context.channel
        handshake(head, channel)
            .flatMap { headers -> EventLoopFuture<HTTPHeaders> in
                let admitted = channel.eventLoop.makePromise(of: Void.self)
                admitted.completeWithTask { try await route.admit(request) }
                return admitted.futureResult.map { headers }
            }
            .flatMap { headers -> EventLoopFuture<Void> in
                let (handler, context) = bound.value
                return handler.upgrade(headers, maximumFrameBytes: route.limits.messageBytes, context) { channel in
                    let session = WebSocketSession(route, channel: channel)
                    handler.state = .webSocket(session)
                    return session
                }.flatMapErrorThrowing { error in
                    if case .opening = bound.value.0.state { route.leave() }
                    throw error
                }
            }
            .whenFailure { error in
                let (handler, context) = bound.value
                handler.notOpened(error, context)
            }
    }

    private func notOpened(_ error: any Error, _ context: ChannelHandlerContext) {
        if let refusal = error as? WebSocketRefusal { return refuse(refusal, context) }
        logger.debug("a WebSocket was not opened", metadata: ["error": "\(error)"])
        refuse(.badHandshake, context)
    }

    /// NIO's own upgrader checks the key and the version and computes the answer's headers.
    private func handshake(_ head: HTTPRequestHead, _ channel: any Channel) -> EventLoopFuture<HTTPHeaders> {
        NIOWebSocketServerUpgrader(
            shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture(HTTPHeaders()) },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() }
        ).buildUpgradeResponse(channel: channel, upgradeRequest: head, initialResponseHeaders: [:])
    }

    /// Has another server asked, and passes the frames on where it takes the WebSocket.
    private func pass(
        _ ask: WebSocketAsk,
        to gate: WebSocketGate,
        _ head: HTTPRequestHead,
        _ context: ChannelHandlerContext
    ) {
        state = .opening
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let channel = context.channel
        handshake(head, channel)
            .flatMap { headers -> EventLoopFuture<(HTTPHeaders, WebSocketOpening)> in
                let opening = channel.eventLoop.makePromise(of: WebSocketOpening.self)
                opening.completeWithTask { await gate.open(ask) }
                return opening.futureResult.map { (headers, $0) }
            }
            .flatMap { headers, opening -> EventLoopFuture<Void> in
                let (handler, context) = bound.value
                switch opening {
                case .refused(let answer):
                    handler.state = .refused
                    answer.send(on: context, closes: true)
                    return context.eventLoop.makeSucceededVoidFuture()
                case .opened(let opened):
                    return handler.relay(opened, headers, context)
                }
            }
            .whenFailure { error in
                let (handler, context) = bound.value
                handler.notOpened(error, context)
            }
    }

    private func relay(
        _ opened: OpenedWebSocket,
        _ headers: HTTPHeaders,
        _ context: ChannelHandlerContext
    ) -> EventLoopFuture<Void> {
        guard context.channel.isActive else {
            opened.giveUp()
            return context.eventLoop.makeSucceededVoidFuture()
        }
        var headers = headers
        for (name, value) in opened.headers { headers.add(name: name, value: value) }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        let eventLoop = context.eventLoop
        return upgrade(headers, maximumFrameBytes: opened.limits.frameBytes, context) { channel in
            let end = WebSocketRelayEnd(isClient: true)
            bound.value.state = .relay(
                WebSocketRelay(
                    client: end,
                    server: opened.end.value,
                    limits: opened.limits,
                    onEnd: opened.onEnd
                )
            )
            return end
        }.map {
            if case .relay(let relay) = bound.value.state { relay.begin(on: eventLoop) }
        }.flatMapErrorThrowing { error in
            opened.giveUp()
            throw error
        }
    }

    /// Takes HTTP out of the pipeline and puts the WebSocket in.
    /// - Parameter make: what stands behind the frame decoder.
    private func upgrade(
        _ headers: HTTPHeaders,
        maximumFrameBytes: Int,
        _ context: ChannelHandlerContext,
        _ make: @escaping (any Channel) -> any ChannelHandler
    ) -> EventLoopFuture<Void> {
        let pipeline = context.pipeline.syncOperations
        let bound = NIOLoopBound((self, context, make), eventLoop: context.eventLoop)
        let removed: EventLoopFuture<Void>
        do {
            let states = try pipeline.context(handlerType: HTTPConnectionStateHandler.self)
            let decoder = try pipeline.context(handlerType: ByteToMessageHandler<HTTPRequestDecoder>.self)
            pipeline.removeHandler(deadline, promise: nil)
            removed = pipeline.removeHandler(context: states).and(pipeline.removeHandler(context: decoder)).map { _ in }
        } catch {
            return context.eventLoop.makeFailedFuture(error)
        }
        return removed.flatMapThrowing {
            let (handler, context, make) = bound.value
            let head = HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: headers)
            context.writeAndFlush(handler.wrapOutboundOut(.head(head)), promise: nil)
            let pipeline = context.pipeline.syncOperations
            let encoder = try pipeline.context(handlerType: HTTPResponseEncoder.self)
            pipeline.removeHandler(context: encoder, promise: nil)
            try pipeline.addHandlers(
                [
                    WebSocketFrameEncoder(),
                    ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: maximumFrameBytes)),
                    make(context.channel),
                ],
                position: .before(handler)
            )
        }
    }

    // MARK: What Hummingbird sends

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard case .http = state else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        switch unwrapOutboundIn(data) {
        case .head: cancelInterim()
        case .end: openRequests -= 1
        case .body: break
        }
        context.write(data, promise: promise)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        // The server is stopping.
        switch state {
        case .webSocket(let session): session.goAway()
        case .relay(let relay): relay.goAway()
        default: return context.close(mode: mode, promise: promise)
        }
        promise?.succeed()
    }
}

extension HTTPRequestHead {
    var asksForWebSocket: Bool {
        headers[canonicalForm: "upgrade"].contains { $0.lowercased() == "websocket" }
            && headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
    }
}

extension WebSocketAsk {
    init(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        self.init(
            target: head.uri,
            headers: head.headers.map { ($0.name, $0.value) },
            peerAddress: context.remoteAddress?.ipAddress,
            eventLoop: context.eventLoop
        )
    }
}
