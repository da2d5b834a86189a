// JSON Web Signatures in the compact form (RFC 7515), as an OpenID Connect issuer makes them, and the keys it publishes.
public import CanonicalJSON
import Cryptography
import Encodings

/// The algorithms that are verified: asymmetric ones only. `none` and the HMACs cannot be named here, so that no token
/// can ask for them.
public enum JWSAlgorithm: String, Hashable, Sendable, CaseIterable {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
    case rs256 = "RS256"
    /// ECDSA over P-256 with SHA-256 (RFC 7518 §3.4).
    case es256 = "ES256"
    /// ECDSA over secp256k1 with SHA-256 (RFC 8812 §3.2): of others' tokens; nothing of ours is signed with it.
    case es256K = "ES256K"
    /// Ed25519 (RFC 8037 §3.1).
    case edDSA = "EdDSA"
}

/// A public key that verifies one algorithm (RFC 7517).
public struct JSONWebKey: Sendable {
    private enum Key: Sendable {
        case rsa(RSA.PublicKey)
        case p256(P256.PublicKey)
        case ed25519(Ed25519.PublicKey)
    }

    /// The key's own name in its set.
    public let id: String?
    public let algorithm: JWSAlgorithm
    private let key: Key

    /// - Throws: `DocumentError` `unsupportedKey` for another kind, curve or purpose, or where `alg` is of another kind than
    ///   the key; `malformedKey` where the numbers are no key.
    public init(json: JSONValue) throws(DocumentError) {
        id = json["kid"]?.stringValue
        guard json["use"] == nil || json["use"] == "sig" else {
            throw DocumentError(.unsupportedKey, "the key is not one that signs")
        }
        if let operations = json["key_ops"]?.arrayValue, !operations.contains("verify") {
            throw DocumentError(.unsupportedKey, "the key is not one that signs")
        }
        switch (json["kty"]?.stringValue, json["crv"]?.stringValue) {
        case ("RSA", _):
            algorithm = .rs256
            let (modulus, exponent) = (try Self.bytes(json, "n"), try Self.bytes(json, "e"))
            key = try Self.make { .rsa(try RSA.PublicKey(modulus: modulus, exponent: exponent)) }
        case ("EC", "P-256"):
            algorithm = .es256
            let (x, y) = (try Self.bytes(json, "x"), try Self.bytes(json, "y"))
            guard x.count == 32, y.count == 32 else {
                throw DocumentError(.malformedKey, "the coordinates of a P-256 key have 32 bytes each")
            }
            key = try Self.make { .p256(try P256.PublicKey(uncompressed: [4] + x + y)) }
        case ("OKP", "Ed25519"):
            algorithm = .edDSA
            let x = try Self.bytes(json, "x")
            key = try Self.make { .ed25519(try Ed25519.PublicKey(bytes: x)) }
        default:
            throw DocumentError(.unsupportedKey, "only RSA, P-256 and Ed25519 keys are verified with")
        }
        guard json["alg"] == nil || json["alg"]?.stringValue == algorithm.rawValue else {
            throw DocumentError(.unsupportedKey, "the key is for another algorithm than \(algorithm.rawValue)")
        }
    }

    /// The keys of a set that can be used here; others are left out (RFC 7517 §5). At most 64 are looked at.
    public static func set(json: JSONValue) throws(DocumentError) -> [JSONWebKey] {
        guard let keys = json["keys"]?.arrayValue else {
            throw DocumentError(.malformedKey, "a key set has a list named `keys`")
        }
        return keys.prefix(64).compactMap { try? JSONWebKey(json: $0) }
    }

    private static func make(_ key: () throws -> Key) throws(DocumentError) -> Key {
        do {
            return try key()
        } catch {
            throw DocumentError(.malformedKey, "the key cannot be used: \(error)")
        }
    }

    private static func bytes(_ json: JSONValue, _ name: String) throws(DocumentError) -> [UInt8] {
        guard let text = json[name]?.stringValue, !text.contains("="), let bytes = try? Base64URL.decode(text) else {
            throw DocumentError(.malformedKey, "`\(name)` of a key must be base64url without padding")
        }
        return bytes
    }

