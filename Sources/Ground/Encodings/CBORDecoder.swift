extension CBOR {
    /// The one item that `bytes` holds, and nothing after it.
    ///
    /// Reads definite and indefinite lengths and heads that are longer than needed; refuses invalid UTF-8, duplicate map
    /// keys and what RFC 8949 calls not well-formed.
    /// - Parameters:
    ///   - maximumDepth: how many arrays, maps and tags may stand inside each other; at most 256 whatever is asked.
    ///   - maximumItems: how many items the input may hold in all, keys included.
    /// - Throws: `EncodingError` with `.truncated`, `.trailingBytes`, `.tooLarge`, `.duplicateKey`, `.malformed`.
    public static func decode(
        _ bytes: [UInt8],
        maximumDepth: Int = 16,
        maximumItems: Int = 100_000
    ) throws(EncodingError) -> CBOR {
        // The decoder recurses; the cap keeps the stack in bounds even where a caller asks for more.
        var decoder = Decoder(
            reader: ByteReader(bytes),
            maximumDepth: min(maximumDepth, 256),
            maximumItems: maximumItems
        )
        let item = try decoder.item(depth: 0)
        try decoder.reader.expectEnd()
        return item
    }

    private struct Decoder {
        var reader: ByteReader
        let maximumDepth: Int
        let maximumItems: Int
        var items = 0

        /// The first byte of an item and the integer that follows it; no argument means an indefinite length.
        struct Head {
            var major: MajorType
            var information: UInt8
            var argument: UInt64?
        }

        mutating func item(depth: Int) throws(EncodingError) -> CBOR {
            try item(head(), depth: depth)
        }

        private mutating func item(_ head: Head, depth: Int) throws(EncodingError) -> CBOR {
            items += 1
            guard items <= maximumItems else {
                throw EncodingError(.tooLarge, "the CBOR holds more than the \(maximumItems) items allowed here")
            }
            switch head.major {
            case .unsigned: return .unsigned(try definite(head))
            case .negative: return .negative(try definite(head))
            case .bytes: return .bytes(try string(head))
            case .text: return .text(try text(head))
            case .array: return .array(try array(head, depth: try deeper(depth)))
            case .map: return .map(try map(head, depth: try deeper(depth)))
            case .tag:
                let tag = try definite(head)
                return .tagged(tag, try item(depth: try deeper(depth)))
            case .simple: return try simple(head)
            }
        }

        private mutating func head() throws(EncodingError) -> Head {
            let first = try reader.byte()
            let information = first & 0x1F
            guard let major = MajorType(rawValue: first >> 5) else { throw malformed("an item has no type") }
            switch information {
            case 0..<24: return Head(major: major, information: information, argument: UInt64(information))
            case 24: return Head(major: major, information: information, argument: UInt64(try reader.byte()))
            case 25: return Head(major: major, information: information, argument: UInt64(try reader.uint16()))
            case 26: return Head(major: major, information: information, argument: UInt64(try reader.uint32()))
            case 27: return Head(major: major, information: information, argument: try reader.uint64())
            case 31: return Head(major: major, information: information, argument: nil)
            default: throw malformed("an item's first byte is reserved")
            }
        }

        private func definite(_ head: Head) throws(EncodingError) -> UInt64 {
            guard let argument = head.argument else { throw malformed("an integer or a tag has no value") }
            return argument
        }

        private func deeper(_ depth: Int) throws(EncodingError) -> Int {
            guard depth < maximumDepth else {
                throw EncodingError(.tooLarge, "the CBOR is nested deeper than the \(maximumDepth) levels allowed here")
            }
            return depth + 1
        }

        /// A length that the rest of the input can hold, at `unit` or more bytes an element.
        private func length(_ argument: UInt64, unit: Int = 1) throws(EncodingError) -> Int {
            guard argument <= UInt64(reader.remaining / unit) else {
                throw EncodingError(.truncated, "the CBOR announces more elements than bytes follow")
            }
            return Int(argument)
        }

        private mutating func string(_ head: Head) throws(EncodingError) -> [UInt8] {
            if let argument = head.argument { return try reader.bytes(try length(argument)) }
            var whole: [UInt8] = []
            while try !atBreak() { whole.append(contentsOf: try chunk(of: .bytes)) }
            return whole
        }

        private mutating func text(_ head: Head) throws(EncodingError) -> String {
            if let argument = head.argument { return try utf8(try reader.text(try length(argument))) }
            var whole = ""
            // §3.2.3: a character must not be split between chunks, so each is validated alone.
            while try !atBreak() { whole += try utf8(String(strictUTF8: try chunk(of: .text))) }
            return whole
        }

        private mutating func chunk(of major: MajorType) throws(EncodingError) -> [UInt8] {
            let head = try head()
            guard head.major == major, let argument = head.argument else {
                throw malformed("a string of indefinite length holds something else than strings of its type")
            }
            return try reader.bytes(try length(argument))
        }

        private func utf8(_ text: String?) throws(EncodingError) -> String {
            guard let text else { throw malformed("a text is not valid UTF-8") }
            return text
        }

        private mutating func array(_ head: Head, depth: Int) throws(EncodingError) -> [CBOR] {
            var elements: [CBOR] = []
            if let argument = head.argument {
                let count = try length(argument)
                elements.reserveCapacity(min(count, maximumItems - items, 1024))
                for _ in 0..<count { elements.append(try item(depth: depth)) }
            } else {
                while try !atBreak() { elements.append(try item(depth: depth)) }
            }
            return elements
        }

        private mutating func map(_ head: Head, depth: Int) throws(EncodingError) -> [CBORPair] {
            var pairs: [CBORPair] = []
            var seen = SeenKeys()
            if let argument = head.argument {
                let count = try length(argument, unit: 2)
                pairs.reserveCapacity(min(count, 64))
                for _ in 0..<count { try appendPair(to: &pairs, &seen, depth: depth) }
            } else {
                while try !atBreak() { try appendPair(to: &pairs, &seen, depth: depth) }
            }
            return pairs
        }

        private mutating func appendPair(
            to pairs: inout [CBORPair],
            _ seen: inout SeenKeys,
            depth: Int
        ) throws(EncodingError) {
            let key = try item(depth: depth)
            guard seen.insert(key, after: pairs) else {
                throw EncodingError(.duplicateKey, "a CBOR map holds the same key twice")
            }
            pairs.append(CBORPair(key: key, value: try item(depth: depth)))
        }

        /// Consumes the break byte where it is next.
        private mutating func atBreak() throws(EncodingError) -> Bool {
            guard let next = reader.next else {
                throw EncodingError(.truncated, "the CBOR ends inside an item of indefinite length")
            }
            guard next == 0xFF else { return false }
            _ = try reader.byte()
            return true
        }

        private func simple(_ head: Head) throws(EncodingError) -> CBOR {
            guard let argument = head.argument else {
                throw malformed("a break stands outside of an indefinite length")
            }
            switch head.information {
            case 20: return .bool(false)
            case 21: return .bool(true)
            case 22: return .null
            case 23: return .undefined
            case 24:
                // §3.3: values below 32 have no two-byte form.
                guard argument >= 32 else { throw malformed("a simple value below 32 is written in two bytes") }
                return .simple(UInt8(truncatingIfNeeded: argument))
            case 25: return .float(HalfFloat.value(UInt16(truncatingIfNeeded: argument)))
            case 26: return .float(Double(Float(bitPattern: UInt32(truncatingIfNeeded: argument))))
            case 27: return .float(Double(bitPattern: argument))
            default: return .simple(head.information)
            }
        }

        private func malformed(_ what: String) -> EncodingError {
            EncodingError(.malformed, "the CBOR is malformed before offset \(reader.offset): \(what)")
        }
    }

    /// The keys of one map: compared one by one while few, hashed in their encoded form beyond.
    private struct SeenKeys {
        private static let linearCount = 16
        private var encoded: Set<[UInt8]> = []

        /// Whether `key` is new among the keys of `pairs`.
        mutating func insert(_ key: CBOR, after pairs: [CBORPair]) -> Bool {
            if pairs.count < Self.linearCount { return !pairs.contains { $0.key == key } }
            if encoded.isEmpty { encoded = Set(pairs.map { $0.key.encoded() }) }
            return encoded.insert(key.encoded()).inserted
        }
    }
}
