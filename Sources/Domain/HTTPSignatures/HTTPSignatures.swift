public import Cryptography
public import Encodings
public import SignedDocuments

/// A request signature that verified.
public struct VerifiedRequestSignature: Hashable, Sendable {
    /// Whose key signed the request.
    public var keyID: DIDKey
    /// To be kept, with the key, until ``expires``: a second request with it is a replay.
    public var nonce: String
    public var created: Timestamp
    public var expires: Timestamp

    public init(keyID: DIDKey, nonce: String, created: Timestamp, expires: Timestamp) {
        self.keyID = keyID
        self.nonce = nonce
        self.created = created
        self.expires = expires
    }
}

/// HTTP Message Signatures (RFC 9421) in the profile of a Mintmark call; `Specs/passport.md` has its clauses.
///
/// Ed25519 only; `keyid` is a did:key; `tag` is `mintmark-call`. Covered: `@method`, `@target-uri`, `content-digest` where
/// there is a body, and each present header of ``sensitiveHeaders``. Parameters: `created`, `expires` (at most
/// ``maximumLifetimeSeconds`` later), `nonce`, `keyid`, `tag`, and `alg` where given.
public enum HTTPSignatures {
    public static let tag = "mintmark-call"
    /// The label we write; any is read.
    public static let label = "mintmark"
    /// The most between `created` and `expires`, in seconds.
    public static let maximumLifetimeSeconds: Int64 = 60
    /// How far ahead of our clock `created` may lie, in seconds.
    public static let clockSkewSeconds: Int64 = 15
    /// Headers that carry authority or money: where one is there, it must be covered.
    public static let sensitiveHeaders = [
        "agent-passport", "agent-delegation", "idempotency-key", "x-cashu", "payment-signature", "x-payment",
        "authorization",
    ]
    /// The longest `Signature-Input` and `Signature` read, in bytes.
    public static let maximumFieldBytes = 4096
    /// Bounds of a nonce, in characters of base64url or hex.
    public static let nonceLength = 16...128

    /// What must be covered of this request, in the order we write it.
    public static func requiredComponents(_ facts: RequestFacts) -> [String] {
        var components = ["@method", "@target-uri"]
        if facts.hasBody || facts.has("content-digest") { components.append("content-digest") }
        components.append(contentsOf: sensitiveHeaders.filter { facts.has($0) })
        return components
    }

    // MARK: Signing

    /// Signs a request as the client will send it. All headers that matter must be in `facts`.
    ///
    /// - Parameters:
    ///   - expires: at most ``maximumLifetimeSeconds`` after `created`.
    ///   - nonce: fresh for every request; at least 16 random bytes.
    /// - Returns: the values of the headers `Signature-Input` and `Signature`.
    public static func sign(
        _ facts: RequestFacts,
        key: Ed25519.PrivateKey,
        created: Timestamp,
        expires: Timestamp,
        nonce: [UInt8] = SecureRandom.bytes(16)
    ) throws -> (signatureInput: String, signature: String) {
        try sign(facts, by: DocumentSigner(key), created: created, expires: expires, nonce: nonce)
    }

    /// As ``sign(_:key:created:expires:nonce:)``, without working out the signer's DID again.
    public static func sign(
        _ facts: RequestFacts,
        by signer: DocumentSigner,
        created: Timestamp,
        expires: Timestamp,
        nonce: [UInt8] = SecureRandom.bytes(16)
    ) throws -> (signatureInput: String, signature: String) {
        let lifetime = expires.secondsSince1970 - created.secondsSince1970
        guard (1...maximumLifetimeSeconds).contains(lifetime) else {
            throw HTTPSignatureError(
                .badParameter,
                "`expires` must lie 1 to \(maximumLifetimeSeconds) s after `created`"
            )
        }
        let nonceText = Base64URL.encode(nonce)
        guard nonceLength.contains(nonceText.utf8.count) else {
            throw HTTPSignatureError(.badParameter, "a nonce must have 12 to 96 bytes")
        }
        let components = requiredComponents(facts)
        var parameters = FieldParameters()
        parameters.set("created", .integer(created.secondsSince1970))
        parameters.set("expires", .integer(expires.secondsSince1970))
        parameters.set("nonce", .string(nonceText))
        parameters.set("alg", .string("ed25519"))
        parameters.set("keyid", .string(signer.did.string))
        parameters.set("tag", .string(tag))
        let input = innerList(components.map { FieldItem(value: .string($0)) }, parameters)
        let base = try SignatureBase.build(components: components, parameters: input, facts: facts)
        let signature = try signer.key.sign(.request(base))
        return ("\(label)=\(input)", "\(label)=\(BareItem.bytes(signature).serialized)")
    }

    // MARK: Verifying

