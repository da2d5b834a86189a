public import CanonicalJSON
public import Encodings
public import SignedDocuments

/// An issuer's word that one of its status lists has changed, told the moment it happens ([RVK-1]). It says which state the
/// list has now; what that state is, the list says itself.
public struct StatusEvent: Sendable, Hashable {
    public static let maximumURLBytes = 512
    /// A list that was not renewed for a day says nothing any more, and neither does news of it.
    public static let lifetimeSeconds: Int64 = 86_400

    public static let kind = RecordKind(
        "status",
        maximumBodyBytes: 1_024,
        maximumLifetimeSeconds: lifetimeSeconds,
        authors: .issuers,
        recordsPerAuthor: 2_048,
        totalBytes: 64 * 1_024 * 1_024,
        checkBody: { (body, record) throws(RecordRefusal) in _ = try StatusEvent(body, sequence: record.sequence) }
    )

    /// Where the list stands, which is its name in passports.
    public var listURL: String
    /// The list's own sequence, which the record has as well.
    public var sequence: UInt64
    /// SHA-256 of the list's purpose and bits ([STAT-4]).
    public var contentDigest: [UInt8]

    public init(listURL: String, sequence: UInt64, contentDigest: [UInt8]) {
        self.listURL = listURL
        self.sequence = sequence
        self.contentDigest = contentDigest
    }

    /// - Throws: `RecordRefusal` with `.malformed` where the record tells of no list.
    public init(_ record: Record) throws(RecordRefusal) {
        guard record.key.kind == Self.kind.name, let body = record.body else {
            throw RecordRefusal(.malformed, "the record is no news of a status list")
        }
        try self.init(body, sequence: record.sequence)
    }

    private init(_ body: JSONObject, sequence: UInt64) throws(RecordRefusal) {
        guard let url = body["list"]?.stringValue, (1...Self.maximumURLBytes).contains(url.utf8.count),
            url.utf8.allSatisfy({ (0x21...0x7E).contains($0) }),
            url.utf8.starts(with: "https://".utf8) || url.utf8.starts(with: "http://".utf8),
            let text = body["content"]?.stringValue, let digest = try? MultihashDigest.decode(text)
        else { throw RecordRefusal(.malformed, "news of a status list have its URL and the digest of its content") }
        listURL = url
        self.sequence = sequence
        contentDigest = digest
    }

    /// What the record says.
    public var body: JSONObject {
        ["list": .string(listURL), "content": .string(MultihashDigest.encode(contentDigest))]
    }

    /// The record, under the name that the issuer gives the list.
    /// - Throws: `RecordRefusal`, `DocumentError`.
    public func record(name: String, created: Timestamp, by issuer: DocumentSigner) throws -> Record {
        try Record.sign(body, of: Self.kind, name: name, sequence: sequence, created: created, by: issuer)
    }
}
