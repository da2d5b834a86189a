internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Paywall

/// A call that is priced and not made: which rule it falls under, what would be quoted in each way to pay, and what it would
/// be charged ([PRC-8]). Nothing moves, and nobody is asked.
struct PriceTrial: Sendable {
    var method: String
    /// Path and query below the service.
    var target: String
    /// Of the request's body; nil where its length is not known beforehand.
    var requestBytes: UInt64?
    /// What the call would turn out to be; nil where only the quote is asked for.
    var measured: MeasuredCall?

    /// Reads `{"request":"GET /path","headers":[["Content-Length","5"]],"requestBytes":"5","responseBytes":"2048",
    /// "seconds":"2","measures":{"x-tokens":"7"}}`.
    /// - Throws: ``GatewayError`` `invalid-service`, `JSONError`.
    init(json object: JSONObject) throws {
        try ServiceDefinition.refuseUnknown(
            object,
            known: ["request", "headers", "requestBytes", "responseBytes", "seconds", "measures"],
            in: "a price trial"
        )
        let words = try object.string("request").split(separator: " ", omittingEmptySubsequences: true)
        guard (1...2).contains(words.count), let path = words.last, path.hasPrefix("/"), path.utf8.count <= 2048 else {
            throw GatewayError(.invalidService, "\"request\" is a method and a path, such as \"GET /today?city=Bern\".")
        }
        method = words.count == 2 ? words[0].uppercased() : "GET"
        target = String(path)
        requestBytes = 0
        for line in try object.optionalArray("headers") ?? [] {
            guard let name = line[0]?.stringValue, let value = line[1]?.stringValue else {
                throw GatewayError(.invalidService, "\"headers\" holds pairs of a name and a value.")
            }
            switch name.lowercased() {
            case "content-length":
                guard let length = UInt64(value) else {
                    throw GatewayError(.invalidService, "Content-Length must be a whole number.")
                }
                requestBytes = length
            case "transfer-encoding": requestBytes = nil
            default: break
            }
        }
        func number(_ name: String) throws -> UInt64? {
            object.contains(name) ? try PriceJSON.number(name, object) : nil
        }
        if let bytes = try number("requestBytes") { requestBytes = bytes }
        let (response, seconds) = (try number("responseBytes"), try number("seconds"))
        var reported: [String: UInt64] = [:]
        if let measures = try object.optionalObject("measures") {
            for (name, _) in measures { reported[name.lowercased()] = try PriceJSON.number(name, measures) }
        }
        guard response != nil || seconds != nil || !reported.isEmpty else { return }
        let (milliseconds, overflow) = (seconds ?? 0).multipliedReportingOverflow(by: 1000)
        measured = MeasuredCall(
            requestBytes: requestBytes ?? 0,
            responseBytes: response ?? 0,
            milliseconds: overflow ? .max : milliseconds,
            reported: reported
        )
    }
}

extension Gateway {
    /// What a call of a service would cost.
    /// - Throws: ``CallRefusal`` `not-for-sale`, `ambiguous-path`.
    func priced(_ trial: PriceTrial, at service: ServiceDefinition) async throws -> JSONObject {
        let path = try RequestPath(trial.target.prefix { $0 != "?" })
        guard let rule = service.prices.rule(method: trial.method, path: path) else {
            throw CallRefusal(.notForSale, "\(trial.method) on \(path) is not for sale; no price names it.")
        }
        let quote = rule.quote(QuoteFacts(requestBytes: trial.requestBytes))
        var answer: JSONObject = [
            "service": .string(service.name), "request": .string("\(trial.method) \(trial.target)"),
            "rule": PriceJSON.json(rule), "quote": Self.json(quote),
        ]
        if let measured = trial.measured, rule.metering != nil {
            let charge = quote.isMaximum ? rule.charge(quote, measured: measured) : quote
            var object = Self.charged(charge)
            object["returned"] = .string(String(quote.amount - min(charge.amount, quote.amount)))
            answer["charge"] = .object(object)
        }
        var ways: [JSONValue] = []
        if !quote.price.isFree {
            let offered = able(offered(by: service), at: rule, isMaximum: quote.isMaximum, of: service)
            for dialect in offered.sorted(by: { $0.rawValue < $1.rawValue }) {
                if let way = try await way(
                    dialect,
                    price: quote.price,
                    rule: rule,
                    pass: service.pass,
                    session: service.session
                ) {
                    ways.append(.object(way))
                }
            }
        }
        answer["accepts"] = .array(ways)
        return answer
    }

    private static func charged(_ quote: PriceQuote) -> JSONObject {
        [
            "amount": .string(String(quote.amount)), "unit": .string(quote.unit),
            "explanation": .array(quote.explanation.map { .string($0) }),
        ]
    }

    private static func json(_ quote: PriceQuote) -> JSONValue {
        var object = charged(quote)
        object["maximum"] = .bool(quote.isMaximum)
        return .object(object)
    }

    /// What one way to pay would ask; nil where it can't ask that price.
    private func way(
        _ dialect: PaymentDialect,
        price: Price,
        rule: PriceRule,
        pass: CallPass?,
        session: SessionTerms?
    ) async throws -> JSONObject? {
        var object: JSONObject = ["dialect": .string(dialect.rawValue)]
        switch dialect {
        case .cashu, .paymentCashu:
            let unit = try unit(of: price)
            var feePPK: UInt64 = 0
            for known in await terms.all() { feePPK = max(feePPK, known.highestInputFeePPK(unit: unit) ?? 0) }
            object["amount"] = .string(String(try askedAmount(price, feePPK: feePPK)))
            object["unit"] = .string(price.unit)
        case .paymentSession:
            guard let asked = depositDesk?.terms(price, session ?? SessionTerms()) else { return nil }
            object["amount"] = .string(String(asked.depositSats))
            object["unit"] = "sat"
            object["deposit"] = true
        case .l402, .paymentLightning:
            let isMetered = rule.metering != nil
            guard let terms = invoiceDesk?.terms(price, pass: pass, isMetered: isMetered) else { return nil }
            object["amount"] = .string(String(terms.msat))
            object["unit"] = .string("msat")
            if terms.calls > 1 { object[terms.isCredit ? "credit" : "calls"] = .string(String(terms.calls)) }
        case .x402, .x402Exact, .x402Cashu, .x402Lightning:
            break
        }
        return object
    }
}
