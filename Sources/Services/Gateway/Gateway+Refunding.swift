import CanonicalJSON
import Cashu
import Encodings
import HTTPTypes
import Hummingbird
import Logging
import Paywall
import Receipts

/// Calls that are not charged ([CALL-14]).
extension Gateway {
    /// Decides the refund of a claimed call, on disk, then gives it.
    /// - Parameters:
    ///   - state: of the claim when this was decided.
    ///   - isUnattended: whether nobody waits for the answer.
    func refund(
        _ claim: ActiveClaim,
        in state: CallState = .running,
        because refusal: CallRefusal,
        isUnattended: Bool = false
    ) async throws -> Response {
        let now = clock.now()
        let receipt = try desk.receipt(
            of: claim,
            status: refusal.status,
            responseDigest: nil,
            outcome: .refunded,
            settlement: ReceiptSettlement(returned: claim.total, form: claim.refundForm.rawValue),
            at: now
        )
        let token = claim.refundForm == .sameProofsSigned ? try signedToken(of: claim) : nil
        try await store.refund(
            Refund(
                claimID: claim.id,
                receipt: receipt.bytes,
                reason: refusal.code,
                token: token,
                isUnattended: isUnattended,
                decidedIn: state,
                at: now
            )
        )
        metrics.refunded(refusal.code)
        guard claim.refundForm != .freshToken else { return try await finishRefund(claim) }
        return response(
            refusal,
            refund: StoredRefund(token: token, reason: refusal.code, amount: claim.total, unit: claim.unit.name),
            form: claim.refundForm,
            claimID: claim.id,
            receipt: receipt.encodedHeader
        )
    }

    /// The same proofs, each with the seller's signature: the buyer can swap them at once, and nobody else can.
    private func signedToken(of claim: ActiveClaim) throws -> String {
        let signed = try claim.proofs.map { proof in
            if case .p2pk = ProofLock(secret: proof.secret) { return try proof.signed(by: sellerSecret) }
            return proof
        }
        return try Token(mint: try claim.mint, unit: claim.unit, proofs: signed).serialized()
    }

    /// Makes the fresh token of a decided refund, or says that it is on its way.
    func finishRefund(_ claim: ActiveClaim) async throws -> Response {
        let token: String
        do {
            token = try await purse.refundToken(
                id: claim.id,
                amount: claim.total,
                unit: claim.unit,
                mint: try claim.mint
            )
        } catch {
            logger.warning("a refund can't be made yet", metadata: ["claim": "\(claim.id)", "error": "\(error)"])
            throw CallDecision.pending(
                "The call was not charged; the refund is being made. Ask again with the same key and payment to fetch it."
            )
        }
        do {
            try await store.completeRefund(claimID: claim.id, token: token, at: clock.now())
        } catch let error as GatewayError where error.code == .stateChanged {
            // Another request finished it; the purse gave it the same token.
        }
        return try await storedRefund(claimID: claim.id)
    }

    /// A refund that was decided before.
    func storedRefund(claimID: String) async throws -> Response {
        guard let refund = try await store.refund(claimID: claimID),
            let record = try await store.record(claimID: claimID)
        else {
            throw CallDecision.pending("The refund is being made; ask again with the same key and payment.")
        }
        let receipt = try await store.receipt(id: claimID).map { Base64URL.encode($0) }
        if record.refundForm == .callRestored { try await store.toldRestored(claimID: claimID) }
        return response(
            CallRefusal(
                refund.reason,
                Self.message(of: record.refundForm)
            ),
            refund: refund,
            form: record.refundForm,
            claimID: claimID,
            receipt: receipt
        )
    }

    private static func message(of form: RefundTable.Form) -> String {
        switch form {
        case .callRestored, .creditKept:
            "The call was not charged: the service failed. What was shown as payment is good for it once more."
        case .authorizationDropped:
            "The call was not charged: the service failed. The authorisation was not used and will not be; sign a new one."
        case .sameProofsSigned, .freshToken:
            "The call was not charged: the service failed. The refund is in the X-Cashu header."
        }
    }

    private func response(
        _ refusal: CallRefusal,
        refund: StoredRefund,
        form: RefundTable.Form,
        claimID: String,
        receipt: String?
    ) -> Response {
        var response = Problem.response(
            refusal,
            extensions: [
                "refund": .object([
                    "amount": .string(String(refund.amount)),
                    "unit": .string(refund.unit),
                    "form": .string(form.rawValue),
                ])
            ]
        )
        response.headers[.xCashu] = refund.token
        response.headers[.agentReceiptID] = claimID
        response.headers[.agentReceipt] = receipt
        return response
    }
}