    /// Checks that the request was signed by the key it names, over all that matters, and just now.
    ///
    /// The nonce is not looked at here: whoever calls keeps those seen until their `expires`.
    ///
    /// - Throws: `HTTPSignatureError`.
    public static func verify(
        _ facts: RequestFacts,
        now: Timestamp
    ) throws(HTTPSignatureError) -> VerifiedRequestSignature {
        let found = try find(facts)
        let components = try names(found.items)
        for component in requiredComponents(facts) where !components.contains(component) {
            throw HTTPSignatureError(.notCovered, "the signature must cover `\(component)`")
        }
        let claims = try SignatureClaims(found.parameters)
        guard claims.created <= now.adding(seconds: clockSkewSeconds) else {
            throw HTTPSignatureError(.fromFuture, "the signature was made at \(claims.created), our clock says \(now)")
        }
        guard now < claims.expires else {
            throw HTTPSignatureError(.expired, "the signature ended at \(claims.expires), our clock says \(now)")
        }
        let base = try SignatureBase.build(
            components: components,
            parameters: innerList(found.items, found.parameters),
            facts: facts
        )
        guard claims.key.isValid(signature: found.signature, for: base) else {
            throw HTTPSignatureError(.invalid, "the signature of \(claims.keyID) does not match this request")
        }
        return VerifiedRequestSignature(
            keyID: claims.keyID,
            nonce: claims.nonce,
            created: claims.created,
            expires: claims.expires
        )
    }

    private struct Found {
        var items: [FieldItem]
        var parameters: FieldParameters
        var signature: [UInt8]
    }

    /// The one signature with our tag; others, of proxies for example, are not ours to judge.
    private static func find(_ facts: RequestFacts) throws(HTTPSignatureError) -> Found {
        guard let inputText = facts.value("signature-input"), let signatureText = facts.value("signature") else {
            throw HTTPSignatureError(.missing, "the request must carry `Signature-Input` and `Signature`")
        }
        let inputs = try StructuredFieldParser.dictionary(inputText, maximumBytes: maximumFieldBytes)
        let signatures = try StructuredFieldParser.dictionary(signatureText, maximumBytes: maximumFieldBytes)
        var found: Found?
        for (label, member) in inputs {
            guard case .innerList(let items, let parameters) = member else {
                throw HTTPSignatureError(.malformed, "`\(label)` in Signature-Input is no list of components")
            }
            guard parameters["tag"]?.string == tag else { continue }
            guard found == nil else {
                throw HTTPSignatureError(.malformed, "two signatures carry the tag `\(tag)`")
            }
            guard case .item(let item)? = signatures.first(where: { $0.key == label })?.value,
                let signature = item.value.bytes, signature.count == 64
            else {
                throw HTTPSignatureError(.malformed, "`Signature` lacks the 64 bytes of `\(label)`")
            }
            found = Found(items: items, parameters: parameters, signature: signature)
        }
        guard let found else {
            throw HTTPSignatureError(.missing, "no signature carries the tag `\(tag)`")
        }
        return found
    }

    /// Component names: lower-case strings, none twice, none with parameters.
    private static func names(_ items: [FieldItem]) throws(HTTPSignatureError) -> [String] {
        var names: [String] = []
        for item in items {
            guard let name = item.value.string, item.parameters.entries.isEmpty, name == name.lowercased() else {
                throw HTTPSignatureError(
                    .unsupportedComponent,
                    "components must be lower-case strings without parameters, not \(item.serialized)"
                )
            }
            guard !names.contains(name) else {
                throw HTTPSignatureError(.malformed, "`\(name)` is covered twice")
            }
            names.append(name)
        }
        return names
    }

    static func innerList(_ items: [FieldItem], _ parameters: FieldParameters) -> String {
        "(" + items.map(\.serialized).joined(separator: " ") + ")" + parameters.serialized
    }
}

/// The parameters of a signature, within their bounds.
private struct SignatureClaims {
    let created: Timestamp
    let expires: Timestamp
    let nonce: String
    let keyID: DIDKey
    let key: Ed25519.PublicKey

    private static let known: Set<String> = ["created", "expires", "nonce", "alg", "keyid", "tag"]

    init(_ parameters: FieldParameters) throws(HTTPSignatureError) {
        for entry in parameters.entries where !Self.known.contains(entry.key) {
            throw HTTPSignatureError(.badParameter, "the signature parameter `\(entry.key)` is not known here")
        }
        guard let created = parameters["created"]?.integer, let expires = parameters["expires"]?.integer,
            (0...253_402_300_799).contains(created), expires > created,
            expires - created <= HTTPSignatures.maximumLifetimeSeconds
        else {
            throw HTTPSignatureError(
                .badParameter,
                "`created` and `expires` must be there, at most \(HTTPSignatures.maximumLifetimeSeconds) s apart"
            )
        }
        self.created = Timestamp(secondsSince1970: created)
        self.expires = Timestamp(secondsSince1970: expires)
        guard let nonce = parameters["nonce"]?.string, HTTPSignatures.nonceLength.contains(nonce.utf8.count) else {
            throw HTTPSignatureError(.badParameter, "`nonce` must have 16 to 128 characters")
        }
        self.nonce = nonce
        if let algorithm = parameters["alg"], algorithm.string != "ed25519" {
            throw HTTPSignatureError(.unsupportedKey, "`alg` must be ed25519")
        }
        guard let text = parameters["keyid"]?.string, let keyID = try? DIDKey(parsing: text), let key = keyID.ed25519
        else {
            throw HTTPSignatureError(.unsupportedKey, "`keyid` must be a did:key of an Ed25519 key")
        }
        self.keyID = keyID
        self.key = key
    }
}
