public import Encodings
public import Logging
internal import Passports
public import Records
internal import SignedDocuments
public import Storage
internal import Synchronization

/// The records that a node keeps, in `cache.sqlite`: of every key the one that goes before the others, within the quotas of
/// [REC-16], for as long as they live. What is lost here is told again by others.
public final class RecordStore: Sendable {
    /// What the store bounds besides what each kind bounds.
    public struct Limits: Sendable, Hashable {
        /// Authors that something is kept of. One takes at most 8 KiB, its passport, besides its records.
        public var authors = 20_000
        /// How long a snapshot for reconciliation serves, though more has come.
        public var snapshotMilliseconds: Int64 = 2_000

        public init() {}
    }

    /// A record that was looked at and is to be kept.
    public struct Arrival: Sendable {
        public var envelope: RecordEnvelope
        public var admission: Admission

        public init(_ envelope: RecordEnvelope, _ admission: Admission) {
            self.envelope = envelope
            self.admission = admission
        }
    }

    let database: Database
    let kinds: RecordKinds
    let limits: Limits
    let clock: WallClock
    /// Rises with each change of what counts; what a snapshot was made of.
    let version = Mutex<UInt64>(0)
    let snapshots = Mutex<Snapshot?>(nil)

    struct Snapshot: Sendable {
        let version: UInt64
        let made: Timestamp
        let set: ReconciliationSet
    }

    /// Opens or creates the file.
    /// - Throws: `StorageError`.
    public convenience init(
        path: String,
        kinds: RecordKinds,
        limits: Limits = Limits(),
        clock: WallClock,
        logger: Logger
    ) throws(StorageError) {
        let database = try Database(path: path, migrations: Self.migrations, logger: logger, isRebuildable: true)
        self.init(database: database, kinds: kinds, limits: limits, clock: clock)
    }

    /// With a database that has ``migrations`` and perhaps other tables.
    public init(database: Database, kinds: RecordKinds, limits: Limits = Limits(), clock: WallClock) {
        self.database = database
        self.kinds = kinds
        self.limits = limits
        self.clock = clock
    }

    public func close() async { await database.close() }

    func changed() { version.withLock { $0 &+= 1 } }

    // MARK: Keeping

    /// Keeps records that were looked at, in one transaction.
    ///
    /// - Returns: for each nil where it is kept now, else why not: `.duplicate`, `.superseded`, `.revoked` or `.overQuota`.
    /// - Throws: `StorageError`; then nothing of it is kept.
    public func insert(_ arrivals: [Arrival]) async throws -> [RecordRefusal?] {
        guard !arrivals.isEmpty else { return [] }
        let now = clock.now()
        let results = try await database.write { [self] connection in
            try arrivals.map { try insert($0, now: now, connection) }
        }
        if results.contains(nil) { changed() }
        return results
    }

