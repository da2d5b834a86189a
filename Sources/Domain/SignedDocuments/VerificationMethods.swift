public import CanonicalJSON
internal import Cryptography
internal import Encodings

/// The keys behind verification methods: of DIDs that are their own key (`did:key`, `did:jwk`) always, of others as far
/// as their documents were resolved.
public struct VerificationMethods: Sendable {
    /// A key of a resolved document.
    struct Method: Sendable {
        var key: DIDKey
        var controller: String
        var purposes: Set<ProofPurpose>
    }

    private var resolved: [String: Method] = [:]

    /// Only DIDs that are their own key.
    public init() {}

    /// The most keys of one document that are looked at.
    public static let maximumKeys = 32

    /// Adds the keys of a DID document (DID Core 1.0, 5.2 and 5.3), each for the purposes the document lists it under.
    ///
    /// A key of a kind that verifies nothing here is left out. A key that another DID controls is left out too: the
    /// document could claim it for itself.
    /// - Throws: `DocumentError` with `.malformedDID` where the document is not `did`'s.
    public mutating func add(_ document: JSONObject, of did: String) throws(DocumentError) {
        guard document["id"]?.stringValue?.utf8.elementsEqual(did.utf8) == true else {
            throw DocumentError(.malformedDID, "the DID document is not that of \(did.prefix(128))")
        }
        var found: [String: Method] = [:]
        for item in (document["verificationMethod"]?.arrayValue ?? []).prefix(Self.maximumKeys) {
            if let (id, key) = Self.key(item, did) {
                found[id] = Method(key: key, controller: did, purposes: [])
            }
        }
        for purpose in ProofPurpose.allCases {
            for item in (document[purpose.rawValue]?.arrayValue ?? []).prefix(Self.maximumKeys) {
                if let reference = item.stringValue {
                    found[Self.absolute(reference, did)]?.purposes.insert(purpose)
                } else if let (id, key) = Self.key(item, did) {
                    found[id, default: Method(key: key, controller: did, purposes: [])].purposes.insert(purpose)
                }
            }
        }
        resolved.merge(found) { $1 }
    }

    /// The key that a verification method names.
    ///
    /// - Throws: `DocumentError` with `.malformedDID` or `.unsupportedKey`; `.unresolvedDID` where its document is not at
    ///   hand; `.wrongPurpose` where the document does not list it for this purpose.
    public func key(
        of method: String,
        purpose: ProofPurpose
    ) throws(DocumentError) -> (key: DIDKey, controller: String) {
        if method.utf8.starts(with: "did:key:".utf8) {
            let key = try DIDKey(verificationMethod: method)
            return (key, key.string)
        }
        if method.utf8.starts(with: "did:jwk:".utf8) {
            let jwk = try DIDJWK(verificationMethod: method)
            return (jwk.key, jwk.string)
        }
        guard let found = resolved[method] else {
            throw DocumentError(.unresolvedDID, "the key `\(method.prefix(160))` is not in any DID document at hand")
        }
        guard found.purposes.contains(purpose) else {
            throw DocumentError(.wrongPurpose, "\(method.prefix(160)) is not for `\(purpose.rawValue)`")
        }
        return (found.key, found.controller)
    }

    /// A DID's keys for a purpose; of one that is its own key, that.
    public func keys(of did: String, purpose: ProofPurpose) -> [DIDKey] {
        if let key = try? DIDKey(parsing: did) { return [key] }
        if let jwk = try? DIDJWK(parsing: did) { return [jwk.key] }
        return resolved.values.filter { $0.controller == did && $0.purposes.contains(purpose) }.map(\.key)
    }

    private static func absolute(_ id: String, _ did: String) -> String { id.hasPrefix("#") ? did + id : id }

    private static func key(_ item: JSONValue, _ did: String) -> (id: String, key: DIDKey)? {
        guard let id = item["id"]?.stringValue, item["controller"] == nil || item["controller"]?.stringValue == did
        else { return nil }
        let name = absolute(id, did)
        guard name.utf8.starts(with: "\(did)#".utf8) else { return nil }
        if let jwk = item["publicKeyJwk"], let key = try? DIDKey(jwk: jwk) { return (name, key) }
        if let text = item["publicKeyMultibase"]?.stringValue, let key = try? DIDKey(parsing: "did:key:\(text)") {
            return (name, key)
        }
        return nil
    }
}

/// A DID that is a JSON Web Key (`did:jwk`): `did:jwk:` and base64url of the key's JSON; its one method is `#0`.
public struct DIDJWK: Hashable, Sendable, CustomStringConvertible {
    /// The longest text accepted, in bytes.
    public static let maximumLength = 1_024

