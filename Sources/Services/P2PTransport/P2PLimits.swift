public import Libp2p

/// What a host allows at once, and how long it waits.
public struct P2PLimits: Sendable {
    /// Connections in all, those still in their handshake among them.
    public var connections = 256
    /// Connections that peers dialed: fewer than all, so that however many come, this side can still choose some itself.
    public var inboundConnections = 192
    /// Connections with one IP address (of IPv6, one /64). Where more than a quarter of that many peers of GossipSub are at
    /// one, save on this machine, they are scored lower for it (P6).
    public var connectionsPerAddress = 16
    /// Connections with one peer; two, since both may dial at the same moment.
    public var connectionsPerPeer = 2
    /// Connections from outside whose handshake is not complete.
    public var inboundHandshakes = 32
    /// Connections of this side whose handshake is not complete.
    public var outboundHandshakes = 32
    /// Until TCP has an answer of the dialed host.
    public var connectSeconds: Int64 = 4
    /// From the accepted or dialed connection to its last step.
    public var handshakeSeconds: Int64 = 10
    /// Streams of one protocol that a peer has open on one connection.
    public var streamsPerProtocol = 16
    /// Streams that a peer may open on one connection in a second, after `streamsAtOnce`; those beyond are broken off.
    public var streamsPerSecond = 64
    public var streamsAtOnce = 512
    /// Bytes that are read from one connection in a second, after `bytesAtOnce`; beyond that the peer waits.
    public var bytesPerSecond = 16 * 1024 * 1024
    public var bytesAtOnce = 32 * 1024 * 1024
    /// Probes of addresses that are under way (``P2PHost/probe(_:seconds:)``).
    public var probes = 4
    /// Writes of one stream that wait for room.
    public var waitingWrites = 64
    /// From the first byte of an RPC of GossipSub to its last; then its stream is broken off, and the peer's standing is lower.
    public var rpcSeconds: Int64 = 30
    /// How long after a peer ended this side's stream of GossipSub another one is tried.
    public var reopenSeconds: Int64 = 60
    /// Bytes of RPCs that are half sent, of all peers together; over it the stream with most of them is broken off.
    public var halfSentBytes = 32 * 1024 * 1024
    /// From one ping on a stream to the next.
    public var pingSeconds: Int64 = 60
    /// How often silent connections and unfinished streams are looked after: a stream that is not agreed on is broken
    /// off in the second tick, a silent connection is pinged after three and closed after six.
    public var tickSeconds: Int64 = 5
    /// How long streams may go on when a connection is closed.
    public var graceSeconds: Int64 = 3
    /// Of the multiplexer of each connection.
    public var multiplexer = Yamux.Limits()

    public init() {}
}
