internal import CanonicalJSON

/// Reads rates out of the JSON that price services give: what one bitcoin costs in a currency, found by a JSON Pointer (RFC 6901).
public struct RateDocument: Sendable, Equatable {
    /// The longest document that is read, in bytes.
    public static let maximumBytes = 64 * 1024
    public static let maximumUnits = 16
    /// Digits of a price, before and after its point together.
    private static let maximumDigits = 18
    /// Where the smallest part of a currency is not its hundredth (ISO 4217).
    private static let exponents = ["jpy": 0, "krw": 0, "clp": 0, "vnd": 0, "bhd": 3, "kwd": 3]

    /// The names on the way to each unit's price.
    private let pointers: [String: [String]]

    public var units: Set<String> { Set(pointers.keys) }

    /// Reads entries such as `usd=/data/amount`: a currency in small letters, and where the price of one bitcoin in it stands.
    /// - Throws: ``PriceError`` `bad-rate`.
    public init(_ entries: [String]) throws(PriceError) {
        guard (1...Self.maximumUnits).contains(entries.count) else {
            throw PriceError(.badRate, "Name 1 to \(Self.maximumUnits) units, such as usd=/data/amount.")
        }
        var pointers: [String: [String]] = [:]
        for entry in entries {
            let parts = entry.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, parts[0].utf8.count == 3, parts[0].utf8.allSatisfy({ (97...122).contains($0) }),
                parts[1].hasPrefix("/"), parts[1].utf8.count <= 256, pointers[parts[0]] == nil
            else {
                throw PriceError(
                    .badRate,
                    "\(entry.prefix(64)) must be a currency of three small letters and a JSON pointer, once, such as usd=/data/amount."
                )
            }
            pointers[parts[0]] = parts[1].dropFirst().split(separator: "/", omittingEmptySubsequences: false).map {
                String($0).replacing("~1", with: "/").replacing("~0", with: "~")
            }
        }
        self.pointers = pointers
    }

    /// Millisatoshis in the smallest part of each currency, rounded up: a seller never takes less than it asked.
    /// - Throws: ``PriceError`` `bad-rate` where the document is no JSON, or has no price at a pointer.
    public func rates(in bytes: [UInt8]) throws(PriceError) -> [String: UInt64] {
        guard bytes.count <= Self.maximumBytes, let document = try? JSONValue.parse(bytes) else {
            throw PriceError(.badRate, "It is no JSON of at most \(Self.maximumBytes) bytes.")
        }
        var rates: [String: UInt64] = [:]
        for (unit, pointer) in pointers {
            var place: JSONValue? = document
            for name in pointer { place = place.flatMap { Self.member(name, of: $0) } }
            guard let place, let rate = Self.rate(place, exponent: Self.exponents[unit] ?? 2) else {
                throw PriceError(
                    .badRate,
                    "There is no price of a bitcoin in \(unit) at /\(pointer.joined(separator: "/"))."
                )
            }
            rates[unit] = rate
        }
        return rates
    }

    private static func member(_ name: String, of value: JSONValue) -> JSONValue? {
        if case .array(let items) = value {
            guard let index = Int(name), String(index) == name, items.indices.contains(index) else { return nil }
            return items[index]
        }
        return value[name]
    }

    /// - Parameter exponent: how many decimals the currency has.
    private static func rate(_ value: JSONValue, exponent: Int) -> UInt64? {
        let text: String
        switch value {
        case .string(let written): text = written
        case .integer(let number): text = String(number)
        case .unsigned(let number): text = String(number)
        // The shortest decimal that reads back as it; one with an exponent is refused below.
        case .double(let number): text = "\(number)"
        default: return nil
        }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (48...57).contains($0) } }),
            parts.reduce(0, { $0 + $1.utf8.count }) <= maximumDigits, let digits = UInt64(parts.joined()), digits > 0
        else { return nil }
        // A bitcoin is 10^11 msat.
        let decimals = parts.count == 2 ? parts[1].utf8.count : 0
        let msat = UInt128(100_000_000_000) * power(decimals)
        let price = UInt128(digits) * power(exponent)
        let rate = msat / price + (msat % price == 0 ? 0 : 1)
        return rate <= UInt128(Price.maximumAmount) ? UInt64(rate) : nil
    }

    private static func power(_ exponent: Int) -> UInt128 { (0..<exponent).reduce(1) { power, _ in power * 10 } }
}
