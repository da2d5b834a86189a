import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import HTTPSignatures
import HTTPTypes
import Hummingbird
import NIOCore
import Paywall
import SignedDocuments
import Synchronization
import Workers

/// The way of a call: price → who asks → claim → upstream.
extension Gateway {
    func answer(_ call: IncomingCall, request: Request) async throws -> (Response, outcome: String) {
        do {
            return try await answerOnce(call, request: request)
        } catch let refusal as CallRefusal where refusal.status == 402 {
            // What was shown does not count for this call: say why, and how to pay ([LSAT-8], [PAY-5]).
            return (try await challenge(call, because: refusal), refusal.code.rawValue)
        }
    }

    private func answerOnce(_ call: IncomingCall, request: Request) async throws -> (Response, outcome: String) {
        var call = call
        // Before money is asked for or taken: an upstream that is not there can't be paid for ([GWY-8]).
        call.unavailable = await call.upstream.unavailability()
        let needsHolder = call.rule.dependsOnCaller && call.isSigned
        if call.price.isFree, !needsHolder {
            if let refusal = call.unavailable { throw refusal }
            let body = try await readBody(of: call, request: request)
            let caller = try await checkCaller(call, body: body.fact)
            return (try await passThrough(call, body: body, caller: caller), "free")
        }
        // No receipt could be signed: nothing is sold that would need one ([GWY-8]).
        if call.unavailable == nil, !desk.signer.key.isAvailable { call.unavailable = .keyUnavailable }
        let payment = try incomingPayment(of: call)
        let key = try IdempotencyScope.key(headerValues: call.headers[values: .idempotencyKey])
        if needsHolder, payment == nil, key == nil {
            if let refusal = call.unavailable { throw refusal }
            let body = try await readBody(of: call, request: request)
            let caller = try await checkCaller(call, body: body.fact)
            return try await answerHolder(call, key: key, body: body, caller: caller)
        }
        guard payment != nil || (key != nil && call.isSigned) else {
            // Who will not be served is told so before it is asked for money.
            if call.isSigned, call.service.passport != nil, !call.hasBody {
                _ = try await checkCaller(call, body: .none, isAsking: true)
            }
            return (try await challenge(call), CallRefusal.Code.paymentRequired.rawValue)
        }
        guard call.target.utf8.count <= 2048 else {
            throw CallRefusal(.malformedRequest, status: 414, "A paid call's path and query have at most 2048 bytes.")
        }
        let body = try await readBody(of: call, request: request)
        do {
            if case .long(let long) = body, long.promisedDigest == nil, key != nil || call.isSigned {
                throw CallRefusal(
                    .contentDigestRequired,
                    "A body over \(RequestIntake.wholeLimitBytes) bytes with an Idempotency-Key or a signature needs"
                        + " Content-Digest: sha-256. Nothing was taken."
                )
            }
            // A buyer that has a key asks for the price with it; a chain comes with the payment.
            let isAsking = payment == nil && !call.rule.dependsOnCaller
            let caller = try await checkCaller(call, body: body.fact, isAsking: isAsking)
            let call = try await quoted(call, body: body, caller: caller)
            switch payment {
            case nil:
                return try await answerByKey(call, key: key, caller: caller, body: body)
            case .cashu(let token):
                return try await answerPaid(call, token: token, key: key, caller: caller, body: body)
            case .l402(let credential):
                return try await answerL402(call, credential: credential, key: key, caller: caller, body: body)
            case .payment(let credential):
                return try await answerPayment(call, credential: credential, key: key, caller: caller, body: body)
            case .x402(let name, let value):
                return try await answerX402(
                    call,
                    headerName: name,
                    value: value,
                    key: key,
                    caller: caller,
                    body: body
                )
            }
        } catch {
            await body.abandon()
            throw error
        }
    }

