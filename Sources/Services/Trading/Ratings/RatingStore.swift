public import Encodings
public import Market
public import SignedDocuments
public import Storage
internal import TransparencyLog

/// What was gathered of one node's ratings.
public struct GatheredRatings: Sendable, Hashable {
    public var judge: DIDKey
    /// Receipts that it showed, each proved to be what it signed.
    public var receipts: UInt64
    /// Of these that count and are kept.
    public var counted: Int
    /// Of these that do not, by the code of the ``ReputationRefusal``.
    public var refused: [String: Int]
    public var visitedAt: Timestamp
    /// Why the last visit came to nothing; nil where it did not.
    public var why: String?
    /// When it showed something else than it signed: nothing more is gathered of it until ``RatingStore/distrustSeconds`` later.
    public var contradictedAt: Timestamp?
}

/// Ratings of others, in `cache.sqlite` ([REP-18]): others tell them anew where they are lost.
public struct RatingStore: Sendable {
    /// Of one judge the latest, and of all.
    public static let maximumPerJudge = 2_000
    public static let maximumRatings = 100_000
    static let maximumJudges = 1_000
    /// Thirty days.
    static let distrustSeconds: Int64 = 30 * 86_400

    let database: Database
    let maximumPerJudge: Int
    let maximumRatings: Int

    /// - Parameter database: with ``migrations``.
    public init(
        database: Database,
        maximumPerJudge: Int = RatingStore.maximumPerJudge,
        maximumRatings: Int = RatingStore.maximumRatings
    ) {
        self.database = database
        self.maximumPerJudge = maximumPerJudge
        self.maximumRatings = maximumRatings
    }

    public static let migrations = [
        Migration(
            id: "ratings-1",
            sql: """
                CREATE TABLE rating_judges (
                    judge TEXT NOT NULL PRIMARY KEY,
                    -- What it showed so far: how many, and the edge of the tree over them, hash after hash.
                    size INTEGER NOT NULL DEFAULT 0,
                    subtrees BLOB NOT NULL DEFAULT x'',
                    -- Milliseconds since 1970.
                    visited INTEGER NOT NULL,
                    -- NULL where the last visit went well.
                    why TEXT,
                    contradicted INTEGER
                ) WITHOUT ROWID, STRICT;
                CREATE TABLE rating_calls (
                    number INTEGER PRIMARY KEY AUTOINCREMENT,
                    judge TEXT NOT NULL,
                    seller TEXT NOT NULL,
                    receipt TEXT NOT NULL,
                    outcome TEXT NOT NULL,
                    -- When the call was answered, milliseconds since 1970.
                    at INTEGER NOT NULL,
                    UNIQUE (judge, seller, receipt)
                ) STRICT;
                CREATE INDEX rating_calls_judge ON rating_calls (judge, number);
                CREATE TABLE rating_refusals (
                    judge TEXT NOT NULL,
                    code TEXT NOT NULL,
                    count INTEGER NOT NULL,
                    PRIMARY KEY (judge, code)
                ) WITHOUT ROWID, STRICT;
                """
        )
    ]

    // MARK: Judges

    /// Where a judge stands.
    struct Place: Sendable {
        var edge = MerkleFrontier()
        var visitedAt: Timestamp?
        var failed = false
        var contradictedAt: Timestamp?
    }

    func places() async throws -> [DIDKey: Place] {
        let rows = try await database.read { connection in
            try connection.rows("SELECT judge, size, subtrees, visited, why, contradicted FROM rating_judges")
        }
        var places: [DIDKey: Place] = [:]
        for row in rows {
            guard let judge = try? DIDKey(parsing: try row.text(0)) else { continue }
            let bytes = try row.blob(2)
            let length = MerkleTree.hashLength
            let subtrees = stride(from: 0, to: bytes.count, by: length).map {
                Array(bytes[$0..<min($0 + length, bytes.count)])
            }
            places[judge] = Place(
                // One that can't be read is begun anew.
                edge: MerkleFrontier(size: try row.uint64(1), subtrees: subtrees) ?? MerkleFrontier(),
                visitedAt: Timestamp(millisecondsSince1970: try row.int64(3)),
                failed: !row.isNull(4),
                contradictedAt: try row.optionalInt64(5).map { Timestamp(millisecondsSince1970: $0) }
            )
        }
        return places
    }

    /// Writes down that a visit came to nothing.
    /// - Parameter contradicted: whether the judge is not to be believed for a while.
    func fail(_ judge: DIDKey, why: String, contradicted: Bool, at now: Timestamp) async throws {
        try await database.write { connection in
            try connection.execute(
                """
                INSERT INTO rating_judges (judge, visited, why, contradicted) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (judge) DO UPDATE SET visited = ?2, why = ?3, contradicted = coalesce(?4, contradicted)
                """,
                .text(judge.string),
                .integer(now.millisecondsSince1970),
                .text(why),
                contradicted ? .integer(now.millisecondsSince1970) : .null
            )
            try Self.forgetJudges(connection)
        }
    }

