import Cashu
import Cryptography
import Encodings
import Hummingbird
import Paywall

/// Calls that are paid over Lightning, and ecash under the `Payment` scheme ([GRA-1] to [GRA-6]).
extension Gateway {
    // MARK: L402

    func answerL402(
        _ call: IncomingCall,
        credential: L402Credential,
        key: String?,
        caller: CallerIdentity?,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        let paymentHash = Hashing.sha256(credential.preimage)
        if key == nil, call.socket == nil {
            let (isOpen, known) = passes.find(paymentHash)
            if isOpen,
                let response = try await answerPass(
                    call,
                    credential: credential,
                    known: known,
                    caller: caller,
                    body: body
                )
            {
                return (response, "pass")
            }
        }
        guard let grant = try await grants.grant(paymentHash: paymentHash) else {
            throw SQLiteClaimStore.unknownGrant
        }
        let request = request(of: call)
        let now = clock.now()
        var lateness: CallRefusal?
        var judgement = L402.judge(credential, keys: keys.ring, request: request, now: now)
        if case .refused(let refusal) = judgement, refusal.code == .credentialExpired, let end = grant.terms.validUntil
        {
            // It may be an old friend, or have a call to its credit: judged as if its own end were still to come. What a
            // holder wrote into it himself holds all the same.
            judgement = L402.judge(
                credential,
                keys: keys.ring,
                request: request,
                now: min(now, end.adding(seconds: -1))
            )
            lateness = refusal
        }
        switch judgement {
        case .refused(let refusal):
            throw refusal
        case .accepted(let allowed):
            try requireDifference(call, of: grant)
            let use = GrantUse(
                allowed: allowed,
                request: request,
                callMsat: grant.callMsat,
                units: grant.isCredit ? max(1, call.price.amount) : 1,
                lateness: lateness
            )
            return try await answerGranted(
                call,
                use: use,
                grant: grant,
                dialect: .l402,
                key: key,
                caller: caller,
                body: body
            )
        }
    }

    func request(of call: IncomingCall) -> L402Request {
        L402Request(
            service: call.service.name,
            method: call.method.uppercased(),
            path: call.path,
            price: call.price
        )
    }

    // MARK: Payment

    func answerPayment(
        _ call: IncomingCall,
        credential: PaymentCredential,
        key: String?,
        caller: CallerIdentity?,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        var call = call
        let challenge = credential.challenge
        call.presented = PresentedPayment(method: challenge.method, reference: "", challengeID: challenge.id)
        var context = PaymentContext(
            realm: realm,
            secrets: try secrets(),
            scope: PaymentScope(service: call.service.name, method: call.method, target: call.target),
            bodyDigest: body.knownDigest,
            now: clock.now()
        )
        let presented = call
        func answer(_ context: PaymentContext, late: CallRefusal? = nil) async throws -> (Response, outcome: String) {
            var answer = challenge.method == CashuCharge.method ? answerCashuCharge : answerLightningCharge
            if challenge.intent == LightningSessionWire.intent { answer = answerSession }
            return try await answer(presented, credential, context, late, key, caller, body)
        }
        do {
            return try await answer(context)
        } catch let refusal as CallRefusal where refusal.code == .credentialExpired {
            // The same for an old friend, or a call that was given back: judged at the challenge's own time.
            guard let text = challenge.expires, let end = try? Timestamp(rfc3339: text), end < context.now else {
                throw refusal
            }
            context.now = end.adding(seconds: -1)
            return try await answer(context, late: refusal)
        }
    }

    private func answerCashuCharge(
        _ call: IncomingCall,
        _ credential: PaymentCredential,
        _ context: PaymentContext,
        _ lateness: CallRefusal?,
        _ key: String?,
        _ caller: CallerIdentity?,
        _ body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        let token = try CashuCharge.token(credential, context: context)
        return try await answerPaid(
            call,
            token: token,
            dialect: .paymentCashu,
            lateness: lateness,
            key: key,
            caller: caller,
            body: body
        )
    }

    private func answerLightningCharge(
        _ call: IncomingCall,
        _ credential: PaymentCredential,
        _ context: PaymentContext,
        _ lateness: CallRefusal?,
        _ key: String?,
        _ caller: CallerIdentity?,
        _ body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        let accepted = try LightningCharge.judge(credential, context: context)
        guard let grant = try await grants.grant(paymentHash: accepted.paymentHash),
            // A charge has no token id; the grant is found by its payment hash alone.
            let identifier = L402Identifier(
                paymentHash: accepted.paymentHash,
                tokenID: [UInt8](repeating: 0, count: 32)
            )
        else { throw SQLiteClaimStore.unknownGrant }
        try requireDifference(call, of: grant)
        var call = call
        call.presented?.reference = Hex.encode(accepted.paymentHash)
        let use = GrantUse(
            allowed: L402Allowance(identifier: identifier),
            request: request(of: call),
            callMsat: grant.callMsat,
            keepsPrice: true,
            lateness: lateness
        )
        return try await answerGranted(
            call,
            use: use,
            grant: grant,
            dialect: .paymentLightning,
            key: key,
            caller: caller,
            body: body
        )
    }

