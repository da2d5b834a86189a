internal import Encodings
public import Records
public import SignedDocuments
internal import Storage
internal import Synchronization

/// Which records are asked for.
public struct RecordQuery: Sendable, Hashable {
    /// The most that one answer holds.
    public static let maximumCount = 1_000

    public var kind: String
    public var author: DIDKey?
    public var name: String?
    /// Whether tombstones are told as well.
    public var includesTombstones = false
    /// Those after this one in time, the oldest first: the last of the page before.
    public var after: ReconciliationItem?
    public var count = 100

    public init(kind: String, author: DIDKey? = nil, name: String? = nil) {
        self.kind = kind
        self.author = author
        self.name = name
    }
}

/// How much is kept.
public struct RecordTotals: Sendable, Hashable {
    public var kind: String
    public var records: Int
    public var bytes: Int
}

extension RecordStore {
    /// What counts: lives, and is by an author who does, or stamped.
    private static let counts =
        "r.expires > ? AND (r.entry IS NOT NULL OR a.counts_until > ?)"

    /// Records that count now, the oldest first.
    public func records(_ query: RecordQuery) async throws -> [Record] {
        let now = clock.now().millisecondsSince1970
        var conditions = ["r.kind = ?"]
        var arguments: [SQLValue] = [.text(query.kind)]
        if !query.includesTombstones { conditions.append("r.is_tombstone = 0") }
        if let author = query.author {
            conditions.append("a.did = ?")
            arguments.append(.text(author.string))
        }
        if let name = query.name {
            conditions.append("r.name = ?")
            arguments.append(.text(name))
        }
        if let after = query.after {
            conditions.append("(r.created, r.id) > (?, ?)")
            arguments += [.integer(Int64(clamping: after.timestamp)), .blob(after.id.bytes)]
        }
        let sql = """
            SELECT r.document FROM gossip_records r JOIN gossip_authors a ON a.id = r.author
            WHERE \(conditions.joined(separator: " AND ")) AND \(Self.counts) ORDER BY r.created, r.id LIMIT ?
            """
        arguments += [.integer(now), .integer(now), .int(min(max(0, query.count), RecordQuery.maximumCount))]
        let (bound, text) = (arguments, sql)
        return try await database.read { connection in
            try connection.rows(text, arguments: bound).map { try Record(bytes: $0.blob(0)) }
        }
    }

    /// The record of a key, where there is one that counts.
    public func record(_ key: RecordKey) async throws -> Record? {
        var query = RecordQuery(kind: key.kind, author: key.author, name: key.name)
        query.count = 1
        return try await records(query).first
    }

    /// What stands at a key, be it that it counts or not: what a next record has to go before.
    public func version(of key: RecordKey) async throws -> RecordVersion? {
        try await versions(of: [key])[0]
    }

    func versions(of keys: [RecordKey]) async throws -> [RecordVersion?] {
        try await database.read { connection in
            try keys.map { key in
                guard
                    let row = try connection.first(
                        """
                        SELECT sequence, id FROM gossip_records
                        WHERE author = (SELECT id FROM gossip_authors WHERE did = ?) AND kind = ? AND name = ?
                        """,
                        .text(key.author.string),
                        .text(key.kind),
                        .text(key.name)
                    ), let id = RecordID(bytes: try row.blob(1))
                else { return nil }
                return RecordVersion(sequence: try row.uint64(0), id: id)
            }
        }
    }

    /// Those of the ids whose records are not here.
    func missing(_ ids: [RecordID]) async throws -> [RecordID] {
        try await database.read { connection in
            try ids.filter {
                try connection.first("SELECT 1 FROM gossip_records WHERE id = ?", .blob($0.bytes)) == nil
            }
        }
    }

    /// A record as it is kept, in pieces that need no reading to be sent on.
    struct Piece: Sendable {
        let id: RecordID
        let author: Int64
        let record: [UInt8]
        let passport: [UInt8]?
        let stamp: [UInt8]?
    }

    /// The records with these ids that count, in order.
    func pieces(_ ids: [RecordID]) async throws -> [Piece] {
        let now = clock.now().millisecondsSince1970
        return try await database.read { connection in
            try ids.compactMap { id in
                let row = try connection.first(
                    """
                    SELECT r.author, r.document, a.passport, r.stamp
                    FROM gossip_records r JOIN gossip_authors a ON a.id = r.author WHERE r.id = ? AND \(Self.counts)
                    """,
                    .blob(id.bytes),
                    .integer(now),
                    .integer(now)
                )
                return try row.map {
                    Piece(
                        id: id,
                        author: try $0.int64(0),
                        record: try $0.blob(1),
                        passport: try $0.optionalBlob(2),
                        stamp: try $0.optionalBlob(3)
                    )
                }
            }
        }
    }

    /// All that counts now, as it is reconciled: tombstones too. It may be up to ``Limits/snapshotMilliseconds`` old.
    public func snapshot() async throws -> ReconciliationSet {
        let now = clock.now()
        let version = self.version.withLock { $0 }
        let kept = snapshots.withLock { $0 }
        if let kept, now < kept.made.adding(milliseconds: 60_000), now >= kept.made,
            kept.version == version || now < kept.made.adding(milliseconds: limits.snapshotMilliseconds)
        {
            return kept.set
        }
        let milliseconds = now.millisecondsSince1970
        let set = try await database.read { connection in
            var authors: Set<Int64> = []
            try connection.each("SELECT id FROM gossip_authors WHERE counts_until > ?", .integer(milliseconds)) {
                authors.insert(try $0.int64(0))
            }
            var items: [ReconciliationItem] = []
            try connection.each("SELECT created, id, author, expires, entry FROM gossip_records ORDER BY created, id") {
                guard try $0.int64(3) > milliseconds, try !$0.isNull(4) || authors.contains($0.int64(2)),
                    let id = RecordID(bytes: try $0.blob(1))
                else { return }
                items.append(ReconciliationItem(timestamp: UInt64(clamping: try $0.int64(0)), id: id))
            }
            return ReconciliationSet(items)
        }
        snapshots.withLock { $0 = Snapshot(version: version, made: now, set: set) }
        return set
    }

    /// How much is kept of each kind, what does not count among it.
    public func totals() async throws -> [RecordTotals] {
        try await database.read { connection in
            try connection.rows("SELECT kind, records, bytes FROM gossip_totals WHERE records > 0 ORDER BY kind").map {
                RecordTotals(kind: try $0.text(0), records: try $0.int(1), bytes: try $0.int(2))
            }
        }
    }
}
