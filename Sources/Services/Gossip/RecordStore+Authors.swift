public import Encodings
internal import Passports
public import Records
public import SignedDocuments
internal import Storage

/// What is known of an author.
public struct RecordAuthor: Sendable, Hashable {
    public var did: DIDKey
    /// The latest passport that it showed, as it travels.
    public var passport: [UInt8]?
    /// Until when its records count; past where they don't.
    public var countsUntil: Timestamp
    /// When it was told here that its passport is taken away.
    public var revokedAt: Timestamp?
}

extension RecordStore {
    enum AuthorRow {
        case known(Int64)
        case refused(RecordRefusal)
    }

    /// The author's row, brought up to date with what speaks for it now.
    func author(of arrival: Arrival, _ connection: Connection) throws -> AuthorRow {
        let did = arrival.envelope.record.author.string
        let row = try connection.first(
            "SELECT id, passport_until, counts_until, revoked_at FROM gossip_authors WHERE did = ?",
            .text(did)
        )
        let revokedAt = try row?.int64(3) ?? 0
        switch arrival.admission {
        case .issuer: break
        case .stamp:
            guard revokedAt == 0 else { return .refused(Self.revoked) }
        case .passport(let proven):
            // A list that this node has from before the revocation may still show the passport good.
            guard proven.passport.validFrom.millisecondsSince1970 > revokedAt || revokedAt == 0 else {
                return .refused(Self.revoked)
            }
        }
        let id: Int64
        if let row {
            id = try row.int64(0)
        } else {
            guard let count = try connection.first("SELECT count(*) FROM gossip_authors")?.int(0),
                count < limits.authors
            else { return .refused(RecordRefusal(.overQuota, "there are as many authors as are kept")) }
            try connection.execute("INSERT INTO gossip_authors (did) VALUES (?)", .text(did))
            id = connection.lastInsertedRowID
        }
        switch arrival.admission {
        case .issuer:
            try connection.execute(
                "UPDATE gossip_authors SET counts_until = ?, revoked_at = 0 WHERE id = ?",
                .integer(.max),
                .integer(id)
            )
        case .stamp: break
        case .passport(let proven): try Self.keep(proven.passport, of: id, connection)
        }
        return .known(id)
    }

    private static var revoked: RecordRefusal { RecordRefusal(.revoked, "its author's passport was revoked") }

    private static func keep(_ passport: Passport, of author: Int64, _ connection: Connection) throws {
        let until = passport.validUntil.millisecondsSince1970
        try connection.execute(
            """
            UPDATE gossip_authors SET passport = ?, issuer = ?, passport_from = ?, passport_until = ?, counts_until = ?,
                revoked_at = 0
            WHERE id = ? AND (passport_until < ? OR counts_until = 0)
            """,
            .blob(RecordEnvelope.bytes(passport)),
            .text(passport.issuer.string),
            .integer(passport.validFrom.millisecondsSince1970),
            .integer(until),
            .integer(until),
            .integer(author),
            .integer(until)
        )
    }

    /// Keeps a later passport of an author who has records here.
    /// - Returns: whether it is news.
    func renew(_ proven: ProvenPassport) async throws -> Bool {
        let passport = proven.passport
        let isNews = try await database.write { connection in
            guard
                let row = try connection.first(
                    "SELECT id, passport_until, revoked_at FROM gossip_authors WHERE did = ?",
                    .text(passport.subject.string)
                ), try row.int64(1) < passport.validUntil.millisecondsSince1970,
                try row.int64(2) == 0 || passport.validFrom.millisecondsSince1970 > row.int64(2)
            else { return false }
            try Self.keep(passport, of: try row.int64(0), connection)
            return true
        }
        if isNews { changed() }
        return isNews
    }

    /// What is known of an author; nil where nothing is.
    public func author(_ did: DIDKey) async throws -> RecordAuthor? {
        try await database.read { connection in
            let row = try connection.first(
                "SELECT did, passport, counts_until, revoked_at FROM gossip_authors WHERE did = ?",
                .text(did.string)
            )
            return try row.map(Self.author)
        }
    }

