public import Libp2p
public import Logging
public import NIOCore

/// A protocol that a host serves.
public struct P2PProtocol: Sendable {
    public let name: String
    let serve: @Sendable (P2PStream) async throws -> Void

    /// - Parameter serve: is called for every stream that a peer opens; the stream is finished when it returns and broken
    ///   off when it throws.
    public init(_ name: String, _ serve: @escaping @Sendable (P2PStream) async throws -> Void) {
        self.name = name
        self.serve = serve
    }
}

/// What a host tells its owner, on its event loop: come back soon.
public enum P2PEvent: Sendable {
    case connected(P2PConnection)
    case identified(P2PConnection, Identify)
    case disconnected(P2PConnection, Libp2pError)
    /// A connection ended before the peer had proved who it is; where it was with, and whether the other side dialed.
    case handshakeFailed(Multiaddr?, isInbound: Bool, Libp2pError)
    /// A peer passed others on with a PRUNE. Whether they are dialed is the owner's choice.
    case exchanged([SealedPeerRecord], by: P2PConnection)
}

/// A node of the libp2p network: listens, dials, and serves protocols, over TCP with Noise and Yamux. Identify and ping
/// are served besides those given.
///
/// All its connections live on one event loop; it costs no thread of its own. It lives until ``close()``.
public final class P2PHost: Sendable {
    public let peerID: PeerID
    let core: NIOLoopBound<HostCore>
    let loop: any EventLoop

    /// - Parameters:
    ///   - gossip: how it publishes and subscribes; nil where it does not.
    ///   - gate: is asked, on the loop, whether there may be a connection with this address, and with this peer once it is
    ///     known.
    ///   - loop: where all of it lives.
    ///   - onEvent: is called on the loop, in order.
    public static func start(
        key: PeerKey,
        protocols: [P2PProtocol] = [],
        limits: P2PLimits = P2PLimits(),
        gossip: GossipParameters? = nil,
        gate: @escaping @Sendable (Multiaddr?, PeerID?) -> Bool = { _, _ in true },
        loop: any EventLoop,
        logger: Logger,
        onEvent: @escaping @Sendable (P2PEvent) -> Void = { _ in }
    ) async throws -> P2PHost {
        try await loop.submit {
            let core = HostCore(
                loop: loop,
                key: key,
                limits: limits,
                protocols: protocols + [.identify, .identifyPush(onEvent), .ping(seconds: limits.pingSeconds)],
                gossip: gossip,
                gate: gate,
                logger: logger,
                onEvent: onEvent
            )
            return P2PHost(peerID: key.peerID, core: NIOLoopBound(core, eventLoop: loop), loop: loop)
        }.get()
    }

    private init(peerID: PeerID, core: NIOLoopBound<HostCore>, loop: any EventLoop) {
        self.peerID = peerID
        self.core = core
        self.loop = loop
    }

    /// Listens on an IP address and a TCP port; port 0 takes a free one.
    /// - Returns: the address with its port and this peer's id.
    /// - Throws: `Libp2pError` with `.unsupported`, or `.unreachable` where the address is not to be had.
    @discardableResult
    public func listen(on address: Multiaddr) async throws -> Multiaddr {
        guard let endpoint = address.tcpEndpoint, let host = endpoint.host.hostText,
            let socket = try? SocketAddress(ipAddress: host, port: Int(endpoint.port))
        else {
            throw Libp2pError(
                .unsupported,
                "to listen, an IP address and a TCP port are needed: /ip4/127.0.0.1/tcp/4402"
            )
        }
        do {
            return try await loop.flatSubmit { [core] in core.value.listen(socket) }.get().naming(peerID)
        } catch let error as Libp2pError {
            throw error
        } catch {
            throw Libp2pError(.unreachable, "\(address) cannot be listened on: \(error)")
        }
    }

    /// Connects to a peer; gives back the connection there is, where there is one with the peer that the address names.
    /// - Throws: `Libp2pError` with `.unreachable`, `.wrongPeer`, `.timedOut`, `.limitExceeded`, or what was wrong with
    ///   the handshake.
    public func dial(_ address: Multiaddr) async throws -> P2PConnection {
        try await loop.flatSubmit { [core] in core.value.dial(address) }.get()
    }

    /// The connection with a peer, where there is one.
    public func connection(with peer: PeerID) async throws -> P2PConnection? {
        try await loop.submit { [core] in core.value.connection(with: peer) }.get()
    }

    /// All connections whose handshake is complete.
    public func connections() async throws -> [P2PConnection] {
        try await loop.submit { [core] in core.value.connections }.get()
    }

    /// Where this host listens, without its peer id.
    public func listenAddresses() async throws -> [Multiaddr] {
        try await loop.submit { [core] in core.value.listenAddresses }.get()
    }

    /// Tells all peers anew what this host is (identify/push), as after it began to listen elsewhere.
    public func pushIdentity() async throws {
        for connection in try await connections() {
            let identity = try await connection.ownIdentity()
            // A peer that does not take it is none the worse.
            try? await connection.withStream([Identify.pushProtocolName], deadlineSeconds: 10) { stream in
                try await stream.write(identity.delimited)
            }
        }
    }

    /// Takes no more connections, closes those there are, gracefully, and returns once all work has ended.
    public func close() async {
        guard let ending = try? await loop.submit({ [core] in core.value.close() }).get() else { return }
        try? await ending.closed.get()
        for task in ending.tasks { task.cancel() }
        for task in ending.tasks { await task.value }
    }
}
