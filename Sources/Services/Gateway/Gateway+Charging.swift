import AsyncHTTPClient
import Cashu
import Encodings
import HTTPTypes
import Hummingbird
import Logging
import Market
import NIOCore
import NIOHTTP1
import Paywall
import Receipts

/// Prices by measure: the quote before a call, the charge after it ([PRC-4], [PRC-5]).
extension Gateway {
    // MARK: The quote

    /// The ways in which a call can be paid for: of one whose price is a maximum those alone that give the difference back. A
    /// bundle over L402 does, to its own credit.
    func offered(for call: IncomingCall) -> Set<PaymentDialect> {
        able(offered(by: call.service), at: call.rule, isMaximum: call.quote?.isMaximum == true, of: call.service)
    }

    /// The same of what is taken, as a credential may be shown without a challenge.
    func taken(for call: IncomingCall) -> Set<PaymentDialect> {
        var taken = call.service.accepts ?? ServiceDefinition.takenDialects
        if !offeredOverX402(by: call.service).isEmpty { taken.insert(.x402) }
        return able(taken, at: call.rule, isMaximum: call.quote?.isMaximum == true, of: call.service)
    }

    /// Those of the ways that can take a rule's price. Over x402 no price by measure is asked: its amount is settled as it is.
    func able(
        _ dialects: Set<PaymentDialect>,
        at rule: PriceRule,
        isMaximum: Bool,
        of service: ServiceDefinition
    ) -> Set<PaymentDialect> {
        guard rule.metering != nil else { return dialects }
        let priced = dialects.subtracting(PaymentDialect.overX402.union([.x402]))
        guard isMaximum else { return priced }
        return priced.filter { $0.givesDifferenceBack || $0 == .l402 && service.pass != nil }
    }

    /// Who of the callers is counted: a holder of a passport that the service trusts, by its stable id.
    static func holder(of caller: CallerIdentity?, at service: ServiceDefinition) -> String? {
        guard service.passport != nil, let caller else { return nil }
        return caller.agentID ?? caller.did
    }

    /// The call with what it costs, as far as that is known now.
    /// - Parameter body: nil where it was not read yet: then its announced length counts.
    func quoted(_ call: IncomingCall, body: IntakeBody?, caller: CallerIdentity?) async throws -> IncomingCall {
        guard call.rule.metering != nil || call.rule.freeCallsPerDay != nil else { return call }
        var call = call
        call.holder = Self.holder(of: caller, at: call.service)
        guard let metering = call.rule.metering else { return call }
        if let holder = call.holder, call.rule.dependsOnCaller {
            call.used = try await usage.used(
                service: call.service.name,
                holder: holder,
                meters: metering.meters,
                now: clock.now()
            )
        }
        call.quote = call.rule.quote(QuoteFacts(requestBytes: call.knownBytes(body), used: call.used))
        return call
    }

    /// The quote of a call as it came in, of nobody in particular.
    static func firstQuote(_ call: inout IncomingCall) {
        guard call.rule.metering != nil else { return }
        call.quote = call.rule.quote(QuoteFacts(requestBytes: call.knownBytes(nil)))
    }

    /// What of a payment in ecash may come back; nil where nothing can, so that an ordinary call costs nothing more.
    func claimQuote(_ call: IncomingCall, payment: AssessedPayment) -> ClaimQuote? {
        let givesBack = call.promise != nil && call.socket == nil
        guard call.isMeasured || payment.overpaid > 0 || givesBack else { return nil }
        return ClaimQuote(
            quoted: call.price.amount,
            isMaximum: call.quote?.isMaximum ?? false,
            overpaid: payment.overpaid,
            makingFee: payment.fee,
            used: call.used,
            holder: call.holder,
            givesBack: givesBack
        )
    }

    // MARK: The charge

