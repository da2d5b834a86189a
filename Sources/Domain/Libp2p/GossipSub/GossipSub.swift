/// GossipSub v1.1 and v1.2 without I/O and without a clock: a mesh for each topic, gossip beside it, scores over both.
///
/// The owner tells what happened and when (milliseconds of any clock that does not go back), then takes the actions.
public struct GossipSub: Sendable {
    /// The protocols, the most wanted first.
    public static let protocolNames = ["/meshsub/1.2.0", "/meshsub/1.1.0"]
    /// The protocol whose peers understand IDONTWANT.
    public static let dontWantProtocolName = "/meshsub/1.2.0"

    public enum Action: Sendable {
        /// One RPC, behind its length, for each of these peers.
        case send([PeerID], [UInt8])
        /// A signed message that is new: say what it is worth with ``GossipSub/validated(_:_:at:)``.
        case validate(GossipMessage, from: PeerID)
        /// Peers that another one passed on, by records that they signed.
        case connect([SealedPeerRecord], from: PeerID)
        /// The peer's standing is so low that it is not listened to any more.
        case cutOff(PeerID)
    }

    /// What a message is worth.
    public enum Verdict: Sendable {
        /// Good: it is passed on.
        case accept
        /// Bad, and who sent it is answerable for it.
        case reject
        /// Neither: it is not passed on, and nobody is blamed.
        case ignore
    }

    struct Peer: Sendable {
        let isOutbound: Bool
        let speaksDontWant: Bool
        var topics: Set<String> = []
        var haveMessages = 0
        var askedIDs = 0
        /// Until which tick each message is not wanted.
        var dontWant: [GossipMessageID: UInt64] = [:]
        var signedRecord: [UInt8]?
    }

    struct Fanout: Sendable {
        var peers: Set<PeerID>
        var publishedAt: Int64
    }

    struct Validating: Sendable {
        let message: GossipMessage
        /// Who brought it first, then who brought copies meanwhile.
        var from: [PeerID]
    }

    public let peerID: PeerID
    let parameters: GossipParameters
    let thresholds: GossipThresholds
    var scores: GossipScores
    var random: SplitMix
    var peers: [PeerID: Peer] = [:]
    /// Who subscribes to a topic.
    var subscribers: [String: Set<PeerID>] = [:]
    /// The meshes of the topics that this side subscribes to.
    var mesh: [String: Set<PeerID>] = [:]
    var fanout: [String: Fanout] = [:]
    var backoff: [String: [PeerID: Int64]] = [:]
    var seen: SeenMessages
    var cache: MessageCache
    var validating: [GossipMessageID: Validating] = [:]
    var validatingBytes = 0
    /// Messages that a peer said it has and was asked for, until when it has to send them.
    var promises: [GossipMessageID: (peer: PeerID, until: Int64)] = [:]
    var ticks: UInt64 = 0
    /// What came and went so far.
    public internal(set) var counts = GossipCounts()
    private var control: [PeerID: GossipRPC] = [:]
    private var actions: [Action] = []

    /// - Parameter seed: of the choices among peers; a random number, save in simulations.
    public init(
        peerID: PeerID,
        parameters: GossipParameters = GossipParameters(),
        thresholds: GossipThresholds = GossipThresholds(),
        scoring: GossipScoreParameters = GossipScoreParameters(),
        seed: UInt64
    ) {
        self.peerID = peerID
        self.parameters = parameters
        self.thresholds = thresholds
        scores = GossipScores(scoring)
        random = SplitMix(seed: seed)
        seen = SeenMessages(milliseconds: parameters.seenMilliseconds, count: parameters.seenCount)
        cache = MessageCache(length: parameters.historyLength, maximumBytes: parameters.historyBytes)
    }

    /// What is to be done because of what was told since the last time.
    public mutating func takeActions() -> [Action] {
        // In order, so that a simulation is the same each time.
        for (peer, rpc) in control.sorted(by: { $0.key < $1.key }) where peers[peer] != nil {
            actions.append(.send([peer], rpc.delimited))
        }
        control = [:]
        defer { actions = [] }
        return actions
    }

    /// The peers of a topic's mesh; none where it is not subscribed to.
    public func meshPeers(of topic: String) -> Set<PeerID> { mesh[topic] ?? [] }
    /// Whether so much is being validated that whoever can should hold its peers back: a quarter of what there is room for.
    public var isBusy: Bool {
        validating.count >= parameters.maximumValidating / 4 || validatingBytes >= parameters.maximumValidatingBytes / 4
    }

