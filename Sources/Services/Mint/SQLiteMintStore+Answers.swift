internal import Cashu
package import Encodings
internal import Storage
internal import Synchronization

/// Which requests were answered (NUT-19). A swap's digest stands in a table of its own, in periods, so that new ones go to
/// the end and old ones go a page at a time; a mint's or melt's stands with its quote.
extension SQLiteMintStore {
    /// Answers are forgotten by whole periods of this length.
    static let answerPeriodSeconds: Int64 = 300

    static func period(_ at: Timestamp) -> Int64 { at.secondsSince1970 / answerPeriodSeconds }

    static func remember(swap digest: RequestDigest, at: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO mint_answers (period, digest) VALUES (?, ?) ON CONFLICT DO NOTHING",
            .integer(period(at)),
            .blob(digest.bytes)
        )
    }

    package func hasAnswered(swap digest: RequestDigest, from: Timestamp, to: Timestamp) async throws -> Bool {
        // One period more, for a clock that was set back.
        let periods = Self.period(from)...max(Self.period(from), Self.period(to) + 1)
        return try await database.read { connection in
            for period in periods.reversed() {
                let sql = "SELECT 1 FROM mint_answers WHERE period = ? AND digest = ?"
                if try connection.first(sql, .integer(period), .blob(digest.bytes)) != nil { return true }
            }
            return false
        }
    }

    package func hasAnswered(mint digest: RequestDigest, quote: String) async throws -> Bool {
        try await database.read { connection in
            let sql = "SELECT 1 FROM mint_mint_quotes WHERE id = ? AND answered = ? AND state = 2"
            return try connection.first(sql, .text(quote), .blob(digest.bytes)) != nil
        }
    }

    package func hasAnswered(melt digest: RequestDigest, quote: String) async throws -> Bool {
        try await database.read { connection in
            let sql = "SELECT 1 FROM mint_melt_quotes WHERE id = ? AND answered = ? AND state > 0"
            return try connection.first(sql, .text(quote), .blob(digest.bytes)) != nil
        }
    }

    package func forgetAnswers(before limit: Timestamp, keeping: Int, count: Int) async throws -> Int {
        let known = answerCount.withLock { $0 }
        let total: Int
        if let known {
            total = known
        } else {
            total = try await database.read { connection in
                try connection.first("SELECT count(*) FROM mint_answers")?.int(0) ?? 0
            }
            // What was added meanwhile is not in it; the bound may be passed by that much.
            answerCount.withLock { $0 = $0 ?? total }
        }
        let surplus = min(count, max(0, total - keeping))
        let removed = try await database.write { connection in
            let expired = try Self.removeOldest(count, before: Self.period(limit), in: connection)
            guard surplus > expired else { return expired }
            return try expired + Self.removeOldest(surplus - expired, before: .max, in: connection)
        }
        answerCount.withLock { count in count = count.map { max(0, $0 - removed) } }
        return removed
    }

    /// Up to `count` rows of the oldest period, as one range of the primary key.
    private static func removeOldest(_ count: Int, before limit: Int64, in connection: Connection) throws -> Int {
        let oldest = try connection.first("SELECT min(period) FROM mint_answers")?.optionalInt64(0)
        guard count > 0, let oldest, oldest < limit else { return 0 }
        let last = try connection.first(
            "SELECT digest FROM mint_answers WHERE period = ? ORDER BY digest LIMIT 1 OFFSET ?",
            .integer(oldest),
            .int(count - 1)
        )
        if let last {
            try connection.execute(
                "DELETE FROM mint_answers WHERE period = ? AND digest <= ?",
                .integer(oldest),
                .blob(last.blob(0))
            )
        } else {
            try connection.execute("DELETE FROM mint_answers WHERE period = ?", .integer(oldest))
        }
        return connection.changes
    }
}
