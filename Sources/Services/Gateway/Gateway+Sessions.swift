import CanonicalJSON
import Encodings
import HTTPTypes
import Hummingbird
import Lightning
import Logging
import Paywall
import Synchronization

/// Sessions of the `Payment` scheme over Lightning ([PAY-8] to [PAY-10]): a deposit that calls are paid from, and whose
/// remainder goes back.
extension Gateway {
    /// How long an answer to a close waits for its payment, in milliseconds.
    private static let payoutWaitMilliseconds: Int64 = 15_000

    // MARK: The challenge

    func sessionOffer(for call: IncomingCall) async -> ChallengeTerms.SessionOffer? {
        let terms = call.service.session ?? SessionTerms()
        guard let depositDesk, depositDesk.paysOut, let asked = depositDesk.terms(call.price, terms),
            let deposit = await depositDesk.deposit(for: call, sats: asked.depositSats),
            let invoice = try? BOLT11Invoice(decoding: deposit.invoice)
        else { return nil }
        return ChallengeTerms.SessionOffer(
            deposit: invoice,
            unitSats: asked.unitSats,
            unitName: "request",
            idleSeconds: UInt64(clamping: terms.idleSeconds)
        )
    }

    /// Refuses to sell by session what can't be sold so.
    func requireSellableBySession(_ service: ServiceDefinition) throws(GatewayError) {
        guard service.accepts?.contains(.paymentSession) == true else { return }
        guard let depositDesk, depositDesk.paysOut else {
            throw GatewayError(
                .invalidService,
                "payment-session needs a Lightning account that pays invoices without an amount, to return what is left of a"
                    + " session: LND, Core Lightning, phoenixd or the simulated network."
            )
        }
        for rule in service.prices.rules {
            let most = rule.quote().price
            guard !most.isFree else { continue }
            guard depositDesk.terms(most, service.session ?? SessionTerms()) != nil else {
                throw GatewayError(
                    .invalidService,
                    "A session can't pay \(most) for \(rule.pathPattern): the deposit (--session-deposit) must cover at least"
                        + " one call, and the price needs a unit with a rate."
                )
            }
        }
    }

    // MARK: The credential

    func answerSession(
        _ call: IncomingCall,
        _ credential: PaymentCredential,
        _ context: PaymentContext,
        _ lateness: CallRefusal?,
        _ key: String?,
        _ caller: CallerIdentity?,
        _ body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        let demand = try LightningSessionWire.judge(credential, context: context)
        let now = clock.now()
        switch demand {
        case .open(let deposit, let text):
            // Late, it must be an old friend.
            if let lateness, try await sessions.session(deposit.paymentHash) == nil { throw lateness }
            let session = try await sessions.open(
                deposit,
                service: call.service.name,
                returnInvoice: try BOLT11Invoice(decoding: text),
                idleSeconds: (call.service.session ?? SessionTerms()).idleSeconds,
                at: now
            )
            return try await answer(call, session.id, opens: true, key: key, caller: caller, body: body)
        case .bearer(let id):
            return try await answer(call, id, opens: false, key: key, caller: caller, body: body)
        case .topUp(let id, let deposit):
            await body.abandon()
            if let lateness, !(try await sessions.has(deposit.paymentHash, in: id)) { throw lateness }
            let session = try await sessions.topUp(id, with: deposit, service: call.service.name, at: now)
            return (told(call, session, ["status": "ok"]), "session-topped-up")
        case .close(let id):
            await body.abandon()
            return try await close(call, id, credential.payload)
        }
    }

    /// A call that a session pays for.
    private func answer(
        _ call: IncomingCall,
        _ id: [UInt8],
        opens: Bool,
        key: String?,
        caller: CallerIdentity?,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        guard let session = try await sessions.session(id), session.service == call.service.name,
            let grant = try await grants.grant(paymentHash: id),
            let identifier = L402Identifier(paymentHash: id, tokenID: [UInt8](repeating: 0, count: 32))
        else { throw SQLiteSessionStore.unknown }
        guard let msat = depositDesk?.msat(call.price), let unitMsat = depositDesk?.msat(unit(of: call)) else {
            throw rates.staleness(of: call.price.unit)
                ?? CallRefusal(.overloaded, "The price can't be told in satoshi now.", retryAfterSeconds: 30)
        }
        var call = call
        call.presented?.reference = Hex.encode(id)
        let use = GrantUse(
            allowed: L402Allowance(identifier: identifier),
            request: request(of: call),
            callMsat: grant.callMsat,
            // A price that came to nothing since is given back whole.
            units: max(1, msat),
            keepsPrice: true,
            isSession: true
        )
        let claim = SessionClaim(unitMsat: unitMsat, opens: opens)
        return try await answerGranted(
            call,
            use: use,
            grant: grant,
            dialect: .paymentSession,
            session: claim,
            key: key,
            caller: caller,
            body: body
        )
    }

