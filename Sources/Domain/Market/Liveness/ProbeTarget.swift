/// A call that a probe asks the price of: one that a customer could make by what the listing says ([LIV-1]).
public struct ProbeTarget: Sendable, Hashable {
    /// The most that a challenge may ask over the listed price for a mint's fees: one and a tenth ([LIV-3]).
    static func allowed(_ price: UInt64) -> UInt64 {
        let (sum, isTooLarge) = price.addingReportingOverflow(price / 10 + 1)
        return isTooLarge ? .max : sum
    }

    public let url: String
    /// Under which of the listing's URLs it is.
    public let base: ListingURL
    public let method: String
    /// The most that the listing says for such a call, by unit.
    public let prices: [String: UInt64]
    /// The service is for those who show a passport.
    public let asksWho: Bool

    /// Host and port: what is asked one at a time ([LIV-4]).
    public var host: String { "\(base.place.host):\(base.place.port)" }

    /// Whether the call is listed as free: then it is made, and not asked about.
    public var isFree: Bool { prices.values.allSatisfy { $0 == 0 } }

    /// The most that such a call may cost, in satoshi, fees included ([LIV-3]); nil where the listing is in other units.
    public var mostInSatoshi: UInt64? { limit("sat").map(Self.allowed) }

    /// One of the calls that the listing tells the price of, at random: so not even a seller that answers some paths alone knows
    /// which will be asked.
    ///
    /// - Parameters:
    ///   - urls: those of its URLs that may be used here.
    /// - Returns: nil where nothing can be asked that has no effect.
    public init?(_ listing: Listing, urls: [ListingURL], using random: inout some RandomNumberGenerator) {
        guard let base = urls.randomElement(using: &random) else { return nil }
        let calls = listing.prices.compactMap { price in Self.call(price) }
        guard let (path, method) = calls.randomElement(using: &random) else { return nil }
        var prices: [String: UInt64] = [:]
        for price in listing.prices where Self.mayApply(price, to: path, method) {
            prices[price.unit] = max(prices[price.unit] ?? 0, price.amount)
        }
        self.prices = prices
        self.method = method
        self.base = base
        url = (base.text.hasSuffix("/") ? String(base.text.dropLast()) : base.text) + path
        asksWho = listing.callers != nil
    }

    /// The path and method of a call that costs that; nil where it is free and might do something, or is no plain path.
    private static func call(_ price: Listing.Price) -> (path: String, method: String)? {
        let method: String
        if price.methods.isEmpty || price.methods.contains("GET") {
            method = "GET"
        } else if price.amount > 0, let first = price.methods.first {
            method = first
        } else {
            return nil
        }
        var segments = price.path.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard !segments.contains(where: { $0 == "." || $0 == ".." }),
            price.path.utf8.allSatisfy({ !refused.contains($0) })
        else { return nil }
        // What stands for anything: nothing at the end, something elsewhere.
        if segments.last == "*" { segments[segments.count - 1] = "" }
        return ("/" + segments.map { $0 == "*" ? "1" : $0 }.joined(separator: "/"), method)
    }

    /// What has a meaning of its own in a URL, or none.
    private static let refused: Set<UInt8> = Set("\"#<>?\\^`{|}".utf8)

    private static func mayApply(_ price: Listing.Price, to path: String, _ method: String) -> Bool {
        guard price.methods.isEmpty || price.methods.contains(method) else { return false }
        let pattern = price.path.split(separator: "/", omittingEmptySubsequences: true)
        let given = path.split(separator: "/", omittingEmptySubsequences: true)
        let isOpen = pattern.last == "*"
        guard isOpen ? given.count >= pattern.count - 1 : given.count == pattern.count else { return false }
        return zip(pattern, given).allSatisfy { $0 == "*" || $0 == $1 }
    }
}

/// What came of asking ([LIV-2], [LIV-3]).
public enum ProbeAnswer: Sendable, Hashable {
    /// No connection, or it broke off.
    case unreachable
    /// Nothing, within the time that a probe waits.
    case timeout
    /// The name leads to an address that is not asked from here.
    case forbidden
    case status(Int, Terms)
    /// What a call that was paid for brought ([LIV-13]).
    case bought(Int)
    /// It was paid for and not served, or a good payment was refused.
    case unserved

    /// What an answer asks for.
    public struct Terms: Sendable, Hashable {
        /// How many of its challenges can be read.
        public var offers: Int
        /// What they ask, where it is for one call and in units.
        public var asked: [Price]
        /// What the answer says besides that the call costs.
        public var said: Price?

        public init(offers: Int = 0, asked: [Price] = [], said: Price? = nil) {
            self.offers = offers
            self.asked = asked
            self.said = said
        }
    }

    public struct Price: Sendable, Hashable {
        public var amount: UInt64
        public var unit: String

        public init(_ amount: UInt64, _ unit: String) {
            self.amount = amount
            self.unit = unit
        }
    }
}

extension ProbeTarget {
    /// Why an answer means what it means.
    public enum Why: String, Sendable, CaseIterable {
        case answered
        /// It answers those whom it knows.
        case gate
        case unreachable
        case timeout
        case forbidden = "forbidden-address"
        case serverError = "server-error"
        case redirect
        case notThere = "not-there"
        /// It gives what it says it sells, or never asks for money: no paywall stands there.
        case noPaywall = "no-paywall"
        /// A 402 that nobody can pay.
        case noOffer = "no-offer"
        case dear
        /// It took no good payment, or gave it back unserved.
        case unserved
        case busy
        case other

        public var outcome: LivenessResult.Outcome {
            switch self {
            case .answered, .gate: .good
            case .busy, .other: .unclear
            default: .failed
            }
        }
    }

    public func why(_ answer: ProbeAnswer) -> Why {
        switch answer {
        case .unreachable: return .unreachable
        case .timeout: return .timeout
        case .forbidden: return .forbidden
        case .unserved: return .unserved
        case .bought(let status):
            switch status {
            case 200...399: return .answered
            case 500...: return .serverError
            default: return .other
            }
        case .status(let status, let terms):
            switch status {
            case 402: return why(terms)
            case 200...299: return isFree ? .answered : .noPaywall
            case 300...399: return .redirect
            case 404, 410: return .notThere
            case 401, 403: return asksWho ? .gate : .other
            case 408, 425, 429: return .busy
            case 500...: return .serverError
            default: return .other
            }
        }
    }

    private func why(_ terms: ProbeAnswer.Terms) -> Why {
        guard terms.offers > 0 else { return .noOffer }
        // Of those that can be held against the listing, one that asks no more is enough: a buyer takes the cheapest.
        let held = terms.asked.compactMap { asked in limit(asked.unit).map { asked.amount <= Self.allowed($0) } }
        if !held.isEmpty, !held.contains(true) { return .dear }
        if let said = terms.said, let limit = limit(said.unit), said.amount > limit { return .dear }
        return .answered
    }

    /// The most in a unit; satoshi and millisatoshi are held against each other.
    private func limit(_ unit: String) -> UInt64? {
        if let limit = prices[unit] { return limit }
        switch unit {
        case "msat": return prices["sat"].map { $0.multipliedReportingOverflow(by: 1_000) }.map { $1 ? .max : $0 }
        case "sat": return prices["msat"].map { $0 / 1_000 + ($0 % 1_000 == 0 ? 0 : 1) }
        default: return nil
        }
    }
}
