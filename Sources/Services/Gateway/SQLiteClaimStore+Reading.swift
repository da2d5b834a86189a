internal import Cashu
public import Encodings
internal import Ledger
public import Paywall
internal import Storage

extension SQLiteClaimStore {
    static func record(_ claimID: String, in connection: Connection) throws -> ClaimRecord? {
        try connection.first("SELECT \(ClaimRows.columns) FROM gateway_claims WHERE id = ?", .text(claimID))
            .map(ClaimRows.record)
    }

    public func record(claimID: String) async throws -> ClaimRecord? {
        try await database.read { try Self.record(claimID, in: $0) }
    }

    public func claim(id: String) async throws -> OpenClaim? {
        try await database.read { connection in
            try Self.record(id, in: connection).map {
                OpenClaim(
                    record: $0,
                    proofs: try Self.proofs(of: id, in: connection),
                    quote: try Self.quote(of: id, in: connection)
                )
            }
        }
    }

    private static func proofs(of claimID: String, in connection: Connection) throws -> [Proof] {
        try connection.rows(
            "SELECT \(ClaimRows.proofColumns) FROM gateway_proofs WHERE claim = ? ORDER BY sequence",
            .text(claimID)
        ).map { try ClaimRows.proof($0).proof }
    }

    public func answer(claimID: String) async throws -> StoredAnswer? {
        try await database.read { connection in
            try connection.first("SELECT status, headers, body FROM gateway_answers WHERE claim = ?", .text(claimID))
                .map {
                    StoredAnswer(
                        status: try $0.int(0),
                        headers: try ClaimRows.headers($0.blob(1)),
                        body: try $0.blob(2)
                    )
                }
        }
    }

    public func refund(claimID: String) async throws -> StoredRefund? {
        try await database.read { connection in
            let row = try connection.first(
                "SELECT refund, refund_reason, total, unit FROM gateway_claims WHERE id = ? AND state = 'refunded'",
                .text(claimID)
            )
            guard let row else { return nil }
            return StoredRefund(
                token: try row.optionalText(0),
                reason: CallRefusal.Code(rawValue: try row.optionalText(1) ?? CallRefusal.Code.upstreamFailed.rawValue),
                amount: try row.uint64(2),
                unit: try row.text(3)
            )
        }
    }

    /// Ids begin with the time.
    public func receipts(limit: Int) async throws -> [[UInt8]] {
        try await database.read { connection in
            try connection.rows("SELECT document FROM gateway_receipts ORDER BY id DESC LIMIT ?", .int(limit))
                .map { try $0.blob(0) }
        }
    }

    public func receipts(
        after sequence: Int64,
        limit: Int
    ) async throws -> [(sequence: Int64, document: [UInt8])] {
        try await database.read { connection in
            try connection.rows(
                """
                SELECT t.sequence, r.document FROM gateway_receipts_told t JOIN gateway_receipts r ON r.id = t.receipt
                WHERE t.sequence > ? ORDER BY t.sequence LIMIT ?
                """,
                .integer(sequence),
                .int(limit)
            ).map { (try $0.int64(0), try $0.blob(1)) }
        }
    }

    public func receipt(id: String) async throws -> [UInt8]? {
        try await database.read { connection in
            try connection.first("SELECT document FROM gateway_receipts WHERE id = ?", .text(id))?.blob(0)
        }
    }

    public func open(states: Set<CallState>, olderThan: Timestamp, limit: Int) async throws -> [OpenClaim] {
        let names = states.filter { !$0.isFinal }.map { "'\($0.rawValue)'" }.sorted().joined(separator: ", ")
        return try await database.read { connection in
            let rows = try connection.rows(
                """
                SELECT \(ClaimRows.columns) FROM gateway_claims
                WHERE state NOT IN ('served', 'refunded') AND state IN (\(names)) AND at < ? ORDER BY at LIMIT ?
                """,
                .integer(olderThan.millisecondsSince1970),
                .int(limit)
            )
            return try rows.map { row in
                let record = try ClaimRows.record(row)
                return OpenClaim(
                    record: record,
                    proofs: try Self.proofs(of: record.call.id, in: connection),
                    quote: try Self.quote(of: record.call.id, in: connection)
                )
            }
        }
    }

    public func claims(limit: Int, before: String?) async throws -> [ClaimRecord] {
        try await database.read { connection in
            try connection.rows(
                "SELECT \(ClaimRows.columns) FROM gateway_claims WHERE id < ? ORDER BY id DESC LIMIT ?",
                .text(before ?? "~"),
                .int(limit)
            ).map(ClaimRows.record)
        }
    }

    public func totals() async throws -> GatewayTotals {
        try await database.read { connection in
            let prefix = "gateway:unredeemed:"
            let held = try LedgerStore.accounts(prefix: prefix, in: connection).filter { $0.balance > 0 }.map {
                GatewayTotals.Held(
                    mint: String($0.account.name.dropFirst(prefix.count)),
                    unit: $0.unit,
                    amount: $0.balance
                )
            }
            var states: [CallState: Int] = [:]
            for row in try connection.rows("SELECT state, count(*) FROM gateway_claims GROUP BY state") {
                if let state = CallState(rawValue: try row.text(0)) { states[state] = try row.int(1) }
            }
            let failed = try connection.first("SELECT count(*) FROM gateway_proofs WHERE state = 'failed'")?.int(0) ?? 0
            let prepaid = try LedgerStore.balance(
                of: GatewayAccounts.prepaid,
                unit: GatewayAccounts.grantUnit,
                in: connection
            )
            return GatewayTotals(
                unredeemed: held,
                claimsByState: states,
                failedProofs: failed,
                prepaidMsat: prepaid
            )
        }
    }

    // MARK: Kept answers

    public func keptAnswerBytes() async throws -> Int64 {
        try await database.read { connection in
            try connection.first("SELECT coalesce(sum(length(headers) + length(body)), 0) FROM gateway_answers")?.int64(
                0
            ) ?? 0
        }
    }

    public func pruneAnswers(now: Timestamp, limit: Int) async throws -> Int64 {
        try await database.write { connection in
            let rows = try connection.rows(
                "SELECT claim, length(headers) + length(body) FROM gateway_answers WHERE kept_until <= ? LIMIT ?",
                .integer(now.millisecondsSince1970),
                .int(limit)
            )
            var bytes: Int64 = 0
            for row in rows {
                bytes += try row.int64(1)
                try connection.execute("DELETE FROM gateway_answers WHERE claim = ?", .text(try row.text(0)))
            }
            return bytes
        }
    }

    // MARK: The operator's switch

    private static let offlineKey = "offline-stop"

    public func offlineStop() async throws -> String? {
        try await database.read { connection in
            try connection.first("SELECT value FROM gateway_settings WHERE key = ?", .text(Self.offlineKey))?.text(0)
        }
    }

    public func setOfflineStop(_ reason: String?) async throws {
        try await database.write { try Self.setOfflineStop(reason, in: $0) }
    }

    static func setOfflineStop(_ reason: String?, in connection: Connection) throws {
        if let reason {
            try connection.execute(
                "INSERT INTO gateway_settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                .text(offlineKey),
                .text(reason)
            )
        } else {
            try connection.execute("DELETE FROM gateway_settings WHERE key = ?", .text(offlineKey))
        }
    }
}