    /// The topics that this side subscribes to.
    public var topics: Set<String> { Set(mesh.keys) }

    public func score(of peer: PeerID, at now: Int64) -> Double { scores.score(of: peer, at: now) }

    /// What a peer's score is made of; nil where nothing is known of it.
    public func standing(of peer: PeerID, at now: Int64) -> GossipStanding? { scores.standing(of: peer, at: now) }

    /// Sets what the owner thinks of the peer (P5).
    public mutating func setApplicationScore(_ score: Double, of peer: PeerID) {
        scores.setApplicationScore(peer, score)
    }

    // MARK: Peers

    /// A peer with which RPCs can be exchanged.
    /// - Parameters:
    ///   - address: what counts as one address, for peers that come from the same.
    ///   - isOutbound: whether this side dialed it.
    public mutating func addPeer(
        _ peer: PeerID,
        address: [UInt8]?,
        isOutbound: Bool,
        speaksDontWant: Bool,
        at now: Int64
    ) {
        guard peers[peer] == nil, peer != peerID else { return }
        peers[peer] = Peer(isOutbound: isOutbound, speaksDontWant: speaksDontWant)
        scores.add(peer, address: address)
        let own = mesh.keys.sorted().map { GossipRPC.Subscription(subscribes: true, topic: $0) }
        tell(peer) { $0.subscriptions = own }
    }

    public mutating func removePeer(_ peer: PeerID, at now: Int64) {
        guard let state = peers.removeValue(forKey: peer) else { return }
        for topic in state.topics { unlist(peer, topic) }
        for topic in Array(mesh.keys) { mesh[topic]?.remove(peer) }
        for topic in Array(fanout.keys) { fanout[topic]?.peers.remove(peer) }
        control[peer] = nil
        scores.remove(peer, at: now)
    }

    /// The record that the peer signed about itself, which is passed on with it.
    public mutating func setSignedRecord(_ record: [UInt8]?, of peer: PeerID) {
        peers[peer]?.signedRecord = record
    }

    func accepts(_ peer: PeerID, at now: Int64) -> Bool { scores.score(of: peer, at: now) >= thresholds.graylist }

    mutating func unlist(_ peer: PeerID, _ topic: String) {
        subscribers[topic]?.remove(peer)
        if subscribers[topic]?.isEmpty == true { subscribers[topic] = nil }
    }

    // MARK: Topics

    /// Joins a topic.
    /// - Throws: `Libp2pError` with `.malformed` where the name is empty or too long.
    public mutating func subscribe(_ topic: String, at now: Int64) throws(Libp2pError) {
        guard (1...GossipMessage.maximumTopicBytes).contains(topic.utf8.count) else {
            throw Libp2pError(.malformed, "a topic has a name of at most \(GossipMessage.maximumTopicBytes) bytes")
        }
        guard mesh[topic] == nil else { return }
        mesh[topic] = []
        for peer in Array(peers.keys) { tell(peer) { $0.subscriptions.append(.init(subscribes: true, topic: topic)) } }
        var chosen = (fanout.removeValue(forKey: topic)?.peers ?? []).filter { isEligible($0, topic, at: now) }
        if chosen.count < parameters.degree {
            let others = eligible(topic, at: now).filter { !chosen.contains($0) }
            chosen.formUnion(pick(parameters.degree - chosen.count, of: others))
        }
        for peer in chosen.sorted() { graft(peer, topic, at: now) }
    }

    /// Leaves a topic.
    public mutating func unsubscribe(_ topic: String, at now: Int64) {
        guard let leaving = mesh[topic] else { return }
        for peer in Array(peers.keys) { tell(peer) { $0.subscriptions.append(.init(subscribes: false, topic: topic)) } }
        for peer in leaving.sorted() {
            prune(peer, topic, backoffSeconds: parameters.unsubscribeBackoffSeconds, at: now)
        }
        mesh[topic] = nil
    }

    // MARK: Publishing