    /// A payment for one call can't be taken in part: where it was for another rule's price, it is not taken for this one.
    private func requireDifference(_ call: IncomingCall, of grant: StoredGrant) throws(CallRefusal) {
        guard call.quote?.isMaximum != true || grant.isCredit else {
            throw CallRefusal(
                .credentialInsufficient,
                "This call is paid for by its measure, and what was paid is the price of another; pay anew."
            )
        }
    }

    /// What of a grant's call may come back: of a credit what the call does not use.
    private func claimQuote(_ call: IncomingCall, of grant: StoredGrant, session: SessionClaim?) -> ClaimQuote? {
        let givesBack = call.promise != nil && call.socket == nil && (grant.isCredit || session != nil)
        guard call.isMeasured || givesBack else { return nil }
        return ClaimQuote(
            quoted: call.price.amount,
            isMaximum: call.quote?.isMaximum ?? false,
            // Of what is no credit the whole is the price.
            perUnit: session?.unitMsat ?? (grant.isCredit ? grant.callMsat : grant.msat),
            used: call.used,
            holder: call.holder,
            givesBack: givesBack
        )
    }

    /// One call for a preimage over x402.
    func answerLightningOverX402(
        _ call: IncomingCall,
        paymentHash: [UInt8],
        grant: StoredGrant,
        lateness: CallRefusal?,
        key: String?,
        caller: CallerIdentity?,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        guard let identifier = L402Identifier(paymentHash: paymentHash, tokenID: [UInt8](repeating: 0, count: 32))
        else {
            throw SQLiteClaimStore.unknownGrant
        }
        let use = GrantUse(
            allowed: L402Allowance(identifier: identifier),
            request: request(of: call),
            callMsat: grant.callMsat,
            keepsPrice: true,
            lateness: lateness
        )
        return try await answerGranted(
            call,
            use: use,
            grant: grant,
            dialect: .x402Lightning,
            key: key,
            caller: caller,
            body: body
        )
    }

    // MARK: The claim

    /// Claims one call of a grant, then makes it.
    func answerGranted(
        _ call: IncomingCall,
        use: GrantUse,
        grant: StoredGrant,
        dialect: PaymentDialect,
        session: SessionClaim? = nil,
        key: String?,
        caller: CallerIdentity?,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        let id = UUIDVersion7.make(at: call.at)
        var use = use
        use.lateness = use.lateness ?? call.unavailable
        // One call: the payment names it, and the same request gets the same answer. Of several each is a new one, unless the
        // client names it itself ([GRA-4]).
        let isOneCall = session?.opens ?? (grant.terms.calls == 1 && !grant.isCredit)
        let name =
            isOneCall || key != nil ? use.digest : PaymentDigest(paymentHash: grant.terms.paymentHash, callID: id)
        guard
            let scope = IdempotencyScope(
                owner: caller.map { .caller($0.did) } ?? .payment(name),
                key: key,
                payment: name,
                service: call.service.name,
                method: call.method,
                target: call.target,
                body: body.digest
            )
        else { throw CallRefusal(.paymentMalformed, "The payment has no identity.") }
        var claim = NewClaim(
            id: id,
            scope: scope,
            payment: .grant(use),
            dialect: dialect,
            service: call.service.name,
            method: call.method,
            target: call.target,
            bodyDigest: body.knownDigest,
            caller: caller,
            price: use.msat,
            isOnline: false,
            quote: claimQuote(call, of: grant, session: session),
            at: clock.now()
        )
        claim.paymentIdentifier = call.paymentIdentifier
        switch try await store.claim(claim, cap: configuration.unredeemedCap) {
        case .claimed:
            if grant.isTimed { passes.open(grant, claimed: use.units) }
            return try await serve(ActiveClaim(claim), call: call, body: body)
        case .existing(.refuse(let refusal)) where refusal.code == .paymentReused:
            // A new invoice is to be had at once, so unlike ecash that was used it is not the end of the matter.
            throw CallRefusal(
                .credentialUsedUp,
                "The call that was paid for was another one, and was made; pay anew.",
                receiptID: refusal.receiptID
            )
        case .existing(let decision):
            return try await answerAgain(decision, call: call, caller: caller, body: body)
        case .overCap:
            throw CallRefusal(.overloaded, "The payment can't be taken now.", retryAfterSeconds: 5)
        }
    }
}
