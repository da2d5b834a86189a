internal import CanonicalJSON

/// The embedded proofs that are made and verified here (Data Integrity 1.0, 3).
public enum Cryptosuite: String, Hashable, Sendable, CaseIterable {
    /// Ed25519 over JCS (Data Integrity EdDSA Cryptosuites 1.0, 3.3): what everything of our own carries.
    case eddsaJCS2022 = "eddsa-jcs-2022"
    /// Ed25519 over canonical RDF (the same, 3.2).
    case eddsaRDFC2022 = "eddsa-rdfc-2022"
    /// ECDSA with P-256 over JCS (Data Integrity ECDSA Cryptosuites 1.0, 3.3).
    case ecdsaJCS2019 = "ecdsa-jcs-2019"

    /// The kind of key that signs it.
    public var keyKind: DIDKey.Kind {
        switch self {
        case .eddsaJCS2022, .eddsaRDFC2022: .ed25519
        case .ecdsaJCS2019: .p256
        }
    }

    /// Whether the proof repeats the document's `@context`. The RDF suites take the document's own.
    var repeatsContext: Bool { self != .eddsaRDFC2022 }

    /// The canonical bytes of a document without its proof, or of a proof without its value.
    ///
    /// - Throws: `DocumentError` with `.notSignable` where there are none; of the RDF suite also what its reading throws.
    func canonical(_ document: JSONObject, without name: String) throws(DocumentError) -> [UInt8] {
        if self == .eddsaRDFC2022 {
            var document = document
            document[name] = nil
            return try RDFCanonicalization.canonicalize(try JSONLDReader.quads(of: document))
        }
        do {
            return try document.canonicalized(without: name)
        } catch {
            throw DocumentError(.notSignable, "the document has no canonical form: \(error)")
        }
    }

    /// The 64 bytes that are signed: the digest of the proof without its value first, then that of the document without proof.
    func signedBytes(proof: JSONObject, document: JSONObject) throws(DocumentError) -> [UInt8] {
        try signingInput(proof: proof, document: document).message
    }

    /// As ``signedBytes(proof:document:)``, with what the digests are of.
    func signingInput(proof: JSONObject, document: JSONObject) throws(DocumentError) -> SigningInput {
        var configuration = proof
        // In RDF the proof is read by the document's contexts, whatever it says of its own (3.2.5).
        if !repeatsContext { configuration["@context"] = document["@context"] }
        return .document(
            self,
            proof: try canonical(configuration, without: "proofValue"),
            document: try canonical(document, without: "proof")
        )
    }
}
