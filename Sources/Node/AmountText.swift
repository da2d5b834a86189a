/// An amount with its unit as people write it: `5sat`.
enum AmountText {
    /// - Returns: the unit as it stands there, perhaps none; nil where the text does not begin with a number.
    static func read(_ text: String) -> (amount: UInt64, unit: String)? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let amount = UInt64(digits) else { return nil }
        return (amount, String(text.dropFirst(digits.count)))
    }
}
