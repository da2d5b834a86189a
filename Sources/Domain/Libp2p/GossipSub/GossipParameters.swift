/// How GossipSub behaves; the defaults are go's.
public struct GossipParameters: Sendable {
    // The mesh of each topic.
    public var degree = 6
    public var degreeLow = 5
    public var degreeHigh = 12
    /// Peers kept for their score when a mesh is too large.
    public var degreeScore = 4
    /// Peers that this side dialed, at least so many in a mesh.
    public var degreeOutbound = 2
    /// Peers that gossip goes to in each heartbeat, at least.
    public var degreeLazy = 6
    /// The share of all peers that gossip goes to, where that is more.
    public var gossipFactor = 0.25
    /// The owner calls ``GossipSub/heartbeat(at:)`` so often.
    public var heartbeatMilliseconds: Int64 = 1_000
    public var historyLength = 5
    public var historyGossip = 3
    /// Bytes of messages kept for those that ask; over it the oldest go.
    public var historyBytes = 4 * 1024 * 1024
    public var seenMilliseconds: Int64 = 120_000
    /// Ids remembered, so that a message is taken once; over it the oldest are forgotten.
    public var seenCount = 131_072
    public var fanoutMilliseconds: Int64 = 60_000
    public var pruneBackoffSeconds: UInt64 = 60
    public var unsubscribeBackoffSeconds: UInt64 = 10
    /// The longest backoff that a peer may ask for.
    public var maximumBackoffSeconds: UInt64 = 3_600
    /// Peers passed on with a prune.
    public var exchangedPeers = 16
    public var floodsPublished = true
    /// Ids told in one IHAVE, and asked of one peer in one heartbeat.
    public var maximumHaveIDs = 5_000
    /// IHAVE messages of one peer in one heartbeat that are answered.
    public var maximumHaveMessages = 10
    /// Times that one message is sent to one peer that asks.
    public var retransmissions = 3
    public var followUpMilliseconds: Int64 = 3_000
    /// Messages of at least this size are told about before they are forwarded.
    public var dontWantBytes = 1_024
    /// IDONTWANT ids kept of one peer, for three heartbeats.
    public var maximumDontWantIDs = 1_000
    public var opportunisticGraftTicks: UInt64 = 60
    public var opportunisticGraftPeers = 2
    /// The largest message, data and all.
    public var maximumMessageBytes = 256 * 1024
    /// Messages whose validation is not finished; over it new ones are not taken.
    public var maximumValidating = 2_048
    /// Bytes of such messages; over it new ones are not taken.
    public var maximumValidatingBytes = 4 * 1024 * 1024
    /// Topics of one peer.
    public var maximumPeerTopics = 256
    /// Whether signatures are checked here: false only in simulations, where nobody forges them.
    public var checksSignatures = true

    public init() {}
}

/// A peer's standing, and what follows from it (GossipSub v1.1). The defaults accept everybody who did no harm.
public struct GossipThresholds: Sendable {
    /// Below it no gossip is exchanged.
    public var gossip = -500.0
    /// Below it nothing of our own is published to the peer.
    public var publish = -1_000.0
    /// Below it the peer is not listened to at all.
    public var graylist = -2_500.0
    /// From it on the peers that the peer passes on are taken.
    public var acceptExchange = 10.0
    /// A mesh whose median is below it is improved.
    public var opportunisticGraft = 2.0

    public init() {}
}
