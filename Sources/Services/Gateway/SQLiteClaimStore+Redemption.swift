internal import Cashu
public import Encodings
internal import Ledger
internal import Storage

extension SQLiteClaimStore {
    public func unfinishedBatches() async throws -> [RedemptionBatch] {
        try await database.read { connection in
            try connection.rows(
                "SELECT id, mint, unit, is_held_at_mint FROM gateway_batches WHERE finished_at IS NULL ORDER BY id"
            ).map { row in
                try Self.batch(
                    id: row.text(0),
                    mint: MintURL(row.text(1)),
                    unit: CurrencyUnit(row.text(2)),
                    isHeldAtMint: row.bool(3),
                    in: connection
                )
            }
        }
    }

    private static func batch(
        id: String,
        mint: MintURL,
        unit: CurrencyUnit,
        isHeldAtMint: Bool,
        in connection: Connection
    ) throws -> RedemptionBatch {
        let rows = try connection.rows(
            "SELECT \(ClaimRows.proofColumns) FROM gateway_proofs WHERE batch = ? AND state = 'sent' ORDER BY sequence",
            .text(id)
        ).map(ClaimRows.proof)
        return RedemptionBatch(
            id: id,
            mint: mint,
            unit: unit,
            proofs: rows.map(\.proof),
            ys: rows.map(\.y),
            isHeldAtMint: isHeldAtMint
        )
    }

    public func nextBatch(id: String, limit: Int, at: Timestamp) async throws -> RedemptionBatch? {
        // A look without the writer first: most ticks find nothing due.
        let isDue = try await database.read { connection in
            try connection.first(
                """
                SELECT 1 WHERE EXISTS (SELECT 1 FROM gateway_served)
                    OR EXISTS (SELECT 1 FROM gateway_proofs WHERE state = 'due')
                """
            ) != nil
        }
        guard isDue else { return nil }
        return try await database.write { connection in
            try Self.turnDue(limit: limit, in: connection)
            guard
                let first = try connection.first(
                    """
                    SELECT mint, unit, is_held_at_mint FROM gateway_proofs INDEXED BY gateway_proofs_due
                    WHERE state = 'due' ORDER BY sequence LIMIT 1
                    """
                )
            else { return nil }
            let mint = try first.text(0)
            let unit = try first.text(1)
            let isHeldAtMint = try first.bool(2)
            try connection.execute(
                "INSERT INTO gateway_batches (id, mint, unit, at, is_held_at_mint) VALUES (?, ?, ?, ?, ?)",
                .text(id),
                .text(mint),
                .text(unit),
                .integer(at.millisecondsSince1970),
                .bool(isHeldAtMint)
            )
            try connection.execute(
                """
                UPDATE gateway_proofs SET state = 'sent', batch = ? WHERE sequence IN (
                    SELECT sequence FROM gateway_proofs
                    WHERE state = 'due' AND mint = ? AND unit = ? AND is_held_at_mint = ?
                    ORDER BY sequence LIMIT ?
                )
                """,
                .text(id),
                .text(mint),
                .text(unit),
                .bool(isHeldAtMint),
                .int(limit)
            )
            return try Self.batch(
                id: id,
                mint: MintURL(mint),
                unit: CurrencyUnit(unit),
                isHeldAtMint: isHeldAtMint,
                in: connection
            )
        }
    }

    /// Makes the proofs of served claims due, the oldest first.
    private static func turnDue(limit: Int, in connection: Connection) throws {
        let oldest = "SELECT claim FROM gateway_served ORDER BY claim LIMIT ?"
        try connection.execute(
            "UPDATE gateway_proofs SET state = 'due' WHERE state = 'held' AND claim IN (\(oldest))",
            .int(limit)
        )
        try connection.execute("DELETE FROM gateway_served WHERE claim IN (\(oldest))", .int(limit))
    }

    public func finish(batchID: String, report: BatchReport, at: Timestamp) async throws {
        try await database.write { connection in
            guard
                let row = try connection.first(
                    "SELECT mint, unit, is_held_at_mint FROM gateway_batches WHERE id = ? AND finished_at IS NULL",
                    .text(batchID)
                )
            else {
                throw GatewayError(.stateChanged, "the batch \(batchID) is finished or gone")
            }
            let batch = try Self.batch(
                id: batchID,
                mint: MintURL(row.text(0)),
                unit: CurrencyUnit(row.text(1)),
                isHeldAtMint: row.bool(2),
                in: connection
            )
            let amounts = Dictionary(zip(batch.ys, batch.proofs.map(\.amount)), uniquingKeysWith: { first, _ in first })
            let redeemed = try Self.mark(report.redeemed, as: "redeemed", amounts: amounts, in: connection)
            let lost = try Self.mark(report.failed, as: "failed", amounts: amounts, in: connection)
            // What was not tried goes back among the due, under a later batch.
            try connection.execute(
                "UPDATE gateway_proofs SET state = 'due', batch = NULL WHERE batch = ? AND state = 'sent'",
                .text(batchID)
            )
            try connection.execute(
                "UPDATE gateway_batches SET finished_at = ? WHERE id = ?",
                .integer(at.millisecondsSince1970),
                .text(batchID)
            )
            if redeemed > 0 {
                try LedgerStore.post([GatewayAccounts.redeemed(redeemed, batch: batch, at: at)], in: connection)
            }
            if lost > 0 {
                try LedgerStore.post([GatewayAccounts.lost(lost, batch: batch, at: at)], in: connection)
                try Self.setOfflineStop(
                    "The mint \(batch.mint) refused \(report.failed.count) proofs (\(lost) \(batch.unit)) that were taken"
                        + " offline, in batch \(batchID). Calls are redeemed at the mint first until you resume.",
                    in: connection
                )
            }
        }
    }

    /// - Returns: the amount of the proofs marked.
    private static func mark(
        _ ys: [[UInt8]],
        as state: String,
        amounts: [[UInt8]: UInt64],
        in connection: Connection
    ) throws -> UInt64 {
        var total: UInt64 = 0
        for y in ys {
            guard let amount = amounts[y] else {
                throw GatewayError(.stateChanged, "a proof that is not in the batch was reported")
            }
            try connection.execute(
                "UPDATE gateway_proofs SET state = ? WHERE y = ? AND state = 'sent'",
                .text(state),
                .blob(y)
            )
            guard connection.changes == 1 else {
                throw GatewayError(.stateChanged, "a proof of the batch was reported twice")
            }
            total = try Amounts.adding(total, amount)
        }
        return total
    }
}
