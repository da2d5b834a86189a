internal import Foundation
internal import GRDB
internal import GRDBSQLite
public import Logging
internal import Synchronization

/// A step of the schema. Steps run in order, each once; a published one is never edited.
public struct Migration: Sendable {
    /// Unique over the database, such as `mint-1`.
    public let id: String
    /// One or more statements.
    public let sql: String

    public init(id: String, sql: String) {
        self.id = id
        self.sql = sql
    }
}

/// A SQLite database in WAL mode with synchronous=FULL, one writer with group commit and a few readers.
///
/// `write` returns only after its commit is on the disk, so what it made visible survives a power loss; save for a database
/// that can be rebuilt, which may lose its last commits then and waits for no disk.
public final class Database: Sendable {
    /// "MMRK": says that the file is one of this program's.
    static let applicationID: Int32 = 0x4D4D_524B

    public let path: String
    private let pool: DatabasePool
    private let queue: WriteQueue
    private let logger: Logger
    private let writerEnded = DispatchSemaphore(value: 0)
    /// What stands in the way of writes.
    private let health = DiskHealth()
    private let checkpointer: Checkpointer

    /// Opens or creates the file and brings its schema up to date.
    ///
    /// - Parameters:
    ///   - path: the file; its folder must exist. `-wal` and `-shm` files stand beside it while open.
    ///   - migrations: of every service that keeps its tables here.
    ///   - queueLimit: how many writes may wait before `write` answers `overloaded`.
    ///   - isRebuildable: whether a power loss may take the last commits (synchronous=NORMAL): for what others tell again.
    ///   - maximumBytes: how large the file may grow; a write that needs more throws `full`. One that is larger already keeps
    ///     its size. Beside it stands the log, cut back to 64 MiB after each checkpoint.
    /// - Throws: `StorageError` with a sentence that says what to do.
    public init(
        path: String,
        migrations: [Migration],
        logger: Logger,
        queueLimit: Int = 16_384,
        readers: Int = 4,
        isRebuildable: Bool = false,
        maximumBytes: Int64? = nil
    ) throws(StorageError) {
        self.path = path
        self.logger = logger
        queue = WriteQueue(limit: queueLimit, batchLimit: 512)
        do {
            var configuration = GRDB.Configuration()
            configuration.maximumReaderCount = readers
            configuration.busyMode = .timeout(2)
            configuration.foreignKeysEnabled = true
            pool = try DatabasePool(path: path, configuration: configuration)
            try pool.writeWithoutTransaction { database in
                // GRDB sets synchronous=NORMAL when it opens a WAL pool; a spend must survive a power loss.
                let wanted = isRebuildable ? 1 : 2
                try database.execute(sql: "PRAGMA synchronous = \(wanted)")
                let synchronous = try Int.fetchOne(database, sql: "PRAGMA synchronous")
                guard synchronous == wanted else {
                    throw StorageError(
                        .statement,
                        "SQLite refuses synchronous=\(wanted); it answers \(synchronous ?? -1)"
                    )
                }
                try database.execute(sql: "PRAGMA journal_size_limit = 67108864")
                // Each body's savepoint keeps the pages it changes. In memory, where its release drops them at once; past
                // 64 KiB SQLite would put them into a temporary file, written, closed and deleted for every commit.
                try database.execute(sql: "PRAGMA temp_store = MEMORY")
                // In KiB, for the writer alone, taken as it is needed: rows that are looked up by hash lie anywhere.
                try database.execute(sql: "PRAGMA cache_size = -16384")
                if let maximumBytes { try Self.bound(database, maximumBytes) }
                try Self.claim(database, path: path)
                try Self.migrate(database, (Self.ownMigrations + migrations), path: path)
            }
            let checkpointer = try Checkpointer(path: path) { [health, pool, logger] error in
                Self.stopWriting(because: error, health, pool, logger)
            }
            pool.writeWithoutTransaction { checkpointer.watch($0) }
            self.checkpointer = checkpointer
        } catch {
            throw StorageError(error, path: path)
        }
        let thread = Thread { [self] in runWriter() }
        thread.name = "mintmark-writer"
        thread.start()
    }

    private static func bound(_ database: GRDB.Database, _ maximumBytes: Int64) throws {
        let pageBytes = try Int64.fetchOne(database, sql: "PRAGMA page_size") ?? 4_096
        try database.execute(sql: "PRAGMA max_page_count = \(max(maximumBytes / pageBytes, 1))")
    }

    /// Refuses a file of another program before anything is written to it.
    private static func claim(_ database: GRDB.Database, path: String) throws {
        let found = try Int32.fetchOne(database, sql: "PRAGMA application_id") ?? 0
        if found == applicationID { return }
        let tables = try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_schema") ?? 0
        guard found == 0, tables == 0 else {
            throw StorageError(
                .foreign,
                "\(path) is a database of another program: choose another data directory; it was left as it is"
            )
        }
        try database.execute(sql: "PRAGMA application_id = \(applicationID)")
    }

