public import Cashu
public import Encodings
internal import Storage

/// A token that left the wallet.
public struct SentToken: Sendable {
    public enum State: String, Sendable {
        /// Nobody has spent it, as far as we know.
        case sent
        /// Somebody spent it.
        case claimed
        /// We took it back.
        case reclaimed
    }

    public var id: String
    public var mint: MintURL
    public var unit: CurrencyUnit
    public var amount: UInt64
    /// `cashuB…`. Whoever has this text has the money.
    public var token: String
    public var state: State
    public var at: Timestamp
}

/// The table `wallet_tokens`.
enum TokenStore {
    private static let columns = "id, mint, unit, amount, token, state, created_at"

    static func insert(
        id: String,
        mint: MintURL,
        unit: CurrencyUnit,
        proofs: [Proof],
        reference: String?,
        at: Timestamp,
        in connection: Connection
    ) throws {
        let token = try Token(mint: mint, unit: unit, proofs: proofs)
        try connection.execute(
            "INSERT INTO wallet_tokens (\(columns), reference) VALUES (?, ?, ?, ?, ?, 'sent', ?, ?)",
            .text(id),
            .text(mint.string),
            .text(unit.name),
            try .amount(token.amount()),
            .text(token.serialized()),
            .integer(at.millisecondsSince1970),
            .optional(reference)
        )
    }

    /// Before the id of a token, in the reference of what brings it home.
    static let reclaimPrefix = "reclaim:"

    static func find(_ id: String, in connection: Connection) throws -> SentToken? {
        try connection.first("SELECT \(columns) FROM wallet_tokens WHERE id = ?", .text(id)).map(token(row:))
    }

    static func find(reference: String, in connection: Connection) throws -> SentToken? {
        try connection.first("SELECT \(columns) FROM wallet_tokens WHERE reference = ?", .text(reference)).map(
            token(row:)
        )
    }

    /// Tokens that nobody has spent yet, as far as we know, oldest first.
    static func open(limit: Int, in connection: Connection) throws -> [SentToken] {
        try connection.rows(
            "SELECT \(columns) FROM wallet_tokens WHERE state = 'sent' ORDER BY created_at LIMIT ?",
            .int(limit)
        ).map(token(row:))
    }

    private static func token(row: Row) throws -> SentToken {
        guard let state = SentToken.State(rawValue: try row.text(5)) else {
            throw WalletError(.corrupt, "a token of the wallet is in an unknown state")
        }
        return SentToken(
            id: try row.text(0),
            mint: try MintURL(stored: row.text(1)),
            unit: try CurrencyUnit(row.text(2)),
            amount: try row.uint64(3),
            token: try row.text(4),
            state: state,
            at: Timestamp(millisecondsSince1970: try row.int64(6))
        )
    }
}
