/// One tagged field of an invoice's data part: type (5 bits), length (10 bits, in words of 5 bits), data
/// (BOLT 11, "Tagged Fields").
struct InvoiceField {
    /// The types that BOLT 11 defines; the rest are skipped.
    enum Tag: UInt8 {
        case paymentHash = 1  // p
        case route = 3  // r
        case features = 5  // 9
        case expiry = 6  // x
        case fallback = 9  // f
        case description = 13  // d
        case paymentSecret = 16  // s
        case payee = 19  // n
        case descriptionHash = 23  // h
        case finalCLTVExpiryDelta = 24  // c
        case metadata = 27  // m

        /// How the BOLT and users name it.
        var name: String {
            switch self {
            case .paymentHash: "payment hash (p)"
            case .route: "route (r)"
            case .features: "features (9)"
            case .expiry: "expiry (x)"
            case .fallback: "fallback address (f)"
            case .description: "description (d)"
            case .paymentSecret: "payment secret (s)"
            case .payee: "payee (n)"
            case .descriptionHash: "description hash (h)"
            case .finalCLTVExpiryDelta: "final CLTV expiry delta (c)"
            case .metadata: "metadata (m)"
            }
        }

        /// The only number of words that the field may have; nil where it varies.
        var fixedWordCount: Int? {
            switch self {
            case .paymentHash, .paymentSecret, .descriptionHash: 52
            case .payee: 53
            default: nil
            }
        }

        /// Whether a writer may offer several.
        var mayRepeat: Bool { self == .route || self == .fallback }
    }

    static let maximumWordCount = 1023
    /// What 1023 words hold.
    static let maximumByteCount = 639

    var type: UInt8
    var words: ArraySlice<UInt8>

    /// Nil for a type that is not known.
    var tag: Tag? { Tag(rawValue: type) }

    /// Splits the data part between timestamp and signature.
    /// - Throws: `malformedInvoice` where a field runs past the end.
    static func split(_ words: ArraySlice<UInt8>) throws(LightningError) -> [InvoiceField] {
        var rest = words
        var fields: [InvoiceField] = []
        while !rest.isEmpty {
            let head = rest.prefix(3)
            guard head.count == 3 else { throw overrun() }
            let start = head.startIndex
            let count = Int(head[start + 1]) << 5 | Int(head[start + 2])
            rest = rest.dropFirst(3)
            guard rest.count >= count else { throw overrun() }
            fields.append(InvoiceField(type: head[start], words: rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return fields
    }

    private static func overrun() -> LightningError {
        LightningError(.malformedInvoice, "the invoice is cut short: a field runs past its end")
    }

    /// - Parameter words: at most `maximumWordCount`.
    static func encode(_ tag: Tag, _ words: [UInt8]) throws(LightningError) -> [UInt8] {
        guard words.count <= maximumWordCount else {
            throw LightningError(
                .malformedField,
                "an invoice's \(tag.name) field holds at most \(maximumByteCount) bytes"
            )
        }
        return [tag.rawValue, UInt8(words.count >> 5), UInt8(words.count & 31)] + words
    }
}

/// Numbers in words of 5 bits, big-endian.
enum InvoiceNumber {
    /// - Throws: `malformedField` where the number is not written in the fewest words, or needs more than 64 bits.
    static func decode(_ words: ArraySlice<UInt8>, of tag: InvoiceField.Tag) throws(LightningError) -> UInt64 {
        guard words.first != 0 else {
            throw LightningError(.malformedField, "the invoice's \(tag.name) field begins with zeros")
        }
        var value: UInt64 = 0
        for word in words {
            guard value >> 59 == 0 else {
                throw LightningError(.malformedField, "the invoice's \(tag.name) field is beyond any sense")
            }
            value = value << 5 | UInt64(word)
        }
        return value
    }

    /// The fewest words that hold the number; none for zero.
    static func encode(_ value: UInt64) -> [UInt8] {
        var words: [UInt8] = []
        var rest = value
        while rest > 0 {
            words.append(UInt8(rest & 31))
            rest >>= 5
        }
        return words.reversed()
    }
}
