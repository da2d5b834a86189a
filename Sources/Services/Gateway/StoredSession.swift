public import Encodings

/// An invoice whose payment opens a session, or adds to one.
public struct StoredDeposit: Sendable, Equatable {
    /// 32 bytes.
    public var paymentHash: [UInt8]
    /// Who asked for what: the same asker is shown the same unpaid invoice again. 32 bytes.
    public var asker: [UInt8]
    /// BOLT 11.
    public var invoice: String
    public var service: String
    public var msat: UInt64
    public var madeAt: Timestamp
    public var invoiceUntil: Timestamp
}

/// A session as it is on disk ([PAY-8], [PAY-9]).
public struct StoredSession: Sendable, Equatable {
    /// What became of what was left.
    public enum Payout: String, Sendable {
        /// To be paid.
        case due
        /// Handed to the Lightning node; how it ended is not known.
        case sending
        case paid
        /// Not paid and not under way: the payer may name another invoice.
        case failed
        /// Less than a sat was left.
        case skipped
    }

    /// The payment hash of the first deposit, 32 bytes.
    public var id: [UInt8]
    public var service: String
    public var returnInvoice: String
    public var idleSeconds: Int64
    public var isOpen: Bool
    public var openedAt: Timestamp
    public var usedAt: Timestamp
    public var closedAt: Timestamp?
    /// What was left at the end, in msat; nil until every call has ended.
    public var refundMsat: UInt64?
    public var payout: Payout?
    /// How often its payment was tried in vain.
    public var attempts: Int
    /// All deposits together, in msat; 0 once the grant is forgotten.
    public var depositMsat: UInt64
    /// What is neither spent nor set aside for calls that run, in msat.
    public var availableMsat: UInt64
}
