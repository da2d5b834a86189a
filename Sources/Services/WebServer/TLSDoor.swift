public import HummingbirdCore
internal import HummingbirdHTTP2
internal import Logging
internal import NIOCore
internal import NIOSSL
internal import NIOTLS

extension HTTPDoor {
    /// How long a TLS handshake may take, in seconds.
    static let handshakeSeconds: Int64 = 10

    /// The builder of a server with this door behind TLS: HTTP/2 where the client offers it by ALPN, else HTTP/1.1.
    ///
    /// Over HTTP/2 there are no WebSockets and no quick answers; what asks for those is answered as any other request.
    public func builder(certificate: ServerCertificate) -> HTTPServerBuilder {
        let connections = ConnectionCount()
        return HTTPServerBuilder { responder in
            TLSDoorChannel(
                http1: channel(responder, connections: connections),
                http2: HTTP2Channel(
                    responder: responder,
                    configuration: .init(
                        idleTimeout: .seconds(idleTimeoutSeconds),
                        gracefulCloseTimeout: .seconds(15),
                        streamConfiguration: .init(idleTimeout: .seconds(idleTimeoutSeconds))
                    )
                ),
                certificate: certificate
            )
        }
    }
}

/// TLS, and behind it what the client chose. A connection counts from its first byte on, and one that does not end its
/// handshake is ended.
struct TLSDoorChannel: ServerChildChannel {
    enum Negotiated: Sendable {
        case http1(DoorChannel.Value)
        case http2(HTTP2Channel.Value)
    }

    struct Value: ServerChildChannelValue {
        let channel: any Channel
        let negotiated: EventLoopFuture<Negotiated>
    }

    let http1: DoorChannel
    let http2: HTTP2Channel
    let certificate: ServerCertificate

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let isOverLimit = http1.enter(channel)
        return channel.eventLoop.makeCompletedFuture {
            let choice = NIOTypedApplicationProtocolNegotiationHandler<Negotiated> { result, channel in
                guard case .negotiated("h2") = result else {
                    return http1.setup(channel: channel, isOverLimit: isOverLimit, logger: logger).map { .http1($0) }
                }
                guard !isOverLimit else { return channel.eventLoop.makeFailedFuture(ChannelError.ioOnClosedChannel) }
                return http2.setup(channel: channel, logger: logger).map { .http2($0) }
            }
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(NIOSSLServerHandler(context: certificate.context))
            try pipeline.addHandler(choice)
            let negotiated = choice.protocolNegotiationResult
            let end = channel.eventLoop.scheduleTask(in: .seconds(HTTPDoor.handshakeSeconds)) {
                channel.close(promise: nil)
            }
            negotiated.whenComplete { result in
                end.cancel()
                if case .failure = result { channel.close(promise: nil) }
            }
            return Value(channel: channel, negotiated: negotiated)
        }
    }

    func handle(value: Value, logger: Logger) async {
        do {
            switch try await value.negotiated.get() {
            case .http1(let value): await http1.handle(value: value, logger: logger)
            case .http2(let value): await http2.handle(value: value, logger: logger)
            }
        } catch {
            logger.debug("a TLS connection came to nothing", metadata: ["error": "\(error)"])
        }
    }
}
