internal import Encodings
internal import Ledger
internal import Lightning
internal import Paywall
public import Storage

/// Sessions and their deposits in the node's database. Each function is one transaction, durable when it returns.
///
/// A session's money is the grant of its id: a call is claimed of it as of any credit, in the claim's own transaction.
public struct SQLiteSessionStore: Sendable {
    let database: Database

    /// - Parameter database: opened with ``GatewayTables/migrations``.
    public init(database: Database) {
        self.database = database
    }

    /// How long an unpaid deposit is kept after its challenge can't be shown any more, in seconds.
    private static let depositKeepSeconds: Int64 = 86_400
    /// The end of a session's grant while it is open: none.
    private static let noEnd: Int64 = 253_402_300_799_000

    // MARK: Deposits

    func unpaidDeposit(asker: [UInt8], goodUntil end: Timestamp) async throws -> StoredDeposit? {
        try await database.read { connection in
            try connection.first(
                """
                SELECT payment_hash, asker, invoice, service, msat, made_at, invoice_until FROM gateway_deposits
                WHERE asker = ? AND session IS NULL AND invoice_until >= ? ORDER BY invoice_until DESC LIMIT 1
                """,
                .blob(asker),
                .integer(end.millisecondsSince1970)
            ).map(Self.deposit)
        }
    }

