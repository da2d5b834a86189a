internal import Encodings
internal import Storage
internal import TransparencyLog

/// The log's rows, within the transaction at hand.
enum AuditLogRows {
    static func insert(
        _ entry: OutboxEntry,
        _ salted: SaltedEntry,
        at position: UInt64,
        in connection: Connection
    ) throws {
        try connection.execute(
            "INSERT INTO audit_entries (position, entry, salt, kind, reference, document) VALUES (?, ?, ?, ?, ?, ?)",
            try .amount(position),
            .blob(salted.entry),
            .blob(salted.salt),
            .text(entry.kind),
            .text(entry.reference),
            entry.isOnlyCopy ? .blob(entry.document) : .null
        )
    }

    static func keep(_ tile: TiledTree.ChangedTile, in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO audit_tiles (level, number, hashes) VALUES (?, ?, ?)
            ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes
            """,
            .int(tile.level),
            try .amount(tile.number),
            .blob(tile.hashes)
        )
    }

    /// - Throws: where the head is not `old` any more: somebody else has written here.
    static func setHead(_ head: AuditLog.Head, over old: AuditLog.Head, in connection: Connection) throws {
        try connection.execute(
            "UPDATE audit_head SET size = ?, note = ?, at = ? WHERE id = 1 AND size = ? AND origin = ?",
            try .amount(head.checkpoint.size),
            .text(head.note.string),
            .integer(head.at.millisecondsSince1970),
            try .amount(old.checkpoint.size),
            .text(old.checkpoint.origin)
        )
        guard connection.changes == 1 else {
            throw LogError(.inconsistent, "the log on the disk is not the one that was read: is a second node at work?")
        }
    }

    static func tile(_ level: Int, _ number: UInt64, in connection: Connection) throws -> [UInt8]? {
        try connection.first(
            "SELECT hashes FROM audit_tiles WHERE level = ? AND number = ?",
            .int(level),
            try .amount(number)
        )?.blob(0)
    }

    /// The tiles at the right edge of a tree of `size`, by level; none where the last one is whole.
    static func edge(size: UInt64, in connection: Connection) throws -> [Int: [UInt8]] {
        var edge: [Int: [UInt8]] = [:]
        for level in 0...TilePath.maximumLevel {
            let hashes = size >> UInt64(8 * level)
            guard hashes > 0 else { break }
            if hashes & 255 > 0 { edge[level] = try tile(level, hashes >> 8, in: connection) }
        }
        return edge
    }

    /// Keeps a cosigned checkpoint: the last of each minute, of what is older than a week the last of each hour. So for ever
    /// an entry is shown to have been there an hour after it was made at the latest, and that costs few megabytes a year.
    static func keepCosigned(
        _ note: SignedNote,
        size: UInt64,
        at now: Timestamp,
        in connection: Connection
    ) throws {
        let minute: Int64 = 60_000
        let hour = 60 * minute
        let at = now.millisecondsSince1970
        let weekAgo = at - 7 * 24 * hour
        try connection.execute(
            "DELETE FROM audit_cosigned WHERE at BETWEEN ? AND ? AND size < ?",
            .integer(at / minute * minute),
            .integer(at),
            try .amount(size)
        )
        try connection.execute(
            """
            INSERT INTO audit_cosigned (size, note, at) VALUES (?, ?, ?)
            ON CONFLICT (size) DO UPDATE SET note = excluded.note
            """,
            try .amount(size),
            .text(note.string),
            .integer(at)
        )
        // Each row comes by here as it grows older than a week; the two hours are a bound on what is read.
        try connection.execute(
            """
            DELETE FROM audit_cosigned WHERE at BETWEEN ?1 - ?2 * 2 AND ?1 AND EXISTS (
                SELECT 1 FROM audit_cosigned later WHERE later.size > audit_cosigned.size
                    AND later.at BETWEEN audit_cosigned.at AND min(audit_cosigned.at / ?2 * ?2 + ?2 - 1, ?1)
            )
            """,
            .integer(weekAgo),
            .integer(hour)
        )
    }
}
