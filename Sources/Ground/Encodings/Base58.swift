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

    /// 58⁵, the largest power of 58 below 2³²: five digits are converted at a time.
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
        let characters = [UInt8](text.utf8)
        // A byte takes at most 1.37 digits; longer text cannot be in bounds and is not worth reading.
        guard characters.count <= maximumBytes / 5 * 7 + 7 else { throw tooLarge(maximumBytes) }
        let values = values
        let zeros = characters.prefix { $0 == UInt8(ascii: "1") }.count
        var limbs: [UInt32] = []  // least significant first
        limbs.reserveCapacity(characters.count / 5 + 1)
        var index = zeros
        while index < characters.count {
            var factor: UInt64 = 1
            var addend: UInt64 = 0
            let end = min(index + 5, characters.count)
            while index < end {
                let value = values[Int(characters[index])]
                guard value < 58 else {
                    throw EncodingError(.invalidCharacter, "character \(index + 1) is not a base58 digit")
                }
                addend = addend * 58 + UInt64(value)
                factor *= 58
                index += 1
            }
            for position in limbs.indices {
                let product = UInt64(limbs[position]) * factor + addend
                limbs[position] = UInt32(truncatingIfNeeded: product)
                addend = product >> 32
            }
            if addend > 0 { limbs.append(UInt32(truncatingIfNeeded: addend)) }
        }
        var bytes = [UInt8](repeating: 0, count: zeros)
        bytes.append(contentsOf: significantBytes(ofLittleEndian: limbs))
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

    private static func significantBytes(ofLittleEndian limbs: [UInt32]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(limbs.count * 4)
        for limb in limbs.reversed() {
            for shift in [UInt32(24), 16, 8, 0] {
                let byte = UInt8(truncatingIfNeeded: limb >> shift)
                if byte != 0 || !bytes.isEmpty { bytes.append(byte) }
            }
        }
        return bytes
    }

    private static func tooLarge(_ maximumBytes: Int) -> EncodingError {
        EncodingError(.tooLarge, "base58 text holds more than the \(maximumBytes) bytes allowed here")
    }
}
