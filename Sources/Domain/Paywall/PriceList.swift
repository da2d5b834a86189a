/// The price of one call: whole units, never a fraction.
public struct Price: Sendable, Hashable, CustomStringConvertible {
    /// In the smallest part of `unit`; 0 is free. At most ``maximumAmount``.
    public var amount: UInt64
    /// `sat`, `usd` (cents) …, as NUT-01 names them.
    public var unit: String

    /// 2^53 − 1: exact in every JSON reader.
    public static let maximumAmount: UInt64 = (1 << 53) - 1

    public init(amount: UInt64, unit: String = "sat") {
        self.amount = amount
        self.unit = unit
    }

    public var isFree: Bool { amount == 0 }
    public var description: String { "\(amount) \(unit)" }
}

/// What is wrong with a price list.
public struct PriceError: Error, Sendable, Equatable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public var rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public static let badPattern = Code(rawValue: "bad-pattern")
        public static let badMethod = Code(rawValue: "bad-method")
        public static let badAmount = Code(rawValue: "bad-amount")
        public static let tooManyRules = Code(rawValue: "too-many-rules")
        public static let contradiction = Code(rawValue: "contradiction")
        public static let badMeter = Code(rawValue: "bad-meter")
        public static let badRate = Code(rawValue: "bad-rate")
    }
    public var code: Code
    public var message: String
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
    public var description: String { message }
}

/// A price for some methods on some paths ([CALL-11]).
///
/// A pattern is a path whose last segment may be `*` (this path and everything under it) and whose other segments may be
/// `*` (any one segment): `/today`, `/v1/*`, `/users/*/photo`, `/*`.
public struct PriceRule: Sendable, Hashable {
    /// Upper-case method names; empty means any method.
    public let methods: Set<String>
    public let pattern: PathPattern
    /// The fixed part.
    public let price: Price
    /// What comes on top of it; nil where the price is fixed.
    public let metering: PriceMetering?
    /// How many calls a day are free for each passport; nil for none. It needs a passport that the service trusts: whoever
    /// could make new ones at will would never pay.
    public let freeCallsPerDay: UInt64?

    public var pathPattern: String { pattern.text }

    /// What is charged before the call where nothing is known of it: the fixed price, or the maximum.
    public var priceBeforehand: Price { metering.map { Price(amount: $0.maximum, unit: price.unit) } ?? price }

    /// - Throws: ``PriceError`` where a method, the pattern or an amount can't be.
    public init(
        methods: Set<String> = [],
        pathPattern: String,
        price: Price,
        metering: PriceMetering? = nil,
        freeCallsPerDay: UInt64? = nil
    ) throws(PriceError) {
        for method in methods {
            guard !method.isEmpty, method.utf8.count <= 32, method.utf8.allSatisfy(Self.isUpperToken) else {
                throw PriceError(.badMethod, "\"\(method)\" is no HTTP method; write it in capitals, such as GET.")
            }
        }
        guard price.amount <= Price.maximumAmount else {
            throw PriceError(.badAmount, "A price is at most \(Price.maximumAmount); \(price.amount) is more.")
        }
        guard !price.unit.isEmpty, price.unit.utf8.count <= 16 else {
            throw PriceError(.badAmount, "A price needs a unit of 1 to 16 characters, such as sat.")
        }
        guard price.amount <= metering?.maximum ?? price.amount else {
            throw PriceError(.badAmount, "The fixed part of a price is at most its maximum.")
        }
        guard (1...Price.maximumAmount).contains(freeCallsPerDay ?? 1) else {
            throw PriceError(.badAmount, "The free calls a day are 1 to \(Price.maximumAmount).")
        }
        self.metering = metering
        self.freeCallsPerDay = freeCallsPerDay
        self.methods = methods
        pattern = try PathPattern(pathPattern)
        self.price = price
    }

    private static func isUpperToken(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) || byte == UInt8(ascii: "-")
    }

    func asksTheSame(as other: PriceRule) -> Bool {
        price == other.price && metering == other.metering && freeCallsPerDay == other.freeCallsPerDay
    }

    func matches(path: RequestPath) -> Bool { pattern.matches(path) }

    /// The order of "longest match wins": exact before below, more segments, more literals, then a named method.
    var specificity: (Int, Int, Int, Int) {
        let literals = pattern.segments.count { $0 != .any }
        return (pattern.segments.count, literals, pattern.matchesBelow ? 0 : 1, methods.isEmpty ? 0 : 1)
    }
}

/// The prices of one service.
public struct PriceList: Sendable, Hashable {
    /// The most rules a service may have.
    public static let maximumRules = 256

    /// As given, in the seller's order.
    public let rules: [PriceRule]
    private let ranked: [PriceRule]

    /// - Throws: ``PriceError`` `too-many-rules`; `contradiction` where two rules give one call two prices.
    public init(_ rules: [PriceRule]) throws(PriceError) {
        guard rules.count <= Self.maximumRules else {
            throw PriceError(.tooManyRules, "A service has at most \(Self.maximumRules) price rules.")
        }
        for (index, rule) in rules.enumerated() {
            for other in rules[..<index]
            where other.pattern.segments == rule.pattern.segments
                && other.pattern.matchesBelow == rule.pattern.matchesBelow
                && !other.asksTheSame(as: rule)
            {
                let overlap =
                    other.methods.isEmpty == rule.methods.isEmpty
                    && (rule.methods.isEmpty || !other.methods.isDisjoint(with: rule.methods))
                guard !overlap else {
                    throw PriceError(
                        .contradiction,
                        "\"\(rule.pathPattern)\" has two prices: \(other.price) and \(rule.price)."
                    )
                }
            }
        }
        self.rules = rules
        ranked = rules.sorted { $0.specificity > $1.specificity }
    }

    /// One price for everything.
    public init(flat price: Price) throws(PriceError) {
        try self.init([PriceRule(pathPattern: "/*", price: price)])
    }

    /// What is charged before a call of which nothing is known, by the most specific rule: a fixed price, or the maximum of a
    /// metered one. nil where nothing is for sale under that name ([CALL-11]).
    public func price(method: String, path: RequestPath) -> Price? { rule(method: method, path: path)?.priceBeforehand }

    /// The rule for a call, the most specific one; nil where nothing is for sale under that name ([CALL-11]).
    ///
    /// HEAD costs what GET costs unless a rule names HEAD: it makes the upstream do the same work.
    public func rule(method: String, path: RequestPath) -> PriceRule? {
        let asked = method.uppercased()
        let matching = ranked.filter { $0.matches(path: path) }
        func first(_ method: String, orAny: Bool) -> PriceRule? {
            matching.first { $0.methods.contains(method) || (orAny && $0.methods.isEmpty) }
        }
        if asked == "HEAD", !matching.contains(where: { $0.methods.contains("HEAD") }) {
            return first("GET", orAny: true)
        }
        return first(asked, orAny: true)
    }

    /// The methods for sale on a path, for `Allow` in a 405; empty where the path is unknown, nil where any method is.
    public func methods(path: RequestPath) -> Set<String>? {
        let matching = ranked.filter { $0.matches(path: path) }
        if matching.contains(where: { $0.methods.isEmpty }) { return nil }
        return matching.reduce(into: []) { $0.formUnion($1.methods) }
    }
}
