public import CanonicalJSON
internal import Encodings

/// A JWS that is a document of ours or of another issuer: one media type, EdDSA, ES256 or ES256K, and a key that is known by its
/// DID. What a header could do to steer a verifier to another key or another reading is refused, not ignored.
public struct SignedToken: Sendable {
    /// The longest token read, in bytes, where nothing else is said.
    public static let maximumBytes = 64 * 1_024

    /// Members of a header that name or bring a key, or change how the token is read.
    private static let refused = ["jwk", "jku", "x5c", "x5u", "x5t", "x5t#S256", "crit", "b64", "zip", "enc"]

    public let jws: JWS
    public let payload: JSONObject

    /// Reads a token; nothing in it is to be believed before ``verify(issuer:methods:purpose:)``.
    ///
    /// - Parameter types: the `typ` that are accepted, compared without regard to case, `application/` or not.
    /// - Throws: `DocumentError` with `.malformedProof`, `.unsupportedProof` (an algorithm or header that is not
    ///   accepted), `.wrongTokenType`.
    public init(
        _ text: String,
        types: [String],
        maximumBytes: Int = SignedToken.maximumBytes,
        limits: JSONLimits? = nil,
        allowsEmbeddedKey: Bool = false
    ) throws(DocumentError) {
        jws = try JWS(compact: text, maximumBytes: maximumBytes)
        guard jws.algorithm != .rs256 else {
            throw DocumentError(.unsupportedProof, "tokens are signed with EdDSA, ES256 or ES256K here")
        }
        for name in Self.refused where jws.header.contains(name) && !(name == "jwk" && allowsEmbeddedKey) {
            throw DocumentError(.unsupportedProof, "`\(name)` in a token's header is not accepted")
        }
        let type = Self.plain(jws.header["typ"]?.stringValue ?? "")
        guard types.contains(where: { Self.plain($0) == type }) else {
            throw DocumentError(
                .wrongTokenType,
                "the token is of type \"\(type.prefix(40))\", not \(types.joined(separator: " or "))"
            )
        }
        // Where the header says what is inside, it is what the type says (VC-JOSE-COSE 1.0, 3.1).
        guard jws.header["cty"].map({ Self.plain($0.stringValue ?? "") + "+jwt" == type }) ?? true else {
            throw DocumentError(.unsupportedProof, "`cty` in a token's header says otherwise than its `typ`")
        }
        do {
            payload = try JSONValue.parse(
                jws.payload,
                limits: limits ?? JSONLimits(maximumBytes: maximumBytes, maximumDepth: 16, maximumValues: 4_096)
            ).requireObject("the payload")
        } catch {
            throw DocumentError(.malformedProof, "the token's payload is no JSON object: \(error)")
        }
    }

    private static func plain(_ type: String) -> String {
        let lower = type.lowercased()
        return lower.hasPrefix("application/") ? String(lower.dropFirst(12)) : lower
    }

    /// The key that made the signature: one of the issuer's own, the one that `kid` names where it names one.
    ///
    /// - Parameter issuer: the DID that must have signed.
    /// - Throws: `DocumentError` with `.wrongSigner` where `kid` is another's, `.badSignature`, `.unresolvedDID`,
    ///   `.malformedDID`.
    public func verify(
        issuer: String,
        methods: VerificationMethods = VerificationMethods(),
        purpose: ProofPurpose = .assertionMethod
    ) throws(DocumentError) -> DIDKey {
        if let kid = jws.header["kid"] {
            guard let kid = kid.stringValue, kid.utf8.count <= 2 * DIDJWK.maximumLength else {
                throw DocumentError(.malformedProof, "`kid` must be a string")
            }
            let method = kid.hasPrefix("#") ? issuer + kid : kid
            guard method.utf8.starts(with: "\(issuer)#".utf8) else {
                throw DocumentError(
                    .wrongSigner,
                    "the token names the key \(kid.prefix(160)), which is not its issuer's"
                )
            }
            let key = try methods.key(of: method, purpose: purpose).key
            guard jws.isSigned(by: key) else { throw mismatch(issuer) }
            return key
        }
        let keys = methods.keys(of: issuer, purpose: purpose)
        guard !keys.isEmpty else {
            throw DocumentError(.unresolvedDID, "no key of \(issuer.prefix(160)) is at hand")
        }
        guard let key = keys.first(where: { jws.isSigned(by: $0) }) else { throw mismatch(issuer) }
        return key
    }

    /// As ``verify(issuer:methods:purpose:)``, for an issuer that is its own key and was read already.
    public func verify(issuer: DIDKey) throws(DocumentError) -> DIDKey {
        if let kid = jws.header["kid"], kid.stringValue?.hasSameCodeUnits(as: issuer.verificationMethod) != true {
            return try verify(issuer: issuer.string)
        }
        guard jws.isSigned(by: issuer) else { throw mismatch(issuer.string) }
        return issuer
    }

    private func mismatch(_ issuer: String) -> DocumentError {
        DocumentError(.badSignature, "the signature does not match, or is not by a key of \(issuer.prefix(160))")
    }

    /// Signs a payload.
    ///
    /// - Parameter header: members beside `alg`, `typ` and `kid`.
    /// - Throws: `DocumentError` with `.notSignable`.
    public static func sign(
        _ payload: JSONObject,
        type: String,
        by key: DocumentKey,
        header: JSONObject = JSONObject(),
        namesKey: Bool = true
    ) throws(DocumentError) -> String {
        var members: JSONObject = ["alg": .string(key.algorithm.rawValue), "typ": .string(type)]
        if namesKey { members["kid"] = .string(key.verificationMethod) }
        for (name, value) in header { members[name] = value }
        let input = Base64URL.encode(members.serialized()) + "." + Base64URL.encode(payload.serialized())
        return input + "." + Base64URL.encode(try key.signature(.token(Array(input.utf8)), of: "token"))
    }
}
