/// The human-readable part of an invoice: `ln`, the currency, and an amount with its multiplier
/// (BOLT 11, "Human-Readable Part").
struct InvoicePrefix: Hashable, Sendable {
    /// All the bitcoin there will ever be: 21 million, in msat.
    static let maximumAmountMsat: UInt64 = 2_100_000_000_000_000_000

    var currency: InvoiceCurrency
    /// Nil where the payer may choose.
    var amountMsat: UInt64?

    init(currency: InvoiceCurrency, amountMsat: UInt64?) {
        self.currency = currency
        self.amountMsat = amountMsat
    }

    /// - Parameter text: lower case, as bech32 decoding gives it.
    init(parsing text: String) throws(LightningError) {
        guard text.hasPrefix("ln") else {
            throw LightningError(.unknownCurrency, "a Lightning invoice begins with ln; this does not")
        }
        let rest = text.utf8.dropFirst(2)
        let name = String(rest.prefix { !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) ?? ""
        guard let currency = InvoiceCurrency(rawValue: name) else {
            throw LightningError(
                .unknownCurrency,
                "the invoice's prefix ln\(name.prefix(10)) names no network that is known here"
                    + " (lnbc, lntb, lntbs, lnbcrt)"
            )
        }
        self.currency = currency
        amountMsat = try Self.amount(Array(rest.dropFirst(name.utf8.count)))
    }

    /// The shortest form: the largest multiplier that leaves a whole number.
    var text: String {
        guard let amount = amountMsat else { return "ln\(currency.rawValue)" }
        let forms: [(msatPerUnit: UInt64, multiplier: String)] = [
            (100_000_000_000, ""), (100_000_000, "m"), (100_000, "u"), (100, "n"),
        ]
        for (unit, multiplier) in forms where amount.isMultiple(of: unit) {
            return "ln\(currency.rawValue)\(amount / unit)\(multiplier)"
        }
        // 1 msat is 10 pico-bitcoin, so the last decimal is 0 as the BOLT asks.
        return "ln\(currency.rawValue)\(amount)0p"
    }

    private static func amount(_ text: [UInt8]) throws(LightningError) -> UInt64? {
        guard !text.isEmpty else { return nil }
        var digits = text
        var multiplier: UInt8?
        if let last = digits.last, !isDigit(last) {
            multiplier = digits.removeLast()
        }
        // All the bitcoin there will be is 2.1e19 pico-bitcoin: 20 digits.
        guard !digits.isEmpty, digits.count <= 20, digits.allSatisfy(isDigit), digits[0] != UInt8(ascii: "0") else {
            throw invalid("its amount is not a positive decimal number with at most one multiplier (m, u, n, p)")
        }
        let unit: UInt64
        switch multiplier {
        case nil: unit = 100_000_000_000
        case UInt8(ascii: "m"): unit = 100_000_000
        case UInt8(ascii: "u"): unit = 100_000
        case UInt8(ascii: "n"): unit = 100
        case UInt8(ascii: "p"):
            guard digits.last == UInt8(ascii: "0") else {
                throw invalid("its amount asks for less than a millisatoshi")
            }
            // Dropping the 0 divides by the ten pico-bitcoin of a millisatoshi.
            digits.removeLast()
            unit = 1
        default:
            throw invalid("its amount ends in an unknown multiplier (known: m, u, n, p)")
        }
        return try value(digits, times: unit)
    }

    private static func value(_ digits: [UInt8], times unit: UInt64) throws(LightningError) -> UInt64 {
        var sum: UInt64 = 0
        for digit in digits {
            let (tens, tensOverflow) = sum.multipliedReportingOverflow(by: 10)
            let (next, overflow) = tens.addingReportingOverflow(UInt64(digit - UInt8(ascii: "0")))
            guard !tensOverflow, !overflow else { throw invalid("its amount is more bitcoin than there will ever be") }
            sum = next
        }
        let (amount, overflow) = sum.multipliedReportingOverflow(by: unit)
        guard !overflow, amount <= maximumAmountMsat else {
            throw invalid("its amount is more bitcoin than there will ever be")
        }
        return amount
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private static func invalid(_ why: String) -> LightningError {
        LightningError(.invalidAmount, "the invoice cannot be paid: \(why)")
    }
}
