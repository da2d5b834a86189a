// Quote ids (NUT-04, NUT-05) and the method names both use.
import CanonicalJSON
public import Encodings

/// The id of a mint or melt quote. Whoever knows it can take the ecash that a paid quote is owed: it is a secret.
public struct QuoteID: Hashable, Sendable, CustomStringConvertible {
    public let string: String

    /// 1 to ``CashuLimits/quoteIDCharacters`` characters of `A–Z a–z 0–9 - _`; mints give UUIDs or base64url.
    public init(_ text: String) throws(CashuError) {
        let isWellFormed = text.utf8.allSatisfy { byte in
            (0x61...0x7A).contains(byte) || (0x41...0x5A).contains(byte) || (0x30...0x39).contains(byte)
                || byte == 0x2D || byte == 0x5F
        }
        guard isWellFormed, (1...CashuLimits.quoteIDCharacters).contains(text.utf8.count) else {
            throw CashuError(
                .malformed,
                "a quote id is 1 to \(CashuLimits.quoteIDCharacters) letters, digits, `-` or `_`"
            )
        }
        string = text
    }

    /// A UUID of version 7: 48 bits of time, then version, variant and 74 random bits (RFC 9562 §5.7).
    ///
    /// NUT-04 wants all 74 from a cryptographically secure generator, as the id must not be guessed.
    /// - Parameter random: at least 10 bytes from such a generator.
    public init(now: Timestamp, random: [UInt8]) throws(CashuError) {
        guard random.count >= 10 else {
            throw CashuError(.malformed, "a quote id needs 10 random bytes, not \(random.count)")
        }
        let time = UInt64(bitPattern: now.millisecondsSince1970)
        var bytes = stride(from: 40, through: 0, by: -8).map { UInt8(truncatingIfNeeded: time >> $0) }
        bytes += random.prefix(10)
        bytes[6] = bytes[6] & 0x0F | 0x70
        bytes[8] = bytes[8] & 0x3F | 0x80
        let hex = Array(Hex.encode(bytes))
        string = [hex[0..<8], hex[8..<12], hex[12..<16], hex[16..<20], hex[20..<32]]
            .map { String($0) }.joined(separator: "-")
    }

    public var description: String { string }
}

/// The name of a payment method in a path, `[a-z0-9_-]+` (NUT-04).
public struct PaymentMethod: Hashable, Sendable, CustomStringConvertible {
    public let name: String

    public init(_ name: String) throws(CashuError) {
        let isWellFormed = name.utf8.allSatisfy { byte in
            (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D || byte == 0x5F
        }
        guard isWellFormed, (1...32).contains(name.utf8.count) else {
            throw CashuError(.malformed, "a payment method is 1 to 32 characters of a-z, 0-9, `_` and `-`")
        }
        self.name = name
    }

    private init(known name: String) {
        self.name = name
    }

    /// Lightning invoices (NUT-23).
    public static let bolt11 = PaymentMethod(known: "bolt11")

    public var description: String { name }
}
