/// What a job of this service costs, and how long it may take.
public struct JobOffer: Sendable {
    /// In whole parts of `unit`.
    public let amount: UInt64
    public let unit: String
    /// The whole call's time-out.
    public let seconds: Int64
    /// Calling it twice does no harm.
    public let isIdempotent: Bool
    /// The modes of escrow that it is sold in.
    public let modes: [Listing.Escrow]
    /// Of mode `arbiter`: whom the seller takes.
    public let arbiters: [NamedArbiter]

    public init(
        amount: UInt64,
        unit: String,
        seconds: Int64,
        isIdempotent: Bool,
        modes: [Listing.Escrow],
        arbiters: [NamedArbiter]
    ) {
        self.modes = modes
        self.arbiters = arbiters
        self.amount = amount
        self.unit = unit
        self.seconds = seconds
        self.isIdempotent = isIdempotent
    }
}
