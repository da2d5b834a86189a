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
    }

    private let door: HTTPDoor
    private let logger: Logger
    private var state = State.http
    /// Requests whose answer has not ended.
    private var openRequests = 0
    private var interim: Scheduled<Void>?

    init(_ door: HTTPDoor, logger: Logger) {
        self.door = door
        self.logger = logger
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        interim?.cancel()
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (state, unwrapInboundIn(data)) {
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

    private func receive(_ head: HTTPRequestHead, _ data: NIOAny, _ context: ChannelHandlerContext) {
        // Not before the answers to what came before it.
        if openRequests == 0, head.method == .GET {
            let path = head.uri.prefix { $0 != "?" }
            if head.asksForWebSocket, let route = door.webSockets.first(where: { $0.path == path }),
                !door.isForeign(head.headers.first(name: "host") ?? "")
            {
                return open(route, head, context)
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
        // NIO's own upgrader checks the key and the version and computes the answer's headers.
        let upgrader = NIOWebSocketServerUpgrader(
            shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture(HTTPHeaders()) },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() }
        )
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let channel = context.channel
        upgrader.buildUpgradeResponse(channel: channel, upgradeRequest: head, initialResponseHeaders: [:])
            .flatMap { headers -> EventLoopFuture<HTTPHeaders> in
                let admitted = channel.eventLoop.makePromise(of: Void.self)
                admitted.completeWithTask { try await route.admit(request) }
                return admitted.futureResult.map { headers }
            }
            .flatMap { headers -> EventLoopFuture<NIOLoopBound<WebSocketSession>> in
                let (handler, context) = bound.value
                return handler.upgrade(route, headers, context)
            }
            .whenComplete { result in
                let (handler, context) = bound.value
                switch result {
                case .success(let session): handler.state = .webSocket(session.value)
                case .failure(let refusal as WebSocketRefusal): handler.refuse(refusal, context)
                case .failure(let error):
                    handler.logger.debug("a WebSocket was not opened", metadata: ["error": "\(error)"])
                    handler.refuse(.badHandshake, context)
                }
            }
    }

    /// Takes HTTP out of the pipeline and puts the WebSocket in; the connection is admitted already.
    private func upgrade(
        _ route: WebSocketRoute,
        _ headers: HTTPHeaders,
        _ context: ChannelHandlerContext
    ) -> EventLoopFuture<NIOLoopBound<WebSocketSession>> {
        let pipeline = context.pipeline.syncOperations
        let channel = context.channel
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let removed: EventLoopFuture<Void>
        do {
            let states = try pipeline.context(handlerType: HTTPConnectionStateHandler.self)
            let decoder = try pipeline.context(handlerType: ByteToMessageHandler<HTTPRequestDecoder>.self)
            removed = pipeline.removeHandler(context: states).and(pipeline.removeHandler(context: decoder)).map { _ in }
        } catch {
            route.leave()
            return context.eventLoop.makeFailedFuture(error)
        }
        return removed.flatMapThrowing {
            let (handler, context) = bound.value
            let head = HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: headers)
            context.writeAndFlush(handler.wrapOutboundOut(.head(head)), promise: nil)
            let pipeline = context.pipeline.syncOperations
            let encoder = try pipeline.context(handlerType: HTTPResponseEncoder.self)
            pipeline.removeHandler(context: encoder, promise: nil)
            let session = WebSocketSession(route, channel: channel)
            try pipeline.addHandlers(
                [
                    WebSocketFrameEncoder(),
                    ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: route.limits.messageBytes)),
                    session,
                ],
                position: .before(handler)
            )
            return NIOLoopBound(session, eventLoop: context.eventLoop)
        }.flatMapErrorThrowing { error in
            route.leave()
            throw error
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
        guard case .webSocket(let session) = state else {
            context.close(mode: mode, promise: promise)
            return
        }
        // The server is stopping.
        session.goAway()
        promise?.succeed()
    }
}

extension HTTPRequestHead {
    var asksForWebSocket: Bool {
        headers[canonicalForm: "upgrade"].contains { $0.lowercased() == "websocket" }
            && headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
    }
}