    /// What a call turned out to be; nil where its price does not depend on it.
    func measured(
        _ call: IncomingCall,
        isNeeded: Bool,
        body: IntakeBody,
        answer: UpstreamAnswer,
        sentBytes: Int,
        began: NIODeadline
    ) -> MeasuredCall? {
        guard isNeeded else { return nil }
        let nanoseconds = max(0, (NIODeadline.now() - began).nanoseconds)
        var reported: [String: UInt64] = [:]
        for meter in call.rule.metering?.meters ?? [] {
            guard case .reported(let name) = meter.measure else { continue }
            var values = answer.headers.filter { $0.name.lowercased() == name }.map(\.value)
            values += answer.body.trailers?[name] ?? []
            // Said twice is said not at all: which of them would count?
            if values.count == 1 { reported[name] = MeasuredCall.reportedValue(values[0]) }
        }
        return MeasuredCall(
            requestBytes: UInt64(clamping: body.receivedBytes),
            responseBytes: UInt64(clamping: sentBytes),
            milliseconds: UInt64(nanoseconds / 1_000_000),
            reported: reported
        )
    }

    /// What a claimed call cost, and what goes back; nil where all that was paid is its price.
    /// - Parameter breaches: what its answer broke of the service's promise.
    func charge(
        _ claim: ActiveClaim,
        call: IncomingCall,
        measured: MeasuredCall?,
        breaches: [SLABreach] = []
    ) -> SettledCharge? {
        guard let quote = claim.quote else { return nil }
        var price = quote.quoted
        if quote.isMaximum, let measured {
            price = call.rule.charge(quoted: quote.quoted, measured: measured, used: quote.used).amount
        }
        var usage: [UsageEntry] = []
        if let measured, let holder = quote.holder {
            usage = Self.usage(of: call, holder: holder, measured: measured)
        }
        let whole = charge(price, quote: quote, claim: claim, usage: usage)
        guard quote.givesBack, let due = call.promise?.refund(for: breaches, of: price) else { return whole }
        var parted = charge(price - min(due.amount, price), quote: quote, claim: claim, usage: usage)
        // Where the mint's fee for making it eats it all, nothing goes back and nothing is said.
        guard parted.change > whole.change else { return whole }
        parted.breach = ReceiptBreach(
            rule: due.breach.rule.rawValue,
            promised: due.breach.promised.map { UInt64(clamping: $0) },
            refund: parted.change - whole.change
        )
        return parted
    }

    private func charge(
        _ price: UInt64,
        quote: ClaimQuote,
        claim: ActiveClaim,
        usage: [UsageEntry]
    ) -> SettledCharge {
        switch claim.source {
        case .ecash:
            let change = quote.change(price: price, total: claim.total, fee: claim.fee)
            return SettledCharge(charged: price, change: change, usage: usage)
        case .grant:
            let charged = quote.worth(price, total: claim.total)
            return SettledCharge(charged: charged, change: claim.total - charged, usage: usage)
        case .exact:
            return SettledCharge(charged: claim.total, change: 0, usage: usage)
        }
    }

    static func usage(of call: IncomingCall, holder: String, measured: MeasuredCall) -> [UsageEntry] {
        (call.rule.metering?.meters ?? []).compactMap { meter in
            meter.period.map { period in
                UsageEntry(
                    service: call.service.name,
                    holder: holder,
                    measure: meter.measure.key,
                    period: period,
                    quantity: measured.quantity(meter.measure)
                )
            }
        }
    }

    /// What a receipt says of a charge ([RCPT-9]).
    static func settlement(
        _ charge: SettledCharge?,
        of claim: ActiveClaim,
        call: IncomingCall,
        measured: MeasuredCall?
    ) -> ReceiptSettlement? {
        guard let charge, let quote = claim.quote else { return nil }
        var settlement = ReceiptSettlement()
        if let measured, let metering = call.rule.metering {
            settlement.quoted = quote.worth(quote.quoted, total: claim.total)
            for meter in metering.meters { settlement.measures[meter.measure.key] = measured.quantity(meter.measure) }
        }
        guard charge.change > 0 else { return settlement.isEmpty ? nil : settlement }
        settlement.returned = charge.change
        settlement.breach = charge.breach
        switch claim.source {
        case .ecash: settlement.form = RefundTable.change.rawValue
        case .grant, .exact: settlement.form = RefundTable.Form.creditKept.rawValue
        }
        return settlement
    }

