/// The weights of GossipSub v1.1's scores, the same for every topic.
public struct GossipScoreParameters: Sendable {
    public var topicScoreCap = 100.0
    public var topicWeight = 1.0
    /// P1: for each quantum in the mesh.
    public var timeInMeshWeight = 0.01
    public var timeInMeshQuantumMilliseconds: Int64 = 1_000
    public var timeInMeshCap = 300.0
    /// P2: for each message that this peer brought first.
    public var firstDeliveryWeight = 1.0
    public var firstDeliveryDecay = 0.5
    public var firstDeliveryCap = 20.0
    /// P3: for messages that a mesh peer owes; 0 turns it off, as go's users do where the rate of a topic is not known.
    public var meshDeliveryWeight = 0.0
    public var meshDeliveryDecay = 0.5
    public var meshDeliveryCap = 100.0
    public var meshDeliveryThreshold = 20.0
    public var meshDeliveryWindowMilliseconds: Int64 = 10
    public var meshDeliveryActivationMilliseconds: Int64 = 10_000
    /// P3b: for having left the mesh with a debt.
    public var meshFailureWeight = 0.0
    public var meshFailureDecay = 0.5
    /// P4: for invalid messages, squared.
    public var invalidWeight = -100.0
    public var invalidDecay = 0.9
    /// P5: what the owner thinks of the peer.
    public var applicationWeight = 1.0
    /// P6: for peers beyond this number on one address, squared.
    public var colocationWeight = -10.0
    public var colocationThreshold = 4
    /// P7: for breaking the protocol, squared.
    public var behaviourWeight = -10.0
    public var behaviourThreshold = 2.0
    public var behaviourDecay = 0.98
    /// Counters below it are zero.
    public var decayToZero = 0.01
    /// How long the standing of a peer that left is kept, where it is bad.
    public var retainMilliseconds: Int64 = 3_600_000
    /// Peers that left whose standing is kept.
    public var maximumRetained = 4_096

    public init() {}
}

/// The standing of each peer (P1 to P7).
struct GossipScores: Sendable {
    private struct Topic: Sendable {
        var graftedAt: Int64?
        var firstDeliveries = 0.0
        var meshDeliveries = 0.0
        var meshFailure = 0.0
        var invalid = 0.0
    }

    private struct Standing: Sendable {
        var topics: [String: Topic] = [:]
        var application = 0.0
        var behaviour = 0.0
        var address: [UInt8]?
        /// When what is kept of a peer that left is forgotten.
        var expires: Int64?
    }

    private let parameters: GossipScoreParameters
    private var standings: [PeerID: Standing] = [:]
    private var perAddress: [[UInt8]: Int] = [:]
    private var retained = 0

    init(_ parameters: GossipScoreParameters) {
        self.parameters = parameters
    }

    mutating func add(_ peer: PeerID, address: [UInt8]?) {
        var standing = standings[peer] ?? Standing()
        if standing.expires != nil { retained -= 1 }
        standing.expires = nil
        standing.address = address
        standings[peer] = standing
        if let address { perAddress[address, default: 0] += 1 }
    }

    /// A peer leaves: a bad standing is kept, so that coming again does not wash it off.
    mutating func remove(_ peer: PeerID, at now: Int64) {
        guard var standing = standings[peer], standing.expires == nil else { return }
        if let address = standing.address {
            let count = perAddress[address, default: 1] - 1
            perAddress[address] = count == 0 ? nil : count
        }
        standing.address = nil
        for topic in Array(standing.topics.keys) {
            leave(&standing.topics[topic, default: Topic()], at: now)
            standing.topics[topic]?.firstDeliveries = 0
        }
        standings[peer] = standing
        guard score(of: peer, at: now) < 0, retained < parameters.maximumRetained else {
            standings[peer] = nil
            return
        }
        retained += 1
        standings[peer]?.expires = now + parameters.retainMilliseconds
    }

    mutating func graft(_ peer: PeerID, _ topic: String, at now: Int64) {
        change(peer, topic) {
            $0.graftedAt = now
            $0.meshDeliveries = 0
        }
    }

    mutating func prune(_ peer: PeerID, _ topic: String, at now: Int64) {
        guard var standing = standings[peer]?.topics[topic] else { return }
        leave(&standing, at: now)
        standings[peer]?.topics[topic] = standing
    }

    private func leave(_ topic: inout Topic, at now: Int64) {
        let deficit = deficit(topic, at: now)
        topic.meshFailure += deficit * deficit
        topic.graftedAt = nil
    }

    mutating func deliveredFirst(_ peer: PeerID, _ topic: String) {
        change(peer, topic) { [parameters] in
            $0.firstDeliveries = min($0.firstDeliveries + 1, parameters.firstDeliveryCap)
            if $0.graftedAt != nil { $0.meshDeliveries = min($0.meshDeliveries + 1, parameters.meshDeliveryCap) }
        }
    }

