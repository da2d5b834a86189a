public import CanonicalJSON
public import Cashu
internal import Cryptography
internal import Encodings
internal import Market
public import SignedDocuments

/// A keeper of bonds as its node tells of itself ([BND-1]).
public struct NamedKeeper: Sendable {
    /// Scheme, host and port of its node.
    public var origin: String
    public var did: DIDKey
    /// What bonds are locked to, 33 bytes.
    public var key: [UInt8]
    public var mints: [MintURL]

    /// - Throws: ``JobError`` where it tells what none should.
    public init(json: JSONObject, origin: String) throws {
        guard let id = json["id"]?.stringValue, let did = try? DIDKey(parsing: id), did.string == id,
            let hex = json["key"]?.stringValue, hex.utf8.count == 66, let key = try? Hex.decode(hex),
            (try? Secp256k1.Point(compressed: key)) != nil, let mints = json["mints"]?.arrayValue, mints.count <= 64
        else { throw JobError(.sellerFailed, "What \(origin) tells of its keeping of bonds can't be read.") }
        self.origin = origin
        self.did = did
        self.key = key
        self.mints = mints.compactMap { $0.stringValue.flatMap { try? MintURL($0) } }
    }
}

/// A bond as its keeper tells it ([BND-7]).
struct BondState: Sendable {
    var statement: Signed<Bond>
    var remaining: UInt64
    /// nil where all is paid out.
    var token: String?
    var rulings: [JSONValue]

    /// - Throws: ``JobError`` where the keeper tells what none should.
    init(_ json: JSONValue) throws {
        statement = try JobWire.signed(json["bond"], "bond")
        guard let text = json["remaining"]?.stringValue, let remaining = UInt64(text),
            remaining <= statement.content.amount
        else { throw JobError(.sellerFailed, "What the keeper tells of the bond can't be read.") }
        self.remaining = remaining
        token = json["token"]?.stringValue
        rulings = Array((json["rulings"]?.arrayValue ?? []).prefix(64))
    }
}
