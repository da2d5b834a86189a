import Encodings

extension JSONParser {
    /// Reads a string whose opening quote is next.
    mutating func string() throws(JSONError) -> String {
        index += 1
        let start = index
        var union: UInt8 = 0
        while index < input.count {
            let byte = input[index]
            if byte == UInt8(ascii: "\"") {
                defer { index += 1 }
                // ASCII needs no validation, and this initializer is the quicker one.
                if union < 0x80 {
                    return String(decoding: UnsafeBufferPointer(rebasing: input[start..<index]), as: UTF8.self)
                }
                return try text([UInt8](input[start..<index]), at: start)
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            guard byte >= 0x20 else { throw syntax("a control character stands unescaped in a string") }
            union |= byte
            index += 1
        }
        throw unexpectedEnd()
    }

    /// The rest of a string from its first escape on; `start` is where its content begins.
    private mutating func escapedString(from start: Int) throws(JSONError) -> String {
        var content = [UInt8](input[start..<index])
        while index < input.count {
            let byte = input[index]
            switch byte {
            case UInt8(ascii: "\""):
                index += 1
                return try text(content, at: start)
            case UInt8(ascii: "\\"): try appendEscape(to: &content)
            case ..<0x20: throw syntax("a control character stands unescaped in a string")
            default:
                content.append(byte)
                index += 1
            }
        }
        throw unexpectedEnd()
    }

    private mutating func appendEscape(to content: inout [UInt8]) throws(JSONError) {
        let start = index
        index += 1
        guard let letter = next else { throw unexpectedEnd() }
        index += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(letter)
        case UInt8(ascii: "b"): content.append(0x08)
        case UInt8(ascii: "f"): content.append(0x0C)
        case UInt8(ascii: "n"): content.append(0x0A)
        case UInt8(ascii: "r"): content.append(0x0D)
        case UInt8(ascii: "t"): content.append(0x09)
        case UInt8(ascii: "u"): content.append(contentsOf: UTF8.encode(try escapedScalar(from: start)) ?? .init())
        default:
            index = start
            throw syntax("no such escape in a string")
        }
    }

    /// The character of one `\uXXXX`, or of two that form a surrogate pair; the first `\u` is already read.
    private mutating func escapedScalar(from start: Int) throws(JSONError) -> Unicode.Scalar {
        let unit = try hexUnit()
        if let scalar = Unicode.Scalar(unit) { return scalar }
        if unit < 0xDC00, next == UInt8(ascii: "\\"), index + 1 < input.count, input[index + 1] == UInt8(ascii: "u") {
            index += 2
            let low = try hexUnit()
            if (0xDC00...0xDFFF).contains(low) {
                let value = 0x1_0000 + (UInt32(unit) - 0xD800) << 10 + (UInt32(low) - 0xDC00)
                if let scalar = Unicode.Scalar(value) { return scalar }
            }
        }
        throw JSONError(.loneSurrogate, "a string escapes one half of a surrogate pair", offset: start)
    }

    private mutating func hexUnit() throws(JSONError) -> UInt16 {
        var unit: UInt16 = 0
        for _ in 0..<4 {
            guard let digit = next else { throw unexpectedEnd() }
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = digit - UInt8(ascii: "A") + 10
            default: throw syntax("`\\u` needs four hexadecimal digits")
            }
            unit = unit << 4 | UInt16(value)
            index += 1
        }
        return unit
    }

    private func text(_ content: [UInt8], at start: Int) throws(JSONError) -> String {
        guard let text = String(strictUTF8: content) else {
            throw JSONError(.syntax, "a string is not valid UTF-8", offset: start)
        }
        return text
    }

    // MARK: Numbers

    /// The largest magnitude below which every integer has its own double (RFC 7493 §2.2).
    static let maximumExactInteger: UInt64 = 1 << 53 - 1

    /// The longest number with fraction or exponent, in bytes: no double needs a third of it.
    private static let maximumNumberBytes = 512

    mutating func number() throws(JSONError) -> JSONValue {
        let start = index
        let isNegative = input[index] == UInt8(ascii: "-")
        if isNegative { index += 1 }
        let digits = index
        var magnitude: UInt64 = 0
        var overflows = false
        while let digit = digit() {
            // Nineteen digits always fit.
            if index - digits <= 19 {
                magnitude = magnitude &* 10 &+ UInt64(digit)
            } else if !overflows {
                let (product, overflow) = magnitude.multipliedReportingOverflow(by: 10)
                let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
                magnitude = sum
                overflows = overflow || carry
            }
        }
        guard index > digits else { throw expected("a digit") }
        guard input[digits] != UInt8(ascii: "0") || index == digits + 1 else {
            index = digits
            throw syntax("a number starts with a superfluous zero")
        }
        switch next {
        case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): return try fractional(from: start)
        default:
            guard !overflows else { throw inexactInteger(start) }
            return try integer(magnitude, isNegative: isNegative, start: start)
        }
    }

    private func integer(_ magnitude: UInt64, isNegative: Bool, start: Int) throws(JSONError) -> JSONValue {
        if magnitude <= Self.maximumExactInteger {
            let value = Int64(magnitude)
            return .integer(isNegative ? -value : value)
        }
        guard limits.acceptsUInt64 else { throw inexactInteger(start) }
        guard isNegative else { return JSONValue(magnitude) }
        guard let value = Int64(exactly: magnitude).map({ -$0 }) ?? (magnitude == 1 << 63 ? Int64.min : nil) else {
            throw inexactInteger(start)
        }
        return .integer(value)
    }

    private mutating func fractional(from start: Int) throws(JSONError) -> JSONValue {
        if next == UInt8(ascii: ".") {
            index += 1
            try skipDigits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            index += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { index += 1 }
            try skipDigits()
        }
        guard index - start <= Self.maximumNumberBytes else {
            throw JSONError(.size, "a number has more than \(Self.maximumNumberBytes) characters", offset: start)
        }
        let literal = String(decoding: input[start..<index], as: UTF8.self)
        guard let value = Double(literal), value.isFinite else {
            throw JSONError(.notFinite, "a number is beyond the range of a double", offset: start)
        }
        guard ECMAScriptNumber.isInteroperable(value) else { throw inexactInteger(start) }
        return .double(value)
    }

    private mutating func skipDigits() throws(JSONError) {
        let start = index
        while digit() != nil {}
        guard index > start else { throw expected("a digit") }
    }

    /// Consumes a digit where one is next.
    private mutating func digit() -> UInt8? {
        guard index < input.count else { return nil }
        let value = input[index] &- UInt8(ascii: "0")
        guard value < 10 else { return nil }
        index += 1
        return value
    }

    private func inexactInteger(_ offset: Int) -> JSONError {
        let bound = limits.acceptsUInt64 ? "64 bits" : "±(2^53 - 1)"
        return JSONError(
            .inexactInteger,
            "an integer is beyond \(bound); write large numbers as strings",
            offset: offset
        )
    }
}
