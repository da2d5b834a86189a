public import Encodings

/// A session's money, as the store holds it between two events ([PAY-8], [PAY-9]). Pure: the store keeps it in its
/// transactions, and pays the remainder once it is named.
///
/// What a call may cost is set aside before it and settled after, so that calls that run side by side can't overdraw it.
public struct LightningSession: Sendable, Equatable {
    public enum State: String, Sendable, CaseIterable {
        case open
        /// Takes nothing more; calls that run are still settled.
        case closed
    }

    /// The payment hash of the first deposit, 32 bytes.
    public let id: [UInt8]
    public let service: String
    /// Where the remainder goes: a BOLT 11 invoice without amount.
    public let returnInvoice: String
    public private(set) var state: State
    public private(set) var depositSats: UInt64
    public private(set) var spentSats: UInt64
    /// Set aside for calls that run.
    public private(set) var reservedSats: UInt64
    public private(set) var lastUsed: Timestamp

    /// The most a session can hold, in sat.
    public static let maximumSats: UInt64 = 21_000_000 * 100_000_000

    /// A new one.
    public init(opening deposit: LightningSessionDeposit, service: String, returnInvoice: String, now: Timestamp) {
        self.init(
            id: deposit.paymentHash,
            service: service,
            returnInvoice: returnInvoice,
            depositSats: min(deposit.amountSats, Self.maximumSats),
            lastUsed: now
        )
    }

    /// One that was stored.
    public init(
        id: [UInt8],
        service: String,
        returnInvoice: String,
        state: State = .open,
        depositSats: UInt64,
        spentSats: UInt64 = 0,
        reservedSats: UInt64 = 0,
        lastUsed: Timestamp
    ) {
        self.id = id
        self.service = service
        self.returnInvoice = returnInvoice
        self.state = state
        self.depositSats = depositSats
        self.spentSats = spentSats
        self.reservedSats = reservedSats
        self.lastUsed = lastUsed
    }

    /// What a call may still cost.
    public var availableSats: UInt64 {
        let (taken, overflow) = spentSats.addingReportingOverflow(reservedSats)
        return overflow || taken > depositSats ? 0 : depositSats - taken
    }

    /// What is to be given back: known once the session is closed and no call runs any more.
    public var remainderSats: UInt64? {
        guard state == .closed, reservedSats == 0 else { return nil }
        return depositSats > spentSats ? depositSats - spentSats : 0
    }

    /// Adds a deposit, which the store must have claimed.
    /// - Throws: ``CallRefusal`` `session-closed`, `amount-too-high`. Then the store must not claim it.
    public mutating func topUp(_ sats: UInt64, now: Timestamp) throws(CallRefusal) {
        try requireOpen()
        let (sum, overflow) = depositSats.addingReportingOverflow(sats)
        guard !overflow, sum <= Self.maximumSats else {
            throw CallRefusal(.amountTooHigh, "A session holds at most \(Self.maximumSats) sat.")
        }
        depositSats = sum
        lastUsed = max(lastUsed, now)
    }

    /// Sets the most that a call of `service` may cost aside.
    /// - Throws: ``CallRefusal`` `session-closed`, `session-unknown` for another service, `credential-insufficient`.
    public mutating func reserve(_ sats: UInt64, service: String, now: Timestamp) throws(CallRefusal) {
        try requireOpen()
        guard service == self.service else {
            throw CallRefusal(.sessionUnknown, "This session is for \(self.service), not for \(service).")
        }
        guard sats <= availableSats else {
            throw CallRefusal(
                .credentialInsufficient,
                "The session has \(availableSats) sat left and this call may cost \(sats): top it up."
            )
        }
        reservedSats += sats
        lastUsed = max(lastUsed, now)
    }

    /// Ends a call: of what was set aside, `spent` is charged and the rest is free again. Also after the session was closed.
    /// - Returns: false, with nothing changed, where that much was not set aside, or more would be charged than was.
    public mutating func settle(reserved: UInt64, spent: UInt64, now: Timestamp) -> Bool {
        guard reserved <= reservedSats, spent <= reserved else { return false }
        reservedSats -= reserved
        spentSats += spent
        lastUsed = max(lastUsed, now)
        return true
    }

    /// Takes nothing more from now on.
    /// - Throws: ``CallRefusal`` `session-closed` where it was closed before.
    public mutating func close(now: Timestamp) throws(CallRefusal) {
        try requireOpen()
        state = .closed
        lastUsed = max(lastUsed, now)
    }

    /// Whether it was not used for so long that the seller ends it. Never while a call runs.
    public func isIdle(afterSeconds seconds: Int64, now: Timestamp) -> Bool {
        state == .open && reservedSats == 0 && now >= lastUsed.adding(seconds: seconds)
    }

    private func requireOpen() throws(CallRefusal) {
        guard state == .open else {
            throw CallRefusal(.sessionClosed, "This session is closed; open a new one.")
        }
    }
}
