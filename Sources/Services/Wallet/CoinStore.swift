internal import Cashu
internal import Cryptography
internal import Encodings
internal import Storage

/// A coin as it stands in our table.
struct StoredCoin: Sendable {
    enum State: String, Sendable {
        case unspent
        /// Held by the operation or payment named in `holder`.
        case reserved
        /// In a token that left; somebody may spend it any time.
        case sent
        case spent
    }

    var proof: Proof
    var y: [UInt8]
    var mint: MintURL
    var unit: CurrencyUnit
    var feePPK: UInt64
    /// The key it is locked to; nil where anyone with the secret can spend it.
    var seller: [UInt8]?
    var locktime: Int64?
    var state: State
    var holder: String?

    var coin: Coin { Coin(y: y, amount: proof.amount, feePPK: feePPK) }
}

/// The table `wallet_proofs`. Runs inside the caller's transaction.
enum CoinStore {
    private static let columns = """
        y, mint, unit, keyset, amount, fee_ppk, secret, c, dleq, seller, locktime, state, holder
        """

    static func insert(_ coin: StoredCoin, madeBy operation: String, at now: Timestamp, in connection: Connection)
        throws
    {
        try connection.execute(
            """
            INSERT INTO wallet_proofs (\(columns), made_by, changed_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            .blob(coin.y),
            .text(coin.mint.string),
            .text(coin.unit.name),
            .blob(coin.proof.keysetID.bytes),
            try .amount(coin.proof.amount),
            try .amount(coin.feePPK),
            .text(coin.proof.secret),
            .blob(coin.proof.signature.compressed),
            .optional(coin.proof.dleq.map(\.storedBytes)),
            .optional(coin.seller),
            .optional(coin.locktime),
            .text(coin.state.rawValue),
            .optional(coin.holder),
            .text(operation),
            .integer(now.millisecondsSince1970)
        )
    }

    private static func coin(row: Row) throws -> StoredCoin {
        guard let state = StoredCoin.State(rawValue: try row.text(11)) else {
            throw WalletError(.corrupt, "a coin of the wallet is in an unknown state")
        }
        let proof = Proof(
            amount: try row.uint64(4),
            keysetID: try KeysetID(bytes: row.blob(3)),
            secret: try row.text(6),
            signature: try .init(compressed: row.blob(7)),
            dleq: try row.optionalBlob(8).map { try DLEQProof(storedBytes: $0) }
        )
        return StoredCoin(
            proof: proof,
            y: try row.blob(0),
            mint: try MintURL(stored: row.text(1)),
            unit: try CurrencyUnit(row.text(2)),
            feePPK: try row.uint64(5),
            seller: try row.optionalBlob(9),
            locktime: try row.optionalInt64(10),
            state: state,
            holder: try row.optionalText(12)
        )
    }

    /// Coins without a lock that can be spent now, the largest first, at most 5,000. Those of a keyset that the mint has
    /// ended are not among them: it takes them no more, and one would spoil an exchange for all the others.
    static func available(mint: MintURL, unit: CurrencyUnit, at now: Timestamp, in connection: Connection) throws
        -> [Coin]
    {
        let keysets = try connection.rows(
            "SELECT id, active, json_extract(json, '$.final_expiry') FROM wallet_keysets WHERE mint = ? AND unit = ?",
            .text(mint.string),
            .text(unit.name)
        ).map { (try $0.blob(0), (isActive: try $0.bool(1), ends: try $0.optionalInt64(2))) }
        let known = Dictionary(keysets, uniquingKeysWith: { first, _ in first })
        let coins = try connection.rows(
            """
            SELECT y, amount, fee_ppk, keyset FROM wallet_proofs
            WHERE state = 'unspent' AND mint = ? AND unit = ? AND seller IS NULL ORDER BY amount DESC LIMIT 5000
            """,
            .text(mint.string),
            .text(unit.name)
        ).map { row in
            let keyset = known[try row.blob(3)]
            return Coin(
                y: try row.blob(0),
                amount: try row.uint64(1),
                feePPK: try row.uint64(2),
                isRetiring: keyset?.isActive == false,
                ends: keyset?.ends
            )
        }
        return coins.filter { $0.ends ?? .max > now.secondsSince1970 }
    }

    /// Where coins without a lock lie, by mint and unit.
    static func places(in connection: Connection) throws -> [(MintURL, CurrencyUnit)] {
        try connection.rows(
            "SELECT DISTINCT mint, unit FROM wallet_proofs WHERE state = 'unspent' AND seller IS NULL"
        ).map { (try MintURL(stored: $0.text(0)), try CurrencyUnit($0.text(1))) }
    }

    /// Whether there is any coin of a mint that is unspent.
    static func hasUnspent(mint: MintURL, in connection: Connection) throws -> Bool {
        try connection.first(
            "SELECT 1 FROM wallet_proofs WHERE state = 'unspent' AND mint = ? LIMIT 1",
            .text(mint.string)
        ) != nil
    }

    /// Every coin of a mint that is here and unspent, with the time of its last change; at most 50,000.
    static func unspent(mint: MintURL, in connection: Connection) throws -> [(coin: StoredCoin, changedAt: Timestamp)] {
        try connection.rows(
            "SELECT \(columns), changed_at FROM wallet_proofs WHERE state = 'unspent' AND mint = ? LIMIT 50000",
            .text(mint.string)
        ).map { (try coin(row: $0), Timestamp(millisecondsSince1970: try $0.int64(13))) }
    }

    /// Coins locked to the seller that can be given until `minimumLocktime` at least, at most 5,000.
    static func pool(
        seller: [UInt8],
        mint: MintURL,
        unit: CurrencyUnit,
        minimumLocktime: Int64,
        in connection: Connection
    ) throws -> [Coin] {
        try connection.rows(
            """
            SELECT y, amount, fee_ppk FROM wallet_proofs
            WHERE state = 'unspent' AND mint = ? AND unit = ? AND seller = ? AND locktime >= ? LIMIT 5000
            """,
            .text(mint.string),
            .text(unit.name),
            .blob(seller),
            .integer(minimumLocktime)
        ).map { Coin(y: try $0.blob(0), amount: try $0.uint64(1), feePPK: try $0.uint64(2)) }
    }

    static func find(_ y: [UInt8], in connection: Connection) throws -> StoredCoin? {
        try connection.first("SELECT \(columns) FROM wallet_proofs WHERE y = ?", .blob(y)).map(coin(row:))
    }

    /// What an operation or payment holds, by `y`.
    static func held(by holder: String, in connection: Connection) throws -> [StoredCoin] {
        try connection.rows("SELECT \(columns) FROM wallet_proofs WHERE holder = ? ORDER BY y", .text(holder))
            .map(coin(row:))
    }

    /// The coins that an operation brought, whatever became of them since. Reads the whole table.
    static func made(by operation: String, in connection: Connection) throws -> [StoredCoin] {
        try connection.rows("SELECT \(columns) FROM wallet_proofs WHERE made_by = ? ORDER BY y", .text(operation))
            .map(coin(row:))
    }

    /// Locked coins that never left and whose locktime has passed, oldest first.
    static func lapsed(before locktime: Int64, limit: Int, in connection: Connection) throws -> [StoredCoin] {
        try connection.rows(
            """
            SELECT \(columns) FROM wallet_proofs
            WHERE state = 'unspent' AND seller IS NOT NULL AND locktime < ? ORDER BY locktime LIMIT ?
            """,
            .integer(locktime),
            .int(limit)
        ).map(coin(row:))
    }

    /// Moves coins from one state to another.
    /// - Throws: `corrupt` where one of them is not in state `from`; the caller's transaction must end.
    static func move(
        _ ys: [[UInt8]],
        from: StoredCoin.State,
        to: StoredCoin.State,
        holder: String?,
        at now: Timestamp,
        in connection: Connection
    ) throws {
        for y in ys {
            try connection.execute(
                "UPDATE wallet_proofs SET state = ?, holder = ?, changed_at = ? WHERE y = ? AND state = ?",
                .text(to.rawValue),
                .optional(holder),
                .integer(now.millisecondsSince1970),
                .blob(y),
                .text(from.rawValue)
            )
            guard connection.changes == 1 else {
                throw WalletError(.corrupt, "a coin of the wallet is no longer \(from.rawValue); nothing was changed")
            }
        }
    }

    /// A coin that a restore brought; nil: there is none, or an operation brought it.
    static func find(restored y: [UInt8], in connection: Connection) throws -> StoredCoin? {
        try connection.first(
            "SELECT \(columns) FROM wallet_proofs WHERE y = ? AND made_by = 'restore'",
            .blob(y)
        ).map(coin(row:))
    }

    /// Takes out a coin that a restore brought and that nobody used.
    static func drop(restored y: [UInt8], in connection: Connection) throws {
        try connection.execute(
            "DELETE FROM wallet_proofs WHERE y = ? AND made_by = 'restore' AND state = 'unspent'",
            .blob(y)
        )
    }

    /// Sets one coin's state whatever it was, for what the mint says of it.
    static func mark(_ y: [UInt8], _ state: StoredCoin.State, at now: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_proofs SET state = ?, changed_at = ? WHERE y = ?",
            .text(state.rawValue),
            .integer(now.millisecondsSince1970),
            .blob(y)
        )
    }
}

/// NUT-13 counters. Taken in the transaction of the intent, so that none is ever used for two different outputs.
enum Counters {
    /// Takes `count` counters of the keyset.
    /// - Returns: the first of them.
    static func take(_ count: UInt64, of keyset: KeysetID, in connection: Connection) throws -> UInt64 {
        let first = try next(of: keyset, in: connection)
        let (next, overflow) = first.addingReportingOverflow(count)
        // Version 1 keysets derive along BIP-32, whose hardened indices have 31 bits.
        guard !overflow, next < 1 << 31 else {
            throw WalletError(.mintUnsuitable, "the wallet has used up its secrets for keyset \(keyset)")
        }
        try raise(to: next, of: keyset, in: connection)
        return first
    }

    static func next(of keyset: KeysetID, in connection: Connection) throws -> UInt64 {
        try connection.first("SELECT next FROM wallet_counters WHERE keyset = ?", .blob(keyset.bytes))?.uint64(0)
            ?? CounterGenerations.floor(in: connection)
    }

    /// Never lowers it, nor leaves it below the floor of ``CounterGenerations``.
    static func raise(to next: UInt64, of keyset: KeysetID, in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO wallet_counters (keyset, next) VALUES (?, ?)
            ON CONFLICT (keyset) DO UPDATE SET next = max(next, excluded.next)
            """,
            .blob(keyset.bytes),
            try .amount(max(next, CounterGenerations.floor(in: connection)))
        )
    }
}

extension DLEQProof {
    /// `e ‖ s ‖ r`, 96 bytes.
    fileprivate var storedBytes: [UInt8] { challenge + response + (blindingFactor ?? []) }

    fileprivate init(storedBytes bytes: [UInt8]) throws(WalletError) {
        guard bytes.count == 64 || bytes.count == 96 else {
            throw WalletError(.corrupt, "a coin of the wallet has a broken proof of its signature")
        }
        self.init(
            challenge: Array(bytes[0..<32]),
            response: Array(bytes[32..<64]),
            blindingFactor: bytes.count == 96 ? Array(bytes[64...]) : nil
        )
    }
}
