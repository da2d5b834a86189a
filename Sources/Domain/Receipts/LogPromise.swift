public import CanonicalJSON
public import Encodings
public import SignedDocuments

/// A node's signed promise that its log will hold a document that has no room for one: a passport, a change of status, a
/// rotation, a settlement ([LOG-11]). Receipts carry theirs themselves ([RCPT-10]).
public struct LogPromise: Sendable {
    public let document: JSONObject
    public let issuer: DIDKey
    /// The document's kind and id in the log.
    public let kind: String
    public let reference: String
    /// SHA-256(salt ‖ JCS(document)), 32 bytes.
    public let entry: [UInt8]
    public let promise: InclusionPromise

    /// Signs a promise.
    public static func issue(
        kind: String,
        reference: String,
        entry: [UInt8],
        promise: InclusionPromise,
        at now: Timestamp,
        by signer: DocumentSigner
    ) throws -> LogPromise {
        let document: JSONObject = [
            "@context": Receipt.contexts, "type": ["LogPromise"], "issuer": .string(signer.did.string),
            "kind": .string(kind), "reference": .string(reference), "entry": .string(MultihashDigest.encode(entry)),
            "inclusionPromise": promise.json,
        ]
        return try LogPromise(document: DataIntegrity.sign(document, by: signer, created: now))
    }

    /// Reads a promise's shape.
    ///
    /// - Throws: `ReceiptReason` with `.malformed`.
    public init(document: JSONObject) throws(ReceiptReason) {
        let known: Set = ["@context", "type", "issuer", "kind", "reference", "entry", "inclusionPromise", "proof"]
        guard Set(document.keys).isSubset(of: known), document["type"] == ["LogPromise"],
            let issuer = (document["issuer"]?.stringValue).flatMap({ try? DIDKey(parsing: $0) }),
            let kind = document["kind"]?.stringValue, let reference = document["reference"]?.stringValue,
            let entry = (document["entry"]?.stringValue).flatMap({ try? MultihashDigest.decode($0) }),
            let promise = InclusionPromise(document: .object(document))
        else { throw ReceiptReason(.malformed, "it is no promise of a log: type LogPromise, with issuer and entry") }
        self.document = document
        self.issuer = issuer
        self.kind = kind
        self.reference = reference
        self.entry = entry
        self.promise = promise
    }

    /// Checks that the issuer signed it, and that it is of the document at hand.
    ///
    /// - Parameter entry: what the promise's salt and the document's canonical bytes come to.
    /// - Throws: `ReceiptReason`: `.badSignature`, `.mismatch`.
    public func verify(entry: [UInt8]) throws(ReceiptReason) {
        let proof: VerifiedProof
        do {
            proof = try DataIntegrity.verify(document)
        } catch {
            throw ReceiptReason(.badSignature, "the promise is not signed: \(error.message)")
        }
        guard proof.signer == issuer else {
            throw ReceiptReason(.badSignature, "the promise is signed by \(proof.signer), not by \(issuer)")
        }
        guard entry == self.entry else {
            throw ReceiptReason(.mismatch, "the promise is of another document")
        }
    }
}
