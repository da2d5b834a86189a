public import CanonicalJSON
public import Encodings
public import Records
internal import SignedDocuments

/// What a node has published of the calls that it paid for: the body of a gossip record of the kind `receipts` ([RCPT-15]). A node
/// has one record of it, in the place of the one before; the receipts themselves are fetched where they are wanted.
public struct PublishedReceipts: Sendable, Hashable {
    public static let maximumBodyBytes = 2_048
    public static let lifetimeSeconds: Int64 = 2 * 86_400
    public static let maximumCount: UInt64 = (1 << 53) - 1

    /// The name of each node's one record.
    public static let name = "published"

    /// Only issuers that the receiver trusts are heard: a passport is cheap to have many of.
    public static let kind = RecordKind(
        "receipts",
        maximumBodyBytes: maximumBodyBytes,
        maximumLifetimeSeconds: lifetimeSeconds,
        authors: .issuers,
        recordsPerAuthor: 1,
        totalBytes: 2 * 1_024 * 1_024,
        checkBody: { (body, record) throws(RecordRefusal) in
            guard record.key.name == Self.name else {
                throw ListingFields.refuse("name", "is \(Self.name) in a record of receipts")
            }
            guard try PublishedReceipts(body).until <= record.created else {
                throw ListingFields.refuse("until", "is not after the record was made")
            }
        }
    )

    /// How many, 1 to ``maximumCount``.
    public var count: UInt64
    /// Of the Merkle tree (RFC 9162, SHA-256) over the first `count` of them, in their order.
    public var root: [UInt8]
    /// When the first and the last were rated, in whole seconds.
    public var from: Timestamp
    public var until: Timestamp
    /// Where they are had.
    public var url: ListingURL

    public init(count: UInt64, root: [UInt8], from: Timestamp, until: Timestamp, url: ListingURL) {
        self.count = count
        self.root = root
        self.from = from
        self.until = until
        self.url = url
    }

    /// - Throws: `RecordRefusal` with `.malformed`.
    public init(_ record: Record) throws(RecordRefusal) {
        guard record.key.kind == Self.kind.name, let body = record.body else {
            throw RecordRefusal(.malformed, "the record tells of no receipts")
        }
        try self.init(body)
    }

    /// Reads a body strictly. Members of it that are not known are left alone.
    public init(_ body: JSONObject) throws(RecordRefusal) {
        let fields = try ListingFields(body)
        let range = 1...Int64(Self.maximumCount)
        count = UInt64(try fields.required(try fields.number("count", in: range), "count"))
        guard let text = body["root"]?.stringValue, text.utf8.count == 64, let root = try? Hex.decode(text),
            Hex.encode(root) == text
        else { throw ListingFields.refuse("root", "is 64 small hex digits") }
        self.root = root
        from = try fields.second("from")
        until = try fields.second("until")
        guard from <= until else { throw ListingFields.refuse("until", "is not before `from`") }
        guard let url = body["url"]?.stringValue.flatMap({ ListingURL($0) }) else {
            throw ListingFields.refuse("url", "is an https URL (http on the machine itself)")
        }
        self.url = url
    }

    public var body: JSONObject {
        [
            "count": JSONValue(count), "root": .string(Hex.encode(root)), "from": .string(from.rfc3339),
            "until": .string(until.rfc3339), "url": .string(url.text),
        ]
    }
}
