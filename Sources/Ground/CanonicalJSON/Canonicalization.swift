extension JSONValue {
    /// The canonical text of RFC 8785 (JCS): members sorted by the UTF-16 code units of their names, numbers as
    /// ECMAScript writes them, minimal escapes, no white space.
    ///
    /// - Throws: `JSONError` with `.notFinite`, or `.inexactInteger` for whole numbers that a strict reader (this one
    ///   too) would not take back: integers beyond ±(2⁵³−1), and doubles from there up to 10²¹.
    public func canonicalized() throws(JSONError) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(512)
        try appendCanonical(to: &output)
        return output
    }

    fileprivate func appendCanonical(to output: inout [UInt8]) throws(JSONError) {
        switch self {
        case .array(let elements):
            output.append(UInt8(ascii: "["))
            var isFirst = true
            for element in elements {
                if !isFirst { output.append(UInt8(ascii: ",")) }
                isFirst = false
                try element.appendCanonical(to: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let object): try object.appendCanonical(to: &output)
        case .integer(let value):
            guard value.magnitude <= JSONParser.maximumExactInteger else { throw Self.inexact() }
            ECMAScriptNumber.append(value, to: &output)
        case .unsigned(let value):
            guard value <= JSONParser.maximumExactInteger else { throw Self.inexact() }
            ECMAScriptNumber.append(value, to: &output)
        case .double(let value):
            guard value.isFinite else { throw JSONError(.notFinite, "NaN and infinity have no JSON form") }
            guard ECMAScriptNumber.isInteroperable(value) else { throw Self.inexact() }
            ECMAScriptNumber.append(value, to: &output)
        default: appendScalar(to: &output)
        }
    }

    private static func inexact() -> JSONError {
        JSONError(
            .inexactInteger,
            "an integer beyond ±(2^53 - 1) has no canonical form; write large numbers as strings"
        )
    }
}

extension JSONObject {
    /// The canonical text of RFC 8785; see ``JSONValue/canonicalized()``.
    ///
    /// - Parameter name: a member that is left out.
    public func canonicalized(without name: String? = nil) throws(JSONError) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(1024)
        try appendCanonical(to: &output, without: name)
        return output
    }

    fileprivate func appendCanonical(to output: inout [UInt8], without name: String? = nil) throws(JSONError) {
        output.append(UInt8(ascii: "{"))
        var isFirst = true
        let left = name.flatMap { position(of: $0) }
        for index in canonicalOrder where index != left {
            let member = members[index]
            if !isFirst { output.append(UInt8(ascii: ",")) }
            isFirst = false
            JSONWriter.append(member.key, to: &output)
            output.append(UInt8(ascii: ":"))
            try member.value.appendCanonical(to: &output)
        }
        output.append(UInt8(ascii: "}"))
    }

    /// The places of the members by the order of their names: to move a member costs more than to compare two names.
    private var canonicalOrder: [Int] {
        var order = Array(members.indices)
        func precedes(_ left: Int, _ right: Int) -> Bool {
            UTF16Order.precedes(members[left].key, members[right].key)
        }
        guard order.count <= 16 else { return order.sorted(by: precedes) }
        // Few, as nearly always: put in one after the other, without the general sort's working space.
        for end in order.indices.dropFirst() {
            var place = end
            while place > 0, precedes(order[place], order[place - 1]) {
                order.swapAt(place, place - 1)
                place -= 1
            }
        }
        return order
    }
}

/// The order of strings by their UTF-16 code units, told from their UTF-8 bytes.
enum UTF16Order {
    static func precedes(_ left: String, _ right: String) -> Bool {
        let known = left.utf8.withContiguousStorageIfAvailable { left in
            right.utf8.withContiguousStorageIfAvailable { precedes(left, $0) }
        }
        return (known ?? nil) ?? precedes(Array(left.utf8), Array(right.utf8))
    }

    private static func precedes(
        _ left: some RandomAccessCollection<UInt8>,
        _ right: some RandomAccessCollection<UInt8>
    ) -> Bool {
        for (byte, other) in zip(left, right) where byte != other { return rank(byte) < rank(other) }
        return left.count < right.count
    }

    /// UTF-8 sorts by code point. UTF-16 differs in one place: characters beyond U+FFFF (first byte F0…F4) start with a
    /// surrogate, D800…DFFF, and so come before U+E000…U+FFFF (first byte EE or EF).
    private static func rank(_ byte: UInt8) -> UInt8 {
        byte == 0xEE || byte == 0xEF ? byte + 0x10 : byte
    }
}
