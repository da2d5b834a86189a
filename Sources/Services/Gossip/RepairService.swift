internal import Encodings
public import Libp2p
public import Logging
public import P2PTransport
public import Records
internal import Synchronization

/// What a session of repair came to.
public struct RepairOutcome: Sendable, Hashable {
    /// Messages of negentropy that came.
    public var rounds = 0
    /// Records that came and are kept, and that came and were refused.
    public var taken = 0
    public var refused = 0
    /// Records that were sent.
    public var sent = 0
    public var bytesRead = 0
    public var bytesWritten = 0
    /// False where more was found than one session takes: the next one goes on.
    public var isComplete = true
}

/// Gets what this node missed, and gives others what they missed: negentropy over a libp2p stream, at connect and every
/// minute with a peer that is chosen at random. `Specs/repair.md` gives the protocol.
public final class RepairService: Sendable {
    public static let protocolName = "/mintmark/repair/1"
    /// Repair with a new peer comes again after so many seconds, each counted from the one before.
    static let afterConnecting = [3, 15]

    public struct Limits: Sendable, Hashable {
        /// Sessions of others that are served at once.
        public var sessions = 16
        public var sessionsPerPeer = 4
        public var sessionsPerMinute = 30
        /// Bytes of one peer's sessions, both ways; what is over it is for the next minute.
        public var bytesPerMinute = 128 * 1024 * 1024
        /// Of one session.
        public var bytesPerSession = 64 * 1024 * 1024
        public var requestsPerSession = 8_192
        public var secondsPerSession: Int64 = 120
        /// Sessions of this side at once.
        public var ownSessions = 4
        public var intervalSeconds: Int64 = 60
        /// How long a peer is left alone that sent what it is answerable for.
        public var blockSeconds: Int64 = 600
        /// Peers whose sessions are counted.
        public var peers = 1_024
        /// Of reconciliation.
        public var reconciliation = Negentropy.Limits()

        public init() {}
    }

    /// What all sessions came to, this side's and others'.
    public struct Counts: Sendable, Hashable {
        /// Sessions of this side that came to their end, and that broke off.
        public var completed = 0
        public var failed = 0
        public var served = 0
        public var turnedAway = 0
        public var faults = 0
        public var taken = 0
        public var refused = 0
        public var sent = 0
        public var bytesRead = 0
        public var bytesWritten = 0
    }

    let intake: RecordIntake
    let limits: Limits
    let logger: Logger
    let peers: Mutex<RepairPeers>
    let tally = Mutex(Counts())
    let ownSessions = Mutex<Set<PeerID>>([])
    private let onFault: @Sendable (PeerID, RecordRefusal) -> Void
    private let newPeers: AsyncStream<P2PConnection>
    private let newPeer: AsyncStream<P2PConnection>.Continuation

    /// - Parameter onFault: is told of a peer that sent what it is answerable for.
    public init(
        intake: RecordIntake,
        limits: Limits = Limits(),
        logger: Logger,
        onFault: @escaping @Sendable (PeerID, RecordRefusal) -> Void = { _, _ in }
    ) {
        self.intake = intake
        self.limits = limits
        self.logger = logger
        self.onFault = onFault
        peers = Mutex(RepairPeers(limits))
        (newPeers, newPeer) = AsyncStream<P2PConnection>.makeStream(bufferingPolicy: .bufferingNewest(64))
    }

    /// To be served by the host.
    public var servedProtocol: P2PProtocol {
        P2PProtocol(Self.protocolName) { [weak self] stream in try await self?.serve(stream) }
    }

    public var counts: Counts { tally.withLock { $0 } }

    // MARK: When

    /// Tells of a peer that was connected with; whoever dialed begins ([RPR-6]).
    public func connected(_ connection: P2PConnection) {
        if !connection.isInbound { newPeer.yield(connection) }
    }

    /// Repairs with each new peer, and every interval with one of all; looks after the records meanwhile. It lives until it is
    /// cancelled, and is called once.
    public func run(on host: P2PHost) async {
        await withDiscardingTaskGroup { group in
            group.addTask { [self] in
                await withDiscardingTaskGroup { sessions in
                    for await connection in newPeers {
                        sessions.addTask { [self] in
                            await attempt(connection)
                            // What was published before its streams of gossip were open went past both.
                            for seconds in Self.afterConnecting {
                                guard (try? await Task.sleep(for: .seconds(seconds))) != nil else { return }
                                await attempt(connection)
                            }
                        }
                    }
                }
            }
            group.addTask { [self] in
                while !Task.isCancelled {
                    // Not all nodes at the same moment.
                    let milliseconds = limits.intervalSeconds * Int64.random(in: 800...1_200)
                    guard (try? await Task.sleep(for: .milliseconds(milliseconds))) != nil else { return }
                    do {
                        try await intake.sweep()
                    } catch {
                        logger.warning("the records can't be looked after", metadata: ["error": "\(error)"])
                    }
                    guard let connection = try? await host.connections().randomElement() else { continue }
                    await attempt(connection)
                }
            }
        }
    }

    /// A session whose end is told to the log.
    private func attempt(_ connection: P2PConnection) async {
        do {
            let outcome = try await repair(with: connection)
            guard outcome.taken + outcome.sent > 0 else { return }
            logger.debug(
                "records repaired",
                metadata: ["peer": "\(connection.peer)", "taken": "\(outcome.taken)", "sent": "\(outcome.sent)"]
            )
        } catch {
            // A peer that does not speak it, or is gone, is nothing to tell.
            logger.trace("no repair", metadata: ["peer": "\(connection.peer)", "error": "\(error)"])
        }
    }

    // MARK: Taking

    /// Looks at records that a peer sent and that were asked for.
    /// - Throws: `Libp2pError` with `.protocolViolation` where the peer is answerable for one of them.
    func take(_ records: [[UInt8]], asked: Set<RecordID>, from peer: PeerID) async throws -> (taken: Int, refused: Int)
    {
        let results = await intake.take(records, only: asked)
        var (taken, refused) = (0, 0)
        var fault: RecordRefusal?
        for result in results {
            switch result {
            case .success: taken += 1
            case .failure(let refusal):
                refused += 1
                if refusal.isSendersFault { fault = fault ?? refusal }
            }
        }
        tally.withLock { counts in
            counts.taken += taken
            counts.refused += refused
        }
        if let fault {
            peers.withLock { $0.block(peer, now: intake.clock.now()) }
            tally.withLock { $0.faults += 1 }
            onFault(peer, fault)
            throw Libp2pError(.protocolViolation, fault.message)
        }
        return (taken, refused)
    }
}
