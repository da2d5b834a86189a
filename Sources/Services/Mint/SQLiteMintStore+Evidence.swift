internal import Cashu
package import Encodings
internal import Ledger
internal import Storage

extension SQLiteMintStore {
    private static let maximumNotes = 1000
    /// How long a freed melt is looked at again.
    static let watchSeconds: Int64 = 86_400

    package func add(_ note: MeltNote, toMelt quote: String) async throws {
        try await database.write { try Self.add(note, toMelt: quote, in: $0) }
    }

    static func add(_ note: MeltNote, toMelt quote: String, in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO mint_melt_notes (quote, at, kind, text)
            SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM mint_melt_notes WHERE quote = ?1) < ?5
            """,
            .text(quote),
            .integer(note.at.millisecondsSince1970),
            .text(note.kind.rawValue),
            .text(note.text),
            .int(maximumNotes)
        )
    }

    package func notes(ofMelt quote: String) async throws -> [MeltNote] {
        try await database.read { connection in
            try connection.rows(
                "SELECT at, kind, text FROM mint_melt_notes WHERE quote = ? ORDER BY number",
                .text(quote)
            ).map { row in
                MeltNote(
                    at: Timestamp(millisecondsSince1970: try row.int64(0)),
                    kind: MeltNote.Kind(rawValue: try row.text(1)),
                    text: try row.text(2)
                )
            }
        }
    }

    package func held(byMelt quote: String) async throws -> (count: Int, amount: UInt64) {
        try await database.read { connection in
            let sql = """
                SELECT count(*), coalesce(sum(amount), 0) FROM mint_proofs
                WHERE pending = 1 AND melt = (SELECT number FROM mint_melt_quotes WHERE id = ?)
                """
            guard let row = try connection.first(sql, .text(quote)) else { return (0, 0) }
            return (try row.int(0), try row.uint64(1))
        }
    }

    /// Run in the transaction that frees the melt.
    static func watchFreed(_ quote: String, at: Timestamp, in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO mint_melt_watch (quote, next_at, wait_seconds, until) VALUES (?, ?, ?, ?)
            ON CONFLICT (quote) DO UPDATE
            SET next_at = excluded.next_at, wait_seconds = excluded.wait_seconds, until = excluded.until
            """,
            .text(quote),
            .integer(at.adding(seconds: 30).millisecondsSince1970),
            .integer(30),
            .integer(at.adding(seconds: watchSeconds).millisecondsSince1970)
        )
    }

    package func watchedMelts(dueBy now: Timestamp, count: Int) async throws -> [WatchedMelt] {
        try await database.read { connection in
            try connection.rows(
                "SELECT quote, next_at, wait_seconds FROM mint_melt_watch WHERE next_at <= ? ORDER BY next_at LIMIT ?",
                .integer(now.millisecondsSince1970),
                .int(count)
            ).map { row in
                WatchedMelt(
                    quote: try row.text(0),
                    nextAt: Timestamp(millisecondsSince1970: try row.int64(1)),
                    waitSeconds: try row.int64(2)
                )
            }
        }
    }

    package func watch(_ melt: WatchedMelt?, quote: String) async throws {
        try await database.write { connection in
            guard let melt else {
                return try connection.execute("DELETE FROM mint_melt_watch WHERE quote = ?", .text(quote))
            }
            let next = SQLValue.integer(melt.nextAt.millisecondsSince1970)
            try connection.execute("DELETE FROM mint_melt_watch WHERE quote = ? AND until < ?", .text(quote), next)
            try connection.execute(
                "UPDATE mint_melt_watch SET next_at = ?, wait_seconds = ? WHERE quote = ?",
                next,
                .integer(melt.waitSeconds),
                .text(quote)
            )
        }
    }

    package func settleLate(
        _ quote: String,
        preimage: [UInt8],
        lightningFee: UInt64,
        at: Timestamp
    ) async throws -> Bool {
        try await database.write { connection in
            let (number, stored) = try Self.requireNumbered(quote, in: connection)
            try connection.execute("DELETE FROM mint_melt_watch WHERE quote = ?", .text(quote))
            guard stored.state == .unpaid else { return false }
            try connection.execute(
                "UPDATE mint_melt_quotes SET state = 2, preimage = ?, updated_at = ? WHERE number = ?",
                .blob(preimage),
                .integer(at.millisecondsSince1970),
                .integer(number)
            )
            let (lost, overflow) = stored.amount.addingReportingOverflow(lightningFee)
            guard !overflow else { throw StorageError(.statement, "melt \(quote) lost more than can be counted") }
            let plan = TransferPlan(unit: stored.unit.name, kind: "late", reference: quote, at: at)
            try Self.post(
                plan.transfers(
                    debit: [.init(MintAccounts.losses, lost)],
                    credit: [.init(MintAccounts.operatorFunds, lost)]
                ),
                in: connection
            )
            let note = MeltNote(
                at: at,
                kind: .settledLate,
                text: "settled after it was reported failed: \(lost) \(stored.unit) are the operator's loss"
            )
            try Self.add(note, toMelt: quote, in: connection)
            return true
        }
    }

    package func mintQuotes(in state: StoredMintQuote.State?, count: Int) async throws -> [StoredMintQuote] {
        try await database.read { connection in
            try Self.mintQuotes(
                state == nil ? "1 = 1" : "state = \(state?.rawValue ?? 0)",
                order: "id DESC LIMIT \(max(count, 0))",
                in: connection
            )
        }
    }

    package func meltQuotes(in state: StoredMeltQuote.State?, count: Int) async throws -> [StoredMeltQuote] {
        try await database.read { connection in
            try Self.meltQuotes(
                state == nil ? "1 = 1" : "state = \(state?.rawValue ?? 0)",
                order: "id DESC LIMIT \(max(count, 0))",
                in: connection
            )
        }
    }
}
