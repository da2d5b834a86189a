internal import Encodings
internal import Storage
internal import Synchronization

/// Prices learned from challenges, so that the next call needs no refusal first. In memory for speed, on disk for the
/// next process.
final class PriceBook: Sendable {
    struct Key: Hashable, Sendable {
        var origin: String
        var method: String
        var path: String
    }

    private struct Entry: Sendable {
        var terms: PaymentTerms
        var learnedAt: Timestamp
    }

    private static let maximumEntries = 10_000
    private let database: Database
    private let clock: WallClock
    private let maximumAgeSeconds: Int64
    private let entries = Mutex<[Key: Entry]>([:])

    init(database: Database, clock: WallClock, maximumAgeSeconds: Int64) {
        self.database = database
        self.clock = clock
        self.maximumAgeSeconds = maximumAgeSeconds
    }

    /// The terms last learned for a call, where they are fresh.
    func terms(for key: Key) async throws -> PaymentTerms? {
        if let entry = entries.withLock({ $0[key] }) { return isFresh(entry.learnedAt) ? entry.terms : nil }
        let row = try await database.read { connection in
            try connection.first(
                "SELECT request, learned_at FROM wallet_prices WHERE origin = ? AND method = ? AND path = ?",
                .text(key.origin),
                .text(key.method),
                .text(key.path)
            ).map { (try $0.text(0), Timestamp(millisecondsSince1970: try $0.int64(1))) }
        }
        guard let row, isFresh(row.1), let terms = try? PaymentTerms(challenge: row.0) else { return nil }
        remember(terms, for: key, at: row.1)
        return terms
    }

    private func isFresh(_ learnedAt: Timestamp) -> Bool {
        (0...maximumAgeSeconds * 1000).contains(clock.now().milliseconds(since: learnedAt))
    }

    private func remember(_ terms: PaymentTerms, for key: Key, at: Timestamp) {
        entries.withLock { entries in
            if entries.count >= Self.maximumEntries, entries[key] == nil { entries.removeAll(keepingCapacity: true) }
            entries[key] = Entry(terms: terms, learnedAt: at)
        }
    }

    func learn(_ terms: PaymentTerms, for key: Key) async throws {
        let now = clock.now()
        remember(terms, for: key, at: now)
        guard key.path.utf8.count <= 2048 else { return }
        let maximum = Int64(Self.maximumEntries)
        try await database.write { connection in
            let count = try connection.first("SELECT count(*) FROM wallet_prices")?.int64(0) ?? 0
            if count >= maximum {
                try connection.execute(
                    """
                    DELETE FROM wallet_prices WHERE (origin, method, path) IN
                        (SELECT origin, method, path FROM wallet_prices ORDER BY learned_at LIMIT 100)
                    """
                )
            }
            try connection.execute(
                """
                INSERT INTO wallet_prices (origin, method, path, request, learned_at) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (origin, method, path) DO UPDATE SET request = excluded.request,
                    learned_at = excluded.learned_at
                """,
                .text(key.origin),
                .text(key.method),
                .text(key.path),
                .text(terms.text),
                .integer(now.millisecondsSince1970)
            )
        }
    }

    func forget(_ key: Key) async throws {
        _ = entries.withLock { $0.removeValue(forKey: key) }
        try await database.write { connection in
            try connection.execute(
                "DELETE FROM wallet_prices WHERE origin = ? AND method = ? AND path = ?",
                .text(key.origin),
                .text(key.method),
                .text(key.path)
            )
        }
    }
}
