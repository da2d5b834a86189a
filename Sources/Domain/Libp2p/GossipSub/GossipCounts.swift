/// What a GossipSub engine has seen, each since it was made.
public struct GossipCounts: Hashable, Sendable {
    /// Messages that came, copies and all.
    public var received: UInt64 = 0
    /// Copies of messages that were known.
    public var duplicates: UInt64 = 0
    /// New ones by what they were found to be worth.
    public var accepted: UInt64 = 0
    /// Those without a valid signature among them.
    public var rejected: UInt64 = 0
    public var ignored: UInt64 = 0
    /// RPCs and messages that were none.
    public var malformed: UInt64 = 0
    /// Messages that were not taken because too many were being validated.
    public var overflowed: UInt64 = 0
    /// Messages of this side's own.
    public var published: UInt64 = 0
    /// Copies that were sent to peers.
    public var sent: UInt64 = 0

    public init() {}
}

/// What the score of a peer is made of (GossipSub v1.1).
public struct GossipStanding: Hashable, Sendable {
    /// The sum, with the cap on what topics give.
    public var score: Double
    /// P1 to P3: time in the mesh and messages brought.
    public var delivering = 0.0
    /// P4: invalid messages.
    public var invalid = 0.0
    /// P5: what this node's operator thinks of the peer.
    public var application = 0.0
    /// P6: others on the same address.
    public var colocation = 0.0
    /// P7: rules of the protocol broken.
    public var behaviour = 0.0

    init(score: Double) { self.score = score }
}