    /// Sends a message of this side's own.
    /// - Returns: the number of peers that it goes to.
    /// - Throws: `Libp2pError` with `.tooLarge`, or `.protocolViolation` where it was published before.
    @discardableResult
    public mutating func publish(_ message: GossipMessage, at now: Int64) throws(Libp2pError) -> Int {
        let bytes = message.protobuf
        guard bytes.count <= parameters.maximumMessageBytes else {
            throw Libp2pError(.tooLarge, "a message has at most \(parameters.maximumMessageBytes) bytes")
        }
        let id = message.id
        guard seen.insert(id, at: now) else {
            throw Libp2pError(.protocolViolation, "a message with this number was published before")
        }
        let frame = GossipRPC.delimited(message: bytes)
        cache.put(id, MessageCache.Entry(topic: message.topic, frame: frame))
        let to = publishTargets(message.topic, at: now).filter { wants($0, id) }
        counts.published += 1
        counts.sent += UInt64(to.count)
        if !to.isEmpty { act(.send(to, frame)) }
        return to.count
    }

    private mutating func publishTargets(_ topic: String, at now: Int64) -> [PeerID] {
        if parameters.floodsPublished {
            return (subscribers[topic] ?? [])
                .filter { scores.score(of: $0, at: now) >= thresholds.publish }.sorted()
        }
        if let mesh = mesh[topic] { return mesh.sorted() }
        var out = fanout[topic] ?? Fanout(peers: [], publishedAt: now)
        if out.peers.isEmpty {
            let able = (subscribers[topic] ?? []).filter { scores.score(of: $0, at: now) >= thresholds.publish }
            out.peers = Set(pick(parameters.degree, of: able.sorted()))
        }
        out.publishedAt = now
        if !out.peers.isEmpty { fanout[topic] = out }
        return out.peers.sorted()
    }

    func wants(_ peer: PeerID, _ id: GossipMessageID) -> Bool { peers[peer]?.dontWant[id] == nil }

    // MARK: The mesh

    /// Peers of the topic that may be grafted: not in the mesh, not told to stay away, of no bad standing; in order.
    func eligible(_ topic: String, at now: Int64) -> [PeerID] {
        (subscribers[topic] ?? []).filter { isEligible($0, topic, at: now) }.sorted()
    }

    private func isEligible(_ peer: PeerID, _ topic: String, at now: Int64) -> Bool {
        peers[peer] != nil && subscribers[topic]?.contains(peer) == true && mesh[topic]?.contains(peer) != true
            && backoff[topic]?[peer] == nil && scores.score(of: peer, at: now) >= 0
    }

    mutating func graft(_ peer: PeerID, _ topic: String, at now: Int64) {
        guard mesh[topic]?.insert(peer).inserted == true else { return }
        scores.graft(peer, topic, at: now)
        tell(peer) { $0.graft.append(topic) }
    }

    mutating func prune(_ peer: PeerID, _ topic: String, backoffSeconds: UInt64? = nil, at now: Int64) {
        if mesh[topic]?.remove(peer) != nil { scores.prune(peer, topic, at: now) }
        let seconds = backoffSeconds ?? parameters.pruneBackoffSeconds
        back(off: peer, topic, seconds: seconds, at: now)
        var exchanged: [GossipRPC.PeerInfo] = []
        if scores.score(of: peer, at: now) >= 0 {
            let others = (subscribers[topic] ?? []).filter {
                $0 != peer && peers[$0]?.signedRecord != nil && scores.score(of: $0, at: now) >= 0
            }
            exchanged = pick(parameters.exchangedPeers, of: others.sorted()).map {
                GossipRPC.PeerInfo(peer: $0, signedRecord: peers[$0]?.signedRecord)
            }
        }
        tell(peer) { $0.prune.append(.init(topic: topic, peers: exchanged, backoffSeconds: seconds)) }
    }

    mutating func back(off peer: PeerID, _ topic: String, seconds: UInt64, at now: Int64) {
        // Only peers that are connected are written in, so that the table stays within the connections of an hour.
        guard (backoff[topic]?.count ?? 0) < 4_096 || backoff[topic]?[peer] != nil else { return }
        let until = now + Int64(min(seconds, parameters.maximumBackoffSeconds)) * 1_000
        backoff[topic, default: [:]][peer] = max(until, backoff[topic]?[peer] ?? 0)
    }

    // MARK: Small things

    mutating func act(_ action: Action) { actions.append(action) }

    mutating func tell(_ peer: PeerID, _ write: (inout GossipRPC) -> Void) {
        write(&control[peer, default: GossipRPC()])
        if control[peer]?.isEmpty == true { control[peer] = nil }
    }

    /// So many of these, by chance.
    mutating func pick(_ count: Int, of peers: [PeerID]) -> [PeerID] {
        guard count > 0 else { return [] }
        return count >= peers.count ? peers : Array(peers.shuffled(using: &random).prefix(count))
    }
}
