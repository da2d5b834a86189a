internal import Cryptography
package import Libp2p

/// Nodes of GossipSub under a virtual clock of milliseconds, with links between them; the same seed gives the same run.
///
/// The engines are those of a real host. Only what moves their bytes, and the time, are made up.
package struct SimulatedNetwork {
    /// How frames travel.
    package struct Conditions: Sendable {
        /// From one node to another, in milliseconds, 1 to ``maximumLatency``.
        package var latency: Int64 = 25
        /// Each link's own latency lies within this share of it, above or below; a link keeps the order of its frames.
        package var jitter = 0.0
        /// The share of frames that are lost.
        package var loss = 0.0
        /// Whether each node's heartbeat comes at its own moment of the second; else all come together.
        package var staggersHeartbeats = false

        package init() {}
    }

    /// A message of one of the nodes, and when the others took it.
    package struct Publication: Sendable {
        package let id: GossipMessageID
        package let author: Int
        package let at: Int64
        /// Milliseconds until each node took it, by number; -1 where it did not.
        package fileprivate(set) var arrivals: [Int32]
    }

    private struct Flight {
        let from: Int
        let to: Int
        let frame: [UInt8]
    }

    package static let maximumLatency: Int64 = 1_000

    package var nodes: [GossipSub] = []
    package private(set) var keys: [PeerKey] = []
    package private(set) var now: Int64 = 0
    /// For each node, the messages that it took, and how many it was asked about.
    package private(set) var taken: [[GossipMessageID]] = []
    package private(set) var validations: [Int] = []
    package private(set) var publications: [Publication] = []
    /// Messages that arrived at each node, each copy counted.
    package private(set) var copiesAt: [Int] = []
    /// Whom each node cut off, and the peers that it was told of.
    package private(set) var cutOff: [Int: Set<Int>] = [:]
    package private(set) var connects: [Int: [PeerRecord]] = [:]
    /// What passes, by sender and receiver: false loses it.
    package var passes: (Int, Int, GossipRPC) -> Bool = { _, _, _ in true }
    /// What a message is worth to a node.
    package var verdict: (Int, GossipMessage) -> GossipSub.Verdict = { _, _ in .accept }

    private let conditions: Conditions
    private var random: SplitMix
    private var numbers: [PeerID: Int] = [:]
    /// For each node those that it is linked with, and whether it dialed them.
    private var neighbours: [[Int: Bool]] = []
    private var isUp: [Bool] = []
    /// What lands in each millisecond to come, in the order it was sent.
    private var wheel: [[Flight]]
    /// The nodes whose heartbeat falls on each millisecond of a second.
    private var beating: [[Int]]
    private var indices: [GossipMessageID: Int] = [:]

    package init(_ conditions: Conditions = Conditions(), seed: UInt64 = 1) {
        self.conditions = conditions
        random = SplitMix(seed: seed)
        wheel = Array(repeating: [], count: Int(Self.maximumLatency) + 1)
        beating = Array(repeating: [], count: 1_000)
    }

    /// All nodes alike.
    package init(
        _ count: Int,
        parameters: GossipParameters = GossipParameters(),
        thresholds: GossipThresholds = GossipThresholds(),
        scoring: GossipScoreParameters = GossipScoreParameters()
    ) throws {
        self.init()
        for _ in 0..<count { try addNode(parameters: parameters, thresholds: thresholds, scoring: scoring) }
    }

    /// - Returns: its number.
    @discardableResult
    package mutating func addNode(
        parameters: GossipParameters = GossipParameters(),
        thresholds: GossipThresholds = GossipThresholds(),
        scoring: GossipScoreParameters = GossipScoreParameters()
    ) throws -> Int {
        let number = nodes.count
        let key = PeerKey(try Ed25519.PrivateKey(seed: Hashing.sha256([UInt8]("node \(number)".utf8))))
        keys.append(key)
        numbers[key.peerID] = number
        nodes.append(
            GossipSub(
                peerID: key.peerID,
                parameters: parameters,
                thresholds: thresholds,
                scoring: scoring,
                seed: random.next()
            )
        )
        taken.append([])
        validations.append(0)
        copiesAt.append(0)
        neighbours.append([:])
        isUp.append(true)
        beating[conditions.staggersHeartbeats ? Int(random.next() % 1_000) : 0].append(number)
        return number
    }

    // MARK: Links

    /// Connects two nodes; each counts as an address of its own.
    package mutating func link(_ dialer: Int, _ listener: Int) {
        guard dialer != listener, neighbours[dialer][listener] == nil else { return }
        for (one, other, outbound) in [(dialer, listener, true), (listener, dialer, false)] {
            neighbours[one][other] = outbound
            let address = [UInt8(truncatingIfNeeded: other), UInt8(truncatingIfNeeded: other >> 8)]
            nodes[one].addPeer(
                keys[other].peerID,
                address: address,
                isOutbound: outbound,
                speaksDontWant: true,
                at: now
            )
        }
    }

    /// Breaks every link between nodes of different sides.
    /// - Returns: those links, for when they are to be made again.
    package mutating func cut(_ side: (Int) -> Bool) -> [(dialer: Int, listener: Int)] {
        let crossing = nodes.indices.flatMap { node in
            neighbours[node].filter { $0.value && side($0.key) != side(node) }.keys.sorted().map {
                (dialer: node, listener: $0)
            }
        }
        for link in crossing { unlink(link.dialer, link.listener) }
        return crossing
    }

    private mutating func unlink(_ one: Int, _ other: Int) {
        for (node, gone) in [(one, other), (other, one)] {
            nodes[node].removePeer(keys[gone].peerID, at: now)
            neighbours[node][gone] = nil
        }
    }

    /// Each of these nodes dials `degree / 2` others of them, so that each has about `degree` links.
    package mutating func linkRandomly(degree: Int, among members: [Int]? = nil, seed: UInt64) {
        var random = SplitMix(seed: seed)
        let members = members ?? Array(nodes.indices)
        for node in members {
            for _ in 0..<(degree / 2) { link(node, members[Int(random.next() % UInt64(members.count))]) }
        }
    }

    /// A node goes, with all its links and what is on the way to it.
    package mutating func remove(_ node: Int) {
        isUp[node] = false
        for other in neighbours[node].keys.sorted() { unlink(node, other) }
    }

    // MARK: What nodes do

    package mutating func subscribeAll(_ topic: String) throws {
        for node in nodes.indices { try nodes[node].subscribe(topic, at: now) }
    }

    @discardableResult
    package mutating func publish(_ node: Int, _ topic: String, _ data: [UInt8], sequence: UInt64) throws
        -> GossipMessageID
    {
        let message = try GossipMessage(signing: data, topic: topic, sequence: sequence, key: keys[node])
        try nodes[node].publish(message, at: now)
        let arrivals = [Int32](repeating: -1, count: nodes.count)
        indices[message.id] = publications.count
        publications.append(Publication(id: message.id, author: node, at: now, arrivals: arrivals))
        collect(node)
        return message.id
    }

    /// Sends an RPC as `from` that its engine did not make.
    package mutating func forge(_ rpc: GossipRPC, from: Int, to: Int) throws {
        var frame = DelimitedReader(maximumBytes: 1 << 20)
        frame.append(rpc.delimited)
        if let body = try frame.next() { try nodes[to].receive(body, from: keys[from].peerID, at: now) }
        collect(to)
    }

    /// Copies that arrived anywhere since they were last counted from zero.
    package var copies: Int { copiesAt.reduce(0, +) }
    package mutating func resetCopies() { copiesAt = Array(repeating: 0, count: nodes.count) }
    /// How long each message took to each node that took it.
    package var latencies: [Int64] { publications.flatMap { $0.arrivals.filter { $0 >= 0 }.map(Int64.init) } }

    // MARK: Time

    package mutating func run(milliseconds: Int64) throws {
        let end = now + milliseconds
        for node in nodes.indices { collect(node) }
        while now < end {
            now += 1
            let slot = Int(now % Int64(wheel.count))
            let landing = wheel[slot]
            wheel[slot] = []
            for flight in landing where isUp[flight.to] { try arrive(flight) }
            for node in beating[Int(now % 1_000)] where isUp[node] {
                nodes[node].heartbeat(at: now)
                collect(node)
            }
        }
    }

    private mutating func arrive(_ flight: Flight) throws {
        var reader = DelimitedReader(maximumBytes: 1 << 20)
        reader.append(flight.frame)
        guard let body = try reader.next() else { return }
        let rpc = try GossipRPC(body)
        guard passes(flight.from, flight.to, rpc) else { return }
        copiesAt[flight.to] += rpc.messages.count
        try nodes[flight.to].receive(body, from: keys[flight.from].peerID, at: now)
        collect(flight.to)
    }

    private mutating func send(_ frame: [UInt8], from node: Int, to other: Int) {
        if conditions.loss > 0, random.share() < conditions.loss { return }
        let slot = Int((now + latency(node, other)) % Int64(wheel.count))
        wheel[slot].append(Flight(from: node, to: other, frame: frame))
    }

    /// The link's own latency, the same both ways and in each run.
    private func latency(_ one: Int, _ other: Int) -> Int64 {
        guard conditions.jitter > 0 else { return conditions.latency }
        var choice = SplitMix(seed: UInt64(min(one, other)) << 32 | UInt64(max(one, other)))
        let share = 1 + conditions.jitter * (2 * choice.share() - 1)
        return min(max(1, Int64((Double(conditions.latency) * share).rounded())), Self.maximumLatency)
    }

    private mutating func collect(_ node: Int) {
        var more = true
        while more {
            more = false
            for action in nodes[node].takeActions() {
                switch action {
                case .send(let peers, let frame):
                    for peer in peers {
                        if let other = numbers[peer] { send(frame, from: node, to: other) }
                    }
                case .validate(let message, _):
                    take(message, at: node)
                    more = true
                case .connect(let records, _): connects[node, default: []] += records.map(\.record)
                case .cutOff(let peer):
                    if let other = numbers[peer] { cutOff[node, default: []].insert(other) }
                }
            }
        }
    }

    private mutating func take(_ message: GossipMessage, at node: Int) {
        validations[node] += 1
        let verdict = verdict(node, message)
        if verdict == .accept { taken[node].append(message.id) }
        if let index = indices[message.id], publications[index].arrivals.indices.contains(node),
            publications[index].arrivals[node] < 0
        {
            publications[index].arrivals[node] = Int32(clamping: now - publications[index].at)
        }
        nodes[node].validated(message.id, verdict, at: now)
    }
}
