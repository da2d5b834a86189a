public import Encodings

/// What an account is, and so which side may not go below zero.
public enum AccountKind: Int64, Sendable, CaseIterable {
    /// What is owned (ecash held, a Lightning balance): debits ≥ credits, always.
    case asset = 0
    /// What is owed (ecash issued, refunds promised) or earned: credits ≥ debits, always.
    case liability = 1
    /// The world outside the node, where value comes from and goes to: no bound on either side.
    case external = 2
}

/// One account of one unit, by a stable name such as `mint:ecash:01ab…`.
public struct Account: Hashable, Sendable {
    public let name: String
    public let kind: AccountKind

    /// - Parameter name: 1 to 256 bytes.
    public init(_ name: String, _ kind: AccountKind) {
        self.name = name
        self.kind = kind
    }
}

/// A movement of value from the credited to the debited account. Never changed once posted; posting the same
/// `id` again does nothing.
public struct Transfer: Hashable, Sendable {
    /// Unique over the ledger, 1 to 256 bytes, made from what caused it, so that a replay finds it.
    public let id: String
    public let debit: Account
    public let credit: Account
    /// In whole `unit`s, 1 to 2^63−1.
    public let amount: UInt64
    public let unit: String
    /// What happened, in one word (`mint`, `melt`, `fee`, `call`).
    public let kind: String
    /// What it belongs to: a quote, a claim, a payment.
    public let reference: String
    public let at: Timestamp

    public init(
        id: String,
        debit: Account,
        credit: Account,
        amount: UInt64,
        unit: String,
        kind: String,
        reference: String = "",
        at: Timestamp
    ) {
        self.id = id
        self.debit = debit
        self.credit = credit
        self.amount = amount
        self.unit = unit
        self.kind = kind
        self.reference = reference
        self.at = at
    }

    /// Refuses what no ledger may hold: an empty or endless name, nothing moved, an amount past 2^63−1, a
    /// transfer from an account to itself.
    public func validate() throws(LedgerError) {
        for (label, text) in [("id", id), ("debit account", debit.name), ("credit account", credit.name)]
        where text.isEmpty || text.utf8.count > 256 {
            throw LedgerError(.malformed, "a transfer's \(label) must have 1 to 256 bytes")
        }
        guard !unit.isEmpty, unit.utf8.count <= 16, kind.utf8.count <= 64, reference.utf8.count <= 256 else {
            throw LedgerError(.malformed, "a transfer's unit, kind or reference is empty or too long")
        }
        guard amount > 0, amount <= UInt64(Int64.max) else {
            throw LedgerError(.malformed, "a transfer moves 1 to 2^63-1 units, not \(amount)")
        }
        guard debit.name != credit.name else {
            throw LedgerError(.malformed, "a transfer needs two different accounts, not \(debit.name) twice")
        }
    }
}

/// Why a transfer was not posted. The ledger is as it was before.
public struct LedgerError: Error, Sendable, Equatable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        /// The transfer itself is not one.
        public static let malformed = Code(rawValue: "malformed")
        /// An account would go below zero.
        public static let insufficient = Code(rawValue: "insufficient")
        /// The id was used for another movement.
        public static let conflict = Code(rawValue: "conflict")
        /// The account exists as another kind.
        public static let kindMismatch = Code(rawValue: "kind-mismatch")
        /// A sum would pass 2^63−1.
        public static let overflow = Code(rawValue: "overflow")
    }

    public let code: Code
    public let message: String
    public var description: String { message }

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}

/// An account's two sides. `balance` is on the side that its kind says.
public struct AccountBalance: Hashable, Sendable {
    public let account: Account
    public let unit: String
    public let debits: UInt64
    public let credits: UInt64

    public init(account: Account, unit: String, debits: UInt64, credits: UInt64) {
        self.account = account
        self.unit = unit
        self.debits = debits
        self.credits = credits
    }

    /// Debits − credits for an asset, credits − debits for a liability; an external account's distance from
    /// zero, on whichever side it stands.
    public var balance: UInt64 {
        switch account.kind {
        case .asset: debits >= credits ? debits - credits : 0
        case .liability: credits >= debits ? credits - debits : 0
        case .external: debits >= credits ? debits - credits : credits - debits
        }
    }

    /// The sides after one more movement.
    /// - Throws: `overflow`, or `insufficient` where the account would go below zero.
    public func adding(debit: UInt64 = 0, credit: UInt64 = 0) throws(LedgerError) -> AccountBalance {
        let (newDebits, debitOverflow) = debits.addingReportingOverflow(debit)
        let (newCredits, creditOverflow) = credits.addingReportingOverflow(credit)
        let limit = UInt64(Int64.max)
        guard !debitOverflow, !creditOverflow, newDebits <= limit, newCredits <= limit else {
            throw LedgerError(.overflow, "\(account.name) would pass 2^63-1 \(unit)")
        }
        let isBelowZero =
            switch account.kind {
            case .asset: newDebits < newCredits
            case .liability: newCredits < newDebits
            case .external: false
            }
        guard !isBelowZero else {
            throw LedgerError(
                .insufficient,
                "\(account.name) holds \(balance) \(unit), which is less than \(max(debit, credit))"
            )
        }
        return AccountBalance(account: account, unit: unit, debits: newDebits, credits: newCredits)
    }
}
