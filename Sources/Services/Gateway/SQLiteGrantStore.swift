public import Encodings
internal import Ledger
internal import Paywall
public import Storage

/// The grants in the node's SQLite database.
public struct SQLiteGrantStore: GrantStore {
    let database: Database

    /// - Parameter database: opened with ``GatewayTables/migrations``.
    public init(database: Database) {
        self.database = database
    }

    static let columns = """
        payment_hash, asker, invoice, service, tier, methods, path, price, unit, calls, msat, call_msat, used, prepaid, made_at,
        invoice_until, valid_until, restored, restored_until, paid_at, credit, timed,
        counted
        """

    static func grant(_ row: Row) throws -> StoredGrant {
        func time(_ column: Int) throws -> Timestamp? {
            try row.optionalInt64(column).map { Timestamp(millisecondsSince1970: $0) }
        }
        let methods = try row.text(5)
        return StoredGrant(
            terms: L402Grant(
                paymentHash: try row.blob(0),
                service: try row.text(3),
                tier: UInt8(clamping: try row.int64(4)),
                methods: Set(methods.split(separator: ",").map(String.init)),
                path: try PathPattern(row.text(6)),
                price: Price(amount: try row.uint64(7), unit: try row.text(8)),
                calls: try row.uint64(9),
                validUntil: Timestamp(millisecondsSince1970: try row.int64(16))
            ),
            asker: try row.blob(1),
            invoice: try row.text(2),
            msat: try row.uint64(10),
            callMsat: try row.uint64(11),
            isCredit: try row.bool(20),
            isTimed: try row.bool(21),
            used: try row.uint64(12),
            counted: try row.uint64(22),
            prepaid: try row.uint64(13),
            madeAt: Timestamp(millisecondsSince1970: try row.int64(14)),
            invoiceUntil: Timestamp(millisecondsSince1970: try row.int64(15)),
            restored: try row.uint64(17),
            restoredUntil: try time(18),
            paidAt: try time(19)
        )
    }

    static func grant(_ paymentHash: [UInt8], in connection: Connection) throws -> StoredGrant? {
        try connection.first("SELECT \(columns) FROM gateway_grants WHERE payment_hash = ?", .blob(paymentHash))
            .map(grant)
    }

    public func grant(paymentHash: [UInt8]) async throws -> StoredGrant? {
        try await database.read { try Self.grant(paymentHash, in: $0) }
    }

    public func unpaidGrant(asker: [UInt8], goodUntil end: Timestamp) async throws -> StoredGrant? {
        try await database.read { connection in
            try connection.first(
                """
                SELECT \(Self.columns) FROM gateway_grants WHERE asker = ? AND paid_at IS NULL AND invoice_until >= ?
                ORDER BY invoice_until DESC LIMIT 1
                """,
                .blob(asker),
                .integer(end.millisecondsSince1970)
            ).map(Self.grant)
        }
    }

    public func add(_ grant: StoredGrant, limit: Int) async throws -> Bool {
        try await database.write { connection in
            guard try Self.unpaidCount(in: connection) < limit else { return false }
            let terms = grant.terms
            try connection.execute(
                """
                INSERT INTO gateway_grants (payment_hash, asker, invoice, service, tier, methods, path, price, unit, calls,
                    msat, call_msat, made_at, invoice_until, valid_until, credit, timed)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                .blob(terms.paymentHash),
                .blob(grant.asker),
                .text(grant.invoice),
                .text(terms.service),
                .int(Int(terms.tier)),
                .text(terms.methods.sorted().joined(separator: ",")),
                .text(terms.path.text),
                try .amount(terms.price.amount),
                .text(terms.price.unit),
                try .amount(terms.calls),
                try .amount(grant.msat),
                try .amount(grant.callMsat),
                .integer(grant.madeAt.millisecondsSince1970),
                .integer(grant.invoiceUntil.millisecondsSince1970),
                .integer((terms.validUntil ?? grant.invoiceUntil).millisecondsSince1970),
                .bool(grant.isCredit),
                .bool(grant.isTimed)
            )
            return true
        }
    }

    public func count(_ calls: [[UInt8]: UInt64]) async throws {
        guard !calls.isEmpty else { return }
        try await database.write { connection in
            for (hash, number) in calls {
                try connection.execute(
                    "UPDATE gateway_grants SET counted = max(counted, ?) WHERE payment_hash = ?",
                    try .amount(number),
                    .blob(hash)
                )
            }
        }
    }

    private static func unpaidCount(in connection: Connection) throws -> Int {
        try connection.first("SELECT count(*) FROM gateway_grants WHERE paid_at IS NULL")?.int(0) ?? 0
    }

    public func unpaidCount() async throws -> Int {
        try await database.read { try Self.unpaidCount(in: $0) }
    }

    // MARK: The end

    public func endLapsed(now: Timestamp, keepSeconds: Int64, limit: Int) async throws -> Int {
        let time = SQLValue.integer(now.millisecondsSince1970)
        let forgetBefore = SQLValue.integer(now.adding(seconds: -keepSeconds).millisecondsSince1970)
        // Two looks by two indexes: most paid grants have nothing left and only wait to be forgotten.
        @Sendable func lapsed(in connection: Connection) throws -> [StoredGrant] {
            let unfinished = try connection.rows(
                """
                SELECT \(Self.columns) FROM gateway_grants WHERE (paid_at IS NULL OR prepaid > 0) AND valid_until <= ?
                    AND coalesce(restored_until, 0) <= ? ORDER BY valid_until LIMIT ?
                """,
                time,
                time,
                .int(limit)
            )
            let old = try connection.rows(
                """
                SELECT \(Self.columns) FROM gateway_grants WHERE valid_until <= ? AND coalesce(restored_until, 0) <= ?
                    AND paid_at IS NOT NULL AND prepaid = 0 ORDER BY valid_until LIMIT ?
                """,
                forgetBefore,
                forgetBefore,
                .int(limit)
            )
            return try (unfinished + old).map(Self.grant)
        }
        // A look without the writer first: most rounds find nothing.
        guard try await database.read({ try !lapsed(in: $0).isEmpty }) else { return 0 }
        return try await database.write { connection in
            let grants = try lapsed(in: connection)
            for grant in grants { try Self.end(grant, now: now, in: connection) }
            return grants.count
        }
    }

    private static func end(_ grant: StoredGrant, now: Timestamp, in connection: Connection) throws {
        let hash = SQLValue.blob(grant.terms.paymentHash)
        guard grant.paidAt != nil, grant.prepaid > 0 else {
            // A call under way may still be counted back: then the grant stays until it has ended.
            let isOpen =
                try connection.first(
                    "SELECT 1 FROM gateway_claims WHERE grant_hash = ? AND state NOT IN ('served', 'refunded') LIMIT 1",
                    hash
                ) != nil
            if !isOpen { try connection.execute("DELETE FROM gateway_grants WHERE payment_hash = ?", hash) }
            return
        }
        try LedgerStore.post([GatewayAccounts.lapsed(grant, at: now)], in: connection)
        try connection.execute("UPDATE gateway_grants SET prepaid = 0 WHERE payment_hash = ?", hash)
    }
}
