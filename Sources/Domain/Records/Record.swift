public import CanonicalJSON
public import Encodings
public import SignedDocuments

/// Which record of an author's it is: of one key there is one record at a time.
public struct RecordKey: Hashable, Sendable {
    public var author: DIDKey
    public var kind: String
    public var name: String

    public init(author: DIDKey, kind: String, name: String) {
        self.author = author
        self.kind = kind
        self.name = name
    }
}

/// Which of two records of one key goes before the other: the higher sequence, and of two with the same the lower id, so
/// that all nodes keep the same one whatever came first ([REC-6]).
public struct RecordVersion: Comparable, Hashable, Sendable {
    public var sequence: UInt64
    public var id: RecordID

    public init(sequence: UInt64, id: RecordID) {
        self.sequence = sequence
        self.id = id
    }

    public static func < (left: RecordVersion, right: RecordVersion) -> Bool {
        left.sequence != right.sequence ? left.sequence < right.sequence : right.id < left.id
    }
}

/// What nodes tell each other by gossip: a JSON document that its author signs. `Specs/records.md` gives the format.
///
/// A value of this type has the right shape; ``RecordRules`` says whether to take it, and ``AdmissionPolicy`` whether its
/// author counts.
public struct Record: Sendable, Hashable {
    /// The most canonical bytes of a record, proof and all.
    public static let maximumBytes = 65_536
    /// The most canonical bytes of a body; what is around it has its room besides.
    public static let maximumBodyBytes = maximumBytes - 1_536
    /// Printable ASCII, without spaces.
    public static let maximumNameBytes = 128
    public static let maximumKindBytes = 32
    /// The largest sequence: the largest integer that JSON keeps.
    public static let maximumSequence: UInt64 = (1 << 53) - 1
    /// Whatever its kind: a year.
    public static let maximumLifetimeSeconds: Int64 = 366 * 86_400
    /// How much longer than any record of its kind a tombstone lives.
    public static let tombstoneMarginSeconds: Int64 = 86_400
    /// Tombstones of one author that are kept, for each record that it may have.
    public static let tombstonesPerRecord = 4

    public let id: RecordID
    public let key: RecordKey
    public let sequence: UInt64
    /// When the author says it was made.
    public let created: Timestamp
    /// From then on it counts no more.
    public let expires: Timestamp
    /// What it says; nil in a tombstone, which says that what was there is deleted.
    public let body: JSONObject?
    /// The whole document with its proof.
    public let document: JSONObject
    /// Its canonical bytes (RFC 8785), as it travels and is kept.
    public let bytes: [UInt8]

    public var author: DIDKey { key.author }
    public var isTombstone: Bool { body == nil }
    public var version: RecordVersion { RecordVersion(sequence: sequence, id: id) }

    /// Reads a document's shape.
    ///
    /// - Throws: `RecordRefusal` with `.malformed`, `.tooLarge`.
    public init(document: JSONObject) throws(RecordRefusal) {
        let fields = try RecordShape(document)
        do {
            bytes = try document.canonicalized()
        } catch {
            throw RecordRefusal(.malformed, "the record holds a number that has no canonical form")
        }
        guard bytes.count <= Self.maximumBytes else {
            throw RecordRefusal(.tooLarge, "a record has at most \(Self.maximumBytes) bytes")
        }
        id = RecordID(ofCanonical: bytes)
        key = fields.key
        sequence = fields.sequence
        created = fields.created
        expires = fields.expires
        body = fields.body
        self.document = document
    }

    /// Reads a record from JSON text.
    public init(bytes: [UInt8]) throws(RecordRefusal) {
        guard let object = try RecordShape.parse(bytes, maximumBytes: Self.maximumBytes).objectValue else {
            throw RecordRefusal(.malformed, "a record is a JSON object")
        }
        try self.init(document: object)
    }

    /// Signs a record.
    ///
    /// - Parameters:
    ///   - sequence: above that of the record of this key that it takes the place of.
    ///   - lifetimeSeconds: at most that of the kind, which it is where nothing is given.
    /// - Throws: `RecordRefusal` where the kind's rules don't allow it, `DocumentError` where signing fails.
    public static func sign(
        _ body: JSONObject,
        of kind: RecordKind,
        name: String,
        sequence: UInt64,
        created: Timestamp,
        lifetimeSeconds: Int64? = nil,
        by signer: DocumentSigner
    ) throws -> Record {
        let seconds = lifetimeSeconds ?? kind.maximumLifetimeSeconds
        return try sign(.object(body), kind, name, sequence, created, created.adding(seconds: seconds), signer)
    }

    /// Signs a tombstone: all records of this key with a lower sequence are deleted. It outlives them.
    public static func tombstone(
        of kind: RecordKind,
        name: String,
        sequence: UInt64,
        created: Timestamp,
        by signer: DocumentSigner
    ) throws -> Record {
        try sign(nil, kind, name, sequence, created, created.adding(seconds: kind.tombstoneSeconds), signer)
    }

    private static func sign(
        _ body: JSONValue?,
        _ kind: RecordKind,
        _ name: String,
        _ sequence: UInt64,
        _ created: Timestamp,
        _ expires: Timestamp,
        _ signer: DocumentSigner
    ) throws -> Record {
        var document = JSONObject()
        document["type"] = .string(RecordShape.type)
        document["author"] = .string(signer.did.string)
        document["kind"] = .string(kind.name)
        document["name"] = .string(name)
        document["sequence"] = JSONValue(sequence)
        document["created"] = .string(created.rfc3339)
        document["expires"] = .string(expires.rfc3339)
        if let body { document["body"] = body } else { document["deleted"] = true }
        let record = try Record(document: DataIntegrity.sign(document, by: signer, created: created))
        try RecordRules.check(record, kind)
        return record
    }

    public static func == (left: Record, right: Record) -> Bool { left.id == right.id }
    public func hash(into hasher: inout Hasher) { hasher.combine(id) }
}
