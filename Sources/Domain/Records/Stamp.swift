public import CanonicalJSON
public import Encodings
public import SignedDocuments

/// An entry node's signed word that postage was paid for one record, so that it counts with those that trust the node,
/// though its author has no passport that they know ([REC-14]).
public struct Stamp: Sendable, Hashable {
    /// The most canonical bytes of a stamp.
    public static let maximumBytes = 2_048
    private static let type = "MintmarkStamp"
    private static let members: Set<String> = ["type", "entry", "author", "record", "postage", "created", "proof"]

    /// The node that took the postage, and signs.
    public let entry: DIDKey
    public let author: DIDKey
    /// The one record that it is for.
    public let record: RecordID
    public let amount: UInt64
    /// Of ``amount``, such as `sat`.
    public let unit: String
    public let created: Timestamp
    public let document: JSONObject
    /// Its canonical bytes.
    public let bytes: [UInt8]

    /// Reads a stamp's shape; ``isSigned`` says whether it is one.
    /// - Throws: `RecordRefusal` with `.malformed` or `.tooLarge`.
    public init(document: JSONObject) throws(RecordRefusal) {
        guard document.keys.allSatisfy(Self.members.contains), document["type"]?.stringValue == Self.type,
            let proof = document["proof"]?.objectValue, proof.keys.allSatisfy(RecordShape.proofMembers.contains),
            let digest = document["record"]?.stringValue, let id = (try? MultihashDigest.decode(digest)).map({ $0 }),
            let postage = document["postage"]?.objectValue, postage.count == 2,
            let text = postage["amount"]?.stringValue, text.utf8.count <= 20, let amount = UInt64(text),
            String(amount) == text, let unit = postage["unit"]?.stringValue, (1...16).contains(unit.utf8.count),
            unit.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { throw RecordShape.refuse("the stamp is not of a stamp's form") }
        entry = try RecordShape.did(document["entry"], "stamp.entry")
        author = try RecordShape.did(document["author"], "stamp.author")
        created = try RecordShape.instant(document["created"], "stamp.created")
        record = RecordID(padding: id)
        self.amount = amount
        self.unit = unit
        self.document = document
        do {
            bytes = try document.canonicalized()
        } catch {
            throw RecordShape.refuse("the stamp holds a number that has no canonical form")
        }
        guard bytes.count <= Self.maximumBytes else {
            throw RecordRefusal(.tooLarge, "a stamp has at most \(Self.maximumBytes) bytes")
        }
    }

    /// Signs a stamp for a record whose postage this entry node has taken.
    /// - Throws: `RecordRefusal` where the unit is no unit's name, `DocumentError` where signing fails.
    public static func sign(
        _ record: Record,
        amount: UInt64,
        unit: String,
        created: Timestamp,
        by entry: DocumentSigner
    ) throws -> Stamp {
        let document: JSONObject = [
            "type": .string(type),
            "entry": .string(entry.did.string),
            "author": .string(record.author.string),
            "record": .string(MultihashDigest.encode(record.id.bytes)),
            "postage": ["amount": .string(String(amount)), "unit": .string(unit)],
            "created": .string(created.rfc3339),
        ]
        return try Stamp(document: DataIntegrity.sign(document, by: entry, created: created))
    }

    /// Whether the entry node signed it.
    public var isSigned: Bool { (try? DataIntegrity.verify(document))?.signer == entry }

    public static func == (left: Stamp, right: Stamp) -> Bool { left.bytes == right.bytes }
    public func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
}
