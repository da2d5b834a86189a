internal import Budgets
internal import Delegation
internal import Encodings
internal import Identity
internal import Receipts
internal import Wallet

/// Calls on a chain of delegations.
extension PayRoutes {
    /// The chain to the delegation that a call is made on; nil where it is made on none.
    func chain(_ text: String?) async throws -> DelegationChain? {
        guard let text else { return nil }
        return try await budgets.chain(to: CID(parsing: text))
    }

    /// - Parameter isPublished: whether it signs a second time in the Web Bot Auth profile.
    func signer(
        _ agent: String,
        _ chain: DelegationChain?,
        isPublished: Bool = false
    ) async throws -> any RequestSigning {
        let keys = isPublished ? try await keys.signatureAgent(of: registry.agent(agent)) : nil
        guard let chain else {
            return try await AgentRequestSigner(agent: agent, registry: registry, clock: clock, keys: keys)
        }
        return try await DelegatedRequestSigner(
            agent: agent,
            chain: chain,
            registry: registry,
            purse: purse,
            clock: clock,
            keys: keys
        )
    }

    /// Gives back what payments on chains did not cost.
    func settleDelegations() async throws {
        try await purse.settle(
            outcome: { id in
                guard let payment = try await buyer.payment(id) else { return .unknown }
                switch payment.state {
                case .sent, .pending, .refunding: return .open
                case .served:
                    return .charged(returned: payment.returned, isFinal: isChangeIn(of: payment))
                case .unserved: return .charged(returned: payment.returned, isFinal: true)
                case .refused, .refunded: return .free
                }
            },
            receipt: { id in try await buyer.payment(id)?.receipt.map { Array($0.utf8) } },
            place: { id in try await buyer.payment(id).flatMap(InvocationReceiptPlace.init) }
        )
    }

    /// How long a change that came in parts is given for its last one, in seconds.
    private static let partsSeconds: Int64 = 60

    /// Whether no change of a served call is to come any more: its receipt says how much there is. Without a receipt that
    /// holds nobody knows, and more may come.
    private func isChangeIn(of payment: PaymentRecord) -> Bool {
        guard payment.receiptState == "verified",
            let receipt = payment.receipt.flatMap({ try? Receipt(bytes: Array($0.utf8)) })
        else { return false }
        let promised = receipt.claims.settlement?.returned ?? 0
        // Redeeming costs a fee, so that less than was promised may be all of it.
        let isLate = clock.now() > payment.changedAt.adding(seconds: Self.partsSeconds)
        return payment.returned >= promised || (payment.returned > 0 && isLate)
    }
}
