public import Cashu
public import Encodings
internal import Storage

/// One line of what happened to the wallet's money.
public struct HistoryEntry: Sendable {
    public enum Kind: String, Sendable {
        case funded
        case sent
        case received
        case swapped
        /// Coins were locked to a seller; they are still ours.
        case locked
        /// Locked coins that were not used came back.
        case unlocked
        /// A call was paid.
        case paidCall = "paid-call"
        case refunded
        case redeemed
        case paidInvoice = "paid-invoice"
        case restored
        /// Somebody else spent our coins, or a mint took them.
        case lost
    }

    public var sequence: Int64
    public var at: Timestamp
    public var kind: Kind
    /// Nil: it was no ecash: it went over the node's own Lightning backend, or on an EVM chain.
    public var mint: MintURL?
    /// Whether it went on an EVM chain.
    public var isOnChain: Bool
    public var unit: CurrencyUnit
    /// What the wallet has more (or less, below zero) than before, fees included.
    public var change: Int64
    /// The part of it that a mint took.
    public var fee: UInt64
    /// The operation or payment it belongs to.
    public var reference: String
}

/// The table `wallet_history`.
enum History {
    static func note(
        _ kind: HistoryEntry.Kind,
        mint: MintURL?,
        unit: CurrencyUnit,
        change: Int64,
        fee: UInt64,
        reference: String,
        at: Timestamp,
        in connection: Connection
    ) throws {
        try connection.execute(
            """
            INSERT INTO wallet_history (at, kind, mint, unit, change, fee, reference) VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (kind, reference) DO NOTHING
            """,
            .integer(at.millisecondsSince1970),
            .text(kind.rawValue),
            .text(mint?.string ?? ""),
            .text(unit.name),
            .integer(change),
            try .amount(fee),
            .text(reference)
        )
    }

    /// What a mint took for something; nil where there is no line of it.
    static func fee(_ kind: HistoryEntry.Kind, reference: String, in connection: Connection) throws -> UInt64? {
        try connection.first(
            "SELECT fee FROM wallet_history WHERE kind = ? AND reference = ?",
            .text(kind.rawValue),
            .text(reference)
        )?.uint64(0)
    }

    static func entries(limit: Int, before: Int64?, in connection: Connection) throws -> [HistoryEntry] {
        try connection.rows(
            """
            SELECT sequence, at, kind, mint, unit, change, fee, reference,
                EXISTS (SELECT 1 FROM wallet_authorizations WHERE payment = reference) FROM wallet_history
            WHERE sequence < ? ORDER BY sequence DESC LIMIT ?
            """,
            .integer(before ?? .max),
            .int(limit)
        ).map { row in
            guard let kind = HistoryEntry.Kind(rawValue: try row.text(2)) else {
                throw WalletError(.corrupt, "the wallet's history has a line of an unknown kind")
            }
            return HistoryEntry(
                sequence: try row.int64(0),
                at: Timestamp(millisecondsSince1970: try row.int64(1)),
                kind: kind,
                mint: try row.text(3).isEmpty ? nil : MintURL(stored: row.text(3)),
                isOnChain: try row.bool(8),
                unit: try CurrencyUnit(row.text(4)),
                change: try row.int64(5),
                fee: try row.uint64(6),
                reference: try row.text(7)
            )
        }
    }
}