    // MARK: Change

    /// How long an answer waits for its change, in milliseconds: what is made later is fetched by asking again.
    private static let changeWaitMilliseconds: Int64 = 4000

    /// The token of the change that a served call leaves; nil where it is not made in time ([CHG-2]).
    func change(of claim: ActiveClaim, amount: UInt64) async -> String? {
        guard amount > 0, let mint = try? claim.mint else { return nil }
        let change = StoredChange(claimID: claim.id, amount: amount, token: nil)
        let task = Task { await makeChange(change, mint: mint, unit: claim.unit) }
        return await Patience.value(of: task, milliseconds: Self.changeWaitMilliseconds)
    }

    /// Change that a call left, made now where it was not before; nil where there is none, or it can't be made yet.
    func storedChange(claimID: String) async throws -> String? {
        guard let change = try await store.change(claimID: claimID) else { return nil }
        if let token = change.token { return token }
        guard let record = try await store.record(claimID: claimID), case .ecash(let mint) = record.source else {
            return nil
        }
        let task = Task { await makeChange(change, mint: mint, unit: record.unit) }
        return await Patience.value(of: task, milliseconds: Self.changeWaitMilliseconds)
    }

    /// Makes change that nobody asked for again.
    func makeDueChanges() async throws {
        for change in try await store.dueChanges(limit: 100) {
            guard let record = try await store.record(claimID: change.claimID), case .ecash(let mint) = record.source
            else { continue }
            _ = await makeChange(change, mint: mint, unit: record.unit)
        }
    }

    /// Asks the seller's wallet for the token. Where it has not enough, what calls brought is redeemed first.
    private func makeChange(_ change: StoredChange, mint: MintURL, unit: CurrencyUnit) async -> String? {
        var isLast = false
        while true {
            do {
                let token = try await purse.refundToken(
                    id: change.claimID,
                    amount: change.amount,
                    unit: unit,
                    mint: mint
                )
                do {
                    try await store.changeMade(claimID: change.claimID, token: token, at: clock.now())
                } catch let error as GatewayError where error.code == .stateChanged {
                    // Another request made it; the purse gave it the same token.
                }
                return token
            } catch {
                guard !isLast else {
                    logger.warning(
                        "a call's change can't be made yet",
                        metadata: ["claim": "\(change.claimID)", "error": "\(error)"]
                    )
                    return nil
                }
                isLast = true
                await redeemNow()
            }
        }
    }

    /// Redeems what is due. Who asks while a round runs waits for it, and has one of its own after it, as its proofs may have
    /// come too late for that one.
    func redeemNow() async {
        await redemption.acquire()
        do {
            try await redeemDue()
        } catch {
            logger.error("redemption failed", metadata: ["error": "\(error)"])
        }
        redemption.release()
    }
}

extension IncomingCall {
    /// Whether what it turns out to be is of any consequence.
    var isMeasured: Bool {
        guard let quote, let metering = rule.metering else { return false }
        return quote.isMaximum || holder != nil && metering.meters.contains { $0.period != nil }
    }

    /// The length of the request's body, as far as it is known; nil where it is not.
    fileprivate func knownBytes(_ body: IntakeBody?) -> UInt64? {
        switch body {
        case nil:
            guard hasBody else { return 0 }
            return headers[.contentLength].flatMap { UInt64($0) }
        case .some(.none): return 0
        case .whole(let buffer, _): return UInt64(buffer.readableBytes)
        case .long(let body): return body.declaredLength.map { UInt64(clamping: $0) }
        }
    }
}
