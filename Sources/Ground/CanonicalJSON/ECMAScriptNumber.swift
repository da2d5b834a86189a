/// Numbers as ECMAScript writes them (Number::toString, ECMA-262 §6.1.6.1.20), which RFC 8785 §3.2.2.3 prescribes.
enum ECMAScriptNumber {
    /// Whether `value` is written in a form that a strict reader takes back: whole numbers from 2⁵³ up to 10²¹ would be
    /// written as integers that lose digits elsewhere.
    static func isInteroperable(_ value: Double) -> Bool {
        value.magnitude < 0x1p53 || value.magnitude >= 1e21
    }

    /// Appends a finite number.
    static func append(_ value: Double, to output: inout [UInt8]) {
        if value.magnitude < 0x1p53, value == value.rounded(.towardZero) {
            append(Int64(value), to: &output)
            return
        }
        if value < 0 { output.append(UInt8(ascii: "-")) }
        // `description` gives the shortest digits that read back as the same double, the closest of them where there
        // are several; only its layout differs from ECMAScript's.
        let decimal = Decimal(description: value.magnitude.description)
        append(decimal, to: &output)
    }

    static func append(_ value: Int64, to output: inout [UInt8]) {
        if value < 0 { output.append(UInt8(ascii: "-")) }
        append(value.magnitude, to: &output)
    }

    static func append(_ value: UInt64, to output: inout [UInt8]) {
        let start = output.count
        var rest = value
        repeat {
            output.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        } while rest > 0
        var low = start
        var high = output.count - 1
        while low < high {
            output.swapAt(low, high)
            low += 1
            high -= 1
        }
    }

    /// Steps 6 to 10 of Number::toString: `digits` are s, `pointPosition` is n.
    private static func append(_ decimal: Decimal, to output: inout [UInt8]) {
        let digits = decimal.digits
        let position = decimal.pointPosition
        switch position {
        case digits.count...21 where position > 0:
            output.append(contentsOf: digits)
            output.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: position - digits.count))
        case 1...21:
            output.append(contentsOf: digits[..<position])
            output.append(UInt8(ascii: "."))
            output.append(contentsOf: digits[position...])
        case -5...0:
            output.append(UInt8(ascii: "0"))
            output.append(UInt8(ascii: "."))
            output.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: -position))
            output.append(contentsOf: digits)
        default:
            output.append(contentsOf: digits.prefix(1))
            if digits.count > 1 {
                output.append(UInt8(ascii: "."))
                output.append(contentsOf: digits.dropFirst())
            }
            output.append(UInt8(ascii: "e"))
            output.append(position > 0 ? UInt8(ascii: "+") : UInt8(ascii: "-"))
            append((position - 1).magnitude, to: &output)
        }
    }

    private static func append(_ value: UInt, to output: inout [UInt8]) {
        append(UInt64(value), to: &output)
    }

    /// Significant digits without zeros at either end; the value is 0.DIGITS × 10^pointPosition.
    private struct Decimal {
        var digits: [UInt8] = []
        var pointPosition = 0

        /// Takes apart what `Double.description` writes: `12.5`, `1e-07`, `1.5e+300`.
        init(description: String) {
            var exponent = 0
            var hasPoint = false
            var inExponent = false
            var exponentIsNegative = false
            digits.reserveCapacity(17)
            for byte in description.utf8 {
                switch byte {
                case UInt8(ascii: "."): hasPoint = true
                case UInt8(ascii: "e"): inExponent = true
                case UInt8(ascii: "-"): exponentIsNegative = true
                case UInt8(ascii: "0")...UInt8(ascii: "9"):
                    if inExponent {
                        exponent = exponent * 10 + Int(byte - UInt8(ascii: "0"))
                    } else {
                        if !hasPoint { pointPosition += 1 }
                        if byte == UInt8(ascii: "0"), digits.isEmpty {
                            pointPosition -= 1
                        } else {
                            digits.append(byte)
                        }
                    }
                default: break
                }
            }
            while digits.last == UInt8(ascii: "0") { digits.removeLast() }
            pointPosition += exponentIsNegative ? -exponent : exponent
        }
    }
}
