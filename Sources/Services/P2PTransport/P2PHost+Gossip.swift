internal import Foundation
public import Libp2p
internal import NIOCore

extension P2PHost {
    /// Subscribes to a topic.
    /// - Parameter validate: is asked what each new message is worth, whose signature holds; what it accepts is passed on
    ///   to other peers. It may take its time, up to ``GossipParameters/maximumValidating`` messages at once.
    /// - Throws: `Libp2pError` with `.unsupported` where this host was started without gossip, `.malformed` for a name that
    ///   is none.
    public func subscribe(
        _ topic: String,
        _ validate: @escaping @Sendable (GossipMessage, PeerID) async -> GossipSub.Verdict
    ) async throws {
        try await onGossip { try $0.subscribe(topic, validate) }
    }

    /// Leaves a topic.
    public func unsubscribe(_ topic: String) async throws {
        try await onGossip { $0.unsubscribe(topic) }
    }

    /// Publishes a message, signed by this host; returns once the peers that read have room for more.
    /// - Returns: the number of peers that it was sent to.
    /// - Throws: `Libp2pError` with `.tooLarge`, or `.unsupported` where this host was started without gossip.
    @discardableResult
    public func publish(_ data: [UInt8], on topic: String) async throws -> Int {
        // Nanoseconds since 1970, and more where two come at once: never the same number twice, also after a restart.
        let time = UInt64(max(0, Date().timeIntervalSince1970 * 1e9))
        let count = try await onGossip { gossip in
            try gossip.publish(data, topic, sequence: gossip.nextSequence(atLeast: time))
        }
        try await loop.flatSubmit { [core, loop] in
            core.value.gossip?.whenRoom() ?? loop.makeSucceededVoidFuture()
        }.get()
        return count
    }

    /// The peers of a topic's mesh.
    public func meshPeers(of topic: String) async throws -> [PeerID] {
        try await onGossip { $0.meshPeers(of: topic) }
    }

    /// The standing of a peer in GossipSub: 0 where nothing is known.
    public func score(of peer: PeerID) async throws -> Double {
        try await onGossip { $0.score(of: peer) }
    }

    /// What the peer's score is made of; nil where nothing is known of it.
    public func standing(of peer: PeerID) async throws -> GossipStanding? {
        try await onGossip { $0.standing(of: peer) }
    }

    /// What the owner thinks of a connected peer (P5): added to its score.
    public func setApplicationScore(_ score: Double, of peer: PeerID) async throws {
        try await onGossip { $0.setApplicationScore(score, of: peer) }
    }

    /// Joins a topic only to hear what passes, besides what is subscribed; nothing is passed on for it. As many times as it
    /// is called, ``stopObserving(_:)`` is to be called.
    public func observe(_ topic: String) async throws {
        try await onGossip { try $0.observe(topic) }
    }

    public func stopObserving(_ topic: String) async throws {
        try await onGossip { $0.stopObserving(topic) }
    }

    /// - Parameter tap: is told, on the loop, of each message once it is known what it is worth, and of each that is published
    ///   here: come back soon.
    public func setTap(_ tap: @escaping @Sendable (GossipPassage) -> Void) async throws {
        try await onGossip { $0.tap = tap }
    }

    private func onGossip<Value: Sendable>(_ work: @escaping @Sendable (GossipCore) throws -> Value) async throws
        -> Value
    {
        try await loop.submit { [core] in
            guard let gossip = core.value.gossip else {
                throw Libp2pError(.unsupported, "this host was started without gossip")
            }
            return try work(gossip)
        }.get()
    }
}