    private static func author(_ row: Row) throws -> RecordAuthor {
        guard let did = try? DIDKey(parsing: row.text(0)) else {
            throw StorageError(.corrupt, "an author is no did:key")
        }
        let revokedAt = try row.int64(3)
        return RecordAuthor(
            did: did,
            passport: try row.optionalBlob(1),
            countsUntil: Timestamp(millisecondsSince1970: try row.int64(2)),
            revokedAt: revokedAt == 0 ? nil : Timestamp(millisecondsSince1970: revokedAt)
        )
    }

    /// Takes out all that an author said, as when its passport is revoked; what comes of it later is refused until it shows a
    /// passport of a later date ([REC-15]).
    ///
    /// - Parameter instant: when it was revoked.
    /// - Returns: the number of records that went.
    @discardableResult
    public func revoke(_ author: DIDKey, at instant: Timestamp) async throws -> Int {
        let milliseconds = max(1, instant.millisecondsSince1970)
        let count = try await database.write { connection in
            try connection.execute(
                """
                INSERT INTO gossip_authors (did, revoked_at) VALUES (?, ?)
                ON CONFLICT (did) DO UPDATE SET revoked_at = max(revoked_at, excluded.revoked_at), counts_until = 0
                """,
                .text(author.string),
                .integer(milliseconds)
            )
            try connection.execute(
                "DELETE FROM gossip_records WHERE author = (SELECT id FROM gossip_authors WHERE did = ?)",
                .text(author.string)
            )
            return connection.changes
        }
        changed()
        return count
    }

    /// Says anew of all authors whether they count, as after the operator trusts others than before.
    public func apply(_ policy: AdmissionPolicy) async throws {
        try await database.write { connection in
            try connection.execute(
                "UPDATE gossip_authors SET counts_until = 0 WHERE counts_until > 0"
            )
            for issuer in policy.trustedIssuers {
                try connection.execute(
                    """
                    UPDATE gossip_authors SET counts_until = passport_until
                    WHERE issuer = ? AND (revoked_at = 0 OR passport_from > revoked_at)
                    """,
                    .text(issuer.string)
                )
            }
            for issuer in policy.trustedIssuers {
                try connection.execute(
                    "UPDATE gossip_authors SET counts_until = ?, revoked_at = 0 WHERE did = ?",
                    .integer(.max),
                    .text(issuer.string)
                )
            }
            let entries = Set(policy.entryNodes.map(\.string))
            for row in try connection.rows("SELECT DISTINCT entry FROM gossip_records WHERE entry IS NOT NULL") {
                guard !entries.contains(try row.text(0)) else { continue }
                try connection.execute("DELETE FROM gossip_records WHERE entry = ?", .text(try row.text(0)))
            }
        }
        changed()
    }

    /// Authors who count by a passport, those first that were looked at longest ago; they are looked at now.
    func authorsToCheck(_ count: Int) async throws -> [RecordAuthor] {
        let now = clock.now().millisecondsSince1970
        return try await database.write { connection in
            let rows = try connection.rows(
                """
                SELECT did, passport, counts_until, revoked_at, id FROM gossip_authors
                WHERE passport_until > ? AND revoked_at = 0 ORDER BY checked_at LIMIT ?
                """,
                .integer(now),
                .int(count)
            )
            for row in rows {
                try connection.execute(
                    "UPDATE gossip_authors SET checked_at = ? WHERE id = ?",
                    .integer(now),
                    .integer(try row.int64(4))
                )
            }
            return try rows.map(Self.author)
        }
    }

    /// Says whether an author counts for now, as while its issuer's list is not at hand.
    func setCounts(_ author: DIDKey, _ counts: Bool) async throws {
        let hasChanged = try await database.write { connection in
            try connection.execute(
                """
                UPDATE gossip_authors SET counts_until = CASE WHEN ? THEN passport_until ELSE 0 END
                WHERE did = ? AND revoked_at = 0 AND (counts_until > 0) != ? AND counts_until < ?
                """,
                .bool(counts),
                .text(author.string),
                .bool(counts),
                .integer(.max)
            )
            return connection.changes > 0
        }
        if hasChanged { changed() }
    }
}
