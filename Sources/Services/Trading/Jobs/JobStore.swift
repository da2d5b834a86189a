internal import CanonicalJSON
internal import Encodings
internal import Foundation
internal import Market
public import Storage

/// The tables of jobs in `node.sqlite`.
public enum JobTables {
    public static let migrations: [Migration] = [
        Migration(
            id: "jobs-1",
            sql: """
                CREATE TABLE jobs (
                    -- The acceptance's digest.
                    job BLOB NOT NULL CHECK (length(job) = 32),
                    side TEXT NOT NULL CHECK (side IN ('bought', 'sold')),
                    quote_digest BLOB NOT NULL CHECK (length(quote_digest) = 32),
                    sequence INTEGER NOT NULL CHECK (sequence >= 0),
                    -- The signed documents.
                    quote TEXT NOT NULL,
                    acceptance TEXT NOT NULL,
                    delivery TEXT,
                    -- The sealed answer.
                    sealed BLOB,
                    -- The locked money.
                    token TEXT,
                    -- The engine, as JSON.
                    state TEXT NOT NULL,
                    is_open INTEGER NOT NULL CHECK (is_open IN (0, 1)),
                    -- Where the seller is, and what is asked of it; of a job that was bought.
                    origin TEXT,
                    request TEXT,
                    -- What went wrong last, for the operator.
                    note TEXT,
                    created_at INTEGER NOT NULL,
                    changed_at INTEGER NOT NULL,
                    PRIMARY KEY (side, job)
                ) WITHOUT ROWID, STRICT;
                -- A place of a quote is good for one job.
                CREATE UNIQUE INDEX jobs_place ON jobs (side, quote_digest, sequence);
                CREATE INDEX jobs_open ON jobs (side, created_at) WHERE is_open = 1;
                CREATE INDEX jobs_created ON jobs (created_at);
                """
        ),
        Migration(
            id: "jobs-2",
            sql: """
                -- In the order in which they ended.
                CREATE TABLE jobs_ended (
                    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
                    side TEXT NOT NULL,
                    job BLOB NOT NULL,
                    UNIQUE (side, job)
                ) STRICT;
                INSERT INTO jobs_ended (side, job) SELECT side, job FROM jobs WHERE is_open = 0 ORDER BY changed_at;
                CREATE TRIGGER jobs_end AFTER UPDATE OF is_open ON jobs WHEN NEW.is_open = 0 AND OLD.is_open = 1
                BEGIN
                    INSERT OR IGNORE INTO jobs_ended (side, job) VALUES (NEW.side, NEW.job);
                END;
                CREATE TRIGGER jobs_forgotten AFTER DELETE ON jobs
                BEGIN
                    DELETE FROM jobs_ended WHERE side = OLD.side AND job = OLD.job;
                END;
                """
        ),
        Migration(
            id: "jobs-3",
            sql: """
                -- Of mode `arbiter`: where the arbiter's node is, the provider's planned outputs, the buyer's signature on the swap to
                -- them, the arbiter's ruling, and whether a person judges the answer.
                ALTER TABLE jobs ADD COLUMN arbiter TEXT;
                ALTER TABLE jobs ADD COLUMN outputs TEXT;
                ALTER TABLE jobs ADD COLUMN signature BLOB;
                ALTER TABLE jobs ADD COLUMN ruling TEXT;
                ALTER TABLE jobs ADD COLUMN is_reviewed INTEGER NOT NULL DEFAULT 0 CHECK (is_reviewed IN (0, 1));
                """
        ),
        Migration(id: "disputes-1", sql: DisputeStore.tables),
        // Of a job that was bought: the listing's body that its quote names.
        Migration(id: "jobs-4", sql: "ALTER TABLE jobs ADD COLUMN promise TEXT;"),
    ]
}

/// A job as it is stored, with its engine.
struct StoredJob<Engine: JobEngine>: Sendable {
    var quote: Signed<Quote>
    var acceptance: Signed<Acceptance>
    var engine: Engine
    var isOpen = true
    var delivery: Signed<Delivery>?
    /// The sealed answer; the open one in mode `arbiter`.
    var sealed: [UInt8]?
    var token: String?
    var origin: String?
    var request: String?
    var note: String?
    var createdAt: Timestamp
    // Of mode `arbiter`.
    /// Scheme, host and port of the arbiter's node.
    var arbiter: String?
    /// The provider's.
    var outputs: Signed<PlannedOutputs>?
    /// The buyer's, on the swap to those.
    var signature: [UInt8]?
    var ruling: Signed<Ruling>?
    /// A person says whether the answer is good.
    var isReviewed = false
    /// The listing's body that the quote names, as JSON; of a job that was bought.
    var promise: String?

    var job: [UInt8] { acceptance.digest }

    var promiseJSON: JSONObject? {
        promise.flatMap { try? JSONValue.parse(Array($0.utf8), limits: JobWire.limits).objectValue }
    }

    /// What was promised for this very job.
    var promisedListing: Listing? { promiseJSON.flatMap { try? Listing($0) } }

    var requestJSON: JSONValue {
        get throws { try JSONValue.parse(Array((request ?? "").utf8), limits: JobWire.limits) }
    }
}

/// Reads and writes the table `jobs` of one side.
///
/// Its rows are long, and nearly all are of jobs that have ended. The statements name the index that they go by: SQLite thinks
/// better of the primary key's first column, and reads all rows of a side then.
struct JobStore<Engine: JobEngine>: Sendable {
    let side: String
    private let columns =
        "quote, acceptance, delivery, sealed, token, state, is_open, origin, request, note, created_at, arbiter, outputs, signature, ruling, is_reviewed, promise"

    init(side: String) { self.side = side }

