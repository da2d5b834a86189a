import Cashu
import Encodings
import Hummingbird
import Logging
import Paywall

/// Payments that are redeemed at the mint before the call, and calls that are asked for again.
extension Gateway {
    /// What an earlier call of the same kind left.
    func answerAgain(
        _ decision: CallDecision,
        call: IncomingCall,
        caller: CallerIdentity?,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        switch decision {
        case .proceed:
            throw CallRefusal(.overloaded, "The call changed while it was looked at; ask again.", retryAfterSeconds: 1)
        case .refuse(let refusal):
            throw refusal
        case .serveStored(let stored):
            await body.abandon()
            return (try await storedAnswer(stored, call: call), "replayed")
        case .giveRefund(let stored):
            await body.abandon()
            return (try await storedRefund(claimID: stored.id), "refunded-again")
        case .callAgain(let stored):
            guard let open = try await store.claim(id: stored.id), try await store.resume(claimID: stored.id) else {
                throw CallRefusal(
                    .callRunning,
                    "This call is being made again by another request.",
                    retryAfterSeconds: 1
                )
            }
            return try await serve(ActiveClaim(open), call: call, body: body)
        case .resolve(let stored):
            guard let open = try await store.claim(id: stored.id) else {
                throw CallDecision.pending(
                    "The payment is being settled at the mint; ask again with the same key and payment."
                )
            }
            if stored.state == .refunding {
                await body.abandon()
                return (try await finishRefund(ActiveClaim(open)), "refunded")
            }
            return try await redeemAndServe(ActiveClaim(open), call: call, body: body)
        }
    }

    /// Redeems a claim's payment, then makes the call ([CALL-13]).
    func redeemAndServe(
        _ claim: ActiveClaim,
        call: IncomingCall,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        var claim = claim
        switch try await redeem(&claim) {
        case .running:
            var call = call
            if call.x402 != nil, case .exact = claim.source {
                call.x402?.transaction = try await store.exact(claimID: claim.id)?.transaction
            }
            return try await serve(claim, call: call, body: body)
        case .refused(let refusal):
            throw refusal
        case .refund(let refusal):
            await body.abandon()
            return (try await refund(claim, because: refusal), "refunded")
        }
    }

    enum Redeemed {
        case running
        /// Nothing was taken.
        case refused(CallRefusal)
        /// Less came in than the price; it must go back.
        case refund(CallRefusal)
    }

    /// Asks the mint, and moves the claim to what came of it.
    /// - Throws: `payment-pending` where it is not known.
    func redeem(_ claim: inout ActiveClaim) async throws -> Redeemed {
        if case .exact = claim.source { return try await settleFirst(&claim) }
        let batch = try claim.batch()
        let redeemed: [[UInt8]]
        var message = ""
        switch await purse.redeemPayment(batch) {
        case .redeemed:
            redeemed = batch.ys
        case .partly(let ys, let why):
            redeemed = ys
            message = why
        case .refused(let why):
            try await store.release(claimID: claim.id)
            return .refused(
                CallRefusal(.alreadySpent, "The mint did not take the payment: \(why). Nothing was taken here.")
            )
        case .unknown(let why):
            logger.notice(
                "a payment's redemption is not known yet",
                metadata: ["claim": "\(claim.id)", "why": "\(why)"]
            )
            throw CallDecision.pending(
                "The payment is being redeemed at the mint; ask again with the same key and payment. Do not pay again."
            )
        }
        let worth = try await worth(of: redeemed, in: claim, batch: batch)
        do {
            try await store.redeemed(claimID: claim.id, worth: worth, at: clock.now())
        } catch let error as GatewayError where error.code == .stateChanged {
            throw CallRefusal(.callRunning, "This call is being made by another request.", retryAfterSeconds: 1)
        }
        claim.total = worth
        claim.fee = 0
        guard worth >= claim.price else {
            return .refund(
                CallRefusal(
                    .alreadySpent,
                    "The mint took only a part of the payment, worth \(worth) \(claim.unit) (\(message)); it is given back."
                )
            )
        }
        return .running
    }

    /// What redeemed proofs brought: their amounts without the mint's fee.
    private func worth(of ys: [[UInt8]], in claim: ActiveClaim, batch: RedemptionBatch) async throws -> UInt64 {
        let taken = Set(ys)
        let proofs = zip(batch.ys, claim.proofs).filter { taken.contains($0.0) }.map(\.1)
        let keysets = await terms.terms(of: try claim.mint)?.keysets ?? [:]
        let total = try Amounts.sum(proofs.map(\.amount))
        let fee = try Fees.total(inputFeesPPK: proofs.map { keysets[$0.keysetID]?.info.inputFeePPK ?? 0 })
        // The store keeps no claim without worth; a partial redemption that brought nothing counts as one unit at most.
        return max(1, total - min(fee, total))
    }
}
