public import Libp2p
internal import NIOCore

/// A message on its way through a host.
public struct GossipPassage: Sendable {
    public let message: GossipMessage
    /// Who brought it; nil where this host published it.
    public let from: PeerID?
    /// What it was found to be worth.
    public let verdict: GossipSub.Verdict
}

/// What a host has done since it was started.
public struct P2PStatistics: Sendable {
    /// Connections whose handshake is complete.
    public var inbound = 0
    public var outbound = 0
    /// Connections in their handshake.
    public var pending = 0
    /// Bytes of all connections, as they were on the wire above TCP.
    public var bytesIn: UInt64 = 0
    public var bytesOut: UInt64 = 0
    public var handshakesFailed: UInt64 = 0
    /// Connections that were sent away at the door, by a limit or a ban.
    public var refused: UInt64 = 0
    /// Nil for a host without gossip.
    public var gossip: GossipCounts?
    /// Peers in the mesh of each topic that is subscribed to.
    public var meshSizes: [String: Int] = [:]

    public init() {}
}

extension P2PHost {
    public func statistics() async throws -> P2PStatistics {
        try await loop.submit { [core] in
            let core = core.value
            var statistics = P2PStatistics()
            statistics.inbound = core.connections.count(where: \.isInbound)
            statistics.outbound = core.connections.count - statistics.inbound
            statistics.pending = core.pendingCount
            statistics.bytesIn = core.bytesIn
            statistics.bytesOut = core.bytesOut
            statistics.handshakesFailed = core.handshakesFailed
            statistics.refused = core.refused
            statistics.gossip = core.gossip?.counts
            statistics.meshSizes = core.gossip?.meshSizes ?? [:]
            return statistics
        }.get()
    }

    /// Tells peers these addresses from now on, in place of those that are listened on; those that are connected are told
    /// with ``pushIdentity()``.
    public func announce(_ addresses: [Multiaddr]) async throws {
        try await loop.submit { [core] in core.value.announced = addresses }.get()
    }

    /// Asks the gate about every connection anew; what it does not let in any more is broken off.
    public func recheck() {
        loop.execute { [core] in core.value.recheck() }
    }
}
