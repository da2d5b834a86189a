// Well-known secrets (NUT-10): secrets that carry a condition for spending.
import CanonicalJSON
import Encodings

/// The secret `["kind", {"nonce": …, "data": …, "tags": [[…], …]}]` of NUT-10.
public struct SpendingSecret: Hashable, Sendable {
    /// Such as `P2PK` or `HTLC`.
    public var kind: String
    public var nonce: String
    /// What the condition is about; for P2PK a public key, for HTLC a hash.
    public var data: String
    /// Each tag has a name and zero or more values, none of them empty.
    public var tags: [[String]]

    /// Pay to public key (NUT-11).
    public static let p2pk = "P2PK"
    /// Hashed timelock contract (NUT-14).
    public static let htlc = "HTLC"

    /// - Parameter nonce: a unique random string, such as 32 random bytes in hex.
    public init(kind: String, nonce: String, data: String, tags: [[String]] = []) {
        self.kind = kind
        self.nonce = nonce
        self.data = data
        self.tags = tags
    }

    /// The secret as it stands in `Proof.secret`: compact JSON in the order of NUT-10. `tags` is left out where empty.
    ///
    /// - Throws: ``CashuError/Code/tooLarge`` beyond ``CashuLimits/secretBytes``, which mints refuse.
    public func serialized() throws(CashuError) -> String {
        var body: JSONObject = ["nonce": .string(nonce), "data": .string(data)]
        if !tags.isEmpty {
            body["tags"] = .array(tags.map { .array($0.map(JSONValue.string)) })
        }
        let value: JSONValue = .array([.string(kind), .object(body)])
        let text = String(decoding: value.serialized(), as: UTF8.self)
        guard text.utf8.count <= CashuLimits.secretBytes else {
            throw CashuError(
                .tooLarge,
                "the condition makes a secret of \(text.utf8.count) bytes; at most \(CashuLimits.secretBytes) fit"
            )
        }
        return text
    }

    /// Equal by bytes, never by canonical equivalence.
    public static func == (first: SpendingSecret, second: SpendingSecret) -> Bool {
        first.nonce.hasSameCodeUnits(as: second.nonce) && first.hasSameCondition(as: second)
    }

    public func hash(into hasher: inout Hasher) {
        for byte in data.utf8 { hasher.combine(byte) }
    }

    /// Same kind, data and tags, as SIG_ALL demands of all inputs (NUT-11).
    public func hasSameCondition(as other: SpendingSecret) -> Bool {
        kind.hasSameCodeUnits(as: other.kind) && data.hasSameCodeUnits(as: other.data)
            && tags.elementsEqual(other.tags) { $0.elementsEqual($1, by: { $0.hasSameCodeUnits(as: $1) }) }
    }
}

/// What a secret turns out to be.
public enum SecretKind: Hashable, Sendable {
    /// Any string that isn't a well-known secret: whoever has the proof may spend it.
    case plain
    case conditional(SpendingSecret)
    /// Looks like a well-known secret but breaks NUT-10's form. Nobody may spend it; the text says why.
    ///
    /// NUT-10 leaves the case open. Taking it for a plain secret would turn a slip in a lock (or a difference between
    /// two JSON parsers, such as a member given twice) into money for whoever comes first, so it is refused.
    case malformed(String)

    /// Classifies a secret. Only a JSON array of a string and an object counts as an attempt at NUT-10; so does
    /// anything that starts like an array but isn't JSON.
    public init(of secret: String) {
        let isWhitespace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }
        guard secret.utf8.first(where: { !isWhitespace($0) }) == 0x5B else {
            self = .plain
            return
        }
        let limits = JSONLimits(
            maximumBytes: CashuLimits.secretBytes,
            maximumDepth: 8,
            maximumValues: CashuLimits.secretBytes,
            acceptsUInt64: true
        )
        do {
            let json = try JSONValue.parse(Array(secret.utf8), limits: limits)
            guard let items = json.arrayValue, items.count >= 2, items[0].stringValue != nil,
                items[1].objectValue != nil
            else {
                self = .plain
                return
            }
            self = .conditional(try SecretKind.wellKnown(items))
        } catch {
            self = .malformed("the secret isn't a valid NUT-10 secret: \(error)")
        }
    }

    private static func wellKnown(_ items: [JSONValue]) throws -> SpendingSecret {
        guard items.count == 2, let kind = items[0].stringValue else {
            throw CashuError(.malformed, "it must have exactly two elements, kind and body")
        }
        let body = items[1]
        let nonce = try body.string("nonce")
        let data = try body.string("data")
        var tags: [[String]] = []
        switch body["tags"] {
        case nil, .null?: break
        case .array(let values)?: tags = try values.map(tag)
        default: throw CashuError(.malformed, "`tags` must be an array of arrays of strings")
        }
        return SpendingSecret(kind: kind, nonce: nonce, data: data, tags: tags)
    }

    /// One or more non-empty strings (NUT-10 "Tag format").
    private static func tag(_ value: JSONValue) throws -> [String] {
        guard let items = value.arrayValue, !items.isEmpty else {
            throw CashuError(.malformed, "each tag must be an array of at least one string")
        }
        return try items.map { item in
            guard let text = item.stringValue, !text.isEmpty else {
                throw CashuError(.malformed, "a tag holds non-empty strings only")
            }
            return text
        }
    }
}
