/// ECDSA signatures in DER (X.690; BIP-66's strict form) for 256-bit curves, from and to r‖s.
enum DERSignature {
    /// r‖s (64 bytes) as `SEQUENCE { INTEGER r, INTEGER s }`.
    static func encode(_ signature: [UInt8]) -> [UInt8] {
        let body = integer(signature.prefix(32)) + integer(signature.dropFirst(32))
        return [0x30, UInt8(truncatingIfNeeded: body.count)] + body
    }

    /// r‖s (64 bytes); nil where the bytes are not the one DER form of two positive numbers of at most 256 bits.
    static func decode(_ bytes: [UInt8]) -> [UInt8]? {
        guard (8...72).contains(bytes.count), bytes[0] == 0x30, Int(bytes[1]) == bytes.count - 2 else { return nil }
        var rest = bytes[2...]
        guard let r = number(&rest), let s = number(&rest), rest.isEmpty else { return nil }
        return r + s
    }

    private static func integer(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var digits = [UInt8](bytes.drop { $0 == 0 })
        if (digits.first ?? 0x80) >= 0x80 { digits.insert(0, at: 0) }
        return [0x02, UInt8(truncatingIfNeeded: digits.count)] + digits
    }

    private static func number(_ rest: inout ArraySlice<UInt8>) -> [UInt8]? {
        guard rest.count >= 3, rest[rest.startIndex] == 0x02 else { return nil }
        let count = Int(rest[rest.startIndex + 1])
        guard (1...33).contains(count), rest.count >= 2 + count else { return nil }
        var digits = rest[(rest.startIndex + 2)..<(rest.startIndex + 2 + count)]
        rest = rest[digits.endIndex...]
        guard let first = digits.first, first < 0x80 else { return nil }
        if count > 1, first == 0 {
            digits = digits.dropFirst()
            guard (digits.first ?? 0) >= 0x80 else { return nil }
        }
        guard digits.count <= 32 else { return nil }
        return [UInt8](repeating: 0, count: 32 - digits.count) + digits
    }
}
