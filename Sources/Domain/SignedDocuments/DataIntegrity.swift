public import CanonicalJSON
public import Cryptography
public import Encodings

/// What a proof is for (Data Integrity 1.0, 2.3).
public enum ProofPurpose: String, Sendable, CaseIterable {
    case assertionMethod
    case authentication
}

/// What a proof that verified says about itself.
public struct VerifiedProof: Sendable, Hashable {
    /// Whose key signed.
    public var signer: DIDKey
    /// When the signer says it was made, where it says so.
    public var created: Timestamp?
    /// When the proof itself ends, where it does. The caller compares it with its clock.
    public var expires: Timestamp?
    public var cryptosuite: Cryptosuite
    /// The DID the key belongs to: its did:key, or what a ``VerificationMethods`` said.
    public var controller: String
    /// What the proof answers, where it says so; a presentation's verifier compares them.
    public var challenge: String?
    public var domain: String?

    public init(
        signer: DIDKey,
        created: Timestamp?,
        expires: Timestamp? = nil,
        cryptosuite: Cryptosuite = .eddsaJCS2022,
        controller: String? = nil,
        challenge: String? = nil,
        domain: String? = nil
    ) {
        self.signer = signer
        self.created = created
        self.expires = expires
        self.cryptosuite = cryptosuite
        self.controller = controller ?? signer.string
        self.challenge = challenge
        self.domain = domain
    }
}

/// One embedded proof (Data Integrity 1.0) of a ``Cryptosuite``; where none is named, of `eddsa-jcs-2022`.
///
/// The signature covers SHA-256(canonical proof without `proofValue`) ‖ SHA-256(canonical document without `proof`).
public enum DataIntegrity {
    public static let cryptosuite = Cryptosuite.eddsaJCS2022.rawValue

    /// Returns `document` with a proof added.
    ///
    /// - Throws: `DocumentError` with `.notSignable` where the document already has a proof, or holds a number that has
    ///   no canonical form.
    public static func sign(
        _ document: JSONObject,
        key: Ed25519.PrivateKey,
        purpose: ProofPurpose = .assertionMethod,
        created: Timestamp
    ) throws(DocumentError) -> JSONObject {
        try sign(document, by: DocumentSigner(key), purpose: purpose, created: created)
    }

    /// As ``sign(_:key:purpose:created:)``, without working out the signer's DID again.
    public static func sign(
        _ document: JSONObject,
        by signer: DocumentSigner,
        purpose: ProofPurpose = .assertionMethod,
        created: Timestamp
    ) throws(DocumentError) -> JSONObject {
        try sign(document, by: DocumentKey(signer), suite: .eddsaJCS2022, purpose: purpose, created: created)
    }

    /// Returns `document` with a proof of any suite added.
    ///
    /// - Parameter answering: the challenge and domain of the verifier that a presentation is made for.
    /// - Throws: `DocumentError` with `.notSignable`, `.unsupportedKey` where the suite needs another kind of key; of the
    ///   RDF suite also `.unknownContext`, `.notLinkedData` and `.tooComplex`.
    public static func sign(
        _ document: JSONObject,
        by signer: DocumentKey,
        suite: Cryptosuite,
        purpose: ProofPurpose = .assertionMethod,
        created: Timestamp,
        answering: (challenge: String?, domain: String?) = (nil, nil)
    ) throws(DocumentError) -> JSONObject {
        guard document["proof"] == nil else {
            throw DocumentError(.notSignable, "the document already carries a proof")
        }
        guard signer.did.kind == suite.keyKind else {
            throw DocumentError(
                .unsupportedKey,
                "`\(suite.rawValue)` is signed with a key of \(suite.keyKind.rawValue)"
            )
        }
        var proof = JSONObject()
        proof["type"] = "DataIntegrityProof"
        proof["cryptosuite"] = .string(suite.rawValue)
        proof["created"] = .string(created.rfc3339)
        proof["verificationMethod"] = .string(signer.verificationMethod)
        proof["proofPurpose"] = .string(purpose.rawValue)
        proof["challenge"] = answering.challenge.map { .string($0) }
        proof["domain"] = answering.domain.map { .string($0) }
        if suite.repeatsContext, let context = document["@context"] {
            proof["@context"] = context
        }
        let input = try suite.signingInput(proof: proof, document: document)
        let signature = try signer.signature(input, of: "document")
        proof["proofValue"] = .string(Multibase.encode(signature, as: .base58btc))
        var signed = document
        signed["proof"] = .object(proof)
        return signed
    }

