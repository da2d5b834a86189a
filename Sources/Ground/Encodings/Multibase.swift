/// Self-describing text: one character naming the base, then the digits (draft-multiformats-multibase).
public enum Multibase {
    /// The bases this module speaks.
    public enum Base: Sendable, CaseIterable {
        /// `z`, Bitcoin's base58.
        case base58btc
        /// `u`, base64url without padding.
        case base64url
        /// `b`, RFC 4648 base32 in lower case without padding.
        case base32
        /// `f`, hexadecimal in lower case.
        case base16
    }

    /// `bytes` in the given base, with its prefix.
    public static func encode(_ bytes: [UInt8], as base: Base) -> String {
        switch base {
        case .base58btc: "z" + Base58.encode(bytes)
        case .base64url: "u" + Base64URL.encode(bytes)
        case .base32: "b" + Base32.encode(bytes)
        case .base16: "f" + Hex.encode(bytes)
        }
    }

    /// The bytes of `text`, which starts with one of the prefixes `z`, `u`, `b` or `f`.
    ///
    /// Each value has one spelling: padding and the other case are refused.
    /// - Parameter maximumBytes: the longest result accepted.
    /// - Throws: `EncodingError`; `.unsupported` where the prefix names another base.
    public static func decode(_ text: String, maximumBytes: Int = 4096) throws(EncodingError) -> [UInt8] {
        guard let prefix = text.utf8.first else {
            throw EncodingError(.truncated, "multibase text is empty")
        }
        // The most digits a byte takes is two (base16): longer text is not worth reading.
        guard text.utf8.count / 2 <= maximumBytes else { throw tooLarge(maximumBytes) }
        if prefix == UInt8(ascii: "z") {
            return try Base58.decode([UInt8](text.utf8).dropFirst(), maximumBytes: maximumBytes)
        }
        let digits = String(text.unicodeScalars.dropFirst())
        let bytes: [UInt8]
        switch prefix {
        case UInt8(ascii: "u"):
            guard digits.utf8.last != UInt8(ascii: "=") else {
                throw EncodingError(.invalidPadding, "multibase base64url is written without padding")
            }
            bytes = try Base64URL.decode(digits)
        case UInt8(ascii: "b"):
            bytes = try Base32.decode(digits)
        case UInt8(ascii: "f"):
            guard !digits.utf8.contains(where: { (UInt8(ascii: "A")...UInt8(ascii: "F")).contains($0) }) else {
                throw EncodingError(.invalidCharacter, "multibase base16 with prefix `f` is written in lower case")
            }
            bytes = try Hex.decode(digits)
        default:
            throw EncodingError(.unsupported, "the multibase prefix is none of `z`, `u`, `b` and `f`")
        }
        guard bytes.count <= maximumBytes else { throw tooLarge(maximumBytes) }
        return bytes
    }

    private static func tooLarge(_ maximumBytes: Int) -> EncodingError {
        EncodingError(.tooLarge, "multibase text holds more than the \(maximumBytes) bytes allowed here")
    }
}

/// RFC 4648 §6 in lower case without padding, the form CIDs are written in.
enum Base32 {
    private static let digits = [UInt8]("abcdefghijklmnopqrstuvwxyz234567".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        let digits = digits
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count * 8 / 5 + 1)
        var buffer: UInt32 = 0
        var bits = 0
        for byte in bytes {
            buffer = buffer << 8 | UInt32(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                text.append(digits[Int(buffer >> UInt32(bits) & 31)])
            }
        }
        if bits > 0 { text.append(digits[Int(buffer << UInt32(5 - bits) & 31)]) }
        return String(decoding: text, as: UTF8.self)
    }

    static func decode(_ text: String) throws(EncodingError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count * 5 / 8)
        var buffer: UInt32 = 0
        var bits = 0
        for (index, digit) in text.utf8.enumerated() {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = digit - UInt8(ascii: "a")
            case UInt8(ascii: "2")...UInt8(ascii: "7"): value = digit - UInt8(ascii: "2") + 26
            default:
                throw EncodingError(.invalidCharacter, "character \(index + 1) is not a lower-case base32 digit")
            }
            buffer = buffer << 5 | UInt32(value)
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: buffer >> UInt32(bits)))
            }
        }
        guard bits < 5 else { throw EncodingError(.invalidLength, "the base32 digits cannot hold whole bytes") }
        guard buffer & (1 << UInt32(bits) - 1) == 0 else {
            throw EncodingError(.invalidPadding, "the last base32 digit has bits set beyond the last byte")
        }
        return bytes
    }
}
