import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Ethereum
import Hummingbird
import Logging
import NIOCore
import Paywall
import Settlement
import Synchronization
import Workers

/// Calls that are paid by a signed token transfer over x402 ([XEX-4] to [XEX-9]).
extension Gateway {
    /// What a payment of `exact` is, and whether it is taken for this call.
    private struct JudgedExact: Sendable {
        var payment: ExactPayment
        var presented: PresentedX402
        var needsChain: Bool
        var refusal: CallRefusal?
    }

    func answerExact(
        _ call: IncomingCall,
        payment: X402.PaymentPayload,
        identifier: String?,
        key: String?,
        caller: CallerIdentity?,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        guard let sale = configuration.exact else {
            throw CallRefusal(.methodUnsupported, "This service does not take tokens over x402. Nothing was taken.")
        }
        var judged = try await judge(payment, sale: sale, for: call)
        var call = call
        call.x402 = judged.presented
        guard
            let scope = IdempotencyScope(
                owner: caller.map { .caller($0.did) } ?? .payment(judged.payment.digest),
                key: key,
                payment: judged.payment.digest,
                service: call.service.name,
                method: call.method,
                target: call.target,
                body: body.digest
            )
        else { throw CallRefusal(.paymentMalformed, "The payment has no identity.") }
        let known = try await store.exact(key: judged.payment.key)
        call.x402?.transaction = known?.transaction
        if let refusal: any Error = judged.refusal ?? call.unavailable, known?.creditUntil == nil {
            // It may be an old friend: what was paid once is answered even where it would not be taken today.
            let decision = try await store.decide(scope: scope, exact: judged.payment.key, now: clock.now())
            if decision == .proceed { throw refusal }
            return try await answerAgain(decision, call: call, caller: caller, body: body)
        }
        if known?.creditUntil != nil {
            judged.payment.way = .credit
        } else {
            judged.payment.way = try await way(judged, sale: sale, service: call.service)
            if known == nil, judged.payment.way == .settleFirst { try await verify(judged.payment, sale: sale) }
        }
        // At most twice: over the cap the same claim is made anew, to be settled first.
        while true {
            let isSettledNow = judged.payment.way == .settleFirst
            var claim = NewClaim(
                id: UUIDVersion7.make(at: call.at),
                scope: scope,
                payment: .exact(judged.payment),
                dialect: .x402Exact,
                service: call.service.name,
                method: call.method,
                target: call.target,
                bodyDigest: body.knownDigest,
                caller: caller,
                price: judged.payment.amount,
                isOnline: isSettledNow,
                at: clock.now()
            )
            claim.paymentIdentifier = identifier
            switch try await store.claim(claim, cap: configuration.unredeemedCap) {
            case .claimed:
                var active = ActiveClaim(claim)
                active.isOnline = judged.payment.isSettledFirst
                guard isSettledNow else {
                    return try await serveReserved(active, call: call, body: body)
                }
                return try await redeemAndServe(active, call: call, body: body)
            case .existing(let decision):
                return try await answerAgain(decision, call: call, caller: caller, body: body)
            case .overCap:
                judged.payment.way = .settleFirst
            }
        }
    }

    /// Asks a facilitator that keeps nothing whether a payment is new and good.
    private func verify(_ payment: ExactPayment, sale: ExactSale) async throws {
        guard sale.verifiesFirst else { return }
        let verdict: X402.VerifyResponse
        do {
            verdict = try await sale.facilitator.verify(
                X402.FacilitatorRequest(json: X402.object(body: payment.request))
            )
        } catch let error as SettlementError {
            logger.warning("a payment can't be verified now", metadata: ["error": "\(error)"])
            throw CallRefusal(
                .overloaded,
                "The payment can't be verified now. Nothing was taken.",
                retryAfterSeconds: 5
            )
        }
        guard verdict.isValid else {
            let reason = String((verdict.invalidReason ?? X402Refusal.Code.unexpectedVerifyError.rawValue).prefix(128))
            throw CallRefusal(X402Refusal(.init(rawValue: reason), "\(reason). Nothing was taken."))
        }
    }

    private func serveReserved(
        _ claim: ActiveClaim,
        call: IncomingCall,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        let answer = try await serve(claim, call: call, body: body)
        if !claim.isOnline, answer.outcome == "served" { settleSoon() }
        return answer
    }

    /// Whether a payment is settled first, or reserved ([XEX-8]).
    private func way(
        _ judged: JudgedExact,
        sale: ExactSale,
        service: ServiceDefinition
    ) async throws -> ExactPayment.Way {
        let payment = judged.payment
        guard service.reservesX402, !judged.needsChain, let cap = sale.reserveCaps[payment.unit.name],
            offlineStop.withLock({ $0 == nil }),
            // Time for the call, and to settle afterwards.
            payment.validBefore
                >= clock.now().secondsSince1970 + service.timeouts.totalSeconds + ExactSale.settlingSeconds / 2,
            try await !store.hasLostExact(of: payment.payer)
        else { return .settleFirst }
        return .reserve(cap: cap)
    }

