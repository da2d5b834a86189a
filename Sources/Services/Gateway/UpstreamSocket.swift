import AsyncHTTPClient
import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket
import Paywall
import WebServer

/// A WebSocket that an upstream took.
struct TakenSocket: Sendable {
    var channel: any Channel
    var end: NIOLoopBound<WebSocketRelayEnd>
    /// Chosen among those that the client offers; nil where the upstream chose none.
    var subprotocol: String?
    var lease: UpstreamLease
}

extension UpstreamPool {
    /// Asks an upstream for a WebSocket; one that can't be reached is followed by another.
    /// - Parameter eventLoop: where its connection shall live.
    /// - Throws: ``UpstreamFailure``, also where the upstream answers with something else.
    func open(
        _ call: ProxiedRequest,
        on eventLoop: any EventLoop,
        rules: WebSocketRules
    ) async throws(UpstreamFailure) -> TakenSocket {
        var last = UpstreamFailure.failed("it can't be reached.")
        for member in candidates() {
            let lease = member.enter()
            do {
                let opening = UpstreamSocket(member: member, call: call, rules: rules, service: service)
                let (channel, end, subprotocol) = try await opening.open(on: eventLoop)
                member.answered()
                return TakenSocket(channel: channel, end: end, subprotocol: subprotocol, lease: lease)
            } catch let error as UpstreamFailure {
                // It answered, but not as asked.
                throw error
            } catch {
                last = UpstreamFailure(error)
                guard error is UpstreamLookup.Failure || error is IOError || error is ChannelError else {
                    member.failed("\(error)")
                    throw last
                }
                member.unreachable("\(error)")
            }
        }
        throw last
    }
}

/// The client's side of the handshake of RFC 6455, 4.1, with an upstream.
struct UpstreamSocket: Sendable {
    let member: UpstreamMember
    let call: ProxiedRequest
    let rules: WebSocketRules
    let service: ServiceDefinition

    typealias Opened = (channel: any Channel, end: NIOLoopBound<WebSocketRelayEnd>, subprotocol: String?)

    private var offeredProtocols: [String] {
        call.headers.filter { $0.name.canonicalName == "sec-websocket-protocol" }
            .flatMap { $0.value.split(separator: ",") }.map { String($0.filter { $0 != " " && $0 != "\t" }) }
    }

    private var head: HTTPRequestHead {
        var headers = HTTPHeaders([("Host", member.address.authority)])
        for (name, value) in HeaderRules.forwarded(call.headers) {
            // The handshake with the upstream is the gateway's own, and no extension is agreed on.
            let lower = name.lowercased()
            guard !lower.hasPrefix("sec-websocket-") || lower == "sec-websocket-protocol" else { continue }
            headers.add(name: name, value: value)
        }
        for (name, value) in call.added { headers.add(name: name, value: value) }
        let uri = member.address.basePath + call.target
        return HTTPRequestHead(version: .http1_1, method: .GET, uri: uri, headers: headers)
    }

    /// - Throws: ``UpstreamFailure`` where it answered otherwise; what the connection says where there is none.
    func open(on eventLoop: any EventLoop) async throws -> Opened {
        let address = try await member.pin()
        let tls = member.address.isTLS ? try NIOSSLContext(configuration: .makeClientConfiguration()) : nil
        let opened = eventLoop.makePromise(of: Opened.self)
        let offered = offeredProtocols
        let upgrader = NIOWebSocketClientUpgrader(
            maxFrameSize: Int(rules.frameBytes),
            automaticErrorHandling: false,
            upgradePipelineHandler: { channel, head in
                Self.upgraded(channel, head, offered: offered, opened)
            }
        )
        let head = head
        let host = IPAddress(member.address.bareHost) == nil ? member.address.host : nil
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: eventLoop)
                .connectTimeout(.seconds(service.timeouts.connectSeconds))
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let pipeline = channel.pipeline.syncOperations
                        if let tls {
                            try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: host))
                        }
                        try pipeline.addHTTPClientHandlers(
                            leftOverBytesStrategy: .forwardBytes,
                            withClientUpgrade: (upgraders: [upgrader], completionHandler: { _ in })
                        )
                        try pipeline.addHandler(AskingHandler(head: head, opened: opened))
                    }
                }
                .connect(to: SocketAddress(ipAddress: address.description, port: member.address.port)).get()
        } catch {
            opened.fail(error)
            throw error
        }
        let limit = eventLoop.scheduleTask(in: .seconds(service.timeouts.idleSeconds)) {
            opened.fail(UpstreamFailure.timedOut("it did not answer."))
            channel.close(promise: nil)
        }
        defer { limit.cancel() }
        do {
            return try await opened.futureResult.get()
        } catch {
            channel.close(promise: nil)
            if error is UpstreamFailure { throw error }
            throw UpstreamFailure.failed("it did not take the WebSocket.")
        }
    }

    private static func upgraded(
        _ channel: any Channel,
        _ head: HTTPResponseHead,
        offered: [String],
        _ opened: EventLoopPromise<Opened>
    ) -> EventLoopFuture<Void> {
        let chosen = head.headers["sec-websocket-protocol"]
        guard chosen.count <= 1, chosen.allSatisfy(offered.contains), head.headers["sec-websocket-extensions"].isEmpty
        else {
            opened.fail(UpstreamFailure.failed("it chose for the WebSocket what nobody offered."))
            return channel.close()
        }
        return channel.eventLoop.makeCompletedFuture {
            let end = WebSocketRelayEnd(isClient: false)
            try channel.pipeline.syncOperations.addHandler(end)
            if let asking = try? channel.pipeline.syncOperations.context(handlerType: AskingHandler.self) {
                channel.pipeline.syncOperations.removeHandler(context: asking, promise: nil)
            }
            opened.succeed((channel, NIOLoopBound(end, eventLoop: channel.eventLoop), chosen.first))
        }
    }
}

/// Sends the request, and hears the answer where it is not the one that was asked for.
private final class AskingHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let head: HTTPRequestHead
    private let opened: EventLoopPromise<UpstreamSocket.Opened>

    init(head: HTTPRequestHead, opened: EventLoopPromise<UpstreamSocket.Opened>) {
        self.head = head
        self.opened = opened
    }

    func channelActive(context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let head) = unwrapInboundIn(data) else { return }
        opened.fail(UpstreamFailure.failed("it answered the request for a WebSocket with \(head.status.code)."))
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        opened.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        opened.fail(HTTPClientError.remoteConnectionClosed)
        context.fireChannelInactive()
    }
}