    private static let ownMigrations =
        [
            Migration(
                id: "storage-1",
                sql: "CREATE TABLE storage_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT"
            )
        ] + LedgerStore.migrations + Outbox.migrations

    private static func migrate(_ database: GRDB.Database, _ migrations: [Migration], path: String) throws {
        try database.execute(
            sql: "CREATE TABLE IF NOT EXISTS storage_migrations (id TEXT PRIMARY KEY) WITHOUT ROWID, STRICT"
        )
        let done = Set(try String.fetchAll(database, sql: "SELECT id FROM storage_migrations"))
        let known = Set(migrations.map(\.id))
        guard known.count == migrations.count else {
            throw StorageError(.statement, "two migrations have the same id")
        }
        if let unknown = done.subtracting(known).sorted().first {
            throw StorageError(
                .newer,
                "\(path) was made by a newer version of mintmark (it has \(unknown)): install that version"
            )
        }
        for migration in migrations where !done.contains(migration.id) {
            try database.inTransaction(.immediate) {
                try database.execute(sql: migration.sql)
                try database.execute(
                    sql: "INSERT INTO storage_migrations (id) VALUES (?)",
                    arguments: [migration.id]
                )
                return .commit
            }
        }
    }

    /// Runs `body` in the single writer and returns its result once the commit is durable.
    ///
    /// Bodies that wait together share one commit: where one throws, its own changes are undone and the others stand. For
    /// that a body may run a second time, so it must do nothing but read and change the store. A cancelled caller does not
    /// undo what was queued.
    /// - Throws: what `body` throws; `StorageError` where the store could not keep it, and then nothing of it is kept.
    public func write<T: Sendable>(_ body: @escaping @Sendable (Connection) throws -> T) async throws -> T {
        if let failure = health.failure { throw failure }
        let result = ResultBox<T>()
        return try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<T, any Error>) in
            let job = WriteJob(
                run: { connection in
                    let value = try body(connection)
                    result.value.withLock { $0 = value }
                },
                finish: { error in
                    if let error {
                        continuation.resume(throwing: error)
                    } else if let value = result.value.withLock({ $0 }) {
                        continuation.resume(returning: value)
                    } else {
                        continuation.resume(throwing: StorageError(.statement, "a write ended with no result"))
                    }
                }
            )
            do {
                try queue.append(job)
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }

    /// Runs `body` on a reader: it sees the last commit and nothing later.
    ///
    /// Once the disk has failed nothing is read either: a commit that was reported as failed may stand in the log, and
    /// then what a reader sees now is not what the next start will find.
    public func read<T: Sendable>(_ body: @escaping @Sendable (Connection) throws -> T) async throws -> T {
        if let failure = health.failure { throw failure }
        let path = path
        do {
            return try await pool.read { try body(Connection($0, path: path)) }
        } catch let error as DatabaseError {
            throw StorageError(error, path: path)
        }
    }

    /// Why writes are not taken now: the disk has failed (until the store is opened anew), or the last one found it
    /// full. Nil where all is well.
    public var refusal: StorageError? { health.refusal }

    /// Throws what stands in the way of a write. Where the disk was full, tries whether there is room again.
    public func requireWritable() async throws {
        guard let refusal else { return }
        guard refusal.code == .full else { throw refusal }
        try await write { connection in
            try connection.execute(
                """
                INSERT INTO storage_meta (key, value) VALUES ('storage.probe', '1')
                ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) % 1000 + 1
                """
            )
        }
    }