    // MARK: Judging

    private func judge(
        _ payment: X402.PaymentPayload,
        sale: ExactSale,
        for call: IncomingCall
    ) async throws -> JudgedExact {
        let asset = try asset(of: payment, sale: sale)
        let timeout = ExactSale.timeoutSeconds(call.service)
        let asked = try? asset.amount(of: call.price, rates: rates.current)
        let url = resourceURL(of: call)
        let now = clock.now()
        return try await workers.run {
            do {
                return try Self.judge(
                    payment,
                    asset: asset,
                    payTo: sale.payTo,
                    timeoutSeconds: timeout,
                    asked: asked,
                    url: url,
                    now: now
                )
            } catch let refusal as X402Refusal {
                throw CallRefusal(refusal)
            }
        }
    }

    /// The token that a payment says it is in.
    private func asset(of payment: X402.PaymentPayload, sale: ExactSale) throws(CallRefusal) -> X402.Asset {
        guard let accepted = payment.accepted else {
            guard let first = sale.assets.first else {
                throw CallRefusal(.methodUnsupported, "This service does not take tokens over x402.")
            }
            return first
        }
        guard let asset = sale.assets.first(where: { (try? Address(accepted.asset)) == $0.token.contract }) else {
            throw CallRefusal(
                X402Refusal(.invalidRequirements, "The token \(accepted.asset.prefix(80)) is not taken here.")
            )
        }
        return asset
    }

    private static func judge(
        _ payment: X402.PaymentPayload,
        asset: X402.Asset,
        payTo: Address,
        timeoutSeconds: Int64,
        asked: UInt64?,
        url: String,
        now: Timestamp
    ) throws -> JudgedExact {
        let payload = try X402.ExactEVM.Payload(json: payment.payload)
        let authorization = payload.authorization
        guard let amount = authorization.value.uint64Value, (1...Price.maximumAmount).contains(amount) else {
            throw X402Refusal(
                .valueMismatch,
                "The authorisation is for \(authorization.value), which nobody asked for."
            )
        }
        guard
            let own = asset.requirements(
                payment.version,
                amount: amount,
                payTo: payTo,
                maxTimeoutSeconds: timeoutSeconds
            )
        else { throw X402Refusal(.invalidNetwork, "There is no way to pay with version 1 on this chain.") }
        // For what it says itself: whether that is what is asked for now is another question, which an old friend need not answer.
        let checked = try X402.ExactEVM.check(payload, of: payment, against: own, now: nil)
        guard let validBefore = authorization.validBefore.uint64Value.flatMap({ Int64(exactly: $0) }) else {
            throw X402Refusal(.validBefore, "The authorisation has no end.")
        }
        var isContract = false
        if case .contract = checked.signature { isContract = true }
        let request = X402.FacilitatorRequest(payment: payment, requirements: own)
        let found = ExactPayment(
            key: Hashing.sha256(Array(checked.id.utf8)),
            digest: try PaymentDigest(x402: payment),
            payer: checked.payer.description,
            asset: "eip155:\(asset.token.chainID)/\(asset.token.contract)",
            unit: try CurrencyUnit(asset.unit),
            amount: amount,
            request: request.json.serialized(),
            validBefore: validBefore
        )
        let presented = PresentedX402(
            version: payment.version,
            network: own.network,
            chain: "eip155:\(asset.token.chainID)",
            payer: checked.payer.description,
            amount: own.amount.description,
            resourceURL: url,
            wantsReceipt: payment.extensions?[X402.OfferReceipt.id] != nil
        )
        var refusal: X402Refusal?
        do {
            try require(authorization, amount: amount, asked: asked, timeoutSeconds: timeoutSeconds, now: now)
        } catch {
            refusal = error
        }
        return JudgedExact(
            payment: found,
            presented: presented,
            needsChain: isContract,
            refusal: refusal.map { CallRefusal($0) }
        )
    }

    private static func require(
        _ authorization: TransferAuthorization,
        amount: UInt64,
        asked: UInt64?,
        timeoutSeconds: Int64,
        now: Timestamp
    ) throws(X402Refusal) {
        guard amount == asked else {
            throw X402Refusal(
                .valueMismatch,
                "The authorisation is for \(amount); exactly \(asked.map { "\($0)" } ?? "nothing") is asked for."
            )
        }
        try X402.ExactEVM.checkTime(of: authorization, now: now)
        let latest = UInt64(max(0, now.secondsSince1970 + timeoutSeconds + ExactSale.spareSeconds))
        guard authorization.validBefore <= UInt256(latest) else {
            throw X402Refusal(
                .validBefore,
                "The authorisation holds until \(authorization.validBefore); at most until \(latest) is taken."
            )
        }
    }

