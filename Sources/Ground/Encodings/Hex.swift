/// Hexadecimal text (RFC 4648 §8).
public enum Hex {
    private static let digits = [UInt8]("0123456789abcdef".utf8)

    /// The value of each ASCII hex digit of either case; 0xFF for every other byte.
    private static let values: [UInt8] = {
        var table = [UInt8](repeating: 0xFF, count: 256)
        for (value, digit) in "0123456789abcdef".utf8.enumerated() { table[Int(digit)] = UInt8(value) }
        for (value, digit) in "ABCDEF".utf8.enumerated() { table[Int(digit)] = UInt8(10 + value) }
        return table
    }()

    /// Two lower-case digits a byte.
    public static func encode(_ bytes: [UInt8]) -> String {
        let digits = digits
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count * 2)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 0x0F)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Two lower-case digits a byte.
    @inlinable
    public static func encode(_ bytes: some Sequence<UInt8>) -> String {
        encode([UInt8](bytes))
    }

    /// The bytes of `text`, which holds an even number of hex digits of either case and nothing else.
    ///
    /// - Throws: `EncodingError` with `.invalidLength` or `.invalidCharacter`.
    public static func decode(_ text: String) throws(EncodingError) -> [UInt8] {
        let digits = [UInt8](text.utf8)
        guard digits.count.isMultiple(of: 2) else {
            throw EncodingError(
                .invalidLength,
                "hexadecimal text needs an even number of digits, found \(digits.count)"
            )
        }
        let values = values
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2)
        var index = 0
        while index < digits.count {
            let high = values[Int(digits[index])]
            let low = values[Int(digits[index + 1])]
            guard high | low < 16 else {
                let position = high < 16 ? index + 1 : index
                throw EncodingError(.invalidCharacter, "character \(position + 1) is not a hexadecimal digit")
            }
            bytes.append(high << 4 | low)
            index += 2
        }
        return bytes
    }
}
