internal import Libp2p
internal import Logging
internal import NIOCore
internal import NIOPosix

/// The connections of a host; lives on one event loop.
final class HostCore {
    let loop: any EventLoop
    let key: PeerKey
    let limits: P2PLimits
    let protocols: [String: P2PProtocol]
    private let names: [String]
    private let onEvent: @Sendable (P2PEvent) -> Void
    private let gate: @Sendable (Multiaddr?, PeerID?) -> Bool
    private let logger: Logger
    private var table: ConnectionTable
    private var handlers: [ConnectionTable.Slot: ConnectionHandler] = [:]
    private var byPeer: [PeerID: [ConnectionTable.Slot]] = [:]
    private var listeners: [any Channel] = []
    private(set) var listenAddresses: [Multiaddr] = []
    /// What peers are told in place of the addresses that are listened on; nil: those.
    var announced: [Multiaddr]?
    /// Bytes of all connections so far, encrypted, and probes under way.
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0
    var probes = 0
    private(set) var handshakesFailed: UInt64 = 0
    private(set) var refused: UInt64 = 0
    private var tasks: [UInt64: Task<Void, Never>] = [:]
    private var nextTask: UInt64 = 0
    private var ticking: RepeatedTask?
    private(set) var isClosed = false
    /// What publishes and subscribes, where the host does.
    private(set) var gossip: GossipCore?