    private func unit(of call: IncomingCall) -> Price { Price(amount: 1, unit: call.price.unit) }

    // MARK: The end

    private func close(
        _ call: IncomingCall,
        _ id: [UInt8],
        _ payload: JSONObject
    ) async throws -> (Response, outcome: String) {
        var session = try await sessions.close(id, service: call.service.name, at: clock.now())
        if session.payout == .failed, let text = payload["returnInvoice"]?.stringValue {
            try await sessions.renew(
                id,
                returnInvoice: try LightningSessionWire.readReturnInvoice(
                    text,
                    like: session.returnInvoice,
                    now: clock.now()
                )
            )
        }
        let task = Task { await self.returnRemainder(of: id) }
        session = await Patience.value(of: task, milliseconds: Self.payoutWaitMilliseconds) ?? session
        if let latest = try await sessions.session(id) { session = latest }
        let sats = (session.refundMsat ?? session.availableMsat) / 1000
        let refund: PaymentReceipt.Refund =
            switch session.payout {
            case .paid: .succeeded
            case .skipped: .skipped
            case .failed: .failed
            case .due, .sending, nil: .pending
            }
        var call = call
        call.presented?.refund = (sats, refund)
        let body: JSONObject = [
            "status": "closed", "refundSats": JSONValue(sats), "refundStatus": .string(refund.rawValue),
        ]
        return (told(call, session, body), "session-closed")
    }

    /// The answer to what is no call.
    private func told(_ call: IncomingCall, _ session: StoredSession, _ body: JSONObject) -> Response {
        var call = call
        call.presented?.reference = Hex.encode(session.id)
        var response = Problem.json(.object(body))
        addPaymentFields(to: &response.headers, of: call)
        return response
    }

    /// Pays what is left of a closed session, once, as far as that goes now.
    /// - Returns: the session as it is then; nil where that can't be told.
    @discardableResult
    func returnRemainder(of id: [UInt8]) async -> StoredSession? {
        // One at a time: a Lightning node may try a payment anew that it called failed, and by then another invoice may be
        // on its way to the same payer.
        let payout = payouts.withLock { running in
            if let payout = running[id] { return payout }
            let payout = Task {
                defer { payouts.withLock { _ = $0.removeValue(forKey: id) } }
                return await payRemainder(of: id)
            }
            running[id] = payout
            return payout
        }
        return await payout.value
    }

    private func payRemainder(of id: [UInt8]) async -> StoredSession? {
        do {
            let session = try await sessions.settle(id, at: clock.now())
            // On disk before the Lightning node hears of it.
            guard let depositDesk, let begun = try await sessions.beginPayout(id) else { return session }
            let invoice = try BOLT11Invoice(decoding: begun.invoice)
            let amount = begun.amountMsat
            switch await depositDesk.payOut(invoice, amountMsat: amount) {
            case .paid(let feeMsat):
                try await sessions.paidOut(id, to: invoice, feeMsat: feeMsat, at: clock.now())
            case .pending:
                break
            case .failed(let reason):
                try await sessions.notPaidOut(id, to: invoice, triesAgain: false)
                logger.warning(
                    "what is left of a session can't be returned; its payer may name another invoice",
                    metadata: ["session": "\(Hex.encode(id))", "msat": "\(amount)", "reason": "\(reason)"]
                )
            case .notStarted(let reason):
                if begun.isFirst { try await sessions.notPaidOut(id, to: invoice, triesAgain: true) }
                logger.notice(
                    "what is left of a session can't be returned now",
                    metadata: ["session": "\(Hex.encode(id))", "reason": "\(reason)"]
                )
            }
            return try await sessions.session(id)
        } catch {
            logger.error("a session can't be ended", metadata: ["session": "\(Hex.encode(id))", "error": "\(error)"])
            return nil
        }
    }

    /// Ends idle sessions, and pays what is left of those that ended.
    func endSessions() async throws {
        _ = try await sessions.closeIdle(now: clock.now(), limit: 100)
        for session in try await sessions.owed(limit: 100) { await returnRemainder(of: session.id) }
        try await sessions.prune(now: clock.now(), keepSeconds: RefundTable.lifetimeSeconds)
    }
}

/// What sets a session's call apart from that of another grant.
struct SessionClaim: Sendable {
    /// What one unit of the price takes, in msat.
    var unitMsat: UInt64
    /// Whether the proof that opens it is shown: then it names its one call, as a charge does.
    var opens: Bool
}
