public import CanonicalJSON
import Market
import Paywall

/// A service as the operator's API and the database hold it.
extension ServiceDefinition {
    /// Reads a definition. Unknown members are refused, so that a misspelt limit is not silently absent.
    /// - Throws: ``GatewayError`` `invalid-service`.
    public init(json: JSONValue) throws(GatewayError) {
        do {
            guard let object = json.objectValue else {
                throw GatewayError(.invalidService, "A service is a JSON object.")
            }
            try Self.refuseUnknown(object, known: Self.members.union(ProxyRules.members), in: "a service")
            try self.init(
                name: object.string("name"),
                upstream: UpstreamAddress(object.string("upstream")),
                prices: PriceJSON.prices(object.array("prices")),
                passport: object.optionalObject("passport").map(Self.passport),
                isIdempotent: object.optionalBool("idempotent") ?? false,
                refundsServerErrors: object.optionalBool("refundsServerErrors") ?? true,
                timeouts: object.optionalObject("timeouts").map(Self.timeouts) ?? CallTimeouts(),
                requestBodyLimitBytes: object.optionalInt64("requestBodyLimitBytes") ?? 64 << 20,
                rateLimit: object.optionalObject("rateLimit").map(Self.rateLimit),
                accepts: object.optionalArray("accept").map(Self.dialects),
                pass: object.optionalObject("pass").map(Self.pass),
                proxy: ProxyRules(members: object),
                sla: object.optionalString("sla"),
                summary: object.optionalString("summary")
            )
            reservesX402 = try object.optionalBool("reserveX402") ?? false
            session = try object.optionalObject("session").map(SessionTerms.init(json:))
            discovery = try object.optionalObject("discovery").map(ServiceDiscovery.init(json:))
            listing = try object.optionalObject("listing").map(ServiceListing.init(json:))
            delegation = try object.optionalObject("delegation").map(DelegationRequirement.init)
            refunds = try object.optionalString("slaRefund").map(Self.refunds)
            try delegation?.validate()
            try validateAccepted()
        } catch let error as GatewayError {
            throw error
        } catch let error as PriceError {
            throw GatewayError(.invalidService, error.message, cause: error)
        } catch let error as JSONError {
            throw GatewayError(.invalidService, "The service can't be read: \(error.message)", cause: error)
        } catch {
            throw GatewayError(.invalidService, "The service can't be read.", cause: error)
        }
    }

    public var json: JSONValue {
        var object: JSONObject = [
            "name": .string(name),
            "upstream": .string(upstream.description),
            "prices": .array(prices.rules.map(PriceJSON.json)),
            "idempotent": .bool(isIdempotent),
            "refundsServerErrors": .bool(refundsServerErrors),
            "timeouts": .object([
                "connectSeconds": .integer(timeouts.connectSeconds),
                "idleSeconds": .integer(timeouts.idleSeconds),
                "totalSeconds": .integer(timeouts.totalSeconds),
            ]),
            "requestBodyLimitBytes": .integer(requestBodyLimitBytes),
        ]
        if let passport {
            var requirement: JSONObject = [
                "trustedIssuers": .array(passport.trustedIssuers.map { .string($0) }),
                "maximumStatusAgeSeconds": .integer(passport.maximumStatusAgeSeconds),
            ]
            requirement["capability"] = passport.capability.map { .string($0) }
            object["passport"] = .object(requirement)
        }
        object["delegation"] = delegation?.json
        if let rateLimit {
            object["rateLimit"] = .object([
                "perSecond": .integer(rateLimit.perSecond), "burst": .integer(rateLimit.burst),
            ])
        }
        // Left out where nothing was said, so that an earlier version of this program can read it.
        object["accept"] = accepts.map { .array($0.map(\.rawValue).sorted().map { .string($0) }) }
        switch pass {
        case nil: break
        case .calls(let calls): object["pass"] = .object(["calls": .string(String(calls))])
        case .seconds(let seconds): object["pass"] = .object(["seconds": .integer(seconds)])
        case .credit(let credit):
            object["pass"] = .object(["credit": .string(String(credit.amount)), "unit": .string(credit.unit)])
        }
        proxy.write(to: &object)
        if reservesX402 { object["reserveX402"] = true }
        object["session"] = session.map { .object($0.json) }
        object["discovery"] = discovery.map { .object($0.json) }
        if let told = listing?.json, !told.isEmpty { object["listing"] = .object(told) }
        object["sla"] = sla.map { .string($0) }
        object["slaRefund"] = refunds.map { .string($0.description) }
        object["summary"] = summary.map { .string($0) }
        return .object(object)
    }