    /// The one payment of the request, in a way that the service takes ([CHS-3]).
    private func incomingPayment(of call: IncomingCall) throws(CallRefusal) -> IncomingPayment? {
        // Of all fields these alone: a call has dozens, and every paid one comes this way.
        var fields: [(name: String, value: String)] = []
        for name in HTTPField.Name.payments {
            for value in call.headers[values: name] { fields.append((name.canonicalName, value)) }
        }
        guard !fields.isEmpty, let payment = try IncomingPayment.read(headers: fields) else { return nil }
        try payment.require(among: taken(for: call))
        return payment
    }

    // MARK: The body

    private func readBody(of call: IncomingCall, request: Request) async throws -> IntakeBody {
        var promised: [UInt8]?
        let values = call.headers[values: .contentDigest]
        if !values.isEmpty {
            let joined = values.joined(separator: ", ")
            do {
                promised = try ContentDigest.sha256(in: joined)
            } catch {
                // One with other algorithms only promises nothing that is checked here.
                if joined.contains("sha-256=") { throw CallRefusal(.malformedRequest, error.message) }
            }
        }
        let intake = RequestIntake(
            limitBytes: call.service.requestBodyLimitBytes,
            promisedDigest: promised,
            totalSeconds: call.service.timeouts.totalSeconds,
            idleSeconds: call.service.timeouts.idleSeconds
        )
        return try await intake.read(request)
    }

    // MARK: Who asks

    /// - Parameter isAsking: whether only the price is asked for; what goes with a payment may still be missing.
    private func checkCaller(
        _ call: IncomingCall,
        body: BodyFact,
        isAsking: Bool = false
    ) async throws -> CallerIdentity? {
        let chain = try call.delegationHeader()
        guard call.isSigned || call.service.passport != nil else {
            guard chain == nil else { throw DelegationDesk.unsigned }
            guard isAsking || call.service.delegation?.isRequired != true else { throw DelegationDesk.required }
            return nil
        }
        guard let targetURI = targetURI(of: call) else {
            throw CallerRefusal(
                status: 401,
                code: "wrong-authority",
                message: "The request names a host that is not one of this seller's; sign for the address you call."
            )
        }
        let facts = CallFacts(
            method: call.method,
            targetURI: targetURI,
            headers: call.headers.map { ($0.name.rawName, $0.value) },
            body: body
        )
        switch await callers.check(facts, requirement: call.service.passport) {
        case .anonymous:
            guard call.service.passport == nil else {
                throw CallerRefusal(
                    status: 401,
                    code: "passport-required",
                    message: "This service asks for an Agent-Passport and a signed request. Nothing was taken."
                )
            }
            guard chain == nil else { throw DelegationDesk.unsigned }
            guard isAsking || call.service.delegation?.isRequired != true else { throw DelegationDesk.required }
            return nil
        case .refused(let refusal):
            throw refusal
        case .accepted(let caller):
            if let limit = call.service.rateLimit {
                try limit.check(limiter, key: "\(call.service.name) \(caller.did)")
            }
            guard let chain else {
                guard isAsking || call.service.delegation?.isRequired != true else { throw DelegationDesk.required }
                return caller
            }
            var delegate = caller
            delegate.delegation = try await delegations.check(
                chain,
                caller: caller,
                method: call.method,
                targetURI: targetURI,
                digest: body.delegatedDigest,
                requirement: call.service.delegation
            )
            return delegate
        }
    }

    /// The absolute URI that the caller must have signed; nil where the request names a host that is not ours.
    func targetURI(of call: IncomingCall) -> String? {
        if call.isByHost { return hostURI(of: call) }
        guard let authority = call.authority?.lowercased(), !authority.isEmpty else { return nil }
        for origin in configuration.publicOrigins {
            let host = origin.drop { $0 != ":" }.dropFirst(3)
            if host.lowercased() == authority { return origin + call.rawTarget }
        }
        guard configuration.publicOrigins.isEmpty else { return nil }
        let host = authority.hasPrefix("[") ? authority.prefix { $0 != "]" } + "]" : authority.prefix { $0 != ":" }
        guard ["127.0.0.1", "localhost", "[::1]"].contains(String(host)) else { return nil }
        return "http://" + authority + call.rawTarget
    }

