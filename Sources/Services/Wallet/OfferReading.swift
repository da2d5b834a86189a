internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Ethereum
internal import Lightning
internal import Paywall

/// Goes through an answer's challenges.
struct OfferReading {
    let call: Call
    var entries: [PaymentOffers.Entry] = []
    var unwanted: [OfferDescription] = []

    mutating func read(_ answer: Answer, configuration: BuyerConfiguration, at now: Timestamp) {
        let reader = OfferReader(answer: answer, network: configuration.network, now: now)
        let lines = answer.headers.filter { $0.name.lowercased() == "www-authenticate" }.map(\.value)
        let payments = PaymentChallenge.read(wwwAuthenticate: lines)
        // First, as a caller that allows a deposit wants one where a call costs the same.
        for challenge in payments
        where challenge.method == LightningSessionWire.method && challenge.intent == LightningSessionWire.intent {
            let request = call.request
            add(.init(way: .paymentSession)) { () throws(WalletError) in
                .invoice(try reader.session(challenge, for: request))
            }
        }
        if let text = answer.header(NUT24.headerName) {
            add(.init(way: .cashu)) { () throws(WalletError) in
                .ecash(EcashOffer(way: .cashu, terms: try PaymentTerms(challenge: text)))
            }
        }
        for challenge in payments where challenge.method == CashuCharge.method {
            add(.init(way: .paymentCashu)) { () throws(WalletError) in try reader.charge(challenge) }
        }
        // Sellers that know only the old name of the scheme get it back.
        let isNamed = HTTPChallenge.read(lines).contains { $0.isScheme(L402.scheme) }
        for challenge in L402.challenges(wwwAuthenticate: lines) {
            add(.init(way: .l402)) { () throws(WalletError) in
                .invoice(try reader.l402(challenge, scheme: isNamed ? L402.scheme : "LSAT"))
            }
        }
        for challenge in payments where challenge.method == LightningCharge.method {
            guard challenge.intent == LightningCharge.intent else { continue }
            add(.init(way: .paymentLightning)) { () throws(WalletError) in .invoice(try reader.lightning(challenge)) }
        }
        readX402(answer, configuration: configuration, reader)
    }

    private mutating func readX402(_ answer: Answer, configuration: BuyerConfiguration, _ reader: OfferReader) {
        let x402 = X402OfferReader(answer: answer, configuration: configuration)
        let challenge: X402.PaymentRequired
        do throws(WalletError) {
            guard let read = try x402.challenge() else { return }
            challenge = read
        } catch {
            return add(.init(way: .x402Exact)) { () throws(WalletError) in throw error }
        }
        // Ecash before Lightning before tokens on a chain, whose outcome takes longest to be known.
        let order: [PaymentWay] = [.x402Cashu, .x402Lightning, .x402Exact]
        for way in order {
            for requirements in challenge.accepts where X402OfferReader.way(requirements) == way {
                add(X402OfferReader.description(requirements)) { () throws(WalletError) in
                    guard way == .x402Lightning, challenge.version == .v2 else {
                        return try x402.offer(requirements, of: challenge)
                    }
                    return .invoice(try reader.x402(requirements, of: challenge))
                }
            }
        }
    }

    private mutating func add(_ description: OfferDescription, _ read: () throws(WalletError) -> PaymentOffer) {
        var description = description
        let way = description.way
        let result: Result<PaymentOffer, WalletError>
        do throws(WalletError) {
            if way.usesAuthorization, call.hasAuthorization {
                throw WalletError(
                    .challengeUnusable,
                    "the call has an Authorization header of its own, in whose place the payment would go"
                )
            }
            let offer = try read()
            description.fill(from: offer)
            result = .success(offer)
        } catch {
            result = .failure(error)
        }
        guard call.request.via == nil || call.request.via == way.via else { return unwanted.append(description) }
        entries.append(.init(description: description, offer: result))
    }
}

