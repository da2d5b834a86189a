/// Base58 with Bitcoin's alphabet (draft-msporny-base58), as did:key and proof values use it.
///
/// Both directions cost time quadratic in the length, so the reader is bounded; write only short values with it.
public enum Base58 {
    private static let digits = [UInt8]("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".utf8)

    /// The value of each digit; 0xFF for every other byte.
    private static let values: [UInt8] = {
        var table = [UInt8](repeating: 0xFF, count: 256)
        for (value, digit) in digits.enumerated() { table[Int(digit)] = UInt8(value) }
        return table
    }()

    /// 58⁵, the largest power of 58 below 2³²: five digits are written at a time.
    private static let chunk: UInt64 = 656_356_768

    /// The digits of `bytes`; each leading zero byte becomes a `1`.
    public static func encode(_ bytes: [UInt8]) -> String {
        let digits = digits
        let zeros = bytes.prefix { $0 == 0 }.count
        var limbs = bigEndianLimbs(bytes)
        var text: [UInt8] = []  // least significant digit first
        text.reserveCapacity(bytes.count * 7 / 5 + 6)
        var first = 0
        while first < limbs.count {
            var remainder: UInt64 = 0
            for index in first..<limbs.count {
                let value = remainder << 32 | UInt64(limbs[index])
                limbs[index] = UInt32(truncatingIfNeeded: value / chunk)
                remainder = value % chunk
            }
            while first < limbs.count, limbs[first] == 0 { first += 1 }
            for _ in 0..<5 {
                text.append(digits[Int(remainder % 58)])
                remainder /= 58
            }
        }
        while text.last == digits[0] { text.removeLast() }
        text.append(contentsOf: repeatElement(digits[0], count: zeros))
        text.reverse()
        return String(decoding: text, as: UTF8.self)
    }

    /// The bytes of `text`.
    ///
    /// - Parameter maximumBytes: the longest result accepted.
    /// - Throws: `EncodingError` with `.invalidCharacter` or `.tooLarge`.
    public static func decode(_ text: String, maximumBytes: Int = 256) throws(EncodingError) -> [UInt8] {
        try decode([UInt8](text.utf8)[...], maximumBytes: maximumBytes)
    }

    /// As ``decode(_:maximumBytes:)-(String,_)``, of ASCII.
    package static func decode(
        _ characters: ArraySlice<UInt8>,
        maximumBytes: Int
    ) throws(EncodingError) -> [UInt8] {
        // A byte takes at most 1.37 digits; longer text cannot be in bounds and is not worth reading.
        guard characters.count <= maximumBytes / 5 * 7 + 7 else { throw tooLarge(maximumBytes) }
        let values = values
        let end = characters.endIndex
        var index = characters.startIndex
        while index < end, characters[index] == UInt8(ascii: "1") { index += 1 }
        let zeros = index - characters.startIndex
        var limbs: [UInt64] = []  // least significant first
        limbs.reserveCapacity(characters.count / 10 + 1)
        while index < end {
            var factor: UInt64 = 1
            var addend: UInt64 = 0
            // 58¹⁰ is the largest power of 58 below 2⁶⁴.
            let next = min(index + 10, end)
            while index < next {
                let value = values[Int(characters[index])]
                guard value < 58 else {
                    throw EncodingError(
                        .invalidCharacter,
                        "character \(index - characters.startIndex + 1) is not a base58 digit"
                    )
                }
                addend = addend * 58 + UInt64(value)
                factor *= 58
                index += 1
            }
            for position in limbs.indices {
                let (high, low) = limbs[position].multipliedFullWidth(by: factor)
                let (sum, overflow) = low.addingReportingOverflow(addend)
                limbs[position] = sum
                // At most factor: a product of two 64-bit numbers and one more fits in 128 bits.
                addend = high + (overflow ? 1 : 0)
            }
            if addend > 0 { limbs.append(addend) }
        }
        let bytes = bytes(ofLittleEndian: limbs, afterZeros: zeros)
        guard bytes.count <= maximumBytes else { throw tooLarge(maximumBytes) }
        return bytes
    }

    private static func bigEndianLimbs(_ bytes: [UInt8]) -> [UInt32] {
        var limbs: [UInt32] = []
        limbs.reserveCapacity(bytes.count / 4 + 1)
        var limb: UInt32 = 0
        for (index, byte) in bytes.enumerated() {
            limb = limb << 8 | UInt32(byte)
            if (bytes.count - index - 1).isMultiple(of: 4) {
                if limb != 0 || !limbs.isEmpty { limbs.append(limb) }
                limb = 0
            }
        }
        return limbs
    }

    /// So many zeros, and the significant bytes of a number.
    private static func bytes(ofLittleEndian limbs: [UInt64], afterZeros zeros: Int) -> [UInt8] {
        let leading = limbs.last.map { $0.leadingZeroBitCount / 8 } ?? 0
        let count = zeros + limbs.count * 8 - leading
        return [UInt8](unsafeUninitializedCapacity: count) { bytes, length in
            bytes[..<zeros].initialize(repeating: 0)
            for place in zeros..<count {
                let power = count - 1 - place
                bytes[place] = UInt8(truncatingIfNeeded: limbs[power / 8] >> UInt64(8 * (power % 8)))
            }
            length = count
        }
    }

    private static func tooLarge(_ maximumBytes: Int) -> EncodingError {
        EncodingError(.tooLarge, "base58 text holds more than the \(maximumBytes) bytes allowed here")
    }
}
