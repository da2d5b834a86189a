import CanonicalJSON
import Encodings
import SignedDocuments

/// Reads the members of a record by the rules of `Specs/records.md`.
struct RecordShape {
    static let type = "MintmarkRecord"
    private static let members: Set<String> = [
        "type", "author", "kind", "name", "sequence", "created", "expires", "body", "deleted", "proof",
    ]
    static let proofMembers: Set<String> = [
        "type", "cryptosuite", "created", "verificationMethod", "proofPurpose", "proofValue",
    ]

    let key: RecordKey
    let sequence: UInt64
    let created: Timestamp
    let expires: Timestamp
    let body: JSONObject?

    init(_ document: JSONObject) throws(RecordRefusal) {
        guard document.keys.allSatisfy(Self.members.contains) else {
            throw Self.refuse("a record has members that have no place in it")
        }
        guard document["type"]?.stringValue == Self.type else { throw Self.refuse("`type` must be \(Self.type)") }
        guard let proof = document["proof"]?.objectValue, proof.count == Self.proofMembers.count,
            proof.keys.allSatisfy(Self.proofMembers.contains)
        else { throw Self.refuse("`proof` must be one eddsa-jcs-2022 proof and no more") }
        key = RecordKey(
            author: try Self.did(document["author"], "author"),
            kind: try Self.kind(document["kind"]),
            name: try Self.name(document["name"])
        )
        guard let sequence = document["sequence"]?.uint64Value, sequence <= Record.maximumSequence else {
            throw Self.refuse("`sequence` must be an integer from 0 to 2^53-1")
        }
        self.sequence = sequence
        created = try Self.instant(document["created"], "created")
        expires = try Self.instant(document["expires"], "expires")
        guard created < expires else { throw Self.refuse("`expires` must come after `created`") }
        body = document["body"]?.objectValue
        let isTombstone = document["deleted"]?.boolValue == true
        guard body != nil || document["body"] == nil, isTombstone || document["deleted"] == nil,
            (body != nil) != isTombstone
        else { throw Self.refuse("a record has either a `body`, an object, or `deleted`: true") }
    }

    /// Parses what a stranger sent, of at most so many bytes.
    static func parse(_ bytes: [UInt8], maximumBytes: Int) throws(RecordRefusal) -> JSONValue {
        guard bytes.count <= maximumBytes else {
            throw RecordRefusal(.tooLarge, "at most \(maximumBytes) bytes are read")
        }
        do {
            return try JSONValue.parse(
                bytes,
                limits: JSONLimits(maximumBytes: maximumBytes, maximumDepth: 20, maximumValues: 8_192)
            )
        } catch {
            throw refuse("what was sent is not JSON within the bounds")
        }
    }

    static func refuse(_ message: String) -> RecordRefusal { RecordRefusal(.malformed, message) }

    static func did(_ value: JSONValue?, _ member: String) throws(RecordRefusal) -> DIDKey {
        guard let text = value?.stringValue, let did = try? DIDKey(parsing: text), did.kind == .ed25519 else {
            throw refuse("`\(member)` must be a did:key of Ed25519")
        }
        return did
    }

    /// An instant in its one form, UTC.
    static func instant(_ value: JSONValue?, _ member: String) throws(RecordRefusal) -> Timestamp {
        guard let text = value?.stringValue, let instant = try? Timestamp(rfc3339: text),
            instant.rfc3339.utf8.elementsEqual(text.utf8), instant.millisecondsSince1970 >= 0
        else { throw refuse("`\(member)` must be a date and time in UTC, such as 2026-11-21T00:00:00Z") }
        return instant
    }

    private static func kind(_ value: JSONValue?) throws(RecordRefusal) -> String {
        guard let text = value?.stringValue, (1...Record.maximumKindBytes).contains(text.utf8.count),
            text.utf8.allSatisfy({
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || [0x2D, 0x2E].contains($0)
            })
        else { throw refuse("`kind` must be 1 to 32 lower-case letters, digits, `-` and `.`") }
        return text
    }

    private static func name(_ value: JSONValue?) throws(RecordRefusal) -> String {
        guard let text = value?.stringValue, (1...Record.maximumNameBytes).contains(text.utf8.count),
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { throw refuse("`name` must be 1 to 128 printable ASCII characters") }
        return text
    }
}
