internal import Cryptography
public import Libp2p
internal import NIOCore
internal import NIOPosix

extension P2PHost {
    /// Finds out whether a peer answers at an address: connects, has it prove who it is, and hangs up. It is done under a
    /// key that is used once, so that the peer sees a stranger, and no connection of this host is touched.
    /// - Parameters:
    ///   - address: an IP address, a TCP port and the peer's id.
    ///   - seconds: how long it may take.
    /// - Throws: `Libp2pError`: `.unsupported`, `.limitExceeded` where too many probes are under way, else what became of it.
    public func probe(_ address: Multiaddr, seconds: Int64) async throws {
        guard let endpoint = address.tcpEndpoint, let peer = endpoint.peer, let ip = endpoint.host.hostText,
            let socket = try? SocketAddress(ipAddress: ip, port: Int(endpoint.port))
        else { throw Libp2pError(.unsupported, "what is probed is an IP address, a TCP port and a peer id") }
        let key = PeerKey(Ed25519.PrivateKey())
        try await loop.flatSubmit { [core, loop] () -> EventLoopFuture<Void> in
            let host = core.value
            guard !host.isClosed, host.probes < host.limits.probes else {
                return loop.makeFailedFuture(
                    Libp2pError(.limitExceeded, "as many probes are under way as there may be")
                )
            }
            host.probes += 1
            return Probe.run(to: socket, expecting: peer, key: key, seconds: seconds, loop: loop)
                .always { _ in core.value.probes -= 1 }
        }.get()
    }
}

/// One handshake for its own sake.
private final class Probe: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var session: PeerSession
    private let done: EventLoopPromise<Void>

    private init(_ session: PeerSession, _ done: EventLoopPromise<Void>) {
        self.session = session
        self.done = done
    }

    static func run(
        to address: SocketAddress,
        expecting peer: PeerID,
        key: PeerKey,
        seconds: Int64,
        loop: any EventLoop
    ) -> EventLoopFuture<Void> {
        let promise = loop.makePromise(of: Void.self)
        let deadline = loop.scheduleTask(in: .seconds(seconds)) {
            promise.fail(Libp2pError(.timedOut, "the peer took too long"))
        }
        let connecting = ClientBootstrap(group: loop)
            .connectTimeout(.seconds(seconds))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let session = PeerSession(isDialer: true, key: key, expecting: peer, protocols: [])
                    try channel.pipeline.syncOperations.addHandler(Probe(session, promise))
                }
            }
            .connect(to: address)
        connecting.whenComplete { result in
            switch result {
            case .failure: promise.fail(Libp2pError(.unreachable, "nobody answers there"))
            case .success(let channel): promise.futureResult.whenComplete { _ in channel.close(promise: nil) }
            }
        }
        return promise.futureResult.always { _ in deadline.cancel() }
    }

    func channelActive(context: ChannelHandlerContext) {
        flush(context)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        do throws(Libp2pError) {
            let events = try session.receive([UInt8](buffer.readableBytesView)[...])
            flush(context)
            for case .established in events { done.succeed() }
        } catch {
            done.fail(error)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        done.fail(Libp2pError(.closed, "the connection was closed"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        done.fail(Libp2pError(.closed, "the connection broke"))
    }

    private func flush(_ context: ChannelHandlerContext) {
        while session.hasOutput {
            do throws(Libp2pError) {
                let (bytes, _) = try session.takeOutput()
                guard !bytes.isEmpty else { break }
                context.write(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
            } catch {
                return done.fail(error)
            }
        }
        context.flush()
    }
}
