internal import CanonicalJSON
internal import Paywall

/// Price rules as the operator's API and the database hold them.
///
/// A rule of before is one without the later members (`maximum`, `meters`, `freePerDay`), and is written as it was.
enum PriceJSON {
    /// - Throws: ``GatewayError``, `PriceError` or `JSONError`.
    static func prices(_ values: [JSONValue]) throws -> PriceList {
        guard values.count <= PriceList.maximumRules else {
            throw PriceError(.tooManyRules, "A service has at most \(PriceList.maximumRules) price rules.")
        }
        return try PriceList(values.map(rule))
    }

    static func json(_ rule: PriceRule) -> JSONValue {
        var object: JSONObject = [
            "path": .string(rule.pathPattern),
            "amount": .string(String(rule.price.amount)),
            "unit": .string(rule.price.unit),
        ]
        if !rule.methods.isEmpty { object["methods"] = .array(rule.methods.sorted().map { .string($0) }) }
        if let metering = rule.metering {
            object["maximum"] = .string(String(metering.maximum))
            object["meters"] = .array(metering.meters.map(json))
        }
        object["freePerDay"] = rule.freeCallsPerDay.map { .string(String($0)) }
        return .object(object)
    }

    private static func rule(_ value: JSONValue) throws -> PriceRule {
        guard let object = value.objectValue else {
            throw GatewayError(
                .invalidService,
                "A price rule is an object such as {\"path\":\"/*\",\"amount\":\"2\"}."
            )
        }
        try ServiceDefinition.refuseUnknown(
            object,
            known: ["methods", "path", "amount", "unit", "maximum", "meters", "freePerDay"],
            in: "a price rule"
        )
        let methods = try object["methods"].map { _ in try object.array("methods") } ?? []
        let metering = try metering(object)
        return try PriceRule(
            methods: Set(
                methods.map { method in
                    guard let text = method.stringValue else {
                        throw GatewayError(.invalidService, "\"methods\" must hold strings such as \"GET\".")
                    }
                    return text
                }
            ),
            pathPattern: object.optionalString("path") ?? "/*",
            // A metered price needs no fixed part.
            price: Price(
                amount: metering == nil || object.contains("amount") ? number("amount", object) : 0,
                unit: object.optionalString("unit") ?? "sat"
            ),
            metering: metering,
            freeCallsPerDay: object.contains("freePerDay") ? number("freePerDay", object) : nil
        )
    }

    private static func metering(_ object: JSONObject) throws -> PriceMetering? {
        guard object.contains("meters") || object.contains("maximum") else { return nil }
        guard object.contains("meters"), object.contains("maximum") else {
            throw GatewayError(.invalidService, "A metered price has both \"meters\" and a \"maximum\".")
        }
        let meters = try object.array("meters")
        guard meters.count <= PriceMetering.maximumMeters else {
            throw PriceError(.badMeter, "A price has at most \(PriceMetering.maximumMeters) meters.")
        }
        return try PriceMetering(meters: meters.map(meter), maximum: number("maximum", object))
    }

    /// `{"measure":"responseBytes","per":"1024","amount":"1"}`; with tiers `{"measure":"calls","period":"day",
    /// "tiers":[{"from":"0","amount":"3"},{"from":"100","amount":"2"}]}`; a reported one has its field's `name`.
    private static func meter(_ value: JSONValue) throws -> PriceMeter {
        guard let object = value.objectValue else {
            throw GatewayError(
                .invalidService,
                "A meter is an object such as {\"measure\":\"seconds\",\"amount\":\"1\"}."
            )
        }
        try ServiceDefinition.refuseUnknown(
            object,
            known: ["measure", "name", "per", "amount", "tiers", "period"],
            in: "a meter"
        )
        guard object.contains("amount") != object.contains("tiers") else {
            throw GatewayError(.invalidService, "A meter has either an \"amount\" or \"tiers\".")
        }
        let tiers =
            try object.optionalArray("tiers").map { try $0.map(tier) }
            ?? [PriceMeter.Tier(amount: number("amount", object))]
        return try PriceMeter(
            measure(object),
            per: object.contains("per") ? number("per", object) : 1,
            tiers: tiers,
            period: object.optionalString("period").map { text in
                guard let period = PricePeriod(rawValue: text) else {
                    throw GatewayError(.invalidService, "\"period\" is day or month, not \"\(text.prefix(32))\".")
                }
                return period
            }
        )
    }

    private static func tier(_ value: JSONValue) throws -> PriceMeter.Tier {
        guard let object = value.objectValue else {
            throw GatewayError(.invalidService, "A tier is an object such as {\"from\":\"0\",\"amount\":\"2\"}.")
        }
        try ServiceDefinition.refuseUnknown(object, known: ["from", "amount"], in: "a tier")
        return try PriceMeter.Tier(from: number("from", object), amount: number("amount", object))
    }

    private static func measure(_ object: JSONObject) throws -> PriceMeasure {
        let text = try object.string("measure")
        let name = try object.optionalString("name")
        switch (text, name) {
        case ("calls", nil): return .calls
        case ("requestBytes", nil): return .requestBytes
        case ("responseBytes", nil): return .responseBytes
        case ("seconds", nil): return .seconds
        case ("reported", let name?): return .reported(name.lowercased())
        case ("reported", nil):
            throw GatewayError(.invalidService, "A reported measure needs the \"name\" of the field that reports it.")
        default:
            throw GatewayError(
                .invalidService,
                "\"measure\" is calls, requestBytes, responseBytes, seconds or reported (with a \"name\"), not"
                    + " \"\(text.prefix(32))\"."
            )
        }
    }

    private static func json(_ meter: PriceMeter) -> JSONValue {
        var object: JSONObject
        switch meter.measure {
        case .reported(let name): object = ["measure": "reported", "name": .string(name)]
        default: object = ["measure": .string("\(meter.measure)")]
        }
        if meter.per != 1 { object["per"] = .string(String(meter.per)) }
        if let period = meter.period {
            object["period"] = .string(period.rawValue)
            object["tiers"] = .array(
                meter.tiers.map { ["from": .string(String($0.from)), "amount": .string(String($0.amount))] }
            )
        } else {
            object["amount"] = .string(String(meter.tiers.first?.amount ?? 0))
        }
        return .object(object)
    }

    /// A number travels as a string of digits; a plain JSON integer is read too.
    static func number(_ name: String, _ object: JSONObject) throws -> UInt64 {
        if let text = object[name]?.stringValue {
            guard text.utf8.count <= 20, text.utf8.allSatisfy({ (48...57).contains($0) }), let value = UInt64(text)
            else {
                throw GatewayError(.invalidService, "\"\(name)\" must be a whole number, not \"\(text.prefix(32))\".")
            }
            return value
        }
        return try object.uint64(name)
    }
}
