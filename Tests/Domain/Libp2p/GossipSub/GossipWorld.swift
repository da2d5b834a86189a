import Cryptography
import TestSupport

@testable import Libp2p

/// Nodes of GossipSub under a virtual clock, with a latency between them; the same seed gives the same run.
struct GossipWorld {
    struct Flight {
        let at: Int64
        let number: Int
        let from: Int
        let to: Int
        let frame: [UInt8]
    }

    static let latency: Int64 = 25

    var nodes: [GossipSub] = []
    let keys: [PeerKey]
    private(set) var now: Int64 = 0
    private var numbers: [PeerID: Int] = [:]
    /// In order of arrival, since all take the same time; those before `landed` are there.
    private var flights: [Flight] = []
    private var landed = 0
    private var sent = 0
    private var nextHeartbeat: Int64 = 1_000
    /// For each node, the messages that it took.
    var taken: [[GossipMessageID]]
    var validations: [Int]
    /// When each message was published, and how long after that it was taken somewhere.
    private var publishedAt: [GossipMessageID: Int64] = [:]
    private(set) var latencies: [Int64] = []
    var cutOff: [Int: Set<Int>] = [:]
    var connects: [Int: [PeerRecord]] = [:]
    /// RPCs that carried a message.
    var copies = 0
    /// What passes, by sender and receiver: false loses it.
    var passes: (Int, Int, GossipRPC) -> Bool = { _, _, _ in true }
    var verdict: (GossipMessage) -> GossipSub.Verdict = { _ in .accept }

    init(
        _ count: Int,
        parameters: GossipParameters = GossipParameters(),
        thresholds: GossipThresholds = GossipThresholds(),
        scoring: GossipScoreParameters = GossipScoreParameters()
    ) throws {
        keys = try (0..<count).map { number in
            PeerKey(try Ed25519.PrivateKey(seed: Hashing.sha256([UInt8]("node \(number)".utf8))))
        }
        taken = Array(repeating: [], count: count)
        validations = Array(repeating: 0, count: count)
        for (number, key) in keys.enumerated() {
            numbers[key.peerID] = number
            nodes.append(
                GossipSub(
                    peerID: key.peerID,
                    parameters: parameters,
                    thresholds: thresholds,
                    scoring: scoring,
                    seed: UInt64(number)
                )
            )
        }
    }

    mutating func link(_ dialer: Int, _ listener: Int) {
        for (one, other, outbound) in [(dialer, listener, true), (listener, dialer, false)] {
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

    /// Links every node with so many others.
    mutating func linkRandomly(degree: Int, seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for node in nodes.indices {
            for _ in 0..<(degree / 2) {
                let other = Int(random.next() % UInt64(nodes.count))
                if other != node { link(node, other) }
            }
        }
    }

    mutating func subscribeAll(_ topic: String) throws {
        for node in nodes.indices { try nodes[node].subscribe(topic, at: now) }
    }

    mutating func publish(_ node: Int, _ topic: String, _ data: [UInt8], sequence: UInt64) throws -> GossipMessageID {
        let message = try GossipMessage(signing: data, topic: topic, sequence: sequence, key: keys[node])
        try nodes[node].publish(message, at: now)
        publishedAt[message.id] = now
        return message.id
    }

    /// Sends an RPC as `from` that its engine did not make.
    mutating func forge(_ rpc: GossipRPC, from: Int, to: Int) throws {
        var frame = DelimitedReader(maximumBytes: 1 << 20)
        frame.append(rpc.delimited)
        if let body = try frame.next() { try nodes[to].receive(body, from: keys[from].peerID, at: now) }
        collect(to)
    }

    mutating func run(milliseconds: Int64) throws {
        let end = now + milliseconds
        for node in nodes.indices { collect(node) }
        while true {
            let flight = landed < flights.count ? flights[landed] : nil
            let next = min(flight?.at ?? .max, nextHeartbeat)
            guard next <= end else { break }
            now = next
            if let flight, flight.at <= now {
                landed += 1
                if landed > 10_000 {
                    flights.removeFirst(landed)
                    landed = 0
                }
                try arrive(flight)
            } else {
                nextHeartbeat += 1_000
                for node in nodes.indices {
                    nodes[node].heartbeat(at: now)
                    collect(node)
                }
            }
        }
        now = end
    }

    private mutating func arrive(_ flight: Flight) throws {
        var reader = DelimitedReader(maximumBytes: 1 << 20)
        reader.append(flight.frame)
        guard let body = try reader.next() else { return }
        let rpc = try GossipRPC(body)
        guard passes(flight.from, flight.to, rpc) else { return }
        copies += rpc.messages.count
        try nodes[flight.to].receive(body, from: keys[flight.from].peerID, at: now)
        collect(flight.to)
    }

    private mutating func collect(_ node: Int) {
        var more = true
        while more {
            more = false
            for action in nodes[node].takeActions() {
                switch action {
                case .send(let peers, let frame):
                    for peer in peers {
                        guard let to = numbers[peer] else { continue }
                        sent += 1
                        let flight = Flight(at: now + Self.latency, number: sent, from: node, to: to, frame: frame)
                        flights.append(flight)
                    }
                case .validate(let message, _):
                    validations[node] += 1
                    let verdict = verdict(message)
                    if verdict == .accept { taken[node].append(message.id) }
                    if let since = publishedAt[message.id] { latencies.append(now - since) }
                    nodes[node].validated(message.id, verdict, at: now)
                    more = true
                case .connect(let records, _): connects[node, default: []] += records.map(\.record)
                case .cutOff(let peer):
                    if let other = numbers[peer] { cutOff[node, default: []].insert(other) }
                }
            }
        }
    }
}