    func isValid(signature: [UInt8], for message: [UInt8]) -> Bool {
        switch key {
        case .rsa(let key): key.isValid(signature: signature, for: message)
        case .p256(let key): key.isValid(signature: signature, for: message)
        case .ed25519(let key): key.isValid(signature: signature, for: message)
        }
    }
}

/// A signed text in three parts, `header.payload.signature`. Nothing in it is to be believed before ``isSigned(by:)``.
public struct JWS: Sendable {
    /// The longest text that is read, in bytes. Access tokens have one or two thousand.
    public static let maximumBytes = 16 * 1024

    public let algorithm: JWSAlgorithm
    /// Which key the signer says it used; a hint.
    public let keyID: String?
    /// All that stands beside the payload, under the signature.
    public let header: JSONObject
    public let payload: [UInt8]
    private let signingInput: [UInt8]
    private let signature: [UInt8]

    /// Reads the compact form.
    ///
    /// Refused: padding, an algorithm that ``JWSAlgorithm`` does not list, and `crit`, as no extension is understood
    /// here (RFC 7515 §4.1.11). Keys that the token brings along (`jwk`, `jku`, `x5c`) are never looked at.
    /// - Throws: `DocumentError` `malformedProof`, `unsupportedProof`.
    public init(compact text: String, maximumBytes: Int = JWS.maximumBytes) throws(DocumentError) {
        let malformed = DocumentError(
            .malformedProof,
            "a JWS is three parts of base64url without padding, with dots between"
        )
        guard text.utf8.count <= maximumBytes else { throw malformed }
        // By bytes: to walk a token by characters would cost about as much as to check its signature.
        let bytes = Array(text.utf8)
        let parts = bytes.split(separator: UInt8(ascii: "."), maxSplits: 3, omittingEmptySubsequences: false)
        func decode(_ part: ArraySlice<UInt8>) -> [UInt8]? {
            try? Base64URL.decode(String(decoding: part, as: UTF8.self))
        }
        guard !bytes.contains(UInt8(ascii: "=")), parts.count == 3, let head = decode(parts[0]),
            let payload = decode(parts[1]), let signature = decode(parts[2]),
            let header = (try? JSONValue.parse(head))?.objectValue
        else { throw malformed }
        let name = header["alg"]?.stringValue ?? ""
        // RFC 9864 names the curve; RFC 8037's name, of which Ed25519 alone is known here, stays good.
        guard let algorithm = JWSAlgorithm(rawValue: name == "Ed25519" ? "EdDSA" : name) else {
            throw DocumentError(.unsupportedProof, "tokens signed with \"\(name.prefix(20))\" are not accepted")
        }
        guard header["crit"] == nil else {
            throw DocumentError(.unsupportedProof, "the token asks for an extension that is not understood here")
        }
        self.algorithm = algorithm
        self.header = header
        keyID = header["kid"]?.stringValue
        self.payload = payload
        self.signature = signature
        signingInput = Array(bytes[..<parts[1].endIndex])
    }

    /// Whether this key made the signature, with the algorithm of its kind.
    public func isSigned(by key: DIDKey) -> Bool {
        key.algorithm == algorithm && key.isValid(signature: signature, for: signingInput)
    }

    /// Whether one of the keys made the signature: of those for the token's algorithm the one it names, or each where
    /// it names none.
    public func isSigned(by keys: [JSONWebKey]) -> Bool {
        candidates(keys).contains { $0.isValid(signature: signature, for: signingInput) }
    }

    /// Whether the keys hold one that could have signed: where not, the signer may have a new one.
    public func hasCandidate(in keys: [JSONWebKey]) -> Bool { !candidates(keys).isEmpty }

    private func candidates(_ keys: [JSONWebKey]) -> [JSONWebKey] {
        keys.filter { $0.algorithm == algorithm && (keyID == nil || $0.id == keyID) }
    }
}
