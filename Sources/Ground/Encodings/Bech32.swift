/// Bech32 (BIP-173) and Bech32m (BIP-350): a human-readable part, `1`, data in 5-bit words, and a checksum.
public enum Bech32 {
    /// Which constant the checksum ends in.
    public enum Variant: Sendable, Hashable {
        /// BIP-173: BOLT11 invoices, LNURL.
        case bech32
        /// BIP-350: Cashu's `creqb`.
        case bech32m

        fileprivate var constant: UInt32 {
            switch self {
            case .bech32: 1
            case .bech32m: 0x2bc8_30a3
            }
        }
    }

    private static let digits = [UInt8]("qpzry9x8gf2tvdw0s3jn54khce6mua7l".utf8)

    /// The value of each lower-case digit; 0xFF for every other byte.
    private static let values: [UInt8] = {
        var table = [UInt8](repeating: 0xFF, count: 256)
        for (value, digit) in digits.enumerated() { table[Int(digit)] = UInt8(value) }
        return table
    }()

    private static let checksumCount = 6

    /// The lower-case text of `words` under `hrp`.
    ///
    /// - Parameters:
    ///   - hrp: one or more printable ASCII characters; written in lower case.
    ///   - words: the data in 5-bit values (see ``words(fromBytes:)``); higher bits are ignored.
    ///   - variant: the checksum to write.
    public static func encode(hrp: String, words: [UInt8], variant: Variant) -> String {
        let prefix = hrp.utf8.map(lowerCase)
        let digits = digits
        var checksum = Checksum(prefix: prefix)
        var text = prefix
        text.reserveCapacity(prefix.count + 1 + words.count + checksumCount)
        text.append(UInt8(ascii: "1"))
        for word in words {
            checksum.absorb(word & 31)
            text.append(digits[Int(word & 31)])
        }
        for _ in 0..<checksumCount { checksum.absorb(0) }
        let remainder = checksum.value ^ variant.constant
        for index in 0..<checksumCount {
            text.append(digits[Int(remainder >> UInt32(5 * (checksumCount - 1 - index)) & 31)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The parts of `text`, which is all lower or all upper case; the human-readable part comes back in lower case.
    ///
    /// - Parameter maximumLength: the most characters accepted: 90 by BIP-173; BOLT11 and `creqb` go beyond it.
    /// - Throws: `EncodingError` with `.tooLarge`, `.mixedCase`, `.invalidCharacter`, `.malformed` or
    ///   `.invalidChecksum`.
    public static func decode(
        _ text: String,
        maximumLength: Int = 90
    ) throws(EncodingError) -> (hrp: String, words: [UInt8], variant: Variant) {
        let characters = try uniformCase(text, maximumLength: maximumLength)
        guard let separator = characters.lastIndex(of: UInt8(ascii: "1")) else {
            throw EncodingError(.malformed, "bech32 text needs a `1` between its prefix and its data")
        }
        guard separator > 0 else { throw EncodingError(.malformed, "the bech32 prefix is empty") }
        guard characters.count - separator - 1 >= checksumCount else {
            throw EncodingError(.truncated, "bech32 text is too short to hold its checksum")
        }
        let prefix = [UInt8](characters[..<separator])
        var checksum = Checksum(prefix: prefix)
        let values = values
        var words: [UInt8] = []
        words.reserveCapacity(characters.count - separator - 1)
        for index in (separator + 1)..<characters.count {
            let value = values[Int(characters[index])]
            guard value < 32 else {
                throw EncodingError(.invalidCharacter, "character \(index + 1) is not a bech32 digit")
            }
            checksum.absorb(value)
            words.append(value)
        }
        words.removeLast(checksumCount)
        let hrp = String(decoding: prefix, as: UTF8.self)
        switch checksum.value {
        case Variant.bech32.constant: return (hrp, words, .bech32)
        case Variant.bech32m.constant: return (hrp, words, .bech32m)
        default:
            throw EncodingError(.invalidChecksum, "the bech32 checksum does not match: the text was changed or cut")
        }
    }

    /// `bytes` as 5-bit words, the last one filled with zero bits.
    public static func words(fromBytes bytes: [UInt8]) -> [UInt8] {
        var words: [UInt8] = []
        words.reserveCapacity((bytes.count * 8 + 4) / 5)
        var buffer: UInt32 = 0
        var bits: UInt32 = 0
        for byte in bytes {
            buffer = buffer << 8 | UInt32(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                words.append(UInt8(truncatingIfNeeded: buffer >> bits & 31))
            }
        }
        if bits > 0 { words.append(UInt8(truncatingIfNeeded: buffer << (5 - bits) & 31)) }
        return words
    }

    /// The whole bytes held by 5-bit words.
    ///
    /// - Parameter allowsPadding: `false` (BIP-173): the bits left over after the last whole byte number fewer than five
    ///   and are zero, else an error. `true`: the bits left over are filled with zero bits to one more byte, which is
    ///   what a BOLT11 signature covers ("zero bits appended to a byte boundary").
    /// - Throws: `EncodingError` with `.invalidCharacter` for a word above 31, or `.invalidPadding`.
    public static func bytes(
        fromWords words: some Sequence<UInt8>,
        allowsPadding: Bool = false
    ) throws(EncodingError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(words.underestimatedCount * 5 / 8 + 1)
        var buffer: UInt32 = 0
        var bits: UInt32 = 0
        for word in words {
            guard word < 32 else { throw EncodingError(.invalidCharacter, "a bech32 word is above 31") }
            buffer = buffer << 5 | UInt32(word)
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: buffer >> bits))
            }
        }
        if allowsPadding {
            if bits > 0 { bytes.append(UInt8(truncatingIfNeeded: buffer << (8 - bits))) }
            return bytes
        }
        guard bits < 5, buffer & (1 << bits - 1) == 0 else {
            throw EncodingError(.invalidPadding, "bits are left over after the last whole byte of the bech32 data")
        }
        return bytes
    }

    private static func uniformCase(_ text: String, maximumLength: Int) throws(EncodingError) -> [UInt8] {
        guard text.utf8.count <= maximumLength else {
            throw EncodingError(.tooLarge, "bech32 text has more than the \(maximumLength) characters allowed here")
        }
        var hasLower = false
        var hasUpper = false
        var characters = [UInt8](text.utf8)
        for index in characters.indices {
            switch characters[index] {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): hasLower = true
            case UInt8(ascii: "A")...UInt8(ascii: "Z"):
                hasUpper = true
                characters[index] = lowerCase(characters[index])
            case 33...126: break
            default:
                throw EncodingError(.invalidCharacter, "character \(index + 1) is not printable ASCII")
            }
        }
        guard !(hasLower && hasUpper) else {
            throw EncodingError(.mixedCase, "bech32 text mixes upper and lower case")
        }
        return characters
    }

    private static func lowerCase(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte + 32 : byte
    }

    /// The BCH checksum over the expanded prefix and the words.
    private struct Checksum {
        private(set) var value: UInt32 = 1

        init(prefix: [UInt8]) {
            for byte in prefix { absorb(byte >> 5) }
            absorb(0)
            for byte in prefix { absorb(byte & 31) }
        }

        mutating func absorb(_ word: UInt8) {
            let top = value >> 25
            value = (value & 0x1ff_ffff) << 5 ^ UInt32(word)
            if top & 1 != 0 { value ^= 0x3b6a_57b2 }
            if top & 2 != 0 { value ^= 0x2650_8e6d }
            if top & 4 != 0 { value ^= 0x1ea1_19fa }
            if top & 8 != 0 { value ^= 0x3d42_33dd }
            if top & 16 != 0 { value ^= 0x2a14_62b3 }
        }
    }
}
