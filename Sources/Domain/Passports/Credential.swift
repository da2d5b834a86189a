public import CanonicalJSON
public import Encodings
public import SignedDocuments

/// Any Verifiable Credential (Data Model 2.0), not only a passport: embedded proof, or a `vc+jwt` as it is or in an
/// `EnvelopedVerifiableCredential` (4.12.1).
public struct Credential: Sendable {
    /// The longest credential read, in bytes.
    public static let maximumBytes = 64 * 1_024

    /// What the credential says; with its proof where that is embedded.
    public let document: JSONObject
    public let issuer: String
    public let validFrom: Timestamp?
    public let validUntil: Timestamp?
    /// Only entries of the Bitstring kind for revocation or suspension; others are told by ``unknownStatus``.
    public let status: [StatusEntry]
    /// Status entries that can't be looked up here.
    public let unknownStatus: [String]
    private let token: SignedToken?

    private static let dataURL = "data:application/vc+jwt,"

    /// - Throws: `PassportReason` with `.malformed`, `.unsupportedProof` or `.claimsContradict`.
    public init(_ value: JSONValue) throws(PassportReason) {
        if let text = value.stringValue {
            try self.init(token: text)
            return
        }
        guard let object = value.objectValue else { throw CredentialShape.refuse("a credential is an object") }
        let types = object["type"].map { $0.arrayValue ?? [$0] } ?? []
        if types.contains("EnvelopedVerifiableCredential") {
            try CredentialShape.contexts(.array(object["@context"].map { $0.arrayValue ?? [$0] } ?? []))
            guard let id = object["id"]?.stringValue, id.utf8.starts(with: Self.dataURL.utf8) else {
                throw PassportReason(.unsupportedProof, "an enveloped credential is `\(Self.dataURL)` and the token")
            }
            try self.init(token: String(decoding: id.utf8.dropFirst(Self.dataURL.utf8.count), as: UTF8.self))
            return
        }
        guard let proof = object["proof"] else {
            throw PassportReason(.badSignature, "the credential carries no proof")
        }
        guard proof.objectValue != nil else { throw CredentialShape.refuse("`proof` must be one object") }
        try self.init(object, token: nil)
    }

    /// Reads a `vc+jwt`.
    public init(token text: String) throws(PassportReason) {
        let token: SignedToken
        let document: JSONObject
        do throws(DocumentError) {
            token = try SignedToken(text, types: [PassportForm.jwt.rawValue], maximumBytes: Self.maximumBytes)
            document = try PassportToken.credential(token.payload)
        } catch {
            throw PassportToken.reason(error)
        }
        try self.init(document, token: token)
    }

    private init(_ document: JSONObject, token: SignedToken?) throws(PassportReason) {
        try CredentialShape.check(document)
        self.document = document
        self.token = token
        issuer = document["issuer"]?.stringValue ?? document["issuer"]?["id"]?.stringValue ?? ""
        (validFrom, validUntil) = try CredentialShape.period(document)
        var known: [StatusEntry] = []
        var unknown: [String] = []
        for item in document["credentialStatus"].map({ $0.arrayValue ?? [$0] }) ?? [] {
            if let entry = try? StatusEntry(json: item) {
                known.append(entry)
            } else {
                unknown.append(item["type"]?.stringValue ?? "?")
            }
        }
        status = known
        unknownStatus = unknown
    }

    /// Checks the rules of the data model, before something is signed.
    ///
    /// - Throws: `PassportReason` with `.malformed`.
    public static func checkShape(_ document: JSONObject) throws(PassportReason) {
        try CredentialShape.check(document)
    }

    /// Whether a text is an absolute URL.
    public static func isURL(_ text: String) -> Bool { CredentialShape.isURL(text) }

    /// Whether it is a passport, which has rules of its own.
    public var isPassport: Bool {
        (document["type"]?.arrayValue ?? []).contains("AgentPassportCredential")
    }

    /// The ids of whom it is about.
    public var subjects: [String] {
        (document["credentialSubject"].map { $0.arrayValue ?? [$0] } ?? []).compactMap { $0["id"]?.stringValue }
    }

    /// Every reason why it is not to be relied on now.
    ///
    /// - Parameters:
    ///   - methods: the keys of issuers that are not their own key.
    ///   - states: the status lists it names; `nil`: they are not looked at.
    public func reasons(
        now: Timestamp,
        methods: VerificationMethods = VerificationMethods(),
        states: [String: StatusListState]?
    ) -> [PassportReason] {
        var reasons: [PassportReason] = []
        if let reason = signatureReason(now: now, methods) { reasons.append(reason) }
        if let validFrom, validFrom > now.adding(seconds: PassportVerifier.clockSkewSeconds) {
            reasons.append(PassportReason(.notYetValid, "the credential is valid from \(validFrom.rfc3339)"))
        }
        if let validUntil, now >= validUntil {
            reasons.append(PassportReason(.expired, "the credential ended at \(validUntil.rfc3339)"))
        }
        if let states {
            reasons.append(contentsOf: statusReasons(now: now, states))
            for kind in unknownStatus {
                reasons.append(
                    PassportReason(
                        .statusUnavailable,
                        "a status of the kind \(kind.prefix(64)) can't be looked up here"
                    )
                )
            }
        }
        return reasons
    }

    private func signatureReason(now: Timestamp, _ methods: VerificationMethods) -> PassportReason? {
        do throws(DocumentError) {
            if let token {
                _ = try token.verify(issuer: issuer, methods: methods)
                return nil
            }
            let proof = try DataIntegrity.verify(document, suites: Set(Cryptosuite.allCases), methods: methods)
            guard proof.controller == issuer else {
                return PassportReason(.wrongIssuer, "\(issuer) is named as the issuer, but \(proof.controller) signed")
            }
            if let expires = proof.expires, now >= expires {
                return PassportReason(.badSignature, "the proof ended at \(expires.rfc3339)")
            }
            return nil
        } catch {
            return PassportReason(error.code == .wrongSigner ? .wrongIssuer : .badSignature, error.message)
        }
    }

    private func statusReasons(now: Timestamp, _ states: [String: StatusListState]) -> [PassportReason] {
        status.compactMap { entry in
            switch states[entry.listURL] {
            case .none:
                return PassportReason(
                    .statusUnavailable,
                    "the \(entry.purpose) list at \(entry.listURL) is not at hand"
                )
            case .refused(let reason): return reason
            case .list(let list): return list.reason(for: entry, issuedBy: issuer, now: now, maximumAgeSeconds: nil)
            }
        }
    }
}
