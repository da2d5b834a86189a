public import Encodings
internal import Ledger
internal import Paywall
internal import Storage

/// Quotes of claims, and the change that they leave ([PRC-5], [CHG-1]).
extension SQLiteClaimStore {
    static func insert(_ quote: ClaimQuote, of claim: NewClaim, in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO gateway_quotes (claim, quoted, is_maximum, overpaid, making_fee, per_unit, used, holder, gives_back,
                state, at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?)
            """,
            .text(claim.id),
            try .amount(quote.quoted),
            .bool(quote.isMaximum),
            try .amount(quote.overpaid),
            try .amount(quote.makingFee),
            try .amount(quote.perUnit),
            .text(quote.usedText),
            .optional(quote.holder),
            .bool(quote.givesBack),
            .integer(claim.at.millisecondsSince1970)
        )
    }

    static func quote(of claimID: String, in connection: Connection) throws -> ClaimQuote? {
        try connection.first(
            """
            SELECT quoted, is_maximum, overpaid, making_fee, per_unit, used, holder, gives_back FROM gateway_quotes
            WHERE claim = ?
            """,
            .text(claimID)
        ).map { row in
            ClaimQuote(
                quoted: try row.uint64(0),
                isMaximum: try row.bool(1),
                overpaid: try row.uint64(2),
                makingFee: try row.uint64(3),
                perUnit: try row.uint64(4),
                used: try ClaimQuote.used(row.text(5)),
                holder: try row.optionalText(6),
                givesBack: try row.bool(7)
            )
        }
    }

    /// Books what a call with a quote cost, inside the transaction that ends it.
    /// - Returns: what of the payment is earned.
    static func settle(
        _ charge: SettledCharge,
        of record: ClaimRecord,
        at: Timestamp,
        in connection: Connection
    ) throws -> UInt64 {
        let claimID = record.call.id
        guard charge.change <= record.total, charge.charged <= record.total - charge.change else {
            throw GatewayError(.corrupt, "the claim \(claimID) is worth less than what is charged and given back")
        }
        var isDue = false
        if charge.change > 0 {
            switch record.source {
            case .ecash:
                // Stays in escrow until the token is made.
                isDue = true
            case .grant(let hash):
                try giveBack(charge.change, of: record, toGrant: hash, at: at, in: connection)
            case .exact:
                throw GatewayError(.corrupt, "the claim \(claimID) was settled as it is, and leaves no change")
            }
        }
        try connection.execute(
            "UPDATE gateway_quotes SET charged = ?, change = ?, state = ?, at = ? WHERE claim = ? AND state = 'open'",
            try .amount(charge.charged),
            try .amount(charge.change),
            .text(isDue ? "due" : "settled"),
            .integer(at.millisecondsSince1970),
            .text(claimID)
        )
        guard connection.changes == 1 else {
            throw GatewayError(.stateChanged, "the quote of the claim \(claimID) is settled or gone")
        }
        try SQLiteUsageStore.add(charge.usage, at: at, in: connection)
        return record.total - charge.change
    }

    /// What a call of a bundle did not use is credit again.
    private static func giveBack(
        _ change: UInt64,
        of record: ClaimRecord,
        toGrant hash: [UInt8],
        at: Timestamp,
        in connection: Connection
    ) throws {
        let amount = try SQLValue.amount(change)
        try connection.execute(
            """
            UPDATE gateway_grants SET prepaid = prepaid + ?, used = used - ? / call_msat
            WHERE payment_hash = ? AND ? % call_msat = 0
            """,
            amount,
            amount,
            .blob(hash),
            amount
        )
        guard connection.changes == 1 else {
            throw GatewayError(.corrupt, "the grant of the claim \(record.call.id) is gone")
        }
        try LedgerStore.post([GatewayAccounts.unused(change, of: record, at: at)], in: connection)
    }

    public func change(claimID: String) async throws -> StoredChange? {
        try await database.read { connection in
            try connection.first(
                "SELECT claim, change, token FROM gateway_quotes WHERE claim = ? AND state IN ('due', 'made')",
                .text(claimID)
            ).map(Self.change)
        }
    }

    public func dueChanges(limit: Int) async throws -> [StoredChange] {
        try await database.read { connection in
            try connection.rows(
                "SELECT claim, change, token FROM gateway_quotes WHERE state = 'due' ORDER BY at LIMIT ?",
                .int(limit)
            ).map(Self.change)
        }
    }

    private static func change(_ row: Row) throws -> StoredChange {
        StoredChange(claimID: try row.text(0), amount: try row.uint64(1), token: try row.optionalText(2))
    }

    public func changeMade(claimID: String, token: String, at: Timestamp) async throws {
        try await database.write { connection in
            let row = try connection.first(
                """
                UPDATE gateway_quotes SET token = ?, state = 'made' WHERE claim = ? AND state = 'due' RETURNING change
                """,
                .text(token),
                .text(claimID)
            )
            guard let row, let record = try Self.record(claimID, in: connection) else {
                throw GatewayError(.stateChanged, "the change of the claim \(claimID) is made or gone")
            }
            try LedgerStore.post([GatewayAccounts.change(try row.uint64(0), of: record, at: at)], in: connection)
        }
    }
}
