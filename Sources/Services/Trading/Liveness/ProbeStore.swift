internal import Encodings
internal import Market
internal import Records
internal import SignedDocuments
internal import Storage

/// What this node's probes showed, in `cache.sqlite` ([LIV-11]).
struct ProbeStore: Sendable {
    static let maximumResults = 100_000
    static let maximumPerListing = LivenessVerdict.maximumResults
    static let maximumAgeSeconds: Int64 = 2 * 86_400

    let database: Database
    let maximumResults: Int

    init(database: Database, maximumResults: Int = ProbeStore.maximumResults) {
        self.database = database
        self.maximumResults = maximumResults
    }

    static let migrations = [
        Migration(
            id: "probes-1",
            sql: """
                CREATE TABLE probe_results (
                    id INTEGER PRIMARY KEY AUTOINCREMENT,
                    seller TEXT NOT NULL,
                    service TEXT NOT NULL,
                    -- Host and port.
                    host TEXT NOT NULL,
                    -- Milliseconds since 1970.
                    at INTEGER NOT NULL,
                    -- NULL while it is under way, and after a crash for good.
                    why TEXT,
                    milliseconds INTEGER
                ) STRICT;
                CREATE INDEX probe_results_listing ON probe_results (seller, service, id);
                CREATE INDEX probe_results_time ON probe_results (at);
                """
        )
    ]

    /// Writes down that a probe goes out, before it does.
    /// - Returns: its number.
    func begin(_ listing: RecordKey, host: String, at now: Timestamp) async throws -> Int64 {
        let most = maximumResults
        return try await database.write { connection in
            try connection.execute(
                "INSERT INTO probe_results (seller, service, host, at) VALUES (?, ?, ?, ?)",
                .text(listing.author.string),
                .text(listing.name),
                .text(host),
                .integer(now.millisecondsSince1970)
            )
            guard let id = try connection.first("SELECT max(id) FROM probe_results")?.int64(0) else {
                throw StorageError(.corrupt, "a probe was not written down")
            }
            try Self.makeRoom(listing, id: id, most: most, now: now, connection)
            return id
        }
    }

    private static func makeRoom(
        _ listing: RecordKey,
        id: Int64,
        most: Int,
        now: Timestamp,
        _ connection: Connection
    ) throws {
        try connection.execute(
            "DELETE FROM probe_results WHERE at <= ?",
            .integer(now.adding(seconds: -maximumAgeSeconds).millisecondsSince1970)
        )
        try connection.execute(
            """
            DELETE FROM probe_results WHERE seller = ?1 AND service = ?2 AND id <= (
                SELECT id FROM probe_results WHERE seller = ?1 AND service = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)
            """,
            .text(listing.author.string),
            .text(listing.name),
            .int(maximumPerListing)
        )
        try connection.execute("DELETE FROM probe_results WHERE id <= ?", .integer(id - Int64(most)))
    }

    /// Writes down what came of it.
    func end(_ id: Int64, _ why: ProbeTarget.Why, milliseconds: Int64?) async throws {
        try await database.write { connection in
            try connection.execute(
                "UPDATE probe_results SET why = ?, milliseconds = ? WHERE id = ?",
                .text(why.rawValue),
                .optional(milliseconds),
                .integer(id)
            )
        }
    }

    /// The probes that were begun after that, those under way among them.
    func begun(since from: Timestamp) async throws -> [ProbePlan.Begun] {
        try await database.read { connection in
            try connection.rows("SELECT host, at FROM probe_results WHERE at > ?", .integer(from.millisecondsSince1970))
                .map { .init(host: try $0.text(0), at: Timestamp(millisecondsSince1970: try $0.int64(1))) }
        }
    }

    /// One probe, as it is shown.
    struct Entry: Sendable {
        var at: Timestamp
        /// nil where it is under way, or was cut short.
        var why: ProbeTarget.Why?
        var milliseconds: Int64?

        var result: LivenessResult? {
            why.map { LivenessResult(at: at, outcome: $0.outcome, milliseconds: milliseconds) }
        }
    }

    /// The latest of some listings, each from the latest back.
    func entries(of listings: [RecordKey]) async throws -> [RecordKey: [Entry]] {
        try await database.read { connection in
            var entries: [RecordKey: [Entry]] = [:]
            for listing in listings where entries[listing] == nil {
                entries[listing] = try connection.rows(
                    """
                    SELECT at, why, milliseconds FROM probe_results WHERE seller = ? AND service = ?
                    ORDER BY id DESC LIMIT ?
                    """,
                    .text(listing.author.string),
                    .text(listing.name),
                    .int(Self.maximumPerListing)
                ).map { row in
                    Entry(
                        at: Timestamp(millisecondsSince1970: try row.int64(0)),
                        why: try row.optionalText(1).flatMap { ProbeTarget.Why(rawValue: $0) },
                        milliseconds: try row.optionalInt64(2)
                    )
                }
            }
            return entries
        }
    }

    /// The listings that were probed after that, the latest first.
    func probed(since from: Timestamp, most: Int) async throws -> [RecordKey] {
        try await database.read { connection in
            try connection.rows(
                """
                SELECT seller, service FROM probe_results WHERE at > ? AND why IS NOT NULL
                GROUP BY seller, service ORDER BY max(id) DESC LIMIT ?
                """,
                .integer(from.millisecondsSince1970),
                .int(most)
            ).compactMap { row in
                guard let seller = try? DIDKey(parsing: row.text(0)) else { return nil }
                return RecordKey(author: seller, kind: Listing.kind.name, name: try row.text(1))
            }
        }
    }
}
