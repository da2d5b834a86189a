public import Encodings
public import Paywall

/// An invoice of the seller's, what it buys, and what was used of it.
public struct StoredGrant: Sendable, Equatable {
    /// What was sold. `validUntil` is what the macaroon states.
    public var terms: L402Grant
    /// Who asked for what: the same asker is shown the same unpaid invoice again. 32 bytes.
    public var asker: [UInt8]
    /// BOLT 11.
    public var invoice: String
    /// What the invoice is for.
    public var msat: UInt64
    /// What one call counts, at least 1; what the calls leave of the sum is earned when the grant ends.
    public var callMsat: UInt64
    /// Whether it is a credit: `calls` of the terms are units of the price, and a call takes as many as it costs.
    public var isCredit: Bool
    /// Whether it is for every call within its time: most of them are counted and not claimed ([GRA-10]).
    public var isTimed: Bool
    /// Calls, or units of a credit, that were claimed so far.
    public var used: UInt64
    /// Calls that were made without a claim of their own, as far as they are written down.
    public var counted: UInt64
    /// Paid and not used, in msat.
    public var prepaid: UInt64
    public var madeAt: Timestamp
    /// When the invoice expires.
    public var invoiceUntil: Timestamp
    /// Calls that were given back after a failure and not made since.
    public var restored: UInt64
    /// Until when those can be made, whatever the macaroon states; nil where there are none.
    public var restoredUntil: Timestamp?
    /// When it was used first, which proves that it was paid; nil before.
    public var paidAt: Timestamp?

    public init(
        terms: L402Grant,
        asker: [UInt8],
        invoice: String,
        msat: UInt64,
        callMsat: UInt64,
        isCredit: Bool = false,
        isTimed: Bool = false,
        used: UInt64 = 0,
        counted: UInt64 = 0,
        prepaid: UInt64 = 0,
        madeAt: Timestamp,
        invoiceUntil: Timestamp,
        restored: UInt64 = 0,
        restoredUntil: Timestamp? = nil,
        paidAt: Timestamp? = nil
    ) {
        self.terms = terms
        self.asker = asker
        self.invoice = invoice
        self.msat = msat
        self.callMsat = callMsat
        self.isCredit = isCredit
        self.isTimed = isTimed
        self.used = used
        self.counted = counted
        self.prepaid = prepaid
        self.madeAt = madeAt
        self.invoiceUntil = invoiceUntil
        self.restored = restored
        self.restoredUntil = restoredUntil
        self.paidAt = paidAt
    }
}

/// Where grants live until a claim counts their calls, which the ``ClaimStore`` does in its own transaction.
///
/// Each function is one transaction, durable when it returns.
public protocol GrantStore: Sendable {
    func grant(paymentHash: [UInt8]) async throws -> StoredGrant?
    /// The unpaid grant of an asker whose invoice is good for longest, if it is good until `end` at least.
    func unpaidGrant(asker: [UInt8], goodUntil end: Timestamp) async throws -> StoredGrant?
    /// Keeps a grant whose invoice is about to be shown.
    /// - Parameter limit: the most unpaid grants kept.
    /// - Returns: false where there are that many; nothing is kept then.
    func add(_ grant: StoredGrant, limit: Int) async throws -> Bool
    func unpaidCount() async throws -> Int
    /// Writes down how many calls of passes were made without a claim: the number so far by payment hash.
    func count(_ calls: [[UInt8]: UInt64]) async throws
    /// Ends grants whose time is over: of paid ones what is left is booked as earned; unpaid ones are forgotten, and paid
    /// ones `keepSeconds` after their end.
    /// - Returns: how many it looked at, of at most twice `limit`; fewer than `limit` where all are done.
    func endLapsed(now: Timestamp, keepSeconds: Int64, limit: Int) async throws -> Int
}
