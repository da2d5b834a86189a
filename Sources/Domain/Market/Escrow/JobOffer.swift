/// What a job of this service costs, and how long it may take.
public struct JobOffer: Sendable {
    /// In whole parts of `unit`.
    public let amount: UInt64
    public let unit: String
    /// The whole call's time-out.
    public let seconds: Int64
    /// Calling it twice does no harm.
    public let isIdempotent: Bool

    public init(amount: UInt64, unit: String, seconds: Int64, isIdempotent: Bool) {
        self.amount = amount
        self.unit = unit
        self.seconds = seconds
        self.isIdempotent = isIdempotent
    }
}