    /// - Returns: false where the job, or another one of its place, is there.
    func insert(_ job: StoredJob<Engine>, in connection: Connection) throws -> Bool {
        try connection.execute(
            """
            INSERT INTO jobs (job, side, quote_digest, sequence, quote, acceptance, state, is_open, origin, request, created_at, changed_at,
                arbiter, is_reviewed, promise)
            VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?10, ?10, ?11, ?12, ?13) ON CONFLICT DO NOTHING
            """,
            .blob(job.job),
            .text(side),
            .blob(job.quote.digest),
            try .amount(job.acceptance.content.sequence),
            .text(String(decoding: job.quote.bytes, as: UTF8.self)),
            .text(String(decoding: job.acceptance.bytes, as: UTF8.self)),
            .text(try Self.text(job.engine)),
            .optional(job.origin),
            .optional(job.request),
            .integer(job.createdAt.millisecondsSince1970),
            .optional(job.arbiter),
            .bool(job.isReviewed),
            .optional(job.promise)
        )
        return connection.changes == 1
    }

    func update(_ job: StoredJob<Engine>, at now: Timestamp, in connection: Connection) throws {
        try connection.execute(
            """
            UPDATE jobs SET delivery = ?, sealed = ?, token = ?, state = ?, is_open = ?, note = ?, outputs = ?, signature = ?, ruling = ?,
                is_reviewed = ?, changed_at = ?
            WHERE side = ? AND job = ?
            """,
            .optional(job.delivery.map { String(decoding: $0.bytes, as: UTF8.self) }),
            .optional(job.sealed),
            .optional(job.token),
            .text(try Self.text(job.engine)),
            .integer(job.isOpen ? 1 : 0),
            .optional(job.note),
            .optional(job.outputs.map { String(decoding: $0.bytes, as: UTF8.self) }),
            .optional(job.signature),
            .optional(job.ruling.map { String(decoding: $0.bytes, as: UTF8.self) }),
            .bool(job.isReviewed),
            .integer(now.millisecondsSince1970),
            .text(side),
            .blob(job.job)
        )
    }

    func find(_ job: [UInt8], in connection: Connection) throws -> StoredJob<Engine>? {
        try connection.first("SELECT \(columns) FROM jobs WHERE side = ? AND job = ?", .text(side), .blob(job))
            .map(Self.job(row:))
    }

    /// Oldest first.
    func open(limit: Int, in connection: Connection) throws -> [StoredJob<Engine>] {
        try connection.rows(
            "SELECT \(columns) FROM jobs INDEXED BY jobs_open WHERE side = ? AND is_open = 1 ORDER BY created_at LIMIT ?",
            .text(side),
            .int(limit)
        ).map(Self.job(row:))
    }

    /// Newest first.
    func recent(limit: Int, in connection: Connection) throws -> [StoredJob<Engine>] {
        try connection.rows(
            "SELECT \(columns) FROM jobs INDEXED BY jobs_created WHERE side = ? ORDER BY created_at DESC LIMIT ?",
            .text(side),
            .int(limit)
        ).map(Self.job(row:))
    }

    /// Those that ended after a sequence, in that order, with their own.
    func ended(after sequence: Int64, limit: Int, in connection: Connection) throws -> [(Int64, StoredJob<Engine>)] {
        let columns = columns.split(separator: ", ").map { "j.\($0)" }.joined(separator: ", ")
        return try connection.rows(
            """
            SELECT \(columns), e.sequence FROM jobs_ended e NOT INDEXED CROSS JOIN jobs j ON j.side = e.side AND j.job = e.job
            WHERE e.side = ? AND e.sequence > ? ORDER BY e.sequence LIMIT ?
            """,
            .text(side),
            .integer(sequence),
            .int(limit)
        ).map { (try $0.int64(17), try Self.job(row: $0)) }
    }

    /// Those that are over and were begun before.
    /// - Returns: how many there were.
    func forget(before: Timestamp, in connection: Connection) throws -> Int {
        try connection.execute(
            "DELETE FROM jobs INDEXED BY jobs_created WHERE side = ? AND is_open = 0 AND created_at < ?",
            .text(side),
            .integer(before.millisecondsSince1970)
        )
        return connection.changes
    }

    func countOpen(in connection: Connection) throws -> Int {
        try connection.first(
            "SELECT count(*) FROM jobs INDEXED BY jobs_open WHERE side = ? AND is_open = 1",
            .text(side)
        )?.int(0) ?? 0
    }

    private static func text(_ engine: Engine) throws -> String {
        String(decoding: try JSONEncoder().encode(engine), as: UTF8.self)
    }

    private static func job(row: Row) throws -> StoredJob<Engine> {
        do {
            return StoredJob(
                quote: try Signed(kept: Array(row.text(0).utf8)),
                acceptance: try Signed(kept: Array(row.text(1).utf8)),
                engine: try JSONDecoder().decode(Engine.self, from: Data(row.text(5).utf8)),
                isOpen: try row.int64(6) == 1,
                delivery: try row.optionalText(2).map { try Signed(kept: Array($0.utf8)) },
                sealed: try row.optionalBlob(3),
                token: try row.optionalText(4),
                origin: try row.optionalText(7),
                request: try row.optionalText(8),
                note: try row.optionalText(9),
                createdAt: Timestamp(millisecondsSince1970: try row.int64(10)),
                arbiter: try row.optionalText(11),
                outputs: try row.optionalText(12).map { try Signed(kept: Array($0.utf8)) },
                signature: try row.optionalBlob(13),
                ruling: try row.optionalText(14).map { try Signed(kept: Array($0.utf8)) },
                isReviewed: try row.bool(15),
                promise: try row.optionalText(16)
            )
        } catch {
            throw JobError(.corrupt, "a stored job can't be read: \(error)")
        }
    }
}
