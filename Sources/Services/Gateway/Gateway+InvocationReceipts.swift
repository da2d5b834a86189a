import Budgets
import CanonicalJSON
public import Delegation
import Paywall
import SignedDocuments

/// The seller's word on what became of an invocation ([DLG-16]).
extension Gateway {
    /// Of the paid call that has a receipt of this id; nil where there is none, or it was on nobody's delegation. Nothing is kept
    /// for it but the invocation: the same word is signed each time it is asked for.
    /// - Throws: `CallRefusal` where the node's key is away.
    public func invocationReceipt(id: String) async throws -> InvocationReceipt? {
        guard let bytes = try await store.receipt(id: id),
            let envelope = try await store.record(claimID: id)?.caller?.delegation?.invocation, !envelope.isEmpty
        else { return nil }
        let receipt = try JSONValue.parse(bytes).requireObject("the receipt")
        let invocation = try Invocation(bytes: envelope)
        do throws(DelegationError) {
            return try InvocationReceipt.issue(
                of: invocation,
                receipt: receipt,
                chain: await delegations.chain(of: invocation),
                by: desk.signer.key
            )
        } catch {
            guard error.code == .keyUnavailable else { throw error }
            var refusal = CallRefusal(.init(rawValue: error.code.rawValue), status: 503, error.message)
            refusal.retryAfterSeconds = 2
            throw refusal
        }
    }
}

extension DelegationDesk {
    /// The links that an invocation names, where they are all kept here.
    func chain(of invocation: Invocation) async -> DelegationChain? {
        guard let leaf = invocation.proofs.last else { return DelegationChain([]) }
        return try? await office?.chain(to: leaf)
    }
}
