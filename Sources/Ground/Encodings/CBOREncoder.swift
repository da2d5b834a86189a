extension CBOR {
    /// The shortest form of every head and float (RFC 8949 §4.2.1), definite lengths, map pairs in their own order.
    public func encoded() -> [UInt8] {
        var output: [UInt8] = []
        encode(into: &output)
        return output
    }

    private func encode(into output: inout [UInt8]) {
        switch self {
        case .unsigned(let value): Self.appendHead(.unsigned, value, to: &output)
        case .negative(let value): Self.appendHead(.negative, value, to: &output)
        case .bytes(let bytes):
            Self.appendHead(.bytes, UInt64(bytes.count), to: &output)
            output.append(contentsOf: bytes)
        case .text(let text):
            Self.appendHead(.text, UInt64(text.utf8.count), to: &output)
            output.append(contentsOf: text.utf8)
        case .array(let items):
            Self.appendHead(.array, UInt64(items.count), to: &output)
            for item in items { item.encode(into: &output) }
        case .map(let pairs):
            Self.appendHead(.map, UInt64(pairs.count), to: &output)
            for pair in pairs {
                pair.key.encode(into: &output)
                pair.value.encode(into: &output)
            }
        case .tagged(let tag, let item):
            Self.appendHead(.tag, tag, to: &output)
            item.encode(into: &output)
        case .bool(let value): output.append(value ? 0xF5 : 0xF4)
        case .null: output.append(0xF6)
        case .undefined: output.append(0xF7)
        case .float(let value): Self.appendFloat(value, to: &output)
        case .simple(let value): Self.appendHead(.simple, UInt64(value), to: &output)
        }
    }

    /// The three high bits of an item's first byte.
    enum MajorType: UInt8 {
        case unsigned, negative, bytes, text, array, map, tag, simple
    }

    private static func appendHead(_ major: MajorType, _ argument: UInt64, to output: inout [UInt8]) {
        let high = major.rawValue << 5
        switch argument {
        case ..<24: output.append(high | UInt8(truncatingIfNeeded: argument))
        case ..<0x100:
            output.append(high | 24)
            appendBigEndian(argument, 1, to: &output)
        case ..<0x1_0000:
            output.append(high | 25)
            appendBigEndian(argument, 2, to: &output)
        case ..<0x1_0000_0000:
            output.append(high | 26)
            appendBigEndian(argument, 4, to: &output)
        default:
            output.append(high | 27)
            appendBigEndian(argument, 8, to: &output)
        }
    }

    private static func appendFloat(_ value: Double, to output: inout [UInt8]) {
        if value.isNaN {
            output.append(contentsOf: [0xF9, 0x7E, 0x00])
            return
        }
        let single = Float(value)
        guard Double(single) == value else {
            output.append(0xFB)
            appendBigEndian(value.bitPattern, 8, to: &output)
            return
        }
        if let half = HalfFloat.bits(exactly: single) {
            output.append(0xF9)
            appendBigEndian(UInt64(half), 2, to: &output)
        } else {
            output.append(0xFA)
            appendBigEndian(UInt64(single.bitPattern), 4, to: &output)
        }
    }

    private static func appendBigEndian(_ value: UInt64, _ count: Int, to output: inout [UInt8]) {
        for index in (0..<count).reversed() {
            output.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index)))
        }
    }
}

/// IEEE 754 binary16 by its bits, since `Float16` does not exist on every platform.
enum HalfFloat {
    /// The half with exactly the value of `single` (not a NaN), or nil where there is none.
    static func bits(exactly single: Float) -> UInt16? {
        let sign = UInt16(truncatingIfNeeded: single.bitPattern >> 16) & 0x8000
        if single.isZero { return sign }
        if single.isInfinite { return sign | 0x7C00 }
        let exponent = Int(single.exponent)
        let significand = single.bitPattern & 0x7F_FFFF
        switch exponent {
        case -14...15:
            guard significand & 0x1FFF == 0 else { return nil }
            return sign | UInt16(exponent + 15) << 10 | UInt16(significand >> 13)
        case -24 ..< -14:
            // Subnormal: the leading one becomes explicit and the rest shifts out of the way.
            let shift = UInt32(13 + (-14 - exponent))
            let full = significand | 0x80_0000
            guard full & (1 << shift - 1) == 0 else { return nil }
            return sign | UInt16(full >> shift)
        default: return nil
        }
    }

    /// RFC 8949 appendix D.
    static func value(_ bits: UInt16) -> Double {
        let exponent = Int(bits >> 10 & 0x1F)
        let significand = Double(bits & 0x3FF)
        let magnitude: Double =
            switch exponent {
            case 0: significand * 0x1p-24
            case 31: significand == 0 ? .infinity : .nan
            default: Double(sign: .plus, exponent: exponent - 25, significand: significand + 1024)
            }
        return bits & 0x8000 == 0 ? magnitude : -magnitude
    }
}