    // MARK: Ecash

    func unit(of price: Price) throws(CallRefusal) -> CurrencyUnit {
        do {
            return try CurrencyUnit(price.unit)
        } catch {
            throw CallRefusal(.notForSale, status: 500, "The seller's price is in a unit that does not exist.")
        }
    }

    func askedAmount(_ price: Price, feePPK: UInt64) throws(CallRefusal) -> UInt64 {
        do {
            return try Fees.grossedUp(price: price.amount, feePPK: feePPK)
        } catch {
            throw CallRefusal(.mintUnavailable, "The accepted mints' fees can't be added to the price.")
        }
    }

    // MARK: The payment

    /// A signed caller asks again for a call by its key alone.
    private func answerByKey(
        _ call: IncomingCall,
        key: String?,
        caller: CallerIdentity?,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        guard let caller,
            let scope = IdempotencyScope(
                owner: .caller(caller.did),
                key: key,
                payment: nil,
                service: call.service.name,
                method: call.method,
                target: call.target,
                body: body.digest
            )
        else { return (try await challenge(call), CallRefusal.Code.paymentRequired.rawValue) }
        let decision = try await store.decide(scope: scope, ys: [], now: clock.now())
        if decision == .proceed {
            if call.rule.dependsOnCaller { return try await answerHolder(call, key: key, body: body, caller: caller) }
            await body.abandon()
            return (try await challenge(call), CallRefusal.Code.paymentRequired.rawValue)
        }
        return try await answerAgain(decision, call: call, caller: caller, body: body)
    }

    /// - Parameter lateness: why the payment is not taken any more, where it is no old friend.
    func answerPaid(
        _ call: IncomingCall,
        token: Token,
        dialect: PaymentDialect = .cashu,
        lateness: CallRefusal? = nil,
        key: String?,
        caller: CallerIdentity?,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        let judged = try await judge(token, for: call)
        var call = call
        if dialect == .paymentCashu { call.presented?.reference = judged.digest.description }
        guard
            let scope = IdempotencyScope(
                owner: caller.map { .caller($0.did) } ?? .payment(judged.digest),
                key: key,
                payment: judged.digest,
                service: call.service.name,
                method: call.method,
                target: call.target,
                body: body.digest
            )
        else { throw CallRefusal(.paymentMalformed, "The payment has no identity.") }
        let assessment: PaymentAssessment
        switch (lateness ?? call.unavailable).map({ .failure($0) }) ?? judged.verdict {
        case .success(let found):
            assessment = found
        case .failure(let refusal):
            // It may be an old friend: what was paid once is answered even where it would not be taken today.
            let decision = try await store.decide(scope: scope, ys: judged.ys, now: clock.now())
            if decision == .proceed { throw refusal }
            return try await answerAgain(decision, call: call, caller: caller, body: body)
        }
        var isOnline = false
        var isHeldAtMint = false
        switch assessment {
        case .acceptOffline: break
        case .holdAtMint(let payment):
            try await house.recognise(payment.proofs)
            isHeldAtMint = true
        case .redeemFirst(_, let obstacles):
            isOnline = true
            metrics.redeemedFirst(obstacles)
        }
        // At most twice: over the cap the same claim is made anew, to be redeemed first.
        while true {
            var claim = NewClaim(
                id: UUIDVersion7.make(at: call.at),
                scope: scope,
                payment: .ecash(assessment.payment),
                dialect: dialect,
                service: call.service.name,
                method: call.method,
                target: call.target,
                bodyDigest: body.knownDigest,
                caller: caller,
                // A price that came to nothing since is given back whole.
                price: max(1, call.price.amount),
                isOnline: isOnline,
                quote: claimQuote(call, payment: assessment.payment),
                at: clock.now()
            )
            claim.paymentIdentifier = call.paymentIdentifier
            claim.isHeldAtMint = isHeldAtMint
            switch try await store.claim(claim, cap: configuration.unredeemedCap) {
            case .claimed:
                let active = ActiveClaim(claim)
                if isOnline { return try await redeemAndServe(active, call: call, body: body) }
                return try await serve(active, call: call, body: body)
            case .existing(let decision):
                return try await answerAgain(decision, call: call, caller: caller, body: body)
            case .overCap:
                guard !isOnline else {
                    throw CallRefusal(.overloaded, "The payment can't be taken now.", retryAfterSeconds: 5)
                }
                metrics.redeemedFirst([.overCap])
                isOnline = true
            }
        }
    }

