internal import Cryptography

/// A document on its way to the transparency log.
public struct OutboxEntry: Sendable, Hashable {
    /// The place in its outbox: rises.
    public var sequence: Int64
    /// What it is: `receipt`, `passport`, `status` and so on ([LOG-1]).
    public var kind: String
    /// The id by which its holder asks for the proof.
    public var reference: String
    /// JSON.
    public var document: [UInt8]
    /// Whether the log must keep the document, as nobody else does.
    public var isOnlyCopy: Bool
    /// The salt that the document itself promises, 16 bytes; nil: the log draws one.
    public var salt: [UInt8]?

    public init(
        sequence: Int64,
        kind: String,
        reference: String,
        document: [UInt8],
        isOnlyCopy: Bool = false,
        salt: [UInt8]? = nil
    ) {
        self.sequence = sequence
        self.kind = kind
        self.reference = reference
        self.document = document
        self.isOnlyCopy = isOnlyCopy
        self.salt = salt
    }
}

/// Where documents wait for the log. They got there in the transaction that made them, and leave in the one that logs them.
public protocol OutboxSource: Sendable {
    /// The oldest entries, in order.
    func pending(limit: Int, in connection: Connection) throws -> [OutboxEntry]
    /// Takes out what ``pending(limit:in:)`` gave.
    func remove(_ entries: [OutboxEntry], in connection: Connection) throws
    /// How many wait.
    func count(in connection: Connection) throws -> Int
}

/// The outbox of whoever keeps no copy of its documents elsewhere.
public struct Outbox: OutboxSource {
    public init() {}

    static let migrations = [
        Migration(
            id: "outbox-1",
            sql: """
                CREATE TABLE outbox (
                    sequence INTEGER PRIMARY KEY,
                    kind TEXT NOT NULL,
                    reference TEXT NOT NULL,
                    document BLOB NOT NULL,
                    only_copy INTEGER NOT NULL CHECK (only_copy IN (0, 1))
                ) STRICT
                """
        ),
        // Drawn when the document is put in, so that the entry can be promised at once.
        Migration(
            id: "outbox-2",
            sql: """
                ALTER TABLE outbox ADD COLUMN salt BLOB CHECK (length(salt) = 16);
                CREATE INDEX outbox_reference ON outbox (reference);
                """
        ),
    ]

    /// Puts a document in, within the transaction of what it tells.
    ///
    /// - Parameter isOnlyCopy: whether the log must keep the document, as nobody else does.
    public static func post(
        kind: String,
        reference: String,
        document: [UInt8],
        isOnlyCopy: Bool = false,
        in connection: Connection
    ) throws {
        try connection.execute(
            "INSERT INTO outbox (kind, reference, document, only_copy, salt) VALUES (?, ?, ?, ?, ?)",
            .text(kind),
            .text(reference),
            .blob(document),
            .bool(isOnlyCopy),
            .blob(SecureRandom.bytes(16))
        )
    }

    private static let columns = "sequence, kind, reference, document, only_copy, salt"

    public func pending(limit: Int, in connection: Connection) throws -> [OutboxEntry] {
        try connection.rows("SELECT \(Self.columns) FROM outbox ORDER BY sequence LIMIT ?", .int(limit)).map(Self.entry)
    }

    /// What waits under an id, oldest first, at most 100: its salt is drawn, so that its entry can be promised.
    public static func waiting(_ reference: String, in connection: Connection) throws -> [OutboxEntry] {
        try connection.rows(
            "SELECT \(columns) FROM outbox WHERE reference = ? AND salt IS NOT NULL ORDER BY sequence LIMIT 100",
            .text(reference)
        ).map(entry)
    }

    private static func entry(_ row: Row) throws -> OutboxEntry {
        OutboxEntry(
            sequence: try row.int64(0),
            kind: try row.text(1),
            reference: try row.text(2),
            document: try row.blob(3),
            isOnlyCopy: try row.bool(4),
            salt: try row.optionalBlob(5)
        )
    }

    public func remove(_ entries: [OutboxEntry], in connection: Connection) throws {
        for entry in entries {
            try connection.execute("DELETE FROM outbox WHERE sequence = ?", .integer(entry.sequence))
        }
    }

    public func count(in connection: Connection) throws -> Int {
        try connection.first("SELECT count(*) FROM outbox")?.int(0) ?? 0
    }
}