    private func insert(_ arrival: Arrival, now: Timestamp, _ connection: Connection) throws -> RecordRefusal? {
        let record = arrival.envelope.record
        guard let kind = kinds[record.key.kind] else {
            return RecordRefusal(.unknownKind, "the record is of a kind that is not known here")
        }
        let author: Int64
        switch try self.author(of: arrival, connection) {
        case .known(let id): author = id
        case .refused(let refusal): return refusal
        }
        if let row = try connection.first(
            "SELECT id, sequence FROM gossip_records WHERE author = ? AND kind = ? AND name = ?",
            .integer(author),
            .text(record.key.kind),
            .text(record.key.name)
        ) {
            guard let id = RecordID(bytes: try row.blob(0)) else {
                throw StorageError(.corrupt, "an id has not 32 bytes")
            }
            if id == record.id { return RecordRefusal(.duplicate, "the record is here already") }
            guard RecordVersion(sequence: try row.uint64(1), id: id) < record.version else {
                return RecordRefusal(.superseded, "a record of the same key that goes before it is here")
            }
            try Self.delete(id, connection)
        }
        try connection.execute(
            """
            INSERT INTO gossip_records
                (id, author, kind, name, sequence, created, expires, is_tombstone, stamp, entry, size, document)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            .blob(record.id.bytes),
            .integer(author),
            .text(record.key.kind),
            .text(record.key.name),
            try .amount(record.sequence),
            .integer(record.created.millisecondsSince1970),
            .integer(record.expires.millisecondsSince1970),
            .bool(record.isTombstone),
            .optional(arrival.stamp?.bytes),
            .optional(arrival.stamp?.entry.string),
            .int(record.bytes.count + (arrival.stamp?.bytes.count ?? 0)),
            .blob(record.bytes)
        )
        try makeRoom(kind, author, isTombstone: record.isTombstone, connection)
        let isKept = try connection.first("SELECT 1 FROM gossip_records WHERE id = ?", .blob(record.id.bytes)) != nil
        return isKept ? nil : RecordRefusal(.overQuota, "its author or its kind has as many records as it may")
    }

    // MARK: Quotas

    /// What is over the author's share and the kind's room goes: the oldest, and of the kind those of whoever has most.
    private func makeRoom(_ kind: RecordKind, _ author: Int64, isTombstone: Bool, _ connection: Connection) throws {
        let column = isTombstone ? "tombstones" : "records"
        let most = kind.recordsPerAuthor * (isTombstone ? Record.tombstonesPerRecord : 1)
        while let row = try connection.first(
            "SELECT \(column) FROM gossip_shares WHERE kind = ? AND author = ?",
            .text(kind.name),
            .integer(author)
        ), try row.int(0) > most {
            try Self.deleteOldest(kind, author, isTombstone: isTombstone, connection)
        }
        while let row = try connection.first("SELECT bytes FROM gossip_totals WHERE kind = ?", .text(kind.name)),
            try row.int(0) > kind.totalBytes,
            let largest = try connection.first(
                "SELECT author, records FROM gossip_shares WHERE kind = ? ORDER BY bytes DESC, author DESC LIMIT 1",
                .text(kind.name)
            )
        {
            // Tombstones last: they keep away what was deleted.
            try Self.deleteOldest(
                kind,
                try largest.int64(0),
                isTombstone: try largest.int64(1) == 0,
                connection
            )
        }
    }

    private static func deleteOldest(
        _ kind: RecordKind,
        _ author: Int64,
        isTombstone: Bool,
        _ connection: Connection
    ) throws {
        // By time, then by id, so that all nodes part with the same ones.
        try connection.execute(
            """
            DELETE FROM gossip_records WHERE id = (
                SELECT id FROM gossip_records WHERE author = ? AND kind = ? AND is_tombstone = ?
                ORDER BY created, id LIMIT 1
            )
            """,
            .integer(author),
            .text(kind.name),
            .bool(isTombstone)
        )
        guard connection.changes > 0 else {
            throw StorageError(.corrupt, "the shares of authors don't match their records")
        }
    }

    private static func delete(_ id: RecordID, _ connection: Connection) throws {
        try connection.execute("DELETE FROM gossip_records WHERE id = ?", .blob(id.bytes))
    }

    /// Takes out what has ended, and authors of whom nothing is kept. Call it about once a minute.
    /// - Returns: the number of records that went.
    @discardableResult
    public func sweep() async throws -> Int {
        let now = clock.now().millisecondsSince1970
        let count = try await database.write { connection in
            try connection.execute("DELETE FROM gossip_records WHERE expires <= ?", .integer(now))
            let count = connection.changes
            // A revocation is remembered for as long as passports from before it may live.
            try connection.execute(
                """
                DELETE FROM gossip_authors WHERE max(passport_until, revoked_at + ?) <= ?
                    AND NOT EXISTS (SELECT 1 FROM gossip_records WHERE author = gossip_authors.id)
                """,
                .integer(Self.revokedMilliseconds),
                .integer(now)
            )
            return count
        }
        if count > 0 { changed() }
        return count
    }

    /// Thirty days.
    static let revokedMilliseconds: Int64 = 30 * 86_400_000
}

extension RecordStore.Arrival {
    /// Kept only where the record counts by it.
    var stamp: Stamp? {
        if case .stamp(let stamp) = admission { return stamp }
        return nil
    }
}