    private static let members: Set<String> = [
        "name", "upstream", "prices", "passport", "delegation", "idempotent", "refundsServerErrors", "timeouts",
        "requestBodyLimitBytes",
        "rateLimit", "accept", "pass", "sla", "slaRefund", "summary", "reserveX402", "discovery", "session", "listing",
    ]

    static func refuseUnknown(_ object: JSONObject, known: Set<String>, in place: String) throws(GatewayError) {
        for (key, _) in object where !known.contains(key) {
            throw GatewayError(.invalidService, "\"\(key.prefix(64))\" is no member of \(place).")
        }
    }

    private static func passport(_ object: JSONObject) throws -> PassportRequirement {
        try refuseUnknown(
            object,
            known: ["trustedIssuers", "capability", "maximumStatusAgeSeconds"],
            in: "a required passport"
        )
        return PassportRequirement(
            trustedIssuers: try object.array("trustedIssuers").map { value in
                guard let text = value.stringValue else {
                    throw GatewayError(.invalidService, "\"trustedIssuers\" must hold did:key strings.")
                }
                return text
            },
            capability: try object.optionalString("capability"),
            maximumStatusAgeSeconds: try object.optionalInt64("maximumStatusAgeSeconds") ?? 60
        )
    }

    private static func refunds(_ text: String) throws -> SLARefunds {
        guard let refunds = SLARefunds(text) else {
            throw GatewayError(
                .invalidService,
                "What is given back is said as late=50%,schema=100%; a name alone, such as late, goes by the measure."
            )
        }
        return refunds
    }

    private static func dialects(_ values: [JSONValue]) throws -> Set<PaymentDialect> {
        var dialects: Set<PaymentDialect> = []
        for value in values {
            guard let text = value.stringValue, let dialect = PaymentDialect(rawValue: text) else {
                throw GatewayError(
                    .invalidService,
                    "\"accept\" holds ways to pay such as \"cashu\", \"l402\" or \"payment-lightning\"."
                )
            }
            dialects.insert(dialect)
        }
        return dialects
    }

    private static func pass(_ object: JSONObject) throws -> CallPass {
        try refuseUnknown(object, known: ["calls", "seconds", "credit", "unit"], in: "a pass")
        guard ["calls", "seconds", "credit"].count(where: { object.contains($0) }) == 1 else {
            throw GatewayError(
                .invalidService,
                "A pass is for so many \"calls\", so many \"seconds\", or a \"credit\" in a \"unit\"."
            )
        }
        if object.contains("credit") {
            let amount = try PriceJSON.number("credit", object)
            return .credit(Price(amount: amount, unit: try object.optionalString("unit") ?? "sat"))
        }
        if object.contains("seconds") { return .seconds(try object.int64("seconds")) }
        if let text = object["calls"]?.stringValue {
            guard text.utf8.count <= 20, let calls = UInt64(text) else {
                throw GatewayError(.invalidService, "\"calls\" must be a whole number, not \"\(text.prefix(32))\".")
            }
            return .calls(calls)
        }
        return .calls(try object.uint64("calls"))
    }

    private static func timeouts(_ object: JSONObject) throws -> CallTimeouts {
        try refuseUnknown(object, known: ["connectSeconds", "idleSeconds", "totalSeconds"], in: "timeouts")
        let usual = CallTimeouts()
        return CallTimeouts(
            connectSeconds: try object.optionalInt64("connectSeconds") ?? usual.connectSeconds,
            idleSeconds: try object.optionalInt64("idleSeconds") ?? usual.idleSeconds,
            totalSeconds: try object.optionalInt64("totalSeconds") ?? usual.totalSeconds
        )
    }

    private static func rateLimit(_ object: JSONObject) throws -> RateLimit {
        try refuseUnknown(object, known: ["perSecond", "burst"], in: "a rate limit")
        let perSecond = try object.int64("perSecond")
        return RateLimit(perSecond: perSecond, burst: try object.optionalInt64("burst") ?? perSecond)
    }
}
