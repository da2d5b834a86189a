import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import HTTPTypes
import Hummingbird
import Lightning
import Paywall

/// 402: what to pay and how, in every way that the service takes ([CALL-2], [CHS-1]).
extension Gateway {
    /// How long a challenge of the `Payment` scheme is good, in seconds; never longer than its invoice.
    static let challengeSeconds: Int64 = 600

    /// Where the challenges of the `Payment` scheme hold.
    var realm: String {
        guard let origin = configuration.publicOrigins.first else { return "mintmark" }
        return String(origin.drop { $0 != ":" }.dropFirst(3))
    }

    /// The ways in which a call of the service can be paid for here.
    func offered(by service: ServiceDefinition) -> Set<PaymentDialect> {
        // A promise to give something back is made in the ways alone that can give a part back ([SLA-13]).
        let able = ways(of: service)
        return service.refunds == nil
            ? able : able.filter { $0.givesDifferenceBack || $0 == .l402 && service.hasCredit }
    }

    private func ways(of service: ServiceDefinition) -> Set<PaymentDialect> {
        if let accepts = service.accepts { return accepts }
        let over = offeredOverX402(by: service)
        guard invoiceDesk != nil else { return over.union([.cashu, .paymentCashu]) }
        return over.union(service.pass == nil ? ServiceDefinition.takenDialects : [.cashu, .paymentCashu, .l402])
    }

    /// The ways that a service would be sold in, and is not as they can give no part back.
    func withheld(of service: ServiceDefinition) -> Set<PaymentDialect> {
        ways(of: service).subtracting(offered(by: service))
    }

    /// Refuses to sell what can't be sold as it is described.
    func requireSellable(_ service: ServiceDefinition) throws(GatewayError) {
        for rule in service.prices.rules { try requireSellable(rule, of: service) }
        guard !offered(by: service).isEmpty else {
            throw GatewayError(
                .invalidService,
                "What is given back (--sla-refund) goes back over cashu, payment-cashu, payment-session, or l402 with a credit"
                    + " (--pass 1000sat); the service accepts none of these."
            )
        }
        try requireSellableOverX402(service)
        try requireSellableBySession(service)
        let isExplicit = !(service.accepts ?? []).isDisjoint(with: [.l402, .paymentLightning, .x402Lightning])
        guard isExplicit || service.pass != nil else { return }
        guard let invoiceDesk else {
            throw GatewayError(
                .invalidService,
                "This node has no Lightning account to sell with, so a service can't be sold over l402 or payment-lightning."
            )
        }
        for rule in service.prices.rules where !rule.priceBeforehand.isFree {
            guard invoiceDesk.canSell(rule, pass: service.pass) else {
                if rates.staleness(of: rule.price.unit) != nil {
                    throw GatewayError(
                        .invalidService,
                        "\(rule.priceBeforehand) for \(rule.pathPattern) can't be asked for over Lightning now: the source of rates"
                            + " (gateway.rateSource) gives none for \(rule.price.unit) that is recent enough; see the node's log."
                    )
                }
                throw GatewayError(
                    .invalidService,
                    "\(rule.priceBeforehand) for \(rule.pathPattern) can't be asked for over Lightning: it needs a price in sat or"
                        + " msat (or a rate for its unit), in steps that the Lightning node takes."
                )
            }
        }
    }

    /// What a rule needs of its service besides ([PRC-4], [PRC-5]).
    private func requireSellable(_ rule: PriceRule, of service: ServiceDefinition) throws(GatewayError) {
        func refuse(_ message: String) -> GatewayError {
            GatewayError(.invalidService, "The price of \(rule.pathPattern): \(message)")
        }
        if let rules = service.proxy.webSockets, let fault = Self.webSocketFault(rule, rules: rules) {
            throw refuse(fault)
        }
        if rule.freeCallsPerDay != nil, service.passport == nil {
            throw refuse("free calls are counted by passport, so the service must say whose it trusts (--trust).")
        }
        guard let metering = rule.metering else { return }
        let isFreeAtFirst = metering.meters.contains { $0.period != nil && $0.tiers[0].amount == 0 }
        if isFreeAtFirst, service.passport == nil {
            throw refuse(
                "a first tier of 0 would stay free for whoever shows no passport; say whose to trust (--trust)."
            )
        }
        guard rule.quote().isMaximum else { return }
        let ways = able(offered(by: service), at: rule, isMaximum: true, of: service)
        guard !ways.isEmpty else {
            throw refuse(
                "a metered call pays its maximum and gets the rest back, which takes cashu, payment-cashu, or l402 with a"
                    + " pass of calls or credit, or payment-session."
            )
        }
    }