    /// A copy, in time.
    mutating func deliveredAgain(_ peer: PeerID, _ topic: String) {
        change(peer, topic) { [parameters] in
            if $0.graftedAt != nil { $0.meshDeliveries = min($0.meshDeliveries + 1, parameters.meshDeliveryCap) }
        }
    }

    mutating func deliveredInvalid(_ peer: PeerID, _ topic: String) {
        change(peer, topic) { $0.invalid += 1 }
    }

    mutating func misbehaved(_ peer: PeerID, _ count: Double = 1) {
        standings[peer]?.behaviour += count
    }

    mutating func setApplicationScore(_ peer: PeerID, _ score: Double) {
        standings[peer]?.application = score
    }

    private mutating func change(_ peer: PeerID, _ topic: String, _ work: (inout Topic) -> Void) {
        guard standings[peer] != nil else { return }
        work(&standings[peer, default: Standing()].topics[topic, default: Topic()])
    }

    /// Once a heartbeat: counters fade, what was kept long enough goes.
    mutating func decay(at now: Int64) {
        func faded(_ value: Double, _ factor: Double) -> Double {
            let value = value * factor
            return value < parameters.decayToZero ? 0 : value
        }
        for peer in Array(standings.keys) {
            guard var standing = standings[peer] else { continue }
            if let expires = standing.expires {
                // The standing of one who left does not get better by waiting outside, until it is forgotten.
                if expires <= now {
                    standings[peer] = nil
                    retained -= 1
                }
                continue
            }
            standing.behaviour = faded(standing.behaviour, parameters.behaviourDecay)
            for (name, var topic) in standing.topics {
                topic.firstDeliveries = faded(topic.firstDeliveries, parameters.firstDeliveryDecay)
                topic.meshDeliveries = faded(topic.meshDeliveries, parameters.meshDeliveryDecay)
                topic.meshFailure = faded(topic.meshFailure, parameters.meshFailureDecay)
                topic.invalid = faded(topic.invalid, parameters.invalidDecay)
                let isEmpty =
                    topic.graftedAt == nil && topic.firstDeliveries == 0 && topic.meshFailure == 0 && topic.invalid == 0
                standing.topics[name] = isEmpty ? nil : topic
            }
            standings[peer] = standing
        }
    }

    func score(of peer: PeerID, at now: Int64) -> Double {
        guard let standing = standings[peer] else { return 0 }
        var score = standing.topics.values.reduce(0) { $0 + topicScore($1, at: now) }
        score = min(score, parameters.topicScoreCap)
        score += standing.application * parameters.applicationWeight
        if let address = standing.address {
            let excess = Double(perAddress[address, default: 0] - parameters.colocationThreshold)
            if excess > 0 { score += excess * excess * parameters.colocationWeight }
        }
        let excess = standing.behaviour - parameters.behaviourThreshold
        if excess > 0 { score += excess * excess * parameters.behaviourWeight }
        return score
    }

    /// The same sum by its parts; P1 to P4 of all topics together, before the cap.
    func standing(of peer: PeerID, at now: Int64) -> GossipStanding? {
        guard let standing = standings[peer] else { return nil }
        var parts = GossipStanding(score: score(of: peer, at: now))
        for topic in standing.topics.values {
            var clean = topic
            clean.invalid = 0
            parts.invalid += topicScore(topic, at: now) - topicScore(clean, at: now)
            parts.delivering += topicScore(clean, at: now)
        }
        parts.application = standing.application * parameters.applicationWeight
        let behaviour = standing.behaviour - parameters.behaviourThreshold
        if behaviour > 0 { parts.behaviour = behaviour * behaviour * parameters.behaviourWeight }
        if let address = standing.address {
            let excess = Double(perAddress[address, default: 0] - parameters.colocationThreshold)
            if excess > 0 { parts.colocation = excess * excess * parameters.colocationWeight }
        }
        return parts
    }

    private func topicScore(_ topic: Topic, at now: Int64) -> Double {
        var score = 0.0
        if let since = topic.graftedAt {
            let quanta = Double(now - since) / Double(parameters.timeInMeshQuantumMilliseconds)
            score += min(quanta, parameters.timeInMeshCap) * parameters.timeInMeshWeight
        }
        score += topic.firstDeliveries * parameters.firstDeliveryWeight
        let deficit = deficit(topic, at: now)
        score += deficit * deficit * parameters.meshDeliveryWeight
        score += topic.meshFailure * parameters.meshFailureWeight
        score += topic.invalid * topic.invalid * parameters.invalidWeight
        return score * parameters.topicWeight
    }

    private func deficit(_ topic: Topic, at now: Int64) -> Double {
        guard let since = topic.graftedAt, now - since > parameters.meshDeliveryActivationMilliseconds else { return 0 }
        return max(0, parameters.meshDeliveryThreshold - topic.meshDeliveries)
    }
}
