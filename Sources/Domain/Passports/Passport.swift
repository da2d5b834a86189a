public import CanonicalJSON
public import Cryptography
public import Encodings
public import SignedDocuments

/// An agent's passport: a W3C Verifiable Credential (Data Model 2.0) of type `AgentPassportCredential`, secured in one
/// of the forms of ``PassportForm``. `Specs/passport.md` gives the profile.
///
/// A value of this type has the right shape and nothing more: ``PassportVerifier`` says whether to rely on it. A class, because
/// one that was checked is handed on with every call.
public final class Passport: Equatable, Sendable {
    /// The longest JSON text accepted, in bytes.
    public static let maximumBytes = 8192
    /// The longest `Agent-Passport` header value, in bytes: base64url of ``maximumBytes``.
    public static let maximumHeaderBytes = (maximumBytes * 4 + 2) / 3
    public static let maximumCapabilities = 32

    /// The whole document: with its proof where that is embedded, else what the token says.
    public let document: JSONObject
    /// How it is secured, and what its signature is checked on.
    let envelope: PassportEnvelope
    /// The passport's own id, `urn:uuid:…`.
    public let id: String
    /// The agent's stable id; the subject's DID where the passport names none.
    public let agentID: String
    public let issuer: DIDKey
    /// The agent's current key.
    public let subject: DIDKey
    public let name: String
    public let operatorName: String?
    public let capabilities: [String]
    public let spendLimit: SpendLimit?
    /// 32 bytes: SHA-256 of the did:key that will follow, where the passport commits to one.
    public let nextKeyDigest: [UInt8]?
    /// Inclusive.
    public let validFrom: Timestamp
    /// Exclusive.
    public let validUntil: Timestamp
    public let status: [StatusEntry]

    static let contexts: JSONValue = [
        "https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2",
    ]
    private static let members: Set<String> = [
        "@context", "id", "type", "name", "description", "issuer", "validFrom", "validUntil", "credentialSubject",
        "credentialStatus", "proof",
    ]

    // MARK: Reading

    /// Reads a passport from its text of at most ``maximumBytes``: JSON, or a token of another form.
    ///
    /// - Throws: `PassportReason` with `.malformed`.
    public convenience init(bytes: [UInt8]) throws(PassportReason) {
        if bytes.first == UInt8(ascii: "e") {
            try self.init(token: bytes)
            return
        }
        let value: JSONValue
        do {
            value = try JSONValue.parse(
                bytes,
                limits: JSONLimits(maximumBytes: Self.maximumBytes, maximumDepth: 8, maximumValues: 512)
            )
        } catch {
            throw PassportReason(.malformed, "a passport is JSON of at most \(Self.maximumBytes) bytes: \(error)")
        }
        guard let object = value.objectValue else { throw PassportReason(.malformed, "a passport is a JSON object") }
        try self.init(document: object)
    }

    /// Reads the value of an `Agent-Passport` header: base64url of the JSON text, or a token as it is.
    public convenience init(header: String) throws(PassportReason) {
        guard header.utf8.count <= Self.maximumHeaderBytes + 3, let bytes = try? Base64URL.decode(header) else {
            // A token's parts are told apart by dots, which are no digits of base64url.
            if header.hasCodeUnit(UInt8(ascii: ".")) {
                try self.init(bytes: Array(header.utf8))
                return
            }
            throw PassportReason(.malformed, "`Agent-Passport` is base64url of at most \(Self.maximumBytes) bytes")
        }
        try self.init(bytes: bytes)
    }

    /// Reads a passport's shape from a document that was parsed already. Signature, dates and status are left to
    /// ``PassportVerifier``.
    ///
    /// - Throws: `PassportReason` with `.malformed`, naming the member.
    public convenience init(document: JSONObject) throws(PassportReason) {
        guard document["proof"]?.objectValue != nil else {
            throw PassportReason(.malformed, "`proof` must be one object")
        }
        try self.init(document: document, envelope: .embedded, tokenStatus: nil)
    }

    /// - Parameter tokenStatus: where its status stands, if the document itself can't say.
    init(document: JSONObject, envelope: PassportEnvelope, tokenStatus: StatusEntry?) throws(PassportReason) {
        for (key, _) in document where !Self.members.contains(key) {
            throw PassportReason(.malformed, "`\(key.prefix(64))` has no place in a passport")
        }
        try Self.checkContexts(document["@context"])
        let types = document["type"]?.arrayValue?.map(\.stringValue) ?? []
        guard (2...8).contains(types.count), types.contains("VerifiableCredential"),
            types.contains("AgentPassportCredential")
        else {
            throw PassportReason(.malformed, "`type` must list VerifiableCredential and AgentPassportCredential")
        }
        guard let claims = document["credentialSubject"], claims.objectValue != nil else {
            throw PassportReason(.malformed, "`credentialSubject` must be one object")
        }
        let validFrom = try Self.instant(document["validFrom"], "validFrom")
        let validUntil = try Self.instant(document["validUntil"], "validUntil")
        guard validFrom < validUntil else {
            throw PassportReason(.malformed, "`validUntil` must come after `validFrom`")
        }
        let issuerText = document["issuer"]?.stringValue ?? document["issuer"]?["id"]?.stringValue
        let subject = try Self.did(claims["id"]?.stringValue, "credentialSubject.id")

        self.document = document
        self.envelope = envelope
        id = try PassportText.identifier(document["id"]?.stringValue, "id")
        issuer = try Self.did(issuerText, "issuer")
        self.subject = subject
        agentID =
            if let agent = claims["agentId"] {
                try PassportText.identifier(agent.stringValue, "credentialSubject.agentId")
            } else {
                subject.string
            }
        // A holder may keep the name to itself where the form lets it.
        name =
            if claims["agentName"] == nil, envelope.canWithhold {
                agentID
            } else {
                try PassportText.label(claims["agentName"]?.stringValue, "credentialSubject.agentName", limit: 128)
            }
        operatorName =
            if let value = claims["operator"] {
                try PassportText.label(value.stringValue, "credentialSubject.operator", limit: 256)
            } else {
                nil
            }
        capabilities = try Self.capabilities(claims["capability"])
        spendLimit = if let limit = claims["spendLimit"] { try SpendLimit(json: limit) } else { nil }
        nextKeyDigest = try Self.nextKeyDigest(claims["nextKeyHash"])
        self.validFrom = validFrom
        self.validUntil = validUntil
        status = if let tokenStatus { [tokenStatus] } else { try Self.status(document["credentialStatus"]) }
    }