extension OfferDescription {
    /// What an offer that could be read says more.
    fileprivate mutating func fill(from offer: PaymentOffer) {
        switch offer {
        case .ecash(let ecash):
            amount = String(ecash.terms.amount)
            asset = ecash.terms.unit.name
            mints = ecash.terms.mints.map(\.string)
        case .invoice(let invoice):
            amount = String(invoice.amountMsat)
            asset = "msat"
            payTo = Hex.encode(invoice.invoice.payeeNodeID)
        case .authorization(let authorization):
            asset = authorization.asset.contract.description
            network = authorization.asset.network
        }
    }
}

/// Reads the challenges of one answer.
private struct OfferReader: Sendable {
    let answer: Answer
    let network: LightningNetwork
    let now: Timestamp

    // MARK: Payment

    func charge(_ challenge: PaymentChallenge) throws(WalletError) -> PaymentOffer {
        guard challenge.intent == CashuCharge.intent,
            let text = challenge.requestObject?["methodDetails"]?["paymentRequest"]?.stringValue
        else { throw WalletError(.challengeUnusable, "the seller's Payment challenge holds no payment request") }
        do {
            _ = try CashuCharge.paymentRequest(of: challenge)
        } catch {
            throw WalletError(.challengeUnusable, "the seller's Payment challenge: \(error.message)", cause: error)
        }
        let terms = try PaymentTerms(challenge: text)
        return .ecash(EcashOffer(way: .paymentCashu, terms: terms, challenge: try kept(challenge)))
    }

    func lightning(_ challenge: PaymentChallenge) throws(WalletError) -> InvoiceOffer {
        let invoice: BOLT11Invoice
        do {
            invoice = try LightningCharge.invoice(of: challenge)
        } catch {
            throw WalletError(.challengeUnusable, "the seller's Payment challenge: \(error.message)", cause: error)
        }
        let amount = try payable(invoice, calls: 1)
        let text = try kept(challenge)
        return InvoiceOffer(way: .paymentLightning, invoice: invoice, amountMsat: amount, challenge: text)
    }

    /// A deposit, where the caller allows one.
    func session(_ challenge: PaymentChallenge, for request: PaidRequest) throws(WalletError) -> InvoiceOffer {
        let invoice: BOLT11Invoice
        do {
            invoice = try LightningSessionWire.deposit(of: challenge)
            try invoice.requirePayable(on: network, at: now)
        } catch let error as LightningError {
            throw WalletError(Self.code(error.code), "the seller's deposit invoice: \(error.message)", cause: error)
        } catch {
            throw WalletError(.challengeUnusable, "the seller's Payment challenge: \(error)", cause: error)
        }
        guard let deposit = invoice.amountMsat, deposit > 0,
            let sats = challenge.requestObject?["amount"]?.stringValue.flatMap({ UInt64($0) }), sats > 0,
            sats <= deposit / 1000
        else { throw WalletError(.challengeUnusable, "the seller's session costs nothing, or more than its deposit") }
        let offer = InvoiceOffer(
            way: .paymentSession,
            invoice: invoice,
            amountMsat: deposit,
            challenge: try kept(challenge),
            session: SessionIntent(callMsat: sats * 1000, depositMsat: deposit)
        )
        guard let allowed = request.sessionDeposit else {
            throw WalletError(
                .challengeUnusable,
                "the seller's session takes a deposit of \(deposit / 1000) sat, and the call allows none (--session)"
            )
        }
        guard let asked = offer.amount(in: request.unit), let unit = LightningUnit(request.unit) else {
            throw WalletError(.challengeUnusable, "a session is in satoshi, the call may be paid in \(request.unit)")
        }
        guard asked <= allowed, unit.rounded(up: sats * 1000) <= request.maximum else {
            throw WalletError(
                .limitExceeded,
                "the seller's session takes a deposit of \(deposit / 1000) sat and up to \(sats) sat a call, more than the"
                    + " \(allowed) and \(request.maximum) \(request.unit) allowed; nothing was paid"
            )
        }
        return offer
    }

    /// The challenge as it will be kept, where it can still be answered.
    private func kept(_ challenge: PaymentChallenge) throws(WalletError) -> String {
        if let text = challenge.expires {
            guard let expires = try? Timestamp(rfc3339: text), expires > now else {
                throw WalletError(.challengeUnusable, "the seller's Payment challenge has lapsed: ask again")
            }
        }
        do {
            return try challenge.header()
        } catch {
            throw WalletError(.challengeUnusable, "the seller's Payment challenge: \(error.message)", cause: error)
        }
    }

