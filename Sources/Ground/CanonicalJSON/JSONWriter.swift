extension JSONValue {
    /// The text without white space, members in their order, numbers as ECMAScript writes them.
    ///
    /// A double that is not finite has no JSON form and is written as `null`; ``canonicalized()`` refuses it instead.
    public func serialized() -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(256)
        append(to: &output)
        return output
    }

    /// The text with one member or element a line, two spaces a level.
    public func prettyPrinted() -> String {
        var output: [UInt8] = []
        appendPretty(to: &output, level: 0)
        return String(decoding: output, as: UTF8.self)
    }

    func append(to output: inout [UInt8]) {
        switch self {
        case .array(let elements):
            output.append(UInt8(ascii: "["))
            var isFirst = true
            for element in elements {
                if !isFirst { output.append(UInt8(ascii: ",")) }
                isFirst = false
                element.append(to: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let object): object.append(to: &output)
        default: appendScalar(to: &output)
        }
    }

    /// Appends a value that is neither array nor object.
    func appendScalar(to output: inout [UInt8]) {
        switch self {
        case .null: output.append(contentsOf: JSONWriter.null)
        case .bool(let value): output.append(contentsOf: value ? JSONWriter.true : JSONWriter.false)
        case .integer(let value): ECMAScriptNumber.append(value, to: &output)
        case .unsigned(let value): ECMAScriptNumber.append(value, to: &output)
        case .double(let value) where value.isFinite: ECMAScriptNumber.append(value, to: &output)
        case .double: output.append(contentsOf: JSONWriter.null)
        case .string(let text): JSONWriter.append(text, to: &output)
        case .array, .object: append(to: &output)
        }
    }

    private func appendPretty(to output: inout [UInt8], level: Int) {
        switch self {
        case .array(let elements) where !elements.isEmpty:
            output.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                JSONWriter.appendLine(level + 1, to: &output)
                element.appendPretty(to: &output, level: level + 1)
            }
            JSONWriter.appendLine(level, to: &output)
            output.append(UInt8(ascii: "]"))
        case .object(let object) where !object.isEmpty:
            output.append(UInt8(ascii: "{"))
            for (index, member) in object.members.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                JSONWriter.appendLine(level + 1, to: &output)
                JSONWriter.append(member.key, to: &output)
                output.append(UInt8(ascii: ":"))
                output.append(UInt8(ascii: " "))
                member.value.appendPretty(to: &output, level: level + 1)
            }
            JSONWriter.appendLine(level, to: &output)
            output.append(UInt8(ascii: "}"))
        default: append(to: &output)
        }
    }
}

extension JSONObject {
    /// The text without white space; see ``JSONValue/serialized()``.
    public func serialized() -> [UInt8] { JSONValue.object(self).serialized() }

    /// The text for people; see ``JSONValue/prettyPrinted()``.
    public func prettyPrinted() -> String { JSONValue.object(self).prettyPrinted() }

    func append(to output: inout [UInt8]) {
        output.append(UInt8(ascii: "{"))
        var isFirst = true
        for member in members {
            if !isFirst { output.append(UInt8(ascii: ",")) }
            isFirst = false
            JSONWriter.append(member.key, to: &output)
            output.append(UInt8(ascii: ":"))
            member.value.append(to: &output)
        }
        output.append(UInt8(ascii: "}"))
    }
}

/// The pieces every form of the text is made of.
enum JSONWriter {
    static let null = [UInt8]("null".utf8)
    static let `true` = [UInt8]("true".utf8)
    static let `false` = [UInt8]("false".utf8)
    private static let hexDigits = [UInt8]("0123456789abcdef".utf8)

    /// A string in quotes with the escapes of RFC 8785 §3.2.2.2: the short ones, `\u00xx` for the other control
    /// characters, nothing else.
    static func append(_ text: String, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        // Most strings have nothing to escape, and are copied whole.
        let isPlain = text.utf8.withContiguousStorageIfAvailable { bytes in
            var isPlain = true
            for byte in bytes where needsEscape(byte) { isPlain = false }
            if isPlain { output.append(contentsOf: bytes) }
            return isPlain
        }
        if isPlain != true {
            for byte in text.utf8 { appendEscaped(byte, to: &output) }
        }
        output.append(UInt8(ascii: "\""))
    }

    static func appendLine(_ level: Int, to output: inout [UInt8]) {
        output.append(0x0A)
        output.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * level))
    }

    private static func needsEscape(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private static func appendEscaped(_ byte: UInt8, to output: inout [UInt8]) {
        guard needsEscape(byte) else {
            output.append(byte)
            return
        }
        output.append(UInt8(ascii: "\\"))
        switch byte {
        case 0x08: output.append(UInt8(ascii: "b"))
        case 0x09: output.append(UInt8(ascii: "t"))
        case 0x0A: output.append(UInt8(ascii: "n"))
        case 0x0C: output.append(UInt8(ascii: "f"))
        case 0x0D: output.append(UInt8(ascii: "r"))
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): output.append(byte)
        default:
            output.append(contentsOf: [UInt8(ascii: "u"), UInt8(ascii: "0"), UInt8(ascii: "0")])
            output.append(hexDigits[Int(byte >> 4)])
            output.append(hexDigits[Int(byte & 0x0F)])
        }
    }
}
