internal import CanonicalJSON
internal import Encodings
internal import Ethereum
internal import Storage

/// Keeps intents and their signed transactions. Each step is one transaction of the store, durable when it returns.
struct SettlementStore: Sendable {
    /// How recording an intent ended.
    enum Recording: Sendable {
        case recorded(SettlementIntent, SignedTransaction)
        /// The payment is on record; nothing was changed.
        case known(SettlementIntent)
        case tooMany
    }

    let database: Database

    /// Records an intent with its first transaction, in one step: the account's next nonce is taken, and the transaction signed
    /// with it, so that two settlements never share one and none is left out.
    /// - Parameters:
    ///   - chainCount: the transactions of the account that the chain knows; the nonce is not lower.
    ///   - sign: makes the transaction for a nonce. Must give the same for the same nonce, as this may run twice.
    func record(
        _ intent: SettlementIntent,
        account: Address,
        chainCount: UInt64,
        maximumOpen: Int,
        sign: @escaping @Sendable (UInt64) -> SignedTransaction
    ) async throws -> Recording {
        try await database.write { connection in
            if let known = try Self.intent(intent.id, connection) { return .known(known) }
            let chain = intent.chainID.description
            let open = try connection.first(
                "SELECT count(*) FROM settlement_intents WHERE chain = ? AND state = 'open'",
                .text(chain)
            )
            guard try open?.int(0) ?? 0 < maximumOpen else { return .tooMany }
            var intent = intent
            intent.nonce = try Self.takeNonce(chain, account, atLeast: chainCount, connection)
            try Self.insert(intent, connection)
            let signed = sign(intent.nonce)
            try Self.insert(signed, of: intent.id, at: intent.at, connection)
            return .recorded(intent, signed)
        }
    }

    /// Adds a transaction that takes the place of the earlier ones, with the same nonce.
    /// - Returns: false where the intent has ended, or has other transactions than the caller saw: then nothing was added.
    func replace(
        _ intent: SettlementIntent,
        seen: Int,
        with signed: SignedTransaction,
        at now: Timestamp
    ) async throws -> Bool {
        try await database.write { connection in
            guard let current = try Self.intent(intent.id, connection), current.state == .open,
                current.nonce == intent.nonce, signed.transaction.nonce == intent.nonce,
                try Self.transactions(of: intent.id, connection).count == seen
            else { return false }
            try Self.insert(signed, of: intent.id, at: now, connection)
            return true
        }
    }

    /// Gives an intent whose nonce went to another transaction a new one.
    /// - Returns: the new transaction; nil where the intent has ended or was given another nonce meanwhile.
    func reassign(
        _ intent: SettlementIntent,
        account: Address,
        chainCount: UInt64,
        at now: Timestamp,
        sign: @escaping @Sendable (UInt64) -> SignedTransaction
    ) async throws -> SignedTransaction? {
        try await database.write { connection in
            guard let current = try Self.intent(intent.id, connection), current.state == .open,
                current.nonce == intent.nonce
            else { return nil }
            let nonce = try Self.takeNonce(intent.chainID.description, account, atLeast: chainCount, connection)
            try connection.execute(
                "UPDATE settlement_intents SET nonce = ? WHERE id = ?",
                .amount(nonce),
                .text(intent.id)
            )
            let signed = sign(nonce)
            try Self.insert(signed, of: intent.id, at: now, connection)
            return signed
        }
    }

    /// Ends an intent; one that has ended stays as it is.
    func end(_ id: String, _ state: SettlementIntent.State, at now: Timestamp) async throws -> SettlementIntent? {
        try await database.write { connection in
            switch state {
            case .open: break
            case .settled(let hash): try Self.end(id, "settled", nil, hash, now, connection)
            case .failed(let reason, let hash): try Self.end(id, "failed", reason, hash, now, connection)
            }
            return try Self.intent(id, connection)
        }
    }

    func intent(_ id: String) async throws -> SettlementIntent? {
        try await database.read { try Self.intent(id, $0) }
    }

    /// Open intents of a chain, those whose turn is first in front.
    func openIntents(chainID: UInt256) async throws -> [SettlementIntent] {
        try await database.read { connection in
            try connection.rows(
                "SELECT \(Self.columns) FROM settlement_intents WHERE chain = ? AND state = 'open' ORDER BY nonce",
                .text(chainID.description)
            ).map(Self.intent)
        }
    }

    /// The signed transactions of an intent, the latest last.
    func transactions(of id: String) async throws -> [StoredTransaction] {
        try await database.read { try Self.transactions(of: id, $0) }
    }

    /// Forgets what ended before an instant. The chain remembers that the authorisations are used.
    func forget(endedBefore instant: Timestamp) async throws {
        try await database.write { connection in
            try connection.execute(
                """
                DELETE FROM settlement_transactions WHERE intent IN
                    (SELECT id FROM settlement_intents WHERE ended_at < ?)
                """,
                .integer(instant.millisecondsSince1970)
            )
            try connection.execute(
                "DELETE FROM settlement_intents WHERE ended_at < ?",
                .integer(instant.millisecondsSince1970)
            )
        }
    }
}