    public let key: DIDKey
    public let string: String

    /// The did:jwk of a key, with the members of RFC 7638 in their order.
    public init(_ key: DIDKey) {
        self.key = key
        string = "did:jwk:" + Base64URL.encode(key.jwk.serialized())
    }

    /// - Throws: `DocumentError` with `.malformedDID`, or `.unsupportedKey` for a key of another kind.
    public init(parsing text: String) throws(DocumentError) {
        guard text.utf8.count <= Self.maximumLength, text.utf8.starts(with: "did:jwk:".utf8),
            let bytes = try? Base64URL.decode(String(decoding: text.utf8.dropFirst(8), as: UTF8.self)),
            let json = try? JSONValue.parse(
                bytes,
                limits: JSONLimits(maximumBytes: 1_024, maximumDepth: 4, maximumValues: 32)
            )
        else {
            throw DocumentError(.malformedDID, "a did:jwk is `did:jwk:` and the base64url of a JSON Web Key")
        }
        guard json["d"] == nil else {
            throw DocumentError(.malformedDID, "a did:jwk must not give its private key away")
        }
        key = try DIDKey(jwk: json)
        string = text
    }

    /// Reads `did:jwk:…#0`.
    public init(verificationMethod text: String) throws(DocumentError) {
        guard text.hasSuffix("#0") else {
            throw DocumentError(.malformedDID, "the verification method of a did:jwk ends in `#0`")
        }
        self = try DIDJWK(parsing: String(text.dropLast(2)))
    }

    public var verificationMethod: String { string + "#0" }
    public var description: String { string }
}

extension DIDKey {
    /// The key as a JSON Web Key (RFC 7517, RFC 8037): the members that its thumbprint covers, in their order.
    public var jwk: JSONObject {
        switch kind {
        case .ed25519: return ["crv": "Ed25519", "kty": "OKP", "x": .string(Base64URL.encode(publicKey))]
        case .p256, .secp256k1:
            let point = uncompressed
            return [
                "crv": kind == .p256 ? "P-256" : "secp256k1", "kty": "EC",
                "x": .string(Base64URL.encode([UInt8](point.dropFirst().prefix(32)))),
                "y": .string(Base64URL.encode([UInt8](point.suffix(32)))),
            ]
        }
    }

    /// SEC 1 uncompressed form of a curve point; empty for another key.
    private var uncompressed: [UInt8] {
        switch kind {
        case .ed25519: []
        case .p256: p256?.uncompressed ?? []
        case .secp256k1: (try? Secp256k1.Point(compressed: publicKey))?.uncompressed ?? []
        }
    }

    /// The key of a JSON Web Key. Members that say nothing of the key's numbers are passed over, save `use`.
    ///
    /// - Throws: `DocumentError` with `.unsupportedKey` or `.malformedKey`.
    public init(jwk: JSONValue) throws(DocumentError) {
        func bytes(_ name: String) throws(DocumentError) -> [UInt8] {
            guard let text = jwk[name]?.stringValue, !text.utf8.contains(UInt8(ascii: "=")),
                let bytes = try? Base64URL.decode(text), bytes.count == 32
            else { throw DocumentError(.malformedKey, "`\(name)` of a key must be base64url of 32 bytes") }
            return bytes
        }
        guard jwk["use"] == nil || jwk["use"] == "sig" else {
            throw DocumentError(.unsupportedKey, "the key is not one that signs")
        }
        do {
            switch (jwk["kty"]?.stringValue, jwk["crv"]?.stringValue) {
            case ("OKP", "Ed25519"):
                self.init(try Ed25519.PublicKey(bytes: try bytes("x")))
            case ("EC", "P-256"):
                self.init(try P256.PublicKey(uncompressed: [4] + (try bytes("x")) + (try bytes("y"))))
            case ("EC", "secp256k1"):
                let point = try Secp256k1.Point(uncompressed: [4] + (try bytes("x")) + (try bytes("y")))
                self.init(kind: .secp256k1, publicKey: point.compressed)
            default: throw DocumentError(.unsupportedKey, "only Ed25519, P-256 and secp256k1 keys are known here")
            }
        } catch let error as DocumentError {
            throw error
        } catch {
            throw DocumentError(.malformedKey, "the numbers are no key: \(error)")
        }
    }

    /// The SHA-256 thumbprint of the key (RFC 7638), base64url.
    public var thumbprint: String { Base64URL.encode(Hashing.sha256(jwk.serialized())) }
}
