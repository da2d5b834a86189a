internal import CanonicalJSON

/// A decimal number as it is written: digits · 10^exponent, so that "is 0.3 a multiple of 0.1" is asked of what stands there.
struct SchemaDecimal: Sendable {
    let digits: UInt64
    let exponent: Int

    /// The size of a number; nil of what is none.
    init?(_ value: JSONValue) {
        switch value {
        case .integer(let number): self.init(digits: number.magnitude, exponent: 0)
        case .unsigned(let number): self.init(digits: number, exponent: 0)
        case .double(let number): self.init(shortest: number.magnitude.description)
        default: return nil
        }
    }

    private init(digits: UInt64, exponent: Int) {
        var (digits, exponent) = (digits, exponent)
        while digits != 0, digits % 10 == 0 { (digits, exponent) = (digits / 10, exponent + 1) }
        self.digits = digits
        self.exponent = digits == 0 ? 0 : exponent
    }

    /// `0.0075`, `1e-08`, `12345.0`: at most 17 digits that count.
    private init?(shortest text: String) {
        let parts = text.split(separator: "e", maxSplits: 1)
        guard let mantissa = parts.first else { return nil }
        var exponent = 0
        if parts.count == 2 {
            guard let read = Int(parts[1]) else { return nil }
            exponent = read
        }
        let halves = mantissa.split(separator: ".", maxSplits: 1)
        var figures = String(halves.first ?? "0")
        if halves.count == 2, halves[1] != "0" {
            figures += halves[1]
            exponent -= halves[1].count
        }
        guard let digits = UInt64(figures) else { return nil }
        self.init(digits: digits, exponent: exponent)
    }

    func isMultiple(of divisor: SchemaDecimal) -> Bool {
        guard digits != 0 else { return true }
        guard divisor.digits != 0 else { return false }
        let shift = exponent - divisor.exponent
        // Its digits end on no 0, so that no power of 10 divides them.
        guard shift >= 0, shift <= 700 else { return false }
        // digits · 10^shift modulo the divisor, a 10 at a time.
        var rest = digits % divisor.digits
        for _ in 0..<shift where rest != 0 {
            let (high, low) = rest.multipliedFullWidth(by: 10)
            rest = divisor.digits.dividingFullWidth((high, low)).remainder
        }
        return rest == 0
    }
}
