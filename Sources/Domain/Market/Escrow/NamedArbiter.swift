public import CanonicalJSON
public import Cashu
internal import Cryptography
internal import Encodings
internal import SignedDocuments

/// An arbiter as its node tells of itself ([ESC-19]): `{"id", "key", "within", "mints"}`, with where the node is.
public struct NamedArbiter: Sendable, Equatable {
    public static let maximumMints = 64

    /// Scheme, host and port of its node.
    public var origin: String
    public var arbiter: Quote.Arbiter
    /// Where it can look at locks.
    public var mints: [MintURL]

    public init(origin: String, arbiter: Quote.Arbiter, mints: [MintURL]) {
        self.origin = origin
        self.arbiter = arbiter
        self.mints = mints
    }

    /// - Throws: `TradeRefusal` with `.malformed`, which names the member.
    public init(json: JSONObject, origin: String) throws(TradeRefusal) {
        let fields = try TradeFields(json, known: ["id", "key", "within", "mints", "at"])
        self.origin = origin
        arbiter = Quote.Arbiter(
            did: try fields.did("id"),
            key: try fields.point("key"),
            withinSeconds: try fields.number("within", in: TradeBounds.deliverSeconds)
        )
        guard let texts = json["mints"]?.arrayValue?.compactMap(\.stringValue), texts.count <= Self.maximumMints else {
            throw TradeFields.refuse("mints", "are \(Self.maximumMints) URLs at most")
        }
        mints = texts.compactMap { try? MintURL($0) }
    }

    public var json: JSONObject {
        [
            "id": .string(arbiter.did.string), "key": .string(Hex.encode(arbiter.key.compressed)),
            "within": JSONValue(arbiter.withinSeconds), "mints": JSONValue(mints.map(\.string)),
        ]
    }
}