    /// Writes what is queued, then closes the file.
    ///
    /// After a failure of the disk the file is left as it is, open until the process ends: closing it would copy pages
    /// from the log to the file that may not be on the disk, though SQLite takes them for written.
    public func close() async {
        queue.close()
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            DispatchQueue.global().async {
                self.writerEnded.wait()
                self.writerEnded.signal()
                self.checkpointer.close()
                // One file holds everything then, so that a copy of it alone is whole; readers closing last would leave
                // the log. Where that fails the log stays beside it, which loses nothing. Not on the caller's task: that
                // may be cancelled, and GRDB would not even try.
                if self.health.failure == nil {
                    _ = try? self.pool.writeWithoutTransaction { try $0.checkpoint(.truncate) }
                }
                continuation.resume()
            }
        }
        guard health.failure == nil else { return }
        do {
            try pool.close()
        } catch {
            logger.warning("closing the database failed", metadata: ["path": "\(path)", "error": "\(error)"])
        }
    }

    // MARK: The writer

    private func runWriter() {
        while let batch = queue.nextBatch() {
            if let failure = health.failure {
                for job in batch { job.finish(failure) }
                continue
            }
            commit(batch)
        }
        writerEnded.signal()
    }

    /// Runs the jobs in one transaction and tells each how it ended.
    private func commit(_ batch: [WriteJob]) {
        var outcomes: [(any Error)?] = []
        var hasWritten = false
        do {
            try pool.writeWithoutTransaction { database in
                let connection = Connection(database, path: path)
                let before = database.totalChangesCount
                defer { hasWritten = database.totalChangesCount != before }
                if try Self.runTogether(batch, connection) { return }
                try Self.inTransaction(connection) {
                    for job in batch { outcomes.append(try Self.runInSavepoint(job, connection)) }
                }
            }
        } catch {
            let error = StorageError(error, path: path)
            Self.stopWriting(because: error, health, pool, logger)
            for (index, job) in batch.enumerated() {
                // A body that had failed by itself keeps its own reason.
                let own: (any Error)? = index < outcomes.count ? outcomes[index] : nil
                job.finish(own ?? error)
            }
            return
        }
        // Bodies that found nothing to do prove nothing about a disk that was full.
        if hasWritten { health.wrote() }
        for (index, job) in batch.enumerated() { job.finish(index < outcomes.count ? outcomes[index] : nil) }
    }

    private static func inTransaction(_ connection: Connection, _ work: () throws -> Void) throws {
        try connection.execute("BEGIN IMMEDIATE")
        do {
            try work()
            try connection.execute("COMMIT")
        } catch {
            if connection.database.isInsideTransaction { try? connection.execute("ROLLBACK") }
            throw error
        }
    }

    /// The everyday case, in which no body throws: none needs a savepoint, for which SQLite would copy every page that a
    /// body changes.
    /// - Returns: false where a body threw. Then nothing of any of them is kept, and they must run again, each in its own
    ///   savepoint.
    /// - Throws: where the transaction itself failed.
    private static func runTogether(_ batch: [WriteJob], _ connection: Connection) throws -> Bool {
        var bodyThrew = false
        do {
            try inTransaction(connection) {
                bodyThrew = true
                for job in batch { try job.run(connection) }
                bodyThrew = false
            }
            return true
        } catch {
            guard bodyThrew, !losesTransaction(error) else { throw error }
            return false
        }
    }

    /// Whether what a body threw is the disk's doing, so that the others' changes can't be kept either.
    private static func losesTransaction(_ error: any Error) -> Bool {
        guard let error = error as? StorageError else { return false }
        return error.endsWriting || error.code == .full
    }

    /// Notes a failure of the disk. One that cannot be trusted away keeps the file from being closed, too.
    private static func stopWriting(
        because error: StorageError,
        _ health: DiskHealth,
        _ pool: DatabasePool,
        _ logger: Logger
    ) {
        guard health.note(error) else { return }
        if error.endsWriting {
            // The pool's own end would checkpoint: it never comes.
            _ = Unmanaged.passRetained(pool)
        }
        logger.critical("the store takes no writes", metadata: ["error": "\(error)"])
    }

    /// - Returns: what the body threw, with its changes undone; nil where it went well.
    /// - Throws: where the whole transaction is lost (disk full, disk failure).
    private static func runInSavepoint(_ job: WriteJob, _ connection: Connection) throws -> (any Error)? {
        try connection.execute("SAVEPOINT job")
        do {
            try job.run(connection)
            try connection.execute("RELEASE job")
            return nil
        } catch {
            // SQLite itself ends the transaction on some failures; then the other bodies' changes are gone too.
            guard connection.database.isInsideTransaction, !losesTransaction(error) else { throw error }
            try connection.execute("ROLLBACK TO job")
            try connection.execute("RELEASE job")
            return error
        }
    }
}

/// Carries a body's result from the writer's thread to the caller.
private final class ResultBox<T: Sendable>: Sendable {
    let value = Mutex<T?>(nil)
}

// MARK: Small facts about the file

extension Database {
    /// A fact that was kept with ``keep(_:forKey:)``.
    public func fact(_ key: String) async throws -> String? {
        try await read { try $0.first("SELECT value FROM storage_meta WHERE key = ?", .text(key))?.text(0) }
    }

    /// Keeps a fact the first time it is given; later calls change nothing.
    /// - Returns: what is kept, which is what an earlier call gave where there was one.
    public func keep(_ value: String, forKey key: String) async throws -> String {
        try await write { connection in
            try connection.execute(
                "INSERT INTO storage_meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
                .text(key),
                .text(value)
            )
            let row = try connection.first("SELECT value FROM storage_meta WHERE key = ?", .text(key))
            return try row?.text(0) ?? value
        }
    }
}
