public import CanonicalJSON
public import Encodings
public import SignedDocuments

/// A Verifiable Presentation (Data Model 2.0, 4.13): credentials that their holder shows to one verifier, in answer to
/// its challenge; with an embedded proof, or as a `vp+jwt` (VC-JOSE-COSE 1.0, 3.1.2).
public struct Presentation: Sendable {
    /// The longest presentation read, in bytes.
    public static let maximumBytes = 256 * 1_024
    public static let maximumCredentials = 16
    /// How long ago a presentation may have been signed where the caller says nothing else, in seconds.
    public static let maximumAgeSeconds: Int64 = 300

    /// With its proof where that is embedded, else what the token says of it.
    public let document: JSONObject
    public let holder: String?
    public let credentials: [Credential]
    let token: PresentationToken?

    /// - Throws: `PassportReason` with `.malformed`, `.unsupportedProof` or `.claimsContradict`, or what a credential in it
    ///   throws.
    public init(_ value: JSONValue) throws(PassportReason) {
        if let text = value.stringValue {
            try self.init(token: text)
            return
        }
        guard let object = value.objectValue else { throw CredentialShape.refuse("a presentation is an object") }
        let types = object["type"].map { $0.arrayValue ?? [$0] } ?? []
        if types.contains("EnvelopedVerifiablePresentation") {
            try CredentialShape.contexts(.array(object["@context"].map { $0.arrayValue ?? [$0] } ?? []))
            try self.init(token: try PresentationToken.text(object["id"]?.stringValue))
            return
        }
        guard object["proof"]?.objectValue != nil else {
            throw PassportReason(.badSignature, "the presentation carries no proof, or more than one")
        }
        try self.init(object, token: nil)
    }

    /// Reads a `vp+jwt`.
    public init(token text: String) throws(PassportReason) {
        let token: PresentationToken
        do throws(DocumentError) {
            token = try PresentationToken(text)
        } catch {
            throw PassportToken.reason(error)
        }
        try self.init(token.document, token: token)
    }

    private init(_ object: JSONObject, token: PresentationToken?) throws(PassportReason) {
        try CredentialShape.contexts(object["@context"])
        try CredentialShape.types(object["type"], need: "VerifiablePresentation")
        if let id = object["id"] { try CredentialShape.url(id, "id") }
        if let holder = object["holder"] {
            try CredentialShape.url(holder.objectValue == nil ? holder : holder["id"], "holder")
        }
        let list = object["verifiableCredential"].map { $0.arrayValue ?? [$0] } ?? []
        guard list.count <= Self.maximumCredentials else {
            throw CredentialShape.refuse("a presentation holds at most \(Self.maximumCredentials) credentials")
        }
        var credentials: [Credential] = []
        for item in list {
            guard item.objectValue != nil else {
                throw CredentialShape.refuse("`verifiableCredential` must list objects")
            }
            credentials.append(try Credential(item))
        }
        document = object
        self.token = token
        holder = object["holder"]?.stringValue ?? object["holder"]?["id"]?.stringValue
        self.credentials = credentials
    }

    /// Signs a presentation.
    ///
    /// - Parameter credentials: each with its proof, or an enveloped one.
    public static func sign(
        _ credentials: [JSONValue],
        by holder: DocumentKey,
        suite: Cryptosuite,
        challenge: String,
        domain: String?,
        now: Timestamp
    ) throws(DocumentError) -> JSONObject {
        try DataIntegrity.sign(
            unsigned(credentials, by: holder),
            by: holder,
            suite: suite,
            purpose: .authentication,
            created: now,
            answering: (challenge, domain)
        )
    }

    static func unsigned(_ credentials: [JSONValue], by holder: DocumentKey) -> JSONObject {
        [
            "@context": [.string(CredentialShape.context), "https://www.w3.org/ns/credentials/undefined-terms/v2"],
            "type": ["VerifiablePresentation"], "holder": .string(holder.controller),
            "verifiableCredential": .array(credentials),
        ]
    }