    init(
        loop: any EventLoop,
        key: PeerKey,
        limits: P2PLimits,
        protocols: [P2PProtocol],
        gossip parameters: GossipParameters?,
        gate: @escaping @Sendable (Multiaddr?, PeerID?) -> Bool,
        logger: Logger,
        onEvent: @escaping @Sendable (P2PEvent) -> Void
    ) {
        self.loop = loop
        self.key = key
        self.limits = limits
        self.protocols = Dictionary(protocols.map { ($0.name, $0) }) { first, _ in first }
        names = (parameters == nil ? [] : GossipSub.protocolNames) + protocols.map(\.name)
        self.onEvent = onEvent
        self.gate = gate
        self.logger = logger
        table = ConnectionTable(limits)
        if let parameters { gossip = GossipCore(host: self, parameters: parameters) }
        let interval = TimeAmount.seconds(limits.tickSeconds)
        let bound = NIOLoopBound(self, eventLoop: loop)
        ticking = loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            for handler in Array(bound.value.handlers.values) { handler.tick() }
        }
    }

    // MARK: Listening and dialing

    func listen(_ address: SocketAddress) -> EventLoopFuture<Multiaddr> {
        guard !isClosed else { return loop.makeFailedFuture(Libp2pError(.closed, "the host is closed")) }
        let bound = NIOLoopBound(self, eventLoop: loop)
        return ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try bound.value.accepted(channel) }
            }
            .bind(to: address)
            .flatMapThrowing { channel in
                guard let address = Multiaddr(channel.localAddress) else {
                    throw Libp2pError(.failed, "the socket has no address")
                }
                let core = bound.value
                core.listeners.append(channel)
                core.listenAddresses.append(address)
                return address
            }
    }

    private func accepted(_ channel: any Channel) throws {
        guard !isClosed else { throw Libp2pError(.closed, "the host is closed") }
        let address = Multiaddr(channel.remoteAddress)
        let slot: ConnectionTable.Slot
        do throws(Libp2pError) {
            try requireWelcome(address, nil)
            slot = try table.admit(isInbound: true, address: address)
        } catch {
            refused += 1
            throw error
        }
        _ = try add(channel, slot: slot, isInbound: true, expecting: nil)
    }

    private func add(
        _ channel: any Channel,
        slot: ConnectionTable.Slot,
        isInbound: Bool,
        expecting peer: PeerID?
    ) throws -> ConnectionHandler {
        let session = PeerSession(
            isDialer: !isInbound,
            key: key,
            expecting: peer,
            protocols: names,
            limits: limits.multiplexer
        )
        let handler = ConnectionHandler(host: self, slot: slot, isInbound: isInbound, session: session, loop: loop)
        handlers[slot] = handler
        do {
            try channel.pipeline.syncOperations.addHandler(handler)
        } catch {
            handler.fail(Libp2pError(.closed, "the connection was closed"))
            throw error
        }
        return handler
    }

    func dial(_ address: Multiaddr) -> EventLoopFuture<P2PConnection> {
        guard !isClosed else { return loop.makeFailedFuture(Libp2pError(.closed, "the host is closed")) }
        guard let (host, port, peer) = address.tcpEndpoint, let name = host.hostText else {
            return loop.makeFailedFuture(
                Libp2pError(.unsupported, "what is dialed is a host, a TCP port and a peer id")
            )
        }
        if let peer, let connection = connection(with: peer) { return loop.makeSucceededFuture(connection) }
        let slot: ConnectionTable.Slot
        do throws(Libp2pError) {
            guard peer != key.peerID else { throw Libp2pError(.wrongPeer, "this is the address of this host itself") }
            try requireWelcome(address, peer)
            slot = try table.admit(isInbound: false, address: address)
        } catch {
            return loop.makeFailedFuture(error)
        }
        let bound = NIOLoopBound(self, eventLoop: loop)
        return ClientBootstrap(group: loop)
            .connectTimeout(.seconds(limits.connectSeconds))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            // Nothing is read before the handler is there to take it.
            .channelOption(.autoRead, value: false)
            .connect(host: name, port: Int(port))
            .flatMapThrowing { channel in
                guard host.takes(channel.remoteAddress) else {
                    channel.close(promise: nil)
                    throw Libp2pError(.unreachable, "the host has no address of the kind that its name stands for")
                }
                let handler = try bound.value.add(channel, slot: slot, isInbound: false, expecting: peer)
                try channel.syncOptions?.setOption(.autoRead, value: true)
                return handler.whenEstablished()
            }
            .flatMap { $0 }
            .flatMapErrorThrowing { error in
                bound.value.table.remove(slot)
                if let error = error as? Libp2pError { throw error }
                throw Libp2pError(.unreachable, "\(address) cannot be reached")
            }
    }

    // MARK: Connections

    func connection(with peer: PeerID) -> P2PConnection? {
        for slot in byPeer[peer] ?? [] {
            if let handler = handlers[slot], !handler.isClosing, let connection = handler.connection {
                return connection
            }
        }
        return nil
    }

    var connections: [P2PConnection] { handlers.values.compactMap(\.connection) }

    var pendingCount: Int { handlers.count - connections.count }

    private func requireWelcome(_ address: Multiaddr?, _ peer: PeerID?) throws(Libp2pError) {
        guard gate(address, peer) else { throw Libp2pError(.banned, "this peer or address is banned here") }
    }

    /// Asks the gate about every connection anew, and breaks those that it does not let in any more.
    func recheck() {
        for handler in Array(handlers.values) where !gate(handler.remoteAddress, handler.connection?.peer) {
            handler.fail(Libp2pError(.banned, "this peer or address is banned here"))
        }
    }

    func tell(_ event: P2PEvent) { onEvent(event) }

    func establish(_ handler: ConnectionHandler, _ peer: PeerID) throws(Libp2pError) {
        try requireWelcome(handler.remoteAddress, peer)
        try table.establish(handler.slot, peer: peer)
        byPeer[peer, default: []].append(handler.slot)
    }

    func connected(_ connection: P2PConnection, _ handler: ConnectionHandler) {
        onEvent(.connected(connection))
        gossip?.connected(connection, handler)
        run { [onEvent] in
            guard let identify = try? await connection.askIdentity() else { return }
            connection.setIdentified(identify)
            onEvent(.identified(connection, identify))
        }
    }

    func closed(_ handler: ConnectionHandler, _ error: Libp2pError) {
        table.remove(handler.slot)
        handlers[handler.slot] = nil
        guard let connection = handler.connection else {
            logger.debug("handshake failed", metadata: ["error": "\(error)"])
            handshakesFailed += 1
            onEvent(.handshakeFailed(handler.remoteAddress, isInbound: handler.isInbound, error))
            return
        }
        byPeer[connection.peer]?.removeAll { $0 == handler.slot }
        if byPeer[connection.peer]?.isEmpty == true { byPeer[connection.peer] = nil }
        gossip?.disconnected(connection, other: self.connection(with: connection.peer))
        onEvent(.disconnected(connection, error))
    }

    // MARK: Work

    func serve(_ stream: P2PStream, with serving: P2PProtocol, ended: @escaping () -> Void) {
        let ended = NIOLoopBound(ended, eventLoop: loop)
        run {
            do {
                try await serving.serve(stream)
                stream.release()
            } catch {
                stream.reset()
            }
        } then: {
            ended.value()
        }
    }

    /// Breaks all connections with a peer.
    func cutOff(_ peer: PeerID) {
        for slot in byPeer[peer] ?? [] {
            handlers[slot]?.fail(Libp2pError(.standingTooLow, "the peer's standing is too low"))
        }
    }

    /// Runs work that ends with the host, and then what is to be done with its outcome, on the loop.
    func run<Value: Sendable>(
        _ work: @escaping @Sendable () async -> Value,
        then: @escaping @Sendable (Value) -> Void = { (_: Value) in }
    ) {
        guard !isClosed else { return }
        nextTask += 1
        let (number, bound, loop) = (nextTask, NIOLoopBound(self, eventLoop: loop), loop)
        tasks[number] = Task {
            let value = await work()
            loop.execute {
                bound.value.tasks[number] = nil
                then(value)
            }
        }
    }

    /// What this host tells about itself over a connection.
    func identity(seenFrom address: Multiaddr?, sequence: UInt64) -> Identify {
        var identify = Identify()
        identify.publicKey = key.publicKey
        let addresses = announced ?? listenAddresses
        identify.listenAddresses = addresses
        identify.protocols = names
        identify.observedAddress = address
        identify.protocolVersion = "mintmark/1"
        identify.agentVersion = "mintmark"
        let record = PeerRecord(peer: key.peerID, sequence: sequence, addresses: addresses)
        identify.signedPeerRecord = try? record.sealed(with: key).protobuf
        return identify
    }

    /// Takes no more connections, closes those there are, and ends the work; done once all is.
    func close() -> (closed: EventLoopFuture<Void>, tasks: [Task<Void, Never>]) {
        isClosed = true
        ticking?.cancel()
        gossip?.close()
        let channels = listeners.map { $0.close() }
        listeners = []
        let open = Array(handlers.values)
        for handler in open { handler.close() }
        let closed = EventLoopFuture.andAllComplete(channels + open.map(\.closePromise.futureResult), on: loop)
        return (closed, Array(tasks.values))
    }
}

extension Multiaddr.Part {
    /// Whether an address of a socket is of the kind that the name stands for.
    func takes(_ address: SocketAddress?) -> Bool {
        switch (self, address) {
        case (.dns4, .v4), (.dns6, .v6), (.dns, .some), (.ip4, .some), (.ip6, .some): true
        default: false
        }
    }
}
