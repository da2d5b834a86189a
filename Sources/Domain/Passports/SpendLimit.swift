public import CanonicalJSON

/// How much an agent may spend in each period, as its operator allows (`spendLimit` of a passport).
///
/// Amounts are in the minor unit of `currency`: satoshi for `XBT`, cents for `USD` and `EUR`.
public struct SpendLimit: Hashable, Sendable {
    /// Three to eight capital letters or digits: an ISO 4217 code, or `XBT` for bitcoin.
    public var currency: String
    /// In the currency's minor unit. Travels as a decimal string.
    public var amountMinor: UInt64
    /// An ISO 8601 duration of one whole number of weeks, days, hours or minutes, such as `P1D` or `PT1H`.
    public var period: String
    /// The period's length, 60 to 31,622,400 seconds (366 days).
    public let periodSeconds: Int64

    /// - Throws: `PassportReason` with `.malformed`.
    public init(currency: String, amountMinor: UInt64, period: String) throws(PassportReason) {
        let letters = currency.utf8
        guard (3...8).contains(letters.count),
            letters.allSatisfy({ (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) })
        else {
            throw PassportReason(.malformed, "`spendLimit.currency` must be three to eight capital letters or digits")
        }
        guard let seconds = Self.seconds(ofPeriod: period) else {
            throw PassportReason(
                .malformed,
                "`spendLimit.period` must be a duration such as P1D or PT1H, from a minute to 366 days"
            )
        }
        self.currency = currency
        self.amountMinor = amountMinor
        self.period = period
        periodSeconds = seconds
    }

    /// So many satoshi a period.
    public static func satoshi(_ amount: UInt64, per period: String = "P1D") throws(PassportReason) -> SpendLimit {
        try SpendLimit(currency: "XBT", amountMinor: amount, period: period)
    }

    /// The Cashu unit that counts the same thing (`sat`, `usd`, `eur`), where there is one.
    public var unit: String? {
        switch currency {
        case "XBT": "sat"
        case "USD": "usd"
        case "EUR": "eur"
        default: nil
        }
    }

    /// The currency of a Cashu unit, the inverse of ``unit``.
    public static func currency(ofUnit unit: String) -> String? {
        switch unit {
        case "sat": "XBT"
        case "usd": "USD"
        case "eur": "EUR"
        default: nil
        }
    }

    public init(json: JSONValue) throws(PassportReason) {
        guard let currency = json["currency"]?.stringValue, let text = json["amountMinor"]?.stringValue,
            let period = json["period"]?.stringValue
        else {
            throw PassportReason(.malformed, "`spendLimit` needs `currency`, `amountMinor` and `period`, each a string")
        }
        guard let amount = Self.amount(text) else {
            throw PassportReason(
                .malformed,
                "`spendLimit.amountMinor` must be a decimal number without sign or leading zeros"
            )
        }
        try self.init(currency: currency, amountMinor: amount, period: period)
    }

    public var json: JSONValue {
        ["currency": .string(currency), "amountMinor": .string(String(amountMinor)), "period": .string(period)]
    }

    /// A decimal of at most 20 digits, as `String(UInt64)` would write it.
    static func amount(_ text: String) -> UInt64? {
        guard (1...20).contains(text.utf8.count), let value = UInt64(text), String(value) == text else { return nil }
        return value
    }

    private static func seconds(ofPeriod text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard (3...8).contains(bytes.count), bytes[0] == UInt8(ascii: "P"), let unit = bytes.last else { return nil }
        let isTime = bytes[1] == UInt8(ascii: "T")
        let length: Int64
        switch (isTime, unit) {
        case (false, UInt8(ascii: "W")): length = 604_800
        case (false, UInt8(ascii: "D")): length = 86_400
        case (true, UInt8(ascii: "H")): length = 3_600
        case (true, UInt8(ascii: "M")): length = 60
        default: return nil
        }
        let digits = bytes[(isTime ? 2 : 1)..<(bytes.count - 1)]
        guard let first = digits.first, first != UInt8(ascii: "0"),
            digits.allSatisfy({ (0x30...0x39).contains($0) }),
            let count = Int64(String(decoding: digits, as: UTF8.self))
        else { return nil }
        let (seconds, overflow) = count.multipliedReportingOverflow(by: length)
        return !overflow && seconds <= 31_622_400 ? seconds : nil
    }
}
