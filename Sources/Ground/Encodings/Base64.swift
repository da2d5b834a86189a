/// Base64 with the standard alphabet and padding (RFC 4648 §4).
public enum Base64 {
    /// The padded standard form, without line breaks.
    public static func encode(_ bytes: [UInt8]) -> String {
        Base64Codec.encode(bytes, with: .standard, padded: true)
    }

    /// The bytes of `text`: standard alphabet, padded to a multiple of four, padding bits zero, no white space.
    ///
    /// - Throws: `EncodingError` with `.invalidCharacter`, `.invalidLength` or `.invalidPadding`.
    public static func decode(_ text: String) throws(EncodingError) -> [UInt8] {
        try Base64Codec.decode(text, alphabets: .standard, padding: .required)
    }

    /// The bytes of `text` written in the standard or the URL alphabet, with or without padding.
    ///
    /// For formats whose writers disagree in the field (Cashu payment requests); all else stays strict.
    /// - Throws: `EncodingError` as ``decode(_:)`` does.
    public static func decodeEitherAlphabet(_ text: String) throws(EncodingError) -> [UInt8] {
        try Base64Codec.decode(text, alphabets: .either, padding: .optional)
    }
}

/// Base64 with the URL- and filename-safe alphabet (RFC 4648 §5).
public enum Base64URL {
    /// The form without padding, as JOSE (RFC 7515 §2), multibase `u` and our headers use it.
    public static func encode(_ bytes: [UInt8]) -> String {
        Base64Codec.encode(bytes, with: .url, padded: false)
    }

    /// The bytes of `text`: URL alphabet, padding left out or complete, padding bits zero, no white space.
    ///
    /// - Throws: `EncodingError` with `.invalidCharacter`, `.invalidLength` or `.invalidPadding`.
    public static func decode(_ text: String) throws(EncodingError) -> [UInt8] {
        try Base64Codec.decode(text, alphabets: .url, padding: .optional)
    }
}

/// The loops both public forms share.
private enum Base64Codec {
    struct Alphabet {
        var digits: [UInt8]
        /// The value of each byte; 0xFF where it is no digit.
        var values: [UInt8]

        init(symbols: [(UInt8, UInt8)]) {
            let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
            digits = [UInt8](letters.utf8) + [symbols[0].0, symbols[0].1]
            values = [UInt8](repeating: 0xFF, count: 256)
            for (value, digit) in letters.utf8.enumerated() { values[Int(digit)] = UInt8(value) }
            for (sixtyTwo, sixtyThree) in symbols {
                values[Int(sixtyTwo)] = 62
                values[Int(sixtyThree)] = 63
            }
        }

        static let standard = Alphabet(symbols: [(UInt8(ascii: "+"), UInt8(ascii: "/"))])
        static let url = Alphabet(symbols: [(UInt8(ascii: "-"), UInt8(ascii: "_"))])
        static let either = Alphabet(symbols: [
            (UInt8(ascii: "+"), UInt8(ascii: "/")), (UInt8(ascii: "-"), UInt8(ascii: "_")),
        ])
    }

    enum Padding { case required, optional }

    static func encode(_ bytes: [UInt8], with alphabet: Alphabet, padded: Bool) -> String {
        let digits = alphabet.digits
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index = 0
        while index + 3 <= bytes.count {
            let group = UInt32(bytes[index]) << 16 | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2])
            text.append(digits[Int(group >> 18)])
            text.append(digits[Int(group >> 12 & 63)])
            text.append(digits[Int(group >> 6 & 63)])
            text.append(digits[Int(group & 63)])
            index += 3
        }
        let left = bytes.count - index
        if left > 0 {
            let group = UInt32(bytes[index]) << 16 | (left == 2 ? UInt32(bytes[index + 1]) << 8 : 0)
            text.append(digits[Int(group >> 18)])
            text.append(digits[Int(group >> 12 & 63)])
            if left == 2 { text.append(digits[Int(group >> 6 & 63)]) }
            if padded { text.append(contentsOf: repeatElement(UInt8(ascii: "="), count: 3 - left)) }
        }
        return String(decoding: text, as: UTF8.self)
    }

    static func decode(_ text: String, alphabets alphabet: Alphabet, padding: Padding) throws(EncodingError) -> [UInt8]
    {
        let digits = [UInt8](text.utf8)
        let count = try digitCount(of: digits, padding: padding)
        let values = alphabet.values
        var bytes = wholeGroups(digits, count: count, values)
        let index = bytes.count / 3 * 4
        guard index + 4 > count else { throw invalidCharacter(in: digits, from: index, values) }
        guard index < count else { return bytes }
        // Two digits carry one byte and four padding bits, three carry two bytes and two padding bits.
        let first = values[Int(digits[index])]
        let second = values[Int(digits[index + 1])]
        let third = count - index == 3 ? values[Int(digits[index + 2])] : 0
        guard first | second | third < 64 else { throw invalidCharacter(in: digits, from: index, values) }
        bytes.append(first << 2 | second >> 4)
        if count - index == 3 { bytes.append(second << 4 | third >> 2) }
        let paddingBits = count - index == 3 ? third & 0b11 : second & 0b1111
        guard paddingBits == 0 else {
            throw EncodingError(.invalidPadding, "the last base64 digit has bits set beyond the last byte")
        }
        return bytes
    }

    /// The bytes of the groups of four digits, up to the first that is none.
    private static func wholeGroups(_ digits: [UInt8], count: Int, _ values: [UInt8]) -> [UInt8] {
        // Room for the last group, too, which may be shorter.
        [UInt8](unsafeUninitializedCapacity: count / 4 * 3 + 2) { bytes, length in
            digits.withUnsafeBufferPointer { digits in
                values.withUnsafeBufferPointer { values in
                    var index = 0
                    while index + 4 <= count {
                        let first = values[Int(digits[index])]
                        let second = values[Int(digits[index + 1])]
                        let third = values[Int(digits[index + 2])]
                        let fourth = values[Int(digits[index + 3])]
                        guard first | second | third | fourth < 64 else { return }
                        bytes[length] = first << 2 | second >> 4
                        bytes[length + 1] = second << 4 | third >> 2
                        bytes[length + 2] = third << 6 | fourth
                        length += 3
                        index += 4
                    }
                }
            }
        }
    }

    /// The number of digits before the padding, which must be of the right length where it is present.
    private static func digitCount(of digits: [UInt8], padding: Padding) throws(EncodingError) -> Int {
        var count = digits.count
        while count > 0, digits.count - count < 2, digits[count - 1] == UInt8(ascii: "=") { count -= 1 }
        guard count % 4 != 1 else {
            throw EncodingError(.invalidLength, "\(count) base64 digits cannot hold whole bytes")
        }
        let found = digits.count - count
        let expected = (4 - count % 4) % 4
        guard found == expected || (found == 0 && padding == .optional) else {
            throw EncodingError(.invalidPadding, "base64 text needs \(expected) padding characters, found \(found)")
        }
        return count
    }

    private static func invalidCharacter(in digits: [UInt8], from start: Int, _ values: [UInt8]) -> EncodingError {
        let position = digits[start...].firstIndex { values[Int($0)] > 63 } ?? start
        return EncodingError(.invalidCharacter, "character \(position + 1) is not a base64 digit of this alphabet")
    }
}