    // MARK: Issuing

    /// Signs a new passport.
    ///
    /// - Throws: `PassportReason` with `.malformed` where a claim breaks the rules of the profile; `DocumentError` where
    ///   signing fails.
    public static func issue(_ claims: PassportClaims, key: Ed25519.PrivateKey, now: Timestamp) throws -> Passport {
        try issue(claims, by: DocumentSigner(key), now: now)
    }

    /// As ``issue(_:key:now:)``, for an issuer that signs many.
    public static func issue(_ claims: PassportClaims, by signer: DocumentSigner, now: Timestamp) throws -> Passport {
        let document = try DataIntegrity.sign(claims.document(issuer: signer.did), by: signer, created: now)
        return try Passport(document: document)
    }

    // MARK: Carrying

    /// As it is stored and handed over: compact JSON, or the token.
    public var bytes: [UInt8] {
        envelope.text.map { Array($0.utf8) } ?? JSONValue.object(document).serialized()
    }

    /// The token, of a form that is one.
    public var token: String? { envelope.text }

    /// The form it came in; `nil` where the proof is of a suite that no passport has.
    public var form: PassportForm? { envelope.form(document) }

    /// The value of the `Agent-Passport` header.
    public var encodedHeader: String { envelope.text ?? Base64URL.encode(bytes) }

    public static func == (left: Passport, right: Passport) -> Bool {
        left.document == right.document && left.envelope.text == right.envelope.text
    }

    /// Whether ``nextKeyDigest`` commits to `key`.
    public func commits(to key: DIDKey) -> Bool {
        nextKeyDigest == Hashing.sha256([UInt8](key.string.utf8))
    }

    /// The status entry of one purpose.
    public func statusEntry(_ purpose: StatusPurpose) -> StatusEntry? {
        status.first { $0.purpose == purpose }
    }

    // MARK: Shapes

    private static func checkContexts(_ value: JSONValue?) throws(PassportReason) {
        let list = value?.arrayValue ?? []
        guard (1...8).contains(list.count), list.first?.stringValue == "https://www.w3.org/ns/credentials/v2",
            list.allSatisfy({ ($0.stringValue?.utf8.count ?? .max) <= 256 })
        else {
            throw PassportReason(
                .malformed,
                "`@context` must list at most 8 URLs and begin with https://www.w3.org/ns/credentials/v2"
            )
        }
    }

    private static func instant(_ value: JSONValue?, _ name: String) throws(PassportReason) -> Timestamp {
        guard let text = value?.stringValue, let instant = try? Timestamp(rfc3339: text) else {
            throw PassportReason(
                .malformed,
                "`\(name)` must be a date and time with an offset, such as 2026-11-21T00:00:00Z"
            )
        }
        return instant
    }

    private static func did(_ text: String?, _ name: String) throws(PassportReason) -> DIDKey {
        guard let text else { throw PassportReason(.malformed, "`\(name)` must be a did:key") }
        do {
            return try DIDKey(parsing: text)
        } catch {
            throw PassportReason(.malformed, "`\(name)` must be a did:key: \(error.message)")
        }
    }

    private static func capabilities(_ value: JSONValue?) throws(PassportReason) -> [String] {
        guard let value else { return [] }
        if let one = value.stringValue { return try PassportText.capabilities([one]) }
        guard let list = value.arrayValue, list.count <= maximumCapabilities else {
            throw PassportReason(.malformed, "`capability` must list at most \(maximumCapabilities) names")
        }
        let names = list.compactMap(\.stringValue)
        guard names.count == list.count else { throw PassportReason(.malformed, "`capability` must list strings") }
        return try PassportText.capabilities(names)
    }

    private static func nextKeyDigest(_ value: JSONValue?) throws(PassportReason) -> [UInt8]? {
        guard let value else { return nil }
        do {
            return try MultihashDigest.decode(value.stringValue ?? "")
        } catch {
            throw PassportReason(.malformed, "`nextKeyHash`: \(error.message)")
        }
    }

    private static func status(_ value: JSONValue?) throws(PassportReason) -> [StatusEntry] {
        guard let value else { return [] }
        let list = value.arrayValue ?? [value]
        guard (1...4).contains(list.count) else {
            throw PassportReason(.malformed, "`credentialStatus` must hold one to four entries")
        }
        var entries: [StatusEntry] = []
        for item in list {
            let entry = try StatusEntry(json: item)
            guard !entries.contains(where: { $0.purpose == entry.purpose }) else {
                throw PassportReason(.malformed, "`credentialStatus` must hold one entry a purpose")
            }
            entries.append(entry)
        }
        return entries
    }
}
