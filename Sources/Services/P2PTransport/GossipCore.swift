internal import Encodings
internal import Libp2p
internal import NIOCore

/// Runs the engine of GossipSub over the connections of a host; lives on the host's event loop. Messages pass through it
/// without a task or another thread between, save where they are validated.
final class GossipCore {
    typealias Validate = @Sendable (GossipMessage, PeerID) async -> GossipSub.Verdict

    /// RPCs that wait for a peer that does not read: over it what comes is left out, and gossip makes up for it.
    private static let waitingFrames = 512

    /// From how many RPCs on whoever publishes waits for the peer.
    private static let crowdedFrames = 64

    private unowned let host: HostCore
    private let parameters: GossipParameters
    private var engine: GossipSub
    /// The stream that this side writes on, and the connection that it runs on.
    private var streams: [PeerID: (stream: StreamCore, connection: P2PConnection)] = [:]
    /// Peers that a stream is being opened to, with the connection that came meanwhile and has its turn where that fails.
    private var opening: [PeerID: (connection: P2PConnection, handler: ConnectionHandler)?] = [:]
    /// Connections whose peer takes no RPCs.
    private var oneWay: Set<ObjectIdentifier> = []
    /// The streams on which peers write.
    private var incoming: [ObjectIdentifier: Incoming] = [:]
    /// Bytes that their inboxes hold of RPCs that are not whole.
    private var halfSentBytes = 0
    private var validators: [String: Validate] = [:]
    private var beating: RepeatedTask?
    /// Bytes that were taken while too much was being validated, and that their senders get no credit for yet.
    private var held: [(stream: StreamCore, count: Int)] = []
    private var waiters: [EventLoopPromise<Void>] = []
    private var patience: Scheduled<Void>?
    /// Peers that took nothing for a second: nobody waits for them until they do.
    private var slow: Set<PeerID> = []
    private var isActing = false
    private var sequence: UInt64 = 0
    /// Topics that are listened to and not passed on, by how many ask for that.
    private var observed: [String: Int] = [:]
    /// Is told of every message that passes, on the loop.
    var tap: (@Sendable (GossipPassage) -> Void)?