    /// A passport as it stands in a presentation: itself, or enveloped where it is a token.
    public static func item(_ passport: Passport) -> JSONValue {
        guard let token = passport.token, let form = passport.form else { return .object(passport.document) }
        return item(token: token, form)
    }

    /// A token as it stands in a presentation.
    public static func item(token: String, _ form: PassportForm) -> JSONValue {
        [
            "@context": .string(CredentialShape.context), "type": "EnvelopedVerifiableCredential",
            "id": .string("data:\(form.mediaType),\(token)"),
        ]
    }

    /// What the verifier asked.
    public struct Expectation: Sendable {
        /// `nil`: the verifier gave no challenge, and the presentation may be as old as it likes.
        public var challenge: String?
        public var domain: String?
        public var maximumAgeSeconds: Int64

        public init(challenge: String?, domain: String?, maximumAgeSeconds: Int64 = Presentation.maximumAgeSeconds) {
            self.challenge = challenge
            self.domain = domain
            self.maximumAgeSeconds = maximumAgeSeconds
        }
    }

    /// Every reason why the presentation, or a credential in it, is not to be relied on now.
    public func reasons(
        expecting expected: Expectation,
        now: Timestamp,
        methods: VerificationMethods = VerificationMethods(),
        states: [String: StatusListState]?
    ) -> [PassportReason] {
        var reasons: [PassportReason] = []
        var presenter: String?
        do throws(DocumentError) {
            let proof =
                if let token {
                    try token.verify(methods: methods)
                } else {
                    try DataIntegrity.verify(
                        document,
                        purpose: .authentication,
                        suites: Set(Cryptosuite.allCases),
                        methods: methods
                    )
                }
            presenter = proof.controller
            reasons.append(contentsOf: proofReasons(proof, expected, now))
        } catch {
            let code: PassportReason.Code = error.code == .wrongSigner ? .wrongHolder : .badSignature
            reasons.append(PassportReason(code, "the presentation: \(error.message)"))
        }
        for credential in credentials {
            reasons.append(contentsOf: credential.reasons(now: now, methods: methods, states: states))
            // A passport is its subject's to show, and nobody else's.
            if credential.isPassport, let presenter, credential.subjects != [presenter] {
                reasons.append(PassportReason(.wrongHolder, "\(presenter) shows a passport that is another's"))
            }
        }
        return reasons
    }

    private func proofReasons(_ proof: VerifiedProof, _ expected: Expectation, _ now: Timestamp) -> [PassportReason] {
        var reasons: [PassportReason] = []
        if let holder, holder != proof.controller {
            reasons.append(
                PassportReason(.wrongHolder, "\(holder) is named as the holder, but \(proof.controller) signed")
            )
        }
        if let challenge = expected.challenge, proof.challenge != challenge {
            reasons.append(PassportReason(.wrongChallenge, "the presentation answers another challenge, or none"))
        }
        if let domain = expected.domain, proof.domain != domain {
            reasons.append(PassportReason(.wrongDomain, "the presentation was made for another domain, or none"))
        }
        if let begins = token?.notBefore, begins > now.adding(seconds: PassportVerifier.clockSkewSeconds) {
            reasons.append(PassportReason(.notYetValid, "the presentation is valid from \(begins.rfc3339)"))
        }
        if let expires = proof.expires, now >= expires {
            reasons.append(PassportReason(.expired, "the presentation ended at \(expires.rfc3339)"))
        }
        if let created = proof.created, created > now.adding(seconds: PassportVerifier.clockSkewSeconds) {
            reasons.append(
                PassportReason(.notYetValid, "the presentation was signed at \(created.rfc3339), ahead of now")
            )
        }
        if expected.challenge != nil, let created = proof.created,
            now.milliseconds(since: created) > expected.maximumAgeSeconds.multipliedSaturating(by: 1_000)
        {
            reasons.append(
                PassportReason(.expired, "the presentation was signed more than \(expected.maximumAgeSeconds) s ago")
            )
        }
        return reasons
    }
}
