public import CanonicalJSON
public import Encodings

/// A set of public keys (RFC 7517, 5), each named by its thumbprint (RFC 7638): what a directory of request signatures holds,
/// and what the `jku` of a signed card leads to.
public struct PublicKeySet: Sendable {
    /// The longest set read, in bytes.
    public static let maximumBytes = 64 * 1_024
    /// The most keys of a set that are looked at; a set with more is refused.
    public static let maximumKeys = 64

    /// A key of a set, with the seconds since 1970 between which it may be used, where the set says.
    struct Entry: Sendable {
        var key: DIDKey
        var name: String?
        var notBefore: Int64?
        var expires: Int64?
    }

    private let entries: [String: Entry]

    /// Reads a set. Keys that verify nothing here are left out.
    ///
    /// - Parameter namesThumbprints: whether a `kid` must be its key's thumbprint, as in a directory; elsewhere it is a label
    ///   of the set's own and says nothing.
    /// - Throws: `DocumentError` with `.malformedKey` where this is no set, has too many keys, or a key that tells its private
    ///   half or is named by another's thumbprint.
    public init(_ bytes: [UInt8], namesThumbprints: Bool = true) throws(DocumentError) {
        let limits = JSONLimits(maximumBytes: Self.maximumBytes, maximumDepth: 6, maximumValues: 2_048)
        guard let keys = (try? JSONValue.parse(bytes, limits: limits))?["keys"]?.arrayValue,
            keys.count <= Self.maximumKeys
        else {
            throw DocumentError(.malformedKey, "a key set is an object with at most \(Self.maximumKeys) `keys`")
        }
        var entries: [String: Entry] = [:]
        for json in keys {
            guard json["d"] == nil else {
                throw DocumentError(.malformedKey, "the key set gives a private key away")
            }
            guard let key = try? DIDKey(jwk: json) else { continue }
            if namesThumbprints, let name = json["kid"] {
                guard name.stringValue == key.thumbprint else {
                    throw DocumentError(.malformedKey, "a key is named by what is not its thumbprint")
                }
            }
            entries[key.thumbprint] = Entry(
                key: key,
                name: json["kid"]?.stringValue,
                notBefore: json["nbf"]?.int64Value,
                expires: json["exp"]?.int64Value
            )
        }
        self.entries = entries
    }

    /// The key with this thumbprint, where it may be used now.
    public func key(_ thumbprint: String, now: Timestamp) -> DIDKey? {
        guard let entry = entries[thumbprint], now.secondsSince1970 >= entry.notBefore ?? 0,
            now.secondsSince1970 < entry.expires ?? .max
        else { return nil }
        return entry.key
    }

    /// The keys with the names that the set gives them, their thumbprints where it gives none; in no order. Whoever uses this
    /// looks at no dates.
    public var named: [(name: String, key: DIDKey)] { entries.map { ($0.value.name ?? $0.key, $0.value.key) } }

    /// The set of these keys, as it is published.
    public static func document(_ keys: [DIDKey]) -> JSONObject {
        [
            "keys": .array(
                keys.map { key in
                    var json = key.jwk
                    json["kid"] = .string(key.thumbprint)
                    json["use"] = "sig"
                    return .object(json)
                }
            )
        ]
    }
}