    /// Keeps a deposit whose invoice is about to be shown.
    /// - Parameter limit: the most unpaid ones kept.
    /// - Returns: false where there are that many.
    func add(_ deposit: StoredDeposit, limit: Int) async throws -> Bool {
        try await database.write { connection in
            let unpaid = try connection.first("SELECT count(*) FROM gateway_deposits WHERE session IS NULL")?.int(0)
            guard unpaid ?? 0 < limit else { return false }
            try connection.execute(
                """
                INSERT INTO gateway_deposits (payment_hash, asker, invoice, service, msat, made_at, invoice_until)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
                .blob(deposit.paymentHash),
                .blob(deposit.asker),
                .text(deposit.invoice),
                .text(deposit.service),
                try .amount(deposit.msat),
                .integer(deposit.madeAt.millisecondsSince1970),
                .integer(deposit.invoiceUntil.millisecondsSince1970)
            )
            return true
        }
    }

    private static func deposit(_ row: Row) throws -> StoredDeposit {
        StoredDeposit(
            paymentHash: try row.blob(0),
            asker: try row.blob(1),
            invoice: try row.text(2),
            service: try row.text(3),
            msat: try row.uint64(4),
            madeAt: Timestamp(millisecondsSince1970: try row.int64(5)),
            invoiceUntil: Timestamp(millisecondsSince1970: try row.int64(6))
        )
    }

    /// Takes a deposit for a session, once.
    /// - Returns: what it is worth in msat; nil where the same session had it before.
    private static func claim(
        _ paymentHash: [UInt8],
        for session: [UInt8],
        service: String,
        at: Timestamp,
        in connection: Connection
    ) throws -> UInt64? {
        let row = try connection.first(
            "SELECT service, msat, session FROM gateway_deposits WHERE payment_hash = ?",
            .blob(paymentHash)
        )
        guard let row, try row.text(0) == service else {
            throw CallRefusal(.challengeUnknown, "This deposit was not asked for here; take a new challenge.")
        }
        guard row.isNull(2) else {
            guard try row.blob(2) == session else {
                throw CallRefusal(.challengeUnknown, "This deposit was taken for another session.")
            }
            return nil
        }
        try connection.execute(
            "UPDATE gateway_deposits SET session = ?, used_at = ? WHERE payment_hash = ?",
            .blob(session),
            .integer(at.millisecondsSince1970),
            .blob(paymentHash)
        )
        return try row.uint64(1)
    }

    // MARK: Opening and adding

    /// Opens a session. The same proof again finds the session as it is.
    /// - Parameter returnInvoice: read and found good.
    /// - Throws: ``CallRefusal`` `challenge-unknown` for a deposit that was not asked for or is another session's,
    ///   `return-invoice-invalid` for an invoice that another session returns to.
    func open(
        _ proven: LightningSessionDeposit,
        service: String,
        returnInvoice: BOLT11Invoice,
        idleSeconds: Int64,
        at: Timestamp
    ) async throws -> StoredSession {
        try await database.write { connection in
            let id = proven.paymentHash
            let claimed = try Self.claim(id, for: id, service: service, at: at, in: connection)
            guard let msat = claimed else {
                guard let known = try Self.session(id, in: connection) else { throw Self.unknown }
                return known
            }
            let hash = SQLValue.blob(returnInvoice.paymentHash)
            if try connection.first("SELECT 1 FROM gateway_sessions WHERE return_hash = ?", hash) != nil {
                // Thrown, so that the deposit is not taken: the same proof may come with another.
                throw CallRefusal(.returnInvoiceInvalid, "Another session returns to this invoice; send another.")
            }
            let now = SQLValue.integer(at.millisecondsSince1970)
            try connection.execute(
                """
                INSERT INTO gateway_sessions (id, service, return_invoice, return_hash, idle_seconds, state, opened_at, used_at)
                VALUES (?, ?, ?, ?, ?, 'open', ?, ?)
                """,
                .blob(id),
                .text(service),
                .text(returnInvoice.text),
                hash,
                .integer(idleSeconds),
                now,
                now
            )
            try connection.execute(
                """
                INSERT INTO gateway_grants (payment_hash, asker, invoice, service, tier, methods, path, price, unit, calls,
                    msat, call_msat, prepaid, made_at, invoice_until, valid_until, paid_at, credit)
                SELECT payment_hash, asker, invoice, service, 0, '', '/*', 1, 'msat', msat, msat, 1, msat, made_at,
                    invoice_until, ?, ?, 1 FROM gateway_deposits WHERE payment_hash = ?
                """,
                .integer(Self.noEnd),
                now,
                .blob(id)
            )
            try LedgerStore.post([GatewayAccounts.deposited(id, msat, to: id, at: at)], in: connection)
            guard let session = try Self.session(id, in: connection) else { throw Self.unknown }
            return session
        }
    }

    /// Adds a deposit to a session, once. The same proof again does nothing.
    /// - Throws: ``CallRefusal`` `session-unknown`, `session-closed`, `challenge-unknown`.
    func topUp(
        _ id: [UInt8],
        with proven: LightningSessionDeposit,
        service: String,
        at: Timestamp
    ) async throws -> StoredSession {
        try await database.write { connection in
            guard let session = try Self.session(id, in: connection), session.service == service else {
                throw Self.unknown
            }
            let claimed = try Self.claim(proven.paymentHash, for: id, service: service, at: at, in: connection)
            guard let msat = claimed else { return session }
            // Thrown, so that the deposit is not taken: it opens another session.
            guard session.isOpen else { throw Self.closed }
            let amount = try SQLValue.amount(msat)
            try connection.execute(
                "UPDATE gateway_grants SET calls = calls + ?, msat = msat + ?, prepaid = prepaid + ? WHERE payment_hash = ?",
                amount,
                amount,
                amount,
                .blob(id)
            )
            guard connection.changes == 1 else { throw GatewayError(.corrupt, "the session's money is gone") }
            try Self.use(id, at: at, in: connection)
            try LedgerStore.post([GatewayAccounts.deposited(proven.paymentHash, msat, to: id, at: at)], in: connection)
            return try Self.session(id, in: connection) ?? session
        }
    }

    // MARK: Calls

    /// Whether a call can be claimed of a session, inside the claim's transaction: then it counts as used.
    static func refusal(
        of id: [UInt8],
        service: String,
        at: Timestamp,
        in connection: Connection
    ) throws -> CallRefusal? {
        guard let session = try session(id, in: connection), session.service == service else { return unknown }
        guard session.isOpen else { return closed }
        try use(id, at: at, in: connection)
        return nil
    }

    private static func use(_ id: [UInt8], at: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "UPDATE gateway_sessions SET used_at = max(used_at, ?) WHERE id = ?",
            .integer(at.millisecondsSince1970),
            .blob(id)
        )
    }

    static let unknown = CallRefusal(
        .sessionUnknown,
        "There is no such session of this service here any more, or never was; open a new one."
    )
    static let closed = CallRefusal(.sessionClosed, "This session is closed; open a new one.")

    // MARK: Reading

    static let columns = """
        s.id, s.service, s.return_invoice, s.idle_seconds, s.state, s.opened_at, s.used_at, s.closed_at, s.refund_msat, s.payout,
        s.attempts, coalesce(g.msat, 0), coalesce(g.prepaid, 0)
        """
    static let tables = "gateway_sessions s LEFT JOIN gateway_grants g ON g.payment_hash = s.id"

    static func session(_ id: [UInt8], in connection: Connection) throws -> StoredSession? {
        try connection.first("SELECT \(columns) FROM \(tables) WHERE s.id = ?", .blob(id)).map(session)
    }

    static func session(_ row: Row) throws -> StoredSession {
        var payout: StoredSession.Payout?
        if !row.isNull(9) {
            payout = StoredSession.Payout(rawValue: try row.text(9))
            guard payout != nil else { throw GatewayError(.corrupt, "a session's payout is in no known state") }
        }
        return StoredSession(
            id: try row.blob(0),
            service: try row.text(1),
            returnInvoice: try row.text(2),
            idleSeconds: try row.int64(3),
            isOpen: try row.text(4) == "open",
            openedAt: Timestamp(millisecondsSince1970: try row.int64(5)),
            usedAt: Timestamp(millisecondsSince1970: try row.int64(6)),
            closedAt: try row.optionalInt64(7).map { Timestamp(millisecondsSince1970: $0) },
            refundMsat: try row.optionalInt64(8).map { UInt64(clamping: $0) },
            payout: payout,
            attempts: try row.int(10),
            depositMsat: try row.uint64(11),
            availableMsat: try row.uint64(12)
        )
    }

    func session(_ id: [UInt8]) async throws -> StoredSession? {
        try await database.read { try Self.session(id, in: $0) }
    }

    /// Whether a deposit was taken for a session.
    func has(_ paymentHash: [UInt8], in session: [UInt8]) async throws -> Bool {
        try await database.read { connection in
            try connection.first(
                "SELECT 1 FROM gateway_deposits WHERE payment_hash = ? AND session = ?",
                .blob(paymentHash),
                .blob(session)
            ) != nil
        }
    }

    /// Sessions whose remainder is owed or that are open, and the latest others; at most `limit`.
    func sessions(limit: Int) async throws -> [StoredSession] {
        try await database.read { connection in
            try connection.rows(
                "SELECT \(Self.columns) FROM \(Self.tables) ORDER BY s.closed_at IS NULL DESC, s.opened_at DESC LIMIT ?",
                .int(limit)
            ).map(Self.session)
        }
    }

    /// Drops deposits that nobody can show any more, and sessions that ended long ago with nothing owed.
    /// - Parameter keepSeconds: how long those are kept after their end.
    func prune(now: Timestamp, keepSeconds: Int64) async throws {
        let unpaidEnd = now.adding(seconds: -Self.depositKeepSeconds).millisecondsSince1970
        let end = now.adding(seconds: -keepSeconds).millisecondsSince1970
        try await database.write { connection in
            try connection.execute(
                """
                DELETE FROM gateway_deposits WHERE payment_hash IN (SELECT payment_hash FROM gateway_deposits
                    WHERE invoice_until < ? AND (session IS NULL OR invoice_until < ?) ORDER BY invoice_until LIMIT 500)
                """,
                .integer(unpaidEnd),
                .integer(end)
            )
            try connection.execute(
                """
                DELETE FROM gateway_sessions WHERE id IN (SELECT id FROM gateway_sessions
                    WHERE payout IN ('paid', 'skipped') AND closed_at < ? ORDER BY closed_at LIMIT 500)
                """,
                .integer(end)
            )
        }
    }
}