    /// Checks the one proof of `document`.
    ///
    /// A proof with or without `@context` is accepted; where it has one, the document's contexts must begin with it.
    /// Sets and chains of proofs are refused.
    ///
    /// - Parameters:
    ///   - suites: the cryptosuites that are accepted.
    ///   - methods: the keys of DIDs that were resolved; a did:key and did:jwk is known without.
    /// - Throws: `DocumentError`; `.badSignature` where everything but the signature is in order.
    public static func verify(
        _ document: JSONObject,
        purpose: ProofPurpose = .assertionMethod,
        suites: Set<Cryptosuite> = [.eddsaJCS2022],
        methods: VerificationMethods = VerificationMethods()
    ) throws(DocumentError) -> VerifiedProof {
        guard let member = document["proof"] else {
            throw DocumentError(.proofMissing, "the document carries no proof")
        }
        guard let proof = member.objectValue else {
            throw DocumentError(.malformedProof, "`proof` must be one object; proof sets are not accepted")
        }
        let header = try ProofHeader(proof, purpose: purpose, suites: suites, methods: methods)
        var unsecured = document
        if let context = proof["@context"], context != document["@context"] {
            guard startsWith(document["@context"], context) else {
                throw DocumentError(.wrongContext, "the document's `@context` must begin with that of its proof")
            }
            unsecured["@context"] = context
        }
        let bytes: [UInt8]
        do {
            bytes = try header.suite.signedBytes(proof: proof, document: unsecured)
        } catch  where error.code == .notSignable {
            throw DocumentError(.malformedProof, error.message)
        }
        guard header.signer.isValid(signature: header.signature, for: bytes) else {
            throw DocumentError(.badSignature, "the signature of \(header.controller) does not match the document")
        }
        return VerifiedProof(
            signer: header.signer,
            created: header.created,
            expires: header.expires,
            cryptosuite: header.suite,
            controller: header.controller,
            challenge: proof["challenge"]?.stringValue,
            domain: proof["domain"]?.stringValue
        )
    }

    /// The 64 bytes that are signed, proof first.
    static func signedBytes(proof: JSONObject, document: JSONObject) throws(JSONError) -> [UInt8] {
        Hashing.sha256(try proof.canonicalized()) + Hashing.sha256(try document.canonicalized())
    }

    /// Whether `whole` begins with all contexts of `start`, in order. A single context counts as a list of one.
    private static func startsWith(_ whole: JSONValue?, _ start: JSONValue) -> Bool {
        func list(_ value: JSONValue) -> [JSONValue] { value.arrayValue ?? [value] }
        guard let whole else { return false }
        return list(whole).starts(with: list(start))
    }
}

/// The members of a proof that say who signed, when, how and what for.
private struct ProofHeader {
    let suite: Cryptosuite
    let signer: DIDKey
    let controller: String
    let signature: [UInt8]
    let created: Timestamp?
    let expires: Timestamp?

    init(
        _ proof: JSONObject,
        purpose: ProofPurpose,
        suites: Set<Cryptosuite>,
        methods: VerificationMethods
    ) throws(DocumentError) {
        guard proof["type"]?.stringValue == "DataIntegrityProof",
            let suite = Cryptosuite(rawValue: proof["cryptosuite"]?.stringValue ?? ""), suites.contains(suite)
        else {
            let names = Cryptosuite.allCases.filter(suites.contains).map { "`\($0.rawValue)`" }
            throw DocumentError(
                .unsupportedProof,
                "the proof must be a DataIntegrityProof of \(names.joined(separator: " or "))"
            )
        }
        self.suite = suite
        guard proof["previousProof"] == nil else {
            throw DocumentError(.unsupportedProof, "chains of proofs are not accepted")
        }
        guard proof["proofPurpose"]?.stringValue == purpose.rawValue else {
            throw DocumentError(.wrongPurpose, "the proof's purpose must be `\(purpose.rawValue)`")
        }
        guard let method = proof["verificationMethod"]?.stringValue else {
            throw DocumentError(.malformedProof, "`verificationMethod` is missing from the proof")
        }
        let found = try methods.key(of: method, purpose: purpose)
        signer = found.key
        controller = found.controller
        guard signer.kind == suite.keyKind else {
            throw DocumentError(
                .unsupportedKey,
                "`\(suite.rawValue)` needs a key of \(suite.keyKind.rawValue), not of \(signer.kind.rawValue)"
            )
        }
        created = try Self.instant(proof, "created")
        expires = try Self.instant(proof, "expires")
        guard let value = proof["proofValue"]?.stringValue, value.utf8.first == UInt8(ascii: "z"),
            value.utf8.count <= 100, let signature = try? Multibase.decode(value, maximumBytes: 80),
            signature.count == 64
        else {
            throw DocumentError(.malformedProof, "`proofValue` must be `z` and base58btc of 64 bytes")
        }
        self.signature = signature
    }

    private static func instant(_ proof: JSONObject, _ name: String) throws(DocumentError) -> Timestamp? {
        guard let value = proof[name] else { return nil }
        guard let text = value.stringValue, let instant = try? Timestamp(rfc3339: text) else {
            throw DocumentError(.malformedProof, "`\(name)` of the proof must be a date and time with an offset")
        }
        return instant
    }
}
