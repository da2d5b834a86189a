public import Encodings
internal import Foundation
public import Libp2p
public import Logging
internal import NIOCore
internal import NIOPosix
public import P2PTransport
internal import Synchronization

/// The node among others: keeps the host, the peers it knows, the connections it wants, and who is kept out.
///
/// The book and the bans are there from the beginning; the host runs between ``start()`` and ``stop()``.
public actor Peering {
    public nonisolated let peerID: PeerID
    let key: PeerKey
    let configuration: PeeringConfiguration
    let store: PeerStore
    let clock: WallClock
    let logger: Logger
    nonisolated let bans: BanList
    var book: PeerBook
    var random = SystemRandomNumberGenerator()
    public private(set) var host: P2PHost?
    private let box = HostBox()
    private var parts: [any GossipPart] = []
    private var tasks: [Task<Void, Never>] = []
    var dialing: [PeerID: [UInt8]?] = [:]
    var dials: [UInt64: Task<Void, Never>] = [:]
    var dialNumber: UInt64 = 0
    var asked: Int64 = 0
    var answered: [PeerID: Int64] = [:]
    var dialBacks = DialBackBudget()
    var reached = ReachedBook()
    var announced: [Multiaddr] = []
    var discovery: LocalDiscovery?
    nonisolated let watchers = Watchers()
    private let metrics = PeeringMetrics()
    private var rounds = 0

    /// Reads what is known from the store.
    /// - Parameter store: its database has ``PeerStore/migrations``.
    public init(
        key: PeerKey,
        configuration: PeeringConfiguration,
        store: PeerStore,
        clock: WallClock,
        logger: Logger
    ) async throws {
        peerID = key.peerID
        self.key = key
        self.configuration = configuration
        self.store = store
        self.clock = clock
        self.logger = logger
        bans = BanList(BanBook(try await store.bans()), clock: clock)
        book = PeerBook(own: key.peerID, try await store.peers())
        let now = clock.now().millisecondsSince1970
        for address in configuration.bootstrap {
            guard let peer = address.tcpEndpoint?.peer else { continue }
            book.choose(peer, address, .bootstrap, at: now)
        }
        book.keepOnly(Set(configuration.bootstrap.compactMap { $0.tcpEndpoint?.peer }), of: .bootstrap)
    }

    var now: Int64 { clock.now().millisecondsSince1970 }

    /// Where this node says that it is reached, without its id.
    public var addresses: [Multiaddr] { announced }

    public var reachability: Reachability { reached.verdict(at: now) }

    // MARK: The host

    /// - Throws: `PeeringError` `.addressInUse`; `Libp2pError`.
    public func start(_ parts: [any GossipPart] = []) async throws {
        guard host == nil else { return }
        self.parts = parts
        let (events, continuation) = AsyncStream.makeStream(of: P2PEvent.self, bufferingPolicy: .bufferingOldest(8_192))
        let box = box
        let host = try await P2PHost.start(
            key: key,
            protocols: ownProtocols + parts.flatMap(\.protocols),
            limits: configuration.limits,
            gossip: configuration.gossip,
            gate: { [bans] in bans.admits($0, $1) },
            loop: MultiThreadedEventLoopGroup.singleton.next(),
            logger: logger,
            onEvent: { [bans] event in
                if bans.judge(event) { box.host?.recheck() }
                for part in parts { part.take(event) }
                continuation.yield(event)
            }
        )
        box.host = host
        self.host = host
        do {
            try await host.setTap { [watchers, metrics] passage in
                metrics.passed(passage)
                watchers.tell(passage)
            }
            for part in parts { try await part.start(on: host) }
            for address in configuration.listen { try await listen(host, address) }
            await refreshAddresses()
            if configuration.looksLocally { await startLocalDiscovery() }
        } catch {
            continuation.finish()
            await stop()
            throw error
        }
        tasks = [
            Task { [weak self] in
                for await event in events { await self?.take(event) }
            },
            Task { [weak self, configuration] in
                while !Task.isCancelled {
                    await self?.round()
                    try? await Task.sleep(for: .milliseconds(configuration.roundMilliseconds))
                }
            },
        ]
    }

    private func listen(_ host: P2PHost, _ address: Multiaddr) async throws {
        do {
            try await host.listen(on: address)
        } catch let error as Libp2pError where error.code == .unreachable {
            guard configuration.takesOtherPorts, let first = address.parts.first else {
                throw PeeringError(.addressInUse, error.message)
            }
            let other = try await host.listen(on: try Multiaddr([first, .tcp(0)]))
            logger.notice("gossip listens elsewhere: the port is in use", metadata: ["address": "\(other)"])
        }
    }

    /// Closes all connections and keeps what was learnt.
    public func stop() async {
        guard let host else { return }
        for task in tasks { task.cancel() }
        for part in parts { await part.stop() }
        await discovery?.stop()
        discovery = nil
        watchers.end()
        let running = Array(dials.values)
        for dial in running { dial.cancel() }
        await host.close()
        for dial in running { await dial.value }
        self.host = nil
        box.host = nil
        tasks = []
        parts = []
        await save()
    }

    /// The host, to publish and subscribe on.
    /// - Throws: `PeeringError` `.notRunning`.
    public func running() throws -> P2PHost {
        guard let host else {
            throw PeeringError(
                .notRunning,
                "the gossip host does not run: start the node (`mintmark serve`), with gossip.enabled"
            )
        }
        return host
    }

    // MARK: What happens

    private func take(_ event: P2PEvent) async {
        switch event {
        case .connected(let connection): metrics.connected(connection)
        case .identified(let connection, let told): await identified(connection, told)
        case .disconnected(let connection, let error):
            guard (try? await host?.connection(with: connection.peer)) == nil else { return }
            book.left(connection.peer, now, jitter: Double.random(in: 0...1, using: &random))
            logger.debug("peer left", metadata: ["peer": "\(connection.peer)", "why": "\(error.code.rawValue)"])
        case .handshakeFailed: break
        case .exchanged(let records, let connection): learn(records, from: connection)
        }
    }

    private func identified(_ connection: P2PConnection, _ told: Identify) async {
        if let record = try? told.signedPeerRecord.map({ sealed throws(Libp2pError) in
            try SealedPeerRecord(opening: sealed)
        }), record.record.peer == connection.peer {
            book.learn(record, .told, reach: connection.remoteAddress?.reach, teller: nil, at: now)
        }
        book.settled(connection.peer, now)
        await endSecond(with: connection.peer)
        // Whom this side chose is asked; whoever came by himself may lie as he likes.
        guard !connection.isInbound else { return }
        if told.protocols.contains(PeerExchange.protocolName) { askForPeers(connection) }
        if told.protocols.contains(DialBack.protocolName) { askToDialBack(connection, observed: told.observedAddress) }
    }

    /// Where two dialed each other at once one connection is enough: that of the lower id stays, and who dialed the other ends it.
    private func endSecond(with peer: PeerID) async {
        guard let host, host.peerID > peer else { return }
        let both = ((try? await host.connections()) ?? []).filter { $0.peer == peer }
        guard both.contains(where: \.isInbound) else { return }
        for connection in both where !connection.isInbound { Task { await connection.close() } }
    }

    /// Once a second.
    func round() async {
        guard let host else { return }
        rounds += 1
        let connections = (try? await host.connections()) ?? []
        await dialSome(connections)
        await askAgain(connections)
        await favourBootstrap(connections)
        answered = answered.filter { now - $0.value < configuration.answerSeconds * 1_000 }
        if rounds % 5 == 0 {
            await save()
            if let statistics = try? await host.statistics() {
                metrics.set(statistics, known: book.count, banned: bans.with { $0.inForce(at: $1).count })
            }
        }
        if rounds % 60 == 0 {
            bans.with { $0.tidy(at: $1) }
            await refreshAddresses()
        }
    }

    /// The configuration's peers are trusted to pass others on: GossipSub takes that from peers of this score alone.
    private func favourBootstrap(_ connections: [P2PConnection]) async {
        let favoured = Set(configuration.bootstrap.compactMap { $0.tcpEndpoint?.peer })
        for connection in connections where favoured.contains(connection.peer) {
            try? await host?.setApplicationScore(GossipThresholds().acceptExchange, of: connection.peer)
        }
    }

    /// Keeps what changed; what cannot be kept now is tried again.
    public func save() async {
        let peers = book.takeChanges()
        let changedBans = bans.with { book, _ in book.takeChanges() }
        do {
            try await store.keep(peers)
            try await store.keep(changedBans)
        } catch {
            book.restore(changes: peers)
            bans.with { book, _ in book.restore(changes: changedBans) }
            logger.warning("what is known of peers is kept later", metadata: ["error": "\(error)"])
        }
    }
}

/// The host as its events know it.
private final class HostBox: Sendable {
    private let value = Mutex<P2PHost?>(nil)
    var host: P2PHost? {
        get { value.withLock { $0 } }
        set { value.withLock { $0 = newValue } }
    }
}
