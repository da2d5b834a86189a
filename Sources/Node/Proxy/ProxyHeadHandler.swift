internal import HummingbirdCore
internal import NIOCore
internal import NIOHTTP1
internal import WebServer

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

    /// The builder of a proxy's server: with this right behind the decoder.
    static func server(idleTimeoutSeconds: Int64) -> HTTPServerBuilder {
        .plain(idleTimeoutSeconds: idleTimeoutSeconds) { channel in
            let pipeline = channel.pipeline.syncOperations
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            try pipeline.addHandler(ProxyHeadHandler(), position: .after(decoder))
        }
    }

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