    init(host: HostCore, parameters: GossipParameters) {
        self.host = host
        self.parameters = parameters
        var generator = SystemRandomNumberGenerator()
        var scoring = GossipScoreParameters()
        // Who lets more peers be at one address expects them there.
        scoring.colocationThreshold = max(scoring.colocationThreshold, host.limits.connectionsPerAddress / 4)
        engine = GossipSub(peerID: host.key.peerID, parameters: parameters, scoring: scoring, seed: generator.next())
        let interval = TimeAmount.milliseconds(parameters.heartbeatMilliseconds)
        let bound = NIOLoopBound(self, eventLoop: host.loop)
        beating = host.loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in bound.value.beat() }
    }

    private var now: Int64 { Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000) }

    private func beat() {
        breakOffStalled()
        engine.heartbeat(at: now)
        act()
    }

    func close() {
        beating?.cancel()
        beating = nil
        makeRoom()
    }

    // MARK: What its user does

    func subscribe(_ topic: String, _ validate: @escaping Validate) throws(Libp2pError) {
        try engine.subscribe(topic, at: now)
        validators[topic] = validate
        act()
    }

    func unsubscribe(_ topic: String) {
        validators[topic] = nil
        if observed[topic] == nil { engine.unsubscribe(topic, at: now) }
        act()
    }

    func publish(_ data: [UInt8], _ topic: String, sequence: UInt64) throws(Libp2pError) -> Int {
        let message = try GossipMessage(signing: data, topic: topic, sequence: sequence, key: host.key)
        let count = try engine.publish(message, at: now)
        tap?(GossipPassage(message: message, from: nil, verdict: .accept))
        act()
        return count
    }

    /// A number that this host has not used.
    func nextSequence(atLeast time: UInt64) -> UInt64 {
        sequence = max(sequence + 1, time)
        return sequence
    }

    /// Joins a topic to hear what passes: without a validator nothing of it is passed on.
    func observe(_ topic: String) throws(Libp2pError) {
        try engine.subscribe(topic, at: now)
        observed[topic, default: 0] += 1
        act()
    }

    func stopObserving(_ topic: String) {
        guard let count = observed[topic] else { return }
        observed[topic] = count == 1 ? nil : count - 1
        guard count == 1, validators[topic] == nil else { return }
        engine.unsubscribe(topic, at: now)
        act()
    }

    var counts: GossipCounts { engine.counts }
    var meshSizes: [String: Int] {
        Dictionary(uniqueKeysWithValues: engine.topics.map { ($0, engine.meshPeers(of: $0).count) })
    }
    func standing(of peer: PeerID) -> GossipStanding? { engine.standing(of: peer, at: now) }
    func setApplicationScore(_ score: Double, of peer: PeerID) { engine.setApplicationScore(score, of: peer) }

    func meshPeers(of topic: String) -> [PeerID] { engine.meshPeers(of: topic).sorted() }
    func score(of peer: PeerID) -> Double { engine.score(of: peer, at: now) }

    // MARK: Peers

    /// Opens the stream that RPCs are written on; a peer that does not speak GossipSub is left alone.
    func connected(_ connection: P2PConnection, _ handler: ConnectionHandler) {
        let peer = connection.peer
        guard streams[peer] == nil else { return }
        guard opening[peer] == nil else { return opening[peer] = (connection, handler) }
        opening[peer] = .some(nil)
        handler.open(GossipSub.protocolNames).assumeIsolated().whenComplete { [self, weak handler] result in
            let other = opening.removeValue(forKey: peer) ?? nil
            let stream: StreamCore
            switch result {
            case .success(let opened): stream = opened.core.value
            case .failure(let error):
                if let other { connected(other.connection, other.handler) }
                return notOpened(connection, handler, error)
            }
            guard streams[peer] == nil, beating != nil else { return stream.release() }
            streams[peer] = (stream, connection)
            engine.addPeer(
                peer,
                address: Self.address(connection.remoteAddress),
                isOutbound: !connection.isInbound,
                speaksDontWant: stream.protocolName == GossipSub.dontWantProtocolName,
                at: now
            )
            if let told = handler?.identified { identified(peer, told) }
            // The peer sends nothing on it; its end is the end of gossip with the peer.
            stream.deliver { [weak self] bytes in
                if let bytes { stream.used(bytes.count) } else { self?.lost(connection, handler) }
            }
            stream.onDrained = { [weak self] in self?.drained(peer) }
            for line in incoming.values where line.peer == peer { takeEarly(line) }
            act()
        }
    }

    /// The peer takes no more RPCs on the stream. Where the connection stays, it is tried again after a while: the stream may have
    /// been broken off because the line was slow.
    private func lost(_ connection: P2PConnection, _ handler: ConnectionHandler?) {
        ended(connection.peer, on: connection)
        reopen(connection, handler, seconds: host.limits.reopenSeconds)
    }

    private func reopen(_ connection: P2PConnection, _ handler: ConnectionHandler?, seconds: Int64) {
        host.loop.assumeIsolated().scheduleTask(in: .seconds(seconds)) { [weak self, weak handler] in
            guard let self, let handler, !handler.isClosing, handler.connection === connection else { return }
            connected(connection, handler)
        }
    }

    /// A peer that does not take RPCs has nobody who hears its own. Who was only slow is asked again.
    private func notOpened(_ connection: P2PConnection, _ handler: ConnectionHandler?, _ error: any Error) {
        guard (error as? Libp2pError)?.code == .notNegotiated else { return reopen(connection, handler, seconds: 1) }
        oneWay.insert(ObjectIdentifier(connection))
        for line in Array(incoming.values) where line.connection === connection {
            line.stream.reset(Self.takesNone)
        }
    }

    func disconnected(_ connection: P2PConnection, other: P2PConnection?) {
        oneWay.remove(ObjectIdentifier(connection))
        ended(connection.peer, on: connection)
        if let other { connected(other, other.handler.value) }
    }

    private func ended(_ peer: PeerID, on connection: P2PConnection) {
        guard let entry = streams[peer], entry.connection === connection else { return }
        streams[peer] = nil
        entry.stream.onDrained = nil
        entry.stream.release()
        engine.removePeer(peer, at: now)
        act()
        drained(peer)
    }

    func identified(_ peer: PeerID, _ told: Identify) {
        engine.setSignedRecord(told.signedPeerRecord, of: peer)
    }

    /// What counts as one address for the score; on one machine all peers have the same, and that says nothing.
    private static func address(_ address: Multiaddr?) -> [UInt8]? {
        address?.reach == .machine ? nil : address?.place
    }

    // MARK: What peers send

    private final class Incoming {
        let stream: StreamCore
        let connection: P2PConnection
        var peer: PeerID { connection.peer }
        var inbox = GossipInbox()
        /// What came before this side could answer: a window's worth at most, for which the peer gets no credit yet.
        var early: [ArraySlice<UInt8>] = []
        /// Bytes that are held for it and can't be read yet.
        var heldCount: Int { inbox.halfCount + early.reduce(0) { $0 + $1.count } }
        /// What of them ``halfSentBytes`` counts.
        var countedBytes = 0

        init(_ stream: StreamCore, _ connection: P2PConnection) {
            self.stream = stream
            self.connection = connection
        }
    }

    /// A stream on which a peer writes its RPCs.
    func accepted(_ stream: StreamCore, on connection: P2PConnection, ended: @escaping () -> Void) {
        let (line, peer) = (Incoming(stream, connection), connection.peer)
        let id = ObjectIdentifier(stream)
        incoming[id] = line
        stream.deliver { [weak self] bytes in
            guard let self, let bytes else {
                self?.forget(id)
                ended()
                return stream.release()
            }
            if streams[peer] != nil {
                receive(bytes, on: line)
                act()
            } else if oneWay.contains(ObjectIdentifier(connection)) {
                stream.reset(Self.takesNone)
            } else {
                // A peer that this side has no stream to has no standing either: what it sends waits.
                line.early.append(bytes)
                count(line)
                breakOffLongest()
            }
        }
    }

    private func takeEarly(_ line: Incoming) {
        let early = line.early
        line.early = []
        // What came first may have ended the stream.
        for bytes in early where incoming[ObjectIdentifier(line.stream)] === line { receive(bytes, on: line) }
    }

    private func receive(_ bytes: ArraySlice<UInt8>, on line: Incoming) {
        line.inbox.append(bytes, at: now)
        do throws(Libp2pError) {
            while let body = try line.inbox.next() { try engine.receive(body, from: line.peer, at: now) }
        } catch {
            line.stream.reset(error)
        }
        count(line)
        breakOffLongest()
        // Who sends faster than is validated waits, rather than that messages are lost.
        if engine.isBusy { held.append((line.stream, bytes.count)) } else { line.stream.used(bytes.count) }
    }

    private static var takesNone: Libp2pError { Libp2pError(.unsupported, "gossip goes both ways") }

    private func forget(_ id: ObjectIdentifier) {
        if let line = incoming.removeValue(forKey: id) { count(line) }
    }

    /// Counts what is held for a stream now, and nothing for one that has ended, however it came to that.
    private func count(_ line: Incoming) {
        let held = incoming[ObjectIdentifier(line.stream)] === line ? line.heldCount : 0
        halfSentBytes += held - line.countedBytes
        line.countedBytes = held
    }

    /// Peers that begin an RPC and do not end it: what they sent takes room, though it comes a byte at a time ([GSP-2]).
    private func breakOffStalled() {
        let time = now
        for line in Array(incoming.values)
        where line.inbox.isLate(at: time, milliseconds: host.limits.rpcSeconds * 1_000) {
            engine.stalled(line.peer)
            line.stream.reset(Libp2pError(.timedOut, "the peer took too long to send an RPC"))
        }
    }

    private func breakOffLongest() {
        guard halfSentBytes > host.limits.halfSentBytes else { return }
        let longest = incoming.values.max { $0.heldCount < $1.heldCount }
        longest?.stream.reset(Libp2pError(.limitExceeded, "more of RPCs is half sent than there is room for"))
    }

    // MARK: Actions

    private func act() {
        guard !isActing else { return }
        isActing = true
        defer { isActing = false }
        while case let actions = engine.takeActions(), !actions.isEmpty {
            for action in actions {
                switch action {
                case .send(let peers, let frame): for peer in peers { send(frame, to: peer) }
                case .validate(let message, let peer): validate(message, from: peer)
                case .connect(let records, let peer):
                    if let connection = streams[peer]?.connection { host.tell(.exchanged(records, by: connection)) }
                case .cutOff(let peer): host.cutOff(peer)
                }
            }
        }
    }

    private func send(_ frame: [UInt8], to peer: PeerID) {
        guard let stream = streams[peer]?.stream, stream.waitingWrites < Self.waitingFrames else { return }
        stream.push(frame)
    }

    private func validate(_ message: GossipMessage, from peer: PeerID) {
        guard let validate = validators[message.topic] else { return conclude(message, from: peer, .ignore) }
        let bound = NIOLoopBound(self, eventLoop: host.loop)
        host.run {
            await validate(message, peer)
        } then: { verdict in
            bound.value.conclude(message, from: peer, verdict)
        }
    }

    private func conclude(_ message: GossipMessage, from peer: PeerID, _ verdict: GossipSub.Verdict) {
        tap?(GossipPassage(message: message, from: peer, verdict: verdict))
        validated(message.id, verdict)
    }

    private func validated(_ id: GossipMessageID, _ verdict: GossipSub.Verdict) {
        engine.validated(id, verdict, at: now)
        act()
        guard !engine.isBusy, !held.isEmpty else { return }
        let waiting = held
        held = []
        for (stream, count) in waiting { stream.used(count) }
    }

    // MARK: Room to publish

    private var crowded: [PeerID] {
        streams.filter { !slow.contains($0.key) && $0.value.stream.waitingWrites >= Self.crowdedFrames }.map(\.key)
    }

    /// Done once no peer has too much waiting for it; a peer that takes nothing for a second is waited for no longer.
    func whenRoom() -> EventLoopFuture<Void> {
        guard !crowded.isEmpty else { return host.loop.makeSucceededVoidFuture() }
        let promise = host.loop.makePromise(of: Void.self)
        waiters.append(promise)
        if patience == nil {
            patience = host.loop.assumeIsolated().scheduleTask(in: .seconds(1)) { [self] in
                slow.formUnion(crowded)
                makeRoom()
            }
        }
        return promise.futureResult
    }

    private func drained(_ peer: PeerID) {
        slow.remove(peer)
        if !waiters.isEmpty, crowded.isEmpty { makeRoom() }
    }

    private func makeRoom() {
        patience?.cancel()
        patience = nil
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.succeed(()) }
    }
}
