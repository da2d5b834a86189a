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

    public init(signer: DIDKey, created: Timestamp?, expires: Timestamp? = nil) {
        self.signer = signer
        self.created = created
        self.expires = expires
    }
}

/// One embedded proof of cryptosuite `eddsa-jcs-2022` (Data Integrity EdDSA Cryptosuites 1.0, 3.3) by a did:key.
///
/// The signature covers SHA-256(JCS(proof without `proofValue`)) ‖ SHA-256(JCS(document without `proof`)).
public enum DataIntegrity {
    public static let cryptosuite = "eddsa-jcs-2022"

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
        guard document["proof"] == nil else {
            throw DocumentError(.notSignable, "the document already carries a proof")
        }
        var proof = JSONObject()
        proof["type"] = "DataIntegrityProof"
        proof["cryptosuite"] = .string(cryptosuite)
        proof["created"] = .string(created.rfc3339)
        proof["verificationMethod"] = .string(signer.verificationMethod)
        proof["proofPurpose"] = .string(purpose.rawValue)
        if let context = document["@context"] {
            proof["@context"] = context
        }
        let signature: [UInt8]
        do {
            signature = try signer.key.sign(try signedBytes(proof: proof, document: document))
        } catch {
            throw DocumentError(.notSignable, "the document cannot be signed: \(error)")
        }
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
    /// - Throws: `DocumentError`; `.badSignature` where everything but the signature is in order.
    public static func verify(
        _ document: JSONObject,
        purpose: ProofPurpose = .assertionMethod
    ) throws(DocumentError) -> VerifiedProof {
        guard let member = document["proof"] else {
            throw DocumentError(.proofMissing, "the document carries no proof")
        }
        guard var proof = member.objectValue else {
            throw DocumentError(.malformedProof, "`proof` must be one object; proof sets are not accepted")
        }
        let header = try ProofHeader(proof, purpose: purpose)
        var unsecured = document
        _ = unsecured.removeValue(forKey: "proof")
        if let context = proof["@context"] {
            guard startsWith(document["@context"], context) else {
                throw DocumentError(.wrongContext, "the document's `@context` must begin with that of its proof")
            }
            unsecured["@context"] = context
        }
        _ = proof.removeValue(forKey: "proofValue")
        let bytes: [UInt8]
        do {
            bytes = try signedBytes(proof: proof, document: unsecured)
        } catch {
            throw DocumentError(.malformedProof, "the document has no canonical form: \(error)")
        }
        guard header.key.isValid(signature: header.signature, for: bytes) else {
            throw DocumentError(.badSignature, "the signature of \(header.signer) does not match the document")
        }
        return VerifiedProof(signer: header.signer, created: header.created, expires: header.expires)
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
    let signer: DIDKey
    let key: Ed25519.PublicKey
    let signature: [UInt8]
    let created: Timestamp?
    let expires: Timestamp?

    init(_ proof: JSONObject, purpose: ProofPurpose) throws(DocumentError) {
        guard proof["type"]?.stringValue == "DataIntegrityProof",
            proof["cryptosuite"]?.stringValue == DataIntegrity.cryptosuite
        else {
            throw DocumentError(.unsupportedProof, "the proof must be a DataIntegrityProof of `eddsa-jcs-2022`")
        }
        guard proof["previousProof"] == nil else {
            throw DocumentError(.unsupportedProof, "chains of proofs are not accepted")
        }
        guard proof["proofPurpose"]?.stringValue == purpose.rawValue else {
            throw DocumentError(.wrongPurpose, "the proof's purpose must be `\(purpose.rawValue)`")
        }
        guard let method = proof["verificationMethod"]?.stringValue else {
            throw DocumentError(.malformedProof, "`verificationMethod` is missing from the proof")
        }
        signer = try DIDKey(verificationMethod: method)
        guard let key = signer.ed25519 else {
            throw DocumentError(.unsupportedKey, "`eddsa-jcs-2022` needs an Ed25519 key")
        }
        self.key = key
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
