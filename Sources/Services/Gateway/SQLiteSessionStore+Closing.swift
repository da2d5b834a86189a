internal import Encodings
internal import Ledger
internal import Lightning
internal import Paywall
internal import Storage

/// The end of a session: nothing is taken any more, then what is left is known, then it goes out, once ([PAY-9], [PAY-10]).
extension SQLiteSessionStore {
    /// Closes a session. One that is closed stays as it is.
    /// - Throws: ``CallRefusal`` `session-unknown`.
    func close(_ id: [UInt8], service: String, at: Timestamp) async throws -> StoredSession {
        try await database.write { connection in
            guard let session = try Self.session(id, in: connection), session.service == service else {
                throw Self.unknown
            }
            guard session.isOpen else { return session }
            try Self.close(id, at: at, in: connection)
            return try Self.session(id, in: connection) ?? session
        }
    }

    private static func close(_ id: [UInt8], at: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "UPDATE gateway_sessions SET state = 'closed', closed_at = ? WHERE id = ? AND state = 'open'",
            .integer(at.millisecondsSince1970),
            .blob(id)
        )
    }

    /// Closes sessions that nobody used for their idle time; never while a call runs.
    /// - Returns: their ids.
    func closeIdle(now: Timestamp, limit: Int) async throws -> [[UInt8]] {
        let time = SQLValue.integer(now.millisecondsSince1970)
        let query = """
            SELECT id FROM gateway_sessions WHERE state = 'open' AND used_at + idle_seconds * 1000 <= ?1
                AND NOT EXISTS (SELECT 1 FROM gateway_claims WHERE grant_hash = gateway_sessions.id
                    AND (state NOT IN ('served', 'refunded') OR settled_at + idle_seconds * 1000 > ?1))
            ORDER BY used_at LIMIT ?2
            """
        // A look without the writer first: most rounds find nothing.
        guard try await database.read({ try $0.first(query, time, .int(1)) != nil }) else { return [] }
        return try await database.write { connection in
            let ids = try connection.rows(query, time, .int(limit)).map { try $0.blob(0) }
            for id in ids { try Self.close(id, at: now, in: connection) }
            return ids
        }
    }

    /// Closed sessions whose remainder is not seen to its end, oldest first.
    func owed(limit: Int) async throws -> [StoredSession] {
        try await database.read { connection in
            try connection.rows(
                """
                SELECT \(Self.columns) FROM \(Self.tables) WHERE s.state = 'closed'
                    AND (s.payout IS NULL OR s.payout IN ('due', 'sending')) ORDER BY s.closed_at LIMIT ?
                """,
                .int(limit)
            ).map(Self.session)
        }
    }

    /// Works out what is left of a closed session once its last call has ended, and books it as owed. Whole sat are returned;
    /// a fraction is the service's.
    /// - Returns: the session; its payout is nil while a call runs.
    func settle(_ id: [UInt8], at: Timestamp) async throws -> StoredSession {
        try await database.write { connection in
            guard let session = try Self.session(id, in: connection) else { throw Self.unknown }
            guard !session.isOpen, session.payout == nil else { return session }
            let runs = try connection.first(
                "SELECT 1 FROM gateway_claims WHERE grant_hash = ? AND state NOT IN ('served', 'refunded') LIMIT 1",
                .blob(id)
            )
            guard runs == nil else { return session }
            let left = session.availableMsat
            let refund = left / 1000 * 1000
            try connection.execute(
                "UPDATE gateway_sessions SET refund_msat = ?, payout = ? WHERE id = ?",
                try .amount(refund),
                .text(refund > 0 ? "due" : "skipped"),
                .blob(id)
            )
            try connection.execute(
                "UPDATE gateway_grants SET prepaid = 0, valid_until = ? WHERE payment_hash = ?",
                .integer(at.millisecondsSince1970),
                .blob(id)
            )
            guard connection.changes == 1 else { throw GatewayError(.corrupt, "the session's money is gone") }
            var transfers: [Transfer] = []
            if refund > 0 { transfers.append(GatewayAccounts.returning(id, refund, at: at)) }
            if left > refund { transfers.append(GatewayAccounts.kept(session, left - refund, at: at)) }
            try LedgerStore.post(transfers, in: connection)
            return try Self.session(id, in: connection) ?? session
        }
    }

    /// A payment of a remainder that a Lightning node is to be asked for.
    struct Payout: Sendable {
        var invoice: String
        var amountMsat: UInt64
        /// Whether nothing was sent to this invoice before; otherwise how that went is not known.
        var isFirst: Bool
    }

    /// `due` → `sending`, before the Lightning node hears of it. What is sending stays so.
    /// - Returns: nil where nothing is owed, or its payment has an end.
    func beginPayout(_ id: [UInt8]) async throws -> Payout? {
        try await database.write { connection in
            guard let session = try Self.session(id, in: connection), let amount = session.refundMsat,
                session.payout == .due || session.payout == .sending
            else { return nil }
            try connection.execute(
                "UPDATE gateway_sessions SET payout = 'sending' WHERE id = ? AND payout = 'due'",
                .blob(id)
            )
            return Payout(invoice: session.returnInvoice, amountMsat: amount, isFirst: connection.changes == 1)
        }
    }

    /// `sending` → `paid`.
    func paidOut(_ id: [UInt8], to invoice: BOLT11Invoice, feeMsat: UInt64, at: Timestamp) async throws {
        try await database.write { connection in
            let row = try connection.first(
                """
                UPDATE gateway_sessions SET payout = 'paid', fee_msat = ?
                WHERE id = ? AND payout = 'sending' AND return_hash = ? RETURNING refund_msat
                """,
                try .amount(feeMsat),
                .blob(id),
                .blob(invoice.paymentHash)
            )
            guard let row else { return }
            var transfers = [GatewayAccounts.paidOut(id, try row.uint64(0), at: at)]
            if feeMsat > 0 { transfers.append(GatewayAccounts.payoutFee(id, feeMsat, at: at)) }
            try LedgerStore.post(transfers, in: connection)
        }
    }

    /// `sending` → `failed`, or back to `due` where the node was not even reached and it is not the last try.
    /// - Returns: whether it will be tried again.
    @discardableResult
    func notPaidOut(_ id: [UInt8], to invoice: BOLT11Invoice, triesAgain: Bool) async throws -> Bool {
        try await database.write { connection in
            let row = try connection.first(
                """
                UPDATE gateway_sessions SET attempts = attempts + 1,
                    payout = CASE WHEN ? AND attempts + 1 < ? THEN 'due' ELSE 'failed' END
                WHERE id = ? AND payout = 'sending' AND return_hash = ? RETURNING payout
                """,
                .bool(triesAgain),
                .int(Self.maximumAttempts),
                .blob(id),
                .blob(invoice.paymentHash)
            )
            return try row?.text(0) == "due"
        }
    }

    /// How often a Lightning node that can't be reached is asked to pay a remainder.
    static var maximumAttempts: Int { 100 }

    /// Another invoice for a remainder whose payment failed: `failed` → `due`.
    /// - Throws: ``CallRefusal`` `return-invoice-invalid` for one that another session returns to.
    func renew(_ id: [UInt8], returnInvoice: BOLT11Invoice) async throws {
        try await database.write { connection in
            let hash = SQLValue.blob(returnInvoice.paymentHash)
            let other = try connection.first(
                "SELECT 1 FROM gateway_sessions WHERE return_hash = ?",
                hash
            )
            guard other == nil else {
                throw CallRefusal(.returnInvoiceInvalid, "A session returned to this invoice before; send another.")
            }
            try connection.execute(
                """
                UPDATE gateway_sessions SET payout = 'due', attempts = 0, return_invoice = ?, return_hash = ?
                WHERE id = ? AND payout = 'failed'
                """,
                .text(returnInvoice.text),
                hash,
                .blob(id)
            )
        }
    }

    /// Open sessions, and what is owed to payers of closed ones, in msat.
    func totals() async throws -> (open: Int, owedMsat: UInt64, failed: Int) {
        try await database.read { connection in
            let open = try connection.first("SELECT count(*) FROM gateway_sessions WHERE state = 'open'")?.int(0)
            let owed = try connection.first(
                """
                SELECT coalesce(sum(refund_msat), 0), count(*) FILTER (WHERE payout = 'failed') FROM gateway_sessions
                WHERE payout IN ('due', 'sending', 'failed')
                """
            )
            return (open ?? 0, try owed?.uint64(0) ?? 0, try owed?.int(1) ?? 0)
        }
    }
}
