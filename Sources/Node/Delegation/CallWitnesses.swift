internal import AuditLog
internal import Budgets
internal import CanonicalJSON
internal import Encodings
internal import Receipts
internal import SignedDocuments
internal import TransparencyLog

/// When a witness first saw a call's receipt in a log: of a key that was stolen since nothing else tells what it signed before
/// ([LOG-9]). The receipt names the chain, so what it shows to have been there, the links were, too.
struct CallWitnesses: Sendable {
    let log: AuditLog
    /// The keys of the witnesses that the operator trusts (`log.witnesses`).
    let witnesses: [NoteKey]

    /// - Parameter proof: of the seller's log, where the receipt is another node's; nil: this node's own log is asked.
    /// - Returns: nil where no trusted witness is known to have seen it.
    /// - Throws: `BudgetError` `invalidRequest` where a proof is shown that does not hold.
    func instant(of receipt: Receipt, proof: String?) async throws -> Timestamp? {
        guard let proof else { return try await own(receipt) }
        do {
            let proof = try LogProof(proof)
            let origin = try Checkpoint(text: proof.checkpoint.text).origin
            guard let key = receipt.claims.seller.did.ed25519,
                receipt.claims.promise.map({ $0.log == origin }) ?? true
            else { throw LogError(.wrongOrigin, "it is of \(origin), which is not the log of the receipt's seller") }
            return try instant(of: receipt, proof, log: NoteKey(name: origin, key: key))
        } catch let error as LogError {
            throw BudgetError(.invalidRequest, "the log's proof does not hold: \(error.message)")
        }
    }

    private func own(_ receipt: Receipt) async throws -> Timestamp? {
        guard let entry = try await log.entries(of: receipt.id).first(where: { $0.kind == "receipt" }),
            let proof = try await log.witnessedProof(of: entry)
        else { return nil }
        // Another receipt of the same id, or witnesses that are no longer trusted: then nobody has seen this one.
        return try? instant(of: receipt, proof, log: log.verifierKey)
    }

    private func instant(of receipt: Receipt, _ proof: LogProof, log key: NoteKey) throws -> Timestamp? {
        guard let salt = proof.extra else { throw LogError(.malformed, "it carries no salt") }
        let document = try JSONValue.object(receipt.document).canonicalized()
        try proof.verify(
            entry: SaltedEntry(salt: salt, document: document).entry,
            log: key,
            witnesses: witnesses,
            quorum: 1
        )
        return try proof.checkpoint.verified(by: witnesses).compactMap(\.secondsSince1970).min().map {
            Timestamp(secondsSince1970: Int64(clamping: $0))
        }
    }
}