    private static func forgetJudges(_ connection: Connection) throws {
        try connection.execute(
            """
            DELETE FROM rating_judges WHERE judge IN (
                SELECT judge FROM rating_judges ORDER BY visited DESC LIMIT -1 OFFSET ?)
            """,
            .int(maximumJudges)
        )
        guard connection.changes > 0 else { return }
        for table in ["rating_calls", "rating_refusals"] {
            try connection.execute("DELETE FROM \(table) WHERE judge NOT IN (SELECT judge FROM rating_judges)")
        }
    }

    // MARK: Ratings

    /// One receipt that was shown.
    struct Shown: Sendable {
        /// The receipt's UUID.
        var receipt: String
        var call: SettledCall
    }

    /// Keeps what a judge showed, in order, and that it showed it.
    ///
    /// - Parameters:
    ///   - refused: how many did not count, by code.
    ///   - edge: of the tree over all that it showed so far.
    /// - Returns: those that were not here before.
    func keep(
        _ shown: [Shown],
        refused: [String: Int],
        of judge: DIDKey,
        edge: MerkleFrontier,
        at now: Timestamp
    ) async throws -> [SettledCall] {
        let (mostOfOne, mostOfAll) = (maximumPerJudge, maximumRatings)
        return try await database.write { connection in
            var (new, refused) = ([SettledCall](), refused)
            for one in shown {
                if try Self.insert(one, of: judge, connection) {
                    new.append(one.call)
                } else {
                    refused[ReputationRefusal.Code.repeated.rawValue, default: 0] += 1
                }
            }
            for (code, count) in refused {
                try connection.execute(
                    """
                    INSERT INTO rating_refusals (judge, code, count) VALUES (?1, ?2, ?3)
                    ON CONFLICT (judge, code) DO UPDATE SET count = count + ?3
                    """,
                    .text(judge.string),
                    .text(code),
                    .int(count)
                )
            }
            try connection.execute(
                """
                INSERT INTO rating_judges (judge, size, subtrees, visited) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (judge) DO UPDATE SET size = ?2, subtrees = ?3, visited = ?4, why = NULL, contradicted = NULL
                """,
                .text(judge.string),
                .integer(Int64(clamping: edge.size)),
                .blob(edge.subtrees.flatMap { $0 }),
                .integer(now.millisecondsSince1970)
            )
            try connection.execute(
                """
                DELETE FROM rating_calls WHERE judge = ?1 AND number <= (
                    SELECT number FROM rating_calls WHERE judge = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)
                """,
                .text(judge.string),
                .int(mostOfOne)
            )
            try connection.execute(
                """
                DELETE FROM rating_calls WHERE number <= (
                    SELECT number FROM rating_calls ORDER BY number DESC LIMIT 1 OFFSET ?)
                """,
                .int(mostOfAll)
            )
            try Self.forgetJudges(connection)
            return new
        }
    }

    private static func insert(_ one: Shown, of judge: DIDKey, _ connection: Connection) throws -> Bool {
        try connection.execute(
            """
            INSERT INTO rating_calls (judge, seller, receipt, outcome, at) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT DO NOTHING
            """,
            .text(judge.string),
            .text(one.call.judged.string),
            .text(one.receipt),
            .text(one.call.outcome.rawValue),
            .integer(one.call.at.millisecondsSince1970)
        )
        return connection.changes == 1
    }

    /// All that are kept, in the order in which they came.
    public func calls() async throws -> [SettledCall] {
        try await database.read { connection in
            var calls: [SettledCall] = []
            // Names are read once each: there are far fewer of them than calls.
            var names: [String: DIDKey] = [:]
            func name(_ text: String) -> DIDKey? {
                if let known = names[text] { return known }
                names[text] = try? DIDKey(parsing: text)
                return names[text]
            }
            try connection.each("SELECT judge, seller, outcome, at FROM rating_calls ORDER BY number") { row in
                guard let judge = name(try row.text(0)), let seller = name(try row.text(1)),
                    let outcome = CallOutcome(rawValue: try row.text(2))
                else { return }
                calls.append(
                    SettledCall(
                        role: .selling,
                        judge: judge,
                        judged: seller,
                        outcome: outcome,
                        at: Timestamp(millisecondsSince1970: try row.int64(3))
                    )
                )
            }
            return calls
        }
    }

    /// What was gathered, those visited last first.
    public func gathered() async throws -> [GatheredRatings] {
        try await database.read { connection in
            try connection.rows(
                """
                SELECT judge, size, visited, why, contradicted,
                    (SELECT count(*) FROM rating_calls c WHERE c.judge = j.judge)
                FROM rating_judges j ORDER BY visited DESC, judge
                """
            ).compactMap { row in
                let text = try row.text(0)
                guard let judge = try? DIDKey(parsing: text) else { return nil }
                var refused: [String: Int] = [:]
                try connection.each("SELECT code, count FROM rating_refusals WHERE judge = ?", .text(text)) { row in
                    refused[try row.text(0)] = try row.int(1)
                }
                return GatheredRatings(
                    judge: judge,
                    receipts: try row.uint64(1),
                    counted: try row.int(5),
                    refused: refused,
                    visitedAt: Timestamp(millisecondsSince1970: try row.int64(2)),
                    why: try row.optionalText(3),
                    contradictedAt: try row.optionalInt64(4).map { Timestamp(millisecondsSince1970: $0) }
                )
            }
        }
    }
}
