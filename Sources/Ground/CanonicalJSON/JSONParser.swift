extension JSONValue {
    /// Reads one JSON text (RFC 8259) strictly: UTF-8 without byte order mark, nothing but white space around the value,
    /// no member named twice, no half of a surrogate pair, no integer that would lose digits.
    ///
    /// A number with fraction or exponent whose value is a whole number of 2⁵³ up to 10²¹ is refused like an integer of
    /// that size, because RFC 8785 would write it as one.
    /// - Throws: `JSONError` with the offset where reading stopped.
    public static func parse(_ bytes: [UInt8], limits: JSONLimits = JSONLimits()) throws(JSONError) -> JSONValue {
        guard bytes.count <= limits.maximumBytes else { throw tooLong(limits) }
        return try bytes.withUnsafeBufferPointer { (input) throws(JSONError) in
            var parser = JSONParser(input, limits: limits)
            return try parser.document()
        }
    }

    /// Reads one JSON text; see ``parse(_:limits:)-([UInt8],_)``.
    public static func parse(
        _ bytes: some Collection<UInt8>,
        limits: JSONLimits = JSONLimits()
    ) throws(JSONError) -> JSONValue {
        guard bytes.count <= limits.maximumBytes else { throw tooLong(limits) }
        return try parse([UInt8](bytes), limits: limits)
    }

    /// Reads one JSON text; see ``parse(_:limits:)-([UInt8],_)``.
    public static func parse(_ text: String, limits: JSONLimits = JSONLimits()) throws(JSONError) -> JSONValue {
        try parse(text.utf8, limits: limits)
    }

    private static func tooLong(_ limits: JSONLimits) -> JSONError {
        JSONError(.size, "the JSON text is longer than the \(limits.maximumBytes) bytes allowed here")
    }
}

/// A recursive descent parser over bytes, which must outlive it. It compares ``index`` with their count before each is read.
struct JSONParser {
    let input: UnsafeBufferPointer<UInt8>
    let limits: JSONLimits
    let maximumDepth: Int
    var index = 0
    private var values = 0

    init(_ input: UnsafeBufferPointer<UInt8>, limits: JSONLimits) {
        self.input = input
        self.limits = limits
        // The parser recurses, and so does whoever walks the result; the cap keeps the stack in bounds.
        maximumDepth = min(limits.maximumDepth, 512)
    }

    mutating func document() throws(JSONError) -> JSONValue {
        let value = try value(depth: 0)
        skipWhiteSpace()
        guard index == input.count else { throw syntax("something follows the JSON value") }
        return value
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        values += 1
        guard values <= limits.maximumValues else {
            throw JSONError(
                .size,
                "the JSON text holds more than the \(limits.maximumValues) values allowed",
                offset: index
            )
        }
        skipWhiteSpace()
        guard index < input.count else { throw unexpectedEnd() }
        switch input[index] {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "{"): return .object(try object(depth: try deeper(depth)))
        case UInt8(ascii: "["): return .array(try array(depth: try deeper(depth)))
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        case UInt8(ascii: "t"):
            try expectWord("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try expectWord("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try expectWord("null")
            return .null
        default: throw syntax("a JSON value cannot start like this")
        }
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONObject {
        var object = JSONObject()
        index += 1
        skipWhiteSpace()
        if next == UInt8(ascii: "}") {
            index += 1
            return object
        }
        while true {
            let start = index
            guard next == UInt8(ascii: "\"") else { throw expected("a member name in quotes") }
            let key = try string()
            guard !object.contains(key) else {
                throw JSONError(.duplicateKey, "an object names the same member twice", offset: start)
            }
            skipWhiteSpace()
            guard next == UInt8(ascii: ":") else { throw expected("`:` after a member name") }
            index += 1
            object.appendNew(key, try value(depth: depth))
            skipWhiteSpace()
            switch next {
            case UInt8(ascii: ","):
                index += 1
                skipWhiteSpace()
            case UInt8(ascii: "}"):
                index += 1
                return object
            default: throw expected("`,` or `}` after a member")
            }
        }
    }

    private mutating func array(depth: Int) throws(JSONError) -> [JSONValue] {
        var elements: [JSONValue] = []
        index += 1
        skipWhiteSpace()
        if next == UInt8(ascii: "]") {
            index += 1
            return elements
        }
        while true {
            elements.append(try value(depth: depth))
            skipWhiteSpace()
            switch next {
            case UInt8(ascii: ","): index += 1
            case UInt8(ascii: "]"):
                index += 1
                return elements
            default: throw expected("`,` or `]` after an element")
            }
        }
    }

    private mutating func expectWord(_ word: StaticString) throws(JSONError) {
        let start = index
        for offset in 0..<word.utf8CodeUnitCount {
            guard next == word.utf8Start[offset] else {
                index = start
                throw syntax("a JSON value cannot start like this")
            }
            index += 1
        }
    }

    private func deeper(_ depth: Int) throws(JSONError) -> Int {
        guard depth < maximumDepth else {
            throw JSONError(
                .depth,
                "the JSON text is nested deeper than the \(maximumDepth) levels allowed",
                offset: index
            )
        }
        return depth + 1
    }

    var next: UInt8? { index < input.count ? input[index] : nil }

    private mutating func skipWhiteSpace() {
        while index < input.count {
            let byte = input[index]
            // Most documents that programs send have none: one comparison tells.
            guard byte <= 0x20, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
            index += 1
        }
    }

    func syntax(_ message: String) -> JSONError { JSONError(.syntax, message, offset: index) }

    func unexpectedEnd() -> JSONError { JSONError(.syntax, "the JSON text ends early", offset: index) }

    func expected(_ what: String) -> JSONError {
        index < input.count ? syntax("expected \(what)") : unexpectedEnd()
    }
}
