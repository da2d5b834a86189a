internal import CanonicalJSON
public import Encodings
public import SignedDocuments

/// The forms a passport is issued and accepted in. All say the same of the same agent.
public enum PassportForm: String, Hashable, Sendable, CaseIterable {
    /// An embedded proof over JCS: what agents send, and every node understands.
    case jcs = "eddsa-jcs-2022"
    /// An embedded proof over canonical RDF.
    case rdfc = "eddsa-rdfc-2022"
    /// An embedded proof over JCS with a P-256 key.
    case p256 = "ecdsa-jcs-2019"
    /// A JWT whose payload is the credential (VC-JOSE-COSE 1.0, 3.1.1).
    case jwt = "vc+jwt"
    /// An SD-JWT VC, of which the holder shows what it likes (RFC 9901; draft-ietf-oauth-sd-jwt-vc).
    case sdJWT = "dc+sd-jwt"

    /// The suite of an embedded proof.
    public var cryptosuite: Cryptosuite? { Cryptosuite(rawValue: rawValue) }

    /// The kind of key that this node issues it with.
    public var keyKind: DIDKey.Kind {
        switch self {
        case .jcs, .rdfc, .jwt: .ed25519
        case .p256, .sdJWT: .p256
        }
    }

    /// In which notation its status list is published.
    public var statusFormat: StatusEntry.Format { self == .sdJWT ? .token : .bitstring }

    /// The media type it is handed over with.
    public var mediaType: String {
        switch self {
        case .jcs, .rdfc, .p256: "application/vc"
        case .jwt: "application/vc+jwt"
        case .sdJWT: "application/dc+sd-jwt"
        }
    }
}

/// What a passport's signature is checked on.
enum PassportEnvelope: Sendable {
    case embedded
    case token(SignedToken, text: String)
    case disclosures(SDJWT, text: String)

    var text: String? {
        switch self {
        case .embedded: nil
        case .token(_, let text), .disclosures(_, let text): text
        }
    }

    var canWithhold: Bool {
        if case .disclosures = self { true } else { false }
    }

    func form(_ document: JSONObject) -> PassportForm? {
        switch self {
        case .embedded: PassportForm(rawValue: document["proof"]?["cryptosuite"]?.stringValue ?? "")
        case .token: .jwt
        case .disclosures: .sdJWT
        }
    }

    /// Why the signature is not the issuer's, or `nil`.
    func signatureReason(issuer: DIDKey, document: JSONObject) -> PassportReason? {
        do throws(DocumentError) {
            switch self {
            case .embedded: return try embeddedReason(issuer, document)
            case .token(let token, _): _ = try token.verify(issuer: issuer)
            case .disclosures(let token, _):
                _ = try token.token.verify(issuer: issuer)
                // Whoever asked for the binding checks whom it was made for; what is there must be the holder's.
                if token.keyBindingText != nil { _ = try token.binding() }
            }
            return nil
        } catch {
            return PassportReason(error.code == .wrongSigner ? .wrongIssuer : .badSignature, error.message)
        }
    }

    private func embeddedReason(_ issuer: DIDKey, _ document: JSONObject) throws(DocumentError) -> PassportReason? {
        let proof = try DataIntegrity.verify(document, suites: Set(Cryptosuite.allCases))
        guard proof.controller == issuer.string else {
            return PassportReason(
                .wrongIssuer,
                "the passport names \(issuer) as its issuer but is signed by \(proof.controller)"
            )
        }
        guard proof.expires == nil else {
            return PassportReason(.badSignature, "a passport ends by `validUntil`, its proof must not expire by itself")
        }
        return nil
    }
}

extension Passport {
    /// The type of a passport that is an SD-JWT VC (`vct`).
    public static var credentialType: String { PassportToken.credentialType }

    /// The types of a passport that is a W3C credential.
    public static let credentialTypes = ["VerifiableCredential", "AgentPassportCredential"]

    /// The contexts that passports are written with.
    public static var credentialContexts: [String] { contexts.arrayValue?.compactMap(\.stringValue) ?? [] }

    /// Signs a new passport in any form.
    ///
    /// - Parameters:
    ///   - claims: for ``PassportForm/sdJWT`` with one status entry, in a token status list.
    ///   - key: of the kind that the form is signed with.
    /// - Throws: `PassportReason` with `.malformed`; `DocumentError`.
    public static func issue(
        _ claims: PassportClaims,
        form: PassportForm,
        by key: DocumentKey,
        now: Timestamp
    ) throws -> Passport {
        let document = claims.document(issuer: key.did)
        if let suite = form.cryptosuite {
            return try Passport(document: try DataIntegrity.sign(document, by: key, suite: suite, created: now))
        }
        let text =
            form == .jwt ? try PassportToken.jwt(document, by: key) : try PassportToken.sdJWT(claims, by: key, now)
        return try Passport(bytes: Array(text.utf8))
    }

    /// Reads a token: an SD-JWT where it has a `~`, else a JWT.
    convenience init(token bytes: [UInt8]) throws(PassportReason) {
        let trimmed = bytes.count <= Self.maximumBytes ? Array(bytes.drop { $0 == 0x20 }.prefix { $0 > 0x20 }) : []
        guard !trimmed.isEmpty, let text = String(validating: trimmed, as: UTF8.self) else {
            throw PassportReason(.malformed, "a passport has at most \(Self.maximumBytes) bytes")
        }
        let read: (document: JSONObject, envelope: PassportEnvelope, status: StatusEntry?)
        do throws(DocumentError) {
            read = try Self.read(text)
        } catch {
            throw PassportToken.reason(error)
        }
        try self.init(document: read.document, envelope: read.envelope, tokenStatus: read.status)
    }

    private static func read(
        _ text: String
    ) throws(DocumentError) -> (document: JSONObject, envelope: PassportEnvelope, status: StatusEntry?) {
        if text.utf8.contains(UInt8(ascii: "~")) {
            let token = try SDJWT(text, types: [PassportForm.sdJWT.rawValue])
            let (document, status) = try PassportToken.read(token)
            return (document, .disclosures(token, text: text), status)
        }
        let token = try SignedToken(text, types: [PassportForm.jwt.rawValue], maximumBytes: maximumBytes)
        return (try PassportToken.credential(token.payload), .token(token, text: text), nil)
    }
}