// MARK: Rows

extension SettlementStore {
    private static let columns = """
        id, request, chain, network, contract, payer, authorization, amount, call, since, nonce, state, reason, outcome, at
        """

    /// The account's next nonce, for whatever it is used; each is given once.
    static func takeNonce(
        _ chain: String,
        _ account: Address,
        atLeast count: UInt64,
        _ connection: Connection
    ) throws -> UInt64 {
        let row = try connection.first(
            "SELECT next FROM settlement_accounts WHERE chain = ? AND address = ?",
            .text(chain),
            .blob(account.bytes)
        )
        let nonce = max(try row?.uint64(0) ?? 0, count)
        try connection.execute(
            """
            INSERT INTO settlement_accounts (chain, address, next) VALUES (?, ?, ?)
            ON CONFLICT (chain, address) DO UPDATE SET next = excluded.next
            """,
            .text(chain),
            .blob(account.bytes),
            .amount(nonce + 1)
        )
        return nonce
    }

    private static func insert(_ intent: SettlementIntent, _ connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO settlement_intents
                (id, request, chain, network, contract, payer, authorization, amount, call, since, nonce, state, at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?)
            """,
            .text(intent.id),
            .blob(intent.request),
            .text(intent.chainID.description),
            .text(intent.network),
            .blob(intent.contract.bytes),
            .blob(intent.payer.bytes),
            .blob(intent.authorization),
            .text(intent.amount.description),
            .blob(intent.call),
            .amount(intent.since),
            .amount(intent.nonce),
            .integer(intent.at.millisecondsSince1970)
        )
    }

    static func insert(
        _ signed: SignedTransaction,
        of id: String,
        at now: Timestamp,
        _ connection: Connection
    ) throws {
        try connection.execute(
            "INSERT INTO settlement_transactions (hash, intent, raw, at) VALUES (?, ?, ?, ?)",
            .blob(signed.hash),
            .text(id),
            .blob(signed.raw),
            .integer(now.millisecondsSince1970)
        )
    }

    private static func end(
        _ id: String,
        _ state: String,
        _ reason: String?,
        _ hash: [UInt8]?,
        _ now: Timestamp,
        _ connection: Connection
    ) throws {
        try connection.execute(
            """
            UPDATE settlement_intents SET state = ?, reason = ?, outcome = ?, ended_at = ?
            WHERE id = ? AND state = 'open'
            """,
            .text(state),
            .optional(reason),
            .optional(hash),
            .integer(now.millisecondsSince1970),
            .text(id)
        )
        // Into the log in the same transaction, once: an intent that had ended stays as it is ([LOG-1]).
        guard connection.changes == 1, let intent = try intent(id, connection) else { return }
        var document: JSONObject = [
            "type": "PaymentSettlement", "id": .string(id), "network": .string(intent.network),
            "token": .string("\(intent.contract)"), "payer": .string("\(intent.payer)"),
            "authorization": .string("0x" + Hex.encode(intent.authorization)),
            "amount": .string(intent.amount.description), "outcome": .string(state), "at": .string(now.rfc3339),
        ]
        document["reason"] = reason.map { .string($0) }
        document["transaction"] = hash.map { .string("0x" + Hex.encode($0)) }
        try Outbox.post(
            kind: "settlement",
            reference: id,
            document: JSONValue.object(document).serialized(),
            isOnlyCopy: true,
            in: connection
        )
    }

    private static func intent(_ id: String, _ connection: Connection) throws -> SettlementIntent? {
        try connection.first("SELECT \(columns) FROM settlement_intents WHERE id = ?", .text(id)).map(intent)
    }

    private static func intent(_ row: Row) throws -> SettlementIntent {
        let state: SettlementIntent.State =
            switch try row.text(11) {
            case "settled": .settled(hash: try row.blob(13))
            case "failed": .failed(reason: try row.text(12), hash: try row.optionalBlob(13))
            default: .open
            }
        return SettlementIntent(
            id: try row.text(0),
            request: try row.blob(1),
            chainID: try UInt256(decimal: row.text(2)),
            network: try row.text(3),
            contract: try Address(bytes: row.blob(4)),
            payer: try Address(bytes: row.blob(5)),
            authorization: try row.blob(6),
            amount: try UInt256(decimal: row.text(7)),
            call: try row.blob(8),
            since: try row.uint64(9),
            nonce: try row.uint64(10),
            state: state,
            at: Timestamp(millisecondsSince1970: try row.int64(14))
        )
    }

    static func transactions(of id: String, _ connection: Connection) throws -> [StoredTransaction] {
        try connection.rows(
            "SELECT raw, at FROM settlement_transactions WHERE intent = ? ORDER BY sequence",
            .text(id)
        ).map { row in
            StoredTransaction(
                signed: try SignedTransaction(raw: row.blob(0)),
                at: Timestamp(millisecondsSince1970: try row.int64(1))
            )
        }
    }
}
