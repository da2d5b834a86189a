import CanonicalJSON
public import Encodings
public import SignedDocuments
import Storage

/// What an issuer says of one of its status lists: in the list itself, or in the news of its change.
public struct StatusListNews: Sendable {
    /// What such news is worth to a node.
    public enum Worth: String, Sendable {
        /// The list is used by nobody here, or is another's.
        case notOurs
        /// It says nothing that was not known.
        case old
        /// The list has changed.
        case news
        /// The same sequence was seen with another content.
        case equivocation
    }

    public var url: String
    public var issuer: DIDKey
    public var sequence: UInt64
    /// SHA-256 of purpose and bits ([STAT-4]).
    public var digest: [UInt8]
    /// What the issuer signed, as it came: the list, or the record of its change.
    public var document: [UInt8]

    public init(url: String, issuer: DIDKey, sequence: UInt64, digest: [UInt8], document: [UInt8]) {
        self.url = url
        self.issuer = issuer
        self.sequence = sequence
        self.digest = digest
        self.document = document
    }
}

/// Evidence that an issuer signed two contents of one list under one sequence.
public struct Equivocation: Sendable {
    public var url: String
    public var sequence: UInt64
    public var issuer: String
    /// What came first, where it was kept.
    public var first: [UInt8]?
    public var second: [UInt8]
    public var at: Timestamp

    /// What was signed is told as text: a list or a record as JSON, or a token.
    var json: JSONObject {
        var object: JSONObject = [
            "list": .string(url), "sequence": JSONValue(sequence), "issuer": .string(issuer),
            "seenAt": .string(at.rfc3339),
        ]
        object["first"] = first.map { .string(String(decoding: $0, as: UTF8.self)) }
        object["second"] = .string(String(decoding: second, as: UTF8.self))
        return object
    }
}

/// A row of `identity_lists_seen`: the highest sequence of a list that was seen.
struct StatusListRecord {
    var url: String
    /// nil in rows of before it was kept.
    var issuer: String?
    var sequence: UInt64
    var digest: [UInt8]
    var document: [UInt8]?

    /// Of issuers that contradict themselves more often there is enough.
    private static let maximumEvidence: Int64 = 1_000

    init(_ news: StatusListNews) {
        url = news.url
        issuer = news.issuer.string
        sequence = news.sequence
        digest = news.digest
        document = news.document.isEmpty ? nil : news.document
    }

    private init(url: String, _ row: Row) throws {
        self.url = url
        sequence = try row.uint64(0)
        digest = try row.blob(1)
        issuer = try row.optionalText(2)
        document = try row.optionalBlob(3)
    }

    static func find(_ url: String, in connection: Connection) throws -> StatusListRecord? {
        try connection.first(
            "SELECT sequence, content_digest, issuer, document FROM identity_lists_seen WHERE url = ?",
            .text(url)
        ).map { try StatusListRecord(url: url, $0) }
    }

    static func count(in connection: Connection) throws -> Int64 {
        try connection.first("SELECT count(*) FROM identity_lists_seen")?.int64(0) ?? 0
    }

    func save(now: Timestamp, in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO identity_lists_seen (url, sequence, content_digest, seen_at, issuer, document)
            VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (url) DO UPDATE SET sequence = excluded.sequence, content_digest = excluded.content_digest,
                seen_at = excluded.seen_at, issuer = excluded.issuer, document = excluded.document
            """,
            .text(url),
            try .amount(sequence),
            .blob(digest),
            .integer(now.millisecondsSince1970),
            .optional(issuer),
            .optional(document)
        )
    }

    // MARK: Evidence

    static func keepEvidence(
        _ seen: StatusListRecord,
        _ news: StatusListNews,
        now: Timestamp,
        in connection: Connection
    ) throws {
        let count = try connection.first("SELECT count(*) FROM identity_equivocations")?.int64(0) ?? 0
        guard count < maximumEvidence else { return }
        try connection.execute(
            """
            INSERT OR IGNORE INTO identity_equivocations (url, sequence, issuer, first, second, at)
            VALUES (?, ?, ?, ?, ?, ?)
            """,
            .text(seen.url),
            try .amount(seen.sequence),
            .text(news.issuer.string),
            .optional(seen.document),
            .blob(news.document),
            .integer(now.millisecondsSince1970)
        )
    }

    static func evidence(in connection: Connection) throws -> [Equivocation] {
        try connection.rows(
            "SELECT url, sequence, issuer, first, second, at FROM identity_equivocations ORDER BY at DESC, url LIMIT ?",
            .integer(maximumEvidence)
        ).map { row in
            Equivocation(
                url: try row.text(0),
                sequence: try row.uint64(1),
                issuer: try row.text(2),
                first: try row.optionalBlob(3),
                second: try row.blob(4),
                at: Timestamp(millisecondsSince1970: try row.int64(5))
            )
        }
    }
}
