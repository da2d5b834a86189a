internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOHTTP1

/// Hummingbird's HTTP/1 channel with a ``ProxyHeadHandler`` right behind its decoder.
struct ProxyChannel: ServerChildChannel {
    let http: HTTP1Channel

    /// The builder of a proxy's server.
    static func builder(idleTimeoutSeconds: Int64) -> HTTPServerBuilder {
        HTTPServerBuilder { responder in
            ProxyChannel(
                http: HTTP1Channel(
                    responder: responder,
                    configuration: .init(idleTimeout: .seconds(idleTimeoutSeconds))
                )
            )
        }
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        http.setup(channel: channel, logger: logger).flatMapThrowing { value in
            let pipeline = channel.pipeline.syncOperations
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            try pipeline.addHandler(ProxyHeadHandler(), position: .after(decoder))
            return value
        }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async { await http.handle(value: value, logger: logger) }
}

/// Keeps the request's target as it came, which only a proxy is sent in absolute form (RFC 9112, 3.2.2), and refuses tunnels.
final class ProxyHeadHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// Where the target stands for the responder; what a client sends by this name is dropped.
    static let targetHeader = "mintmark-proxy-target"
    static let tunnelRefusal = """
        This proxy pays for calls, so it has to read them, and it can't inside a TLS tunnel (CONNECT).
        Ask it for http://HOST/PATH instead: it calls https://HOST/PATH for you (only this machine is called over plain http).
        For example: curl -x http://127.0.0.1:8403 http://api.example.com/today

        """
    private var isRefused = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isRefused else { return }
        guard case .head(var head) = unwrapInboundIn(data) else { return context.fireChannelRead(data) }
        if head.method == .CONNECT { return refuse(context) }
        if head.version == .http1_1, head.headers["expect"].contains(where: { $0.lowercased() == "100-continue" }) {
            let interim = HTTPResponseHead(version: .http1_1, status: .continue)
            context.writeAndFlush(wrapOutboundOut(.head(interim)), promise: nil)
        }
        head.headers.replaceOrAdd(name: Self.targetHeader, value: head.uri)
        context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    private func refuse(_ context: ChannelHandlerContext) {
        isRefused = true
        let head = HTTPResponseHead(
            version: .http1_1,
            status: .notImplemented,
            headers: [
                "Content-Type": "text/plain; charset=utf-8", "Content-Length": "\(Self.tunnelRefusal.utf8.count)",
                "Connection": "close",
            ]
        )
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: Self.tunnelRefusal)))), promise: nil)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in bound.value.close(promise: nil) }
    }
}