    // MARK: Settling first

    /// Settles a claimed payment, and moves the claim to what came of it ([XEX-6]).
    /// - Throws: `payment-pending` where it is not known.
    func settleFirst(_ claim: inout ActiveClaim) async throws -> Redeemed {
        let pending = CallDecision.pending(
            "The payment is being settled on its chain; ask again with the same key and payment. Do not pay again."
        )
        guard let sale = configuration.exact, let stored = try await store.exact(claimID: claim.id) else {
            throw pending
        }
        guard settling.withLock({ $0.insert(claim.id).inserted }) else { throw pending }
        let id = claim.id
        defer { settling.withLock { _ = $0.remove(id) } }
        // It may have been settled while this one waited for its turn.
        guard try await store.record(claimID: id)?.call.state == .redeeming else {
            throw CallRefusal(.callRunning, "This call is being made by another request.", retryAfterSeconds: 1)
        }
        let response: X402.SettleResponse
        do {
            response = try await sale.facilitator.settle(Self.request(stored))
        } catch let error as SettlementError {
            logger.warning("a payment can't be settled now", metadata: ["claim": "\(id)", "error": "\(error)"])
            throw pending
        }
        if response.success {
            do {
                try await store.exactSettled(claimID: id, transaction: response.transaction, at: clock.now())
            } catch let error as GatewayError where error.code == .stateChanged {
                throw CallRefusal(.callRunning, "This call is being made by another request.", retryAfterSeconds: 1)
            }
            return .running
        }
        guard let reason = response.errorReason, reason != X402Refusal.Code.settlementPending.rawValue else {
            throw pending
        }
        try await store.release(claimID: id)
        return .refused(
            CallRefusal(
                X402Refusal(.init(rawValue: reason), "\(reason). It was not carried out, and will not be by us.")
            )
        )
    }

    static func request(_ stored: StoredExact) throws -> X402.FacilitatorRequest {
        try X402.FacilitatorRequest(json: X402.object(body: stored.request))
    }

    // MARK: Settling afterwards

    /// Settles reserved payments of served calls soon, at most so many at a time.
    private func settleSoon() {
        guard let sale = configuration.exact, sale.settlementsAtOnce > 0,
            isSettlingReserved.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing)
                .exchanged
        else { return }
        Task {
            defer { isSettlingReserved.store(false, ordering: .releasing) }
            do {
                try await settleReserved()
            } catch {
                logger.error("reserved payments can't be settled now", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Settles reserved payments whose calls were served ([XEX-8]). What is not known yet is asked for again by a later round.
    func settleReserved() async throws {
        guard let sale = configuration.exact else { return }
        // One round at a time: a facilitator that is asked twice at once may call the second a replay, which is an end.
        await reservedSettlement.acquire()
        defer { reservedSettlement.release() }
        var seen: Set<[UInt8]> = []
        while true {
            let width = max(1, sale.settlementsAtOnce)
            let due = try await store.exactDue(limit: seen.count + width).filter { !seen.contains($0.key) }
            guard !due.isEmpty, seen.count < 10_000 else { return }
            seen.formUnion(due.map(\.key))
            await withTaskGroup(of: Void.self) { group in
                for stored in due { group.addTask { await self.settleAfter(stored, sale: sale) } }
            }
        }
    }

    private func settleAfter(_ stored: StoredExact, sale: ExactSale) async {
        do {
            let response = try await sale.facilitator.settle(Self.request(stored))
            if response.success {
                return try await store.exactFinished(
                    key: stored.key,
                    transaction: response.transaction,
                    at: clock.now()
                )
            }
            guard let reason = response.errorReason, reason != X402Refusal.Code.settlementPending.rawValue else {
                return
            }
            try await store.exactFinished(key: stored.key, transaction: nil, at: clock.now())
            logger.critical(
                "a payment that was reserved can't be settled: its call was served for nothing",
                metadata: ["claim": "\(stored.claimID)", "payer": "\(stored.payer)", "reason": "\(reason.prefix(80))"]
            )
        } catch {
            logger.warning(
                "a reserved payment can't be settled now",
                metadata: ["claim": "\(stored.claimID)", "error": "\(error)"]
            )
        }
    }

    /// Ends calls that were given back and not made in time.
    func endExactCredits() async throws {
        for _ in 0..<20 {
            guard try await store.endExactCredits(now: clock.now(), limit: 500) >= 500 else { break }
        }
    }
}