    /// - Parameter refusal: why what was shown as payment does not count; nil where nothing was shown.
    @inline(never)
    func challenge(_ call: IncomingCall, because refusal: CallRefusal? = nil) async throws -> Response {
        if let refusal = call.unavailable { throw refusal }
        let offered = offered(for: call)
        var terms = ChallengeTerms(
            realm: realm,
            secrets: try secrets(),
            scope: PaymentScope(service: call.service.name, method: call.method, target: call.target),
            expires: clock.now().adding(seconds: Self.challengeSeconds)
        )
        var noEcash: CallRefusal?
        if !offered.isDisjoint(with: [.cashu, .paymentCashu]) {
            do {
                terms.cashu = try await ecashChallenge(call)
            } catch {
                noEcash = error
            }
        }
        if !offered.isDisjoint(with: [.l402, .paymentLightning]) { await addInvoice(to: &terms, call: call) }
        if offered.contains(.paymentSession) { terms.session = await sessionOffer(for: call) }
        let x402 = await x402Challenge(call, because: refusal)
        terms.x402 = x402.headers.first
        terms.x402Leaner = Array(x402.headers.dropFirst())
        let set: ChallengeSet
        do {
            set = try ChallengeSet(
                terms,
                accepted: offered,
                preference: AcceptPayment(headerValues: call.headers[values: .acceptPayment])
            )
        } catch {
            // What ecash there is for the unit needs no rate; where nothing else is left, a rate may be what is missing.
            throw rates.staleness(of: call.price.unit) ?? noEcash ?? error
        }
        var problem =
            refusal
            ?? CallRefusal(
                .paymentRequired,
                "This call costs \(call.quote?.isMaximum == true ? "at most " : "")\(call.price)."
                    + " \(Self.ways(set, pass: call.service.pass))"
            )
        problem.status = 402
        // Who speaks the scheme is told the reason in its words ([PAY-5]); our code stands beside it.
        let speaksPayment = call.headers[values: .authorization].contains { $0.lowercased().hasPrefix("payment ") }
        var response = Problem.response(
            problem,
            type: speaksPayment ? problem.paymentSchemeType : nil,
            extensions: try extensions(call, set: set, x402: x402.body)
        )
        if let found = problem.x402, let line = Self.refusedSettlement(found, of: call) {
            response.headers[line.name] = line.value
        }
        for line in set.lines {
            if let name = HTTPField.Name(line.name) {
                response.headers.append(HTTPField(name: name, value: line.value))
            }
        }
        return response
    }

    func secrets() throws(CallRefusal) -> PaymentSecrets {
        guard let secrets = keys.paymentSecrets else {
            throw CallRefusal(.overloaded, "The seller has only just started; try again.", retryAfterSeconds: 1)
        }
        return secrets
    }

    private func ecashChallenge(_ call: IncomingCall) async throws(CallRefusal) -> String {
        let unit = try unit(of: call.price)
        var mints: [MintURL] = []
        var highestFeePPK: UInt64 = 0
        for terms in await terms.all() {
            guard let feePPK = terms.highestInputFeePPK(unit: unit) else { continue }
            mints.append(terms.mint)
            highestFeePPK = max(highestFeePPK, feePPK)
        }
        return try NUT24.challenge(
            id: Hex.encode(SecureRandom.bytes(8)),
            amount: askedAmount(call.price, feePPK: highestFeePPK),
            unit: unit,
            mints: mints,
            service: call.service.name,
            sellerKey: sellerKey
        )
    }

    private func addInvoice(to terms: inout ChallengeTerms, call: IncomingCall) async {
        guard let grant = await invoiceDesk?.grant(for: call),
            let invoice = try? BOLT11Invoice(decoding: grant.invoice)
        else { return }
        terms.invoice = invoice
        terms.invoiceMsat = grant.msat
        guard let key = keys.current else { return }
        terms.l402 = ChallengeTerms.L402Offer(
            grant: grant.terms,
            key: key,
            nonce: SecureRandom.bytes(L402Identifier.nonceBytes),
            location: realm
        )
    }

    private static func ways(_ set: ChallengeSet, pass: CallPass?) -> String {
        var ways: [String] = []
        let dialects = Set(set.lines.map(\.dialect))
        if dialects.contains(.cashu) {
            ways.append("Pay with ecash in X-Cashu; the challenge in the X-Cashu header says how.")
        }
        if dialects.contains(.l402) {
            let what =
                switch pass {
                case nil: "the invoice"
                case .calls(let calls): "the invoice, which buys \(calls) calls,"
                case .seconds(let seconds): "the invoice, which buys calls for \(seconds) seconds,"
                case .credit(let credit): "the invoice, which buys a credit of \(credit),"
                }
            ways.append("Or pay \(what) of WWW-Authenticate: L402 and show the credential in Authorization.")
        }
        if !dialects.isDisjoint(with: [.paymentCashu, .paymentLightning, .paymentSession]) {
            ways.append("Or answer a challenge of WWW-Authenticate: Payment.")
        }
        if dialects.contains(.x402) {
            ways.append("Or sign what PAYMENT-REQUIRED (x402) asks for and show it in PAYMENT-SIGNATURE.")
        }
        return ways.joined(separator: " ")
    }

    /// What the lines of a 402 offer, by the names that services accept it under.
    private func ways(_ set: ChallengeSet, of service: ServiceDefinition) -> [PaymentDialect] {
        set.lines.flatMap { line in
            guard line.dialect == .x402 else { return [line.dialect] }
            let over = offeredOverX402(by: service)
            return PaymentDialect.allCases.filter { over.contains($0) }
        }
    }

    private func extensions(_ call: IncomingCall, set: ChallengeSet, x402: JSONObject?) throws -> JSONObject {
        var extensions: JSONObject = [
            "price": .object([
                "amount": .string(String(call.price.amount)), "unit": .string(try unit(of: call.price).name),
            ]),
            "service": .string(call.service.name),
            "ways": .array(ways(set, of: call.service).map { .string($0.rawValue) }),
        ]
        if let quote = call.quote {
            extensions["quote"] = .object([
                "maximum": .bool(quote.isMaximum),
                "explanation": .array(quote.explanation.map { .string($0) }),
            ])
        }
        // Where clients of x402's version 1 look for it.
        for (name, value) in x402 ?? [:] { extensions[name] = value }
        if let passport = call.service.passport {
            var required: JSONObject = ["trustedIssuers": .array(passport.trustedIssuers.map { .string($0) })]
            required["capability"] = passport.capability.map { .string($0) }
            extensions["passport"] = .object(required)
        }
        return extensions
    }
}