    /// What a payment is, and whether it is taken.
    private struct Judged: Sendable {
        var ys: [[UInt8]]
        var digest: PaymentDigest
        var verdict: Result<PaymentAssessment, CallRefusal>
    }

    private func judge(_ token: Token, for call: IncomingCall) async throws -> Judged {
        let unit = try unit(of: call.price)
        let isAccepted = purse.acceptedMints.contains(token.mint)
        var mintTerms = isAccepted ? await terms.terms(of: token.mint) : nil
        // The most that any accepted mint's buyer was asked for.
        var highestFeePPK: UInt64 = 0
        for known in await terms.all() { highestFeePPK = max(highestFeePPK, known.highestInputFeePPK(unit: unit) ?? 0) }
        let asked = PaymentTerms(
            price: call.price.amount,
            unit: unit,
            askedAmount: try askedAmount(call.price, feePPK: highestFeePPK),
            callSeconds: max(call.service.timeouts.totalSeconds, call.socketSeconds ?? 0)
        )
        var judged = try await judge(token, asked: asked, terms: mintTerms, isAccepted: isAccepted)
        if case .failure(let refusal) = judged.verdict, refusal.code == .unknownKeyset, isAccepted {
            // The mint may have rotated its keys since it was last asked.
            mintTerms = await terms.afterRotation(of: token.mint)
            if mintTerms != nil {
                judged = try await judge(token, asked: asked, terms: mintTerms, isAccepted: isAccepted)
            }
        }
        return judged
    }

    private func judge(
        _ token: Token,
        asked: PaymentTerms,
        terms: MintTerms?,
        isAccepted: Bool
    ) async throws -> Judged {
        let policy = OfflineAcceptance(sellerKey: sellerKey, redeemWithinSeconds: configuration.redeemWithinSeconds)
        let isTurnedOff = offlineStop.withLock { $0 != nil }
        let now = clock.now()
        let keyTables = keyTables
        let isOwnMint = house.url == token.mint
        return try await workers.run {
            let identity = try OfflineAcceptance.identity(of: token)
            func judged(_ verdict: Result<PaymentAssessment, CallRefusal>) -> Judged {
                Judged(ys: identity.ys, digest: identity.digest, verdict: verdict)
            }
            guard isAccepted else {
                return judged(
                    .failure(
                        CallRefusal(.mintNotAccepted, "Ecash of \(token.mint) is not taken here. Nothing was taken.")
                    )
                )
            }
            guard let terms else {
                return judged(
                    .failure(
                        CallRefusal(
                            .mintUnavailable,
                            "The mint \(token.mint) can't be reached to judge the payment. Nothing was taken.",
                            retryAfterSeconds: 5
                        )
                    )
                )
            }
            do {
                return judged(
                    .success(
                        try policy.assess(
                            token,
                            identity: identity,
                            for: asked,
                            terms: terms,
                            isOwnMint: isOwnMint,
                            isTurnedOff: isTurnedOff,
                            now: now,
                            table: keyTables.table
                        )
                    )
                )
            } catch let refusal as CallRefusal {
                return judged(.failure(refusal))
            }
        }
    }
}