    // MARK: L402

    func l402(_ challenge: L402Challenge, scheme: String) throws(WalletError) -> InvoiceOffer {
        let invoice: BOLT11Invoice
        do {
            invoice = try BOLT11Invoice(decoding: challenge.invoice)
        } catch {
            throw WalletError(.challengeUnusable, "the seller's invoice cannot be read: \(error.message)", cause: error)
        }
        guard challenge.commits(to: invoice.paymentHash) != false else {
            throw WalletError(
                .challengeUnusable,
                "the seller's L402 token is for another payment than its invoice: paying would buy nothing"
            )
        }
        let terms = PassTerms(challenge)
        let amount = try payable(invoice, calls: terms.calls ?? 1)
        let text = "\(scheme) macaroon=\"\(challenge.token)\", invoice=\"\(challenge.invoice)\""
        return InvoiceOffer(way: .l402, invoice: invoice, amountMsat: amount, challenge: text)
    }

    // MARK: x402

    /// Lightning over x402: the invoice must be for the terms and the resource ([XLIGHT-5]).
    func x402(
        _ requirements: X402.Requirements,
        of challenge: X402.PaymentRequired
    ) throws(WalletError) -> InvoiceOffer {
        guard let resource = challenge.resource else {
            throw WalletError(.challengeUnusable, "the seller's x402 offer says nothing of the resource")
        }
        let invoice: BOLT11Invoice
        do {
            invoice = try X402.LightningScheme.invoice(of: requirements, resource: resource, network: network)
        } catch {
            let code: WalletError.Code = error.code == .networkMismatch ? .invoiceWrongNetwork : .challengeUnusable
            throw WalletError(code, "the seller's x402 offer: \(SellerText.printable(error.message))", cause: error)
        }
        let amount = try payable(invoice, calls: 1)
        let text = try X402Offers.kept(requirements, of: challenge)
        return InvoiceOffer(way: .x402Lightning, invoice: invoice, amountMsat: amount, challenge: text)
    }

    // MARK: The invoice

    /// What an invoice asks, where it may be paid.
    /// - Parameter calls: how many calls it buys, by what comes with it.
    private func payable(_ invoice: BOLT11Invoice, calls: UInt64) throws(WalletError) -> UInt64 {
        let asked: UInt64
        do {
            asked = try invoice.requirePayable(on: network, at: now)
        } catch {
            throw WalletError(Self.code(error.code), "the seller's invoice: \(error.message)", cause: error)
        }
        guard asked > 0 else {
            throw WalletError(.invoiceWithoutAmount, "the seller's invoice is over nothing")
        }
        guard let price else { return asked }
        let (most, overflow) = price.multipliedReportingOverflow(by: max(1, calls))
        guard overflow || asked <= most else {
            let many = calls > 1 ? "\(calls) calls at \(price) msat" : "a price of \(price) msat"
            throw WalletError(
                .invoiceTooHigh,
                "the seller's invoice is over \(asked) msat for \(many): nothing was paid"
            )
        }
        return asked
    }

    private static func code(_ code: LightningError.Code) -> WalletError.Code {
        switch code {
        case .networkMismatch: .invoiceWrongNetwork
        case .amountRequired: .invoiceWithoutAmount
        case .expired: .invoiceExpired
        default: .challengeUnusable
        }
    }

    /// The price of one call in msat, as the same answer says it: in its problem document, else in its payment request;
    /// nil where it says none, or in another kind of money.
    private var price: UInt64? {
        var said: (amount: UInt64, unit: String)? = answer.price
        if said == nil, let text = answer.header(NUT24.headerName), let terms = try? PaymentTerms(challenge: text) {
            said = (terms.amount, terms.unit.name)
        }
        guard let said, let unit = try? CurrencyUnit(said.unit) else { return nil }
        return LightningUnit(unit)?.msat(of: said.amount)
    }
}
