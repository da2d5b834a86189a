import Encodings

/// A bare item of a structured field (RFC 9651, 3.3), of the types that signatures use. Decimals, dates and display
/// strings are refused: no parameter we know has them.
enum BareItem: Hashable, Sendable {
    case integer(Int64)
    case string(String)
    case token(String)
    case bytes([UInt8])
    case boolean(Bool)

    var string: String? { if case .string(let value) = self { value } else { nil } }
    var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
    var bytes: [UInt8]? { if case .bytes(let value) = self { value } else { nil } }

    /// RFC 9651, 4.1.3.1.
    var serialized: String {
        switch self {
        case .integer(let value): String(value)
        case .string(let text): text.quoted
        case .token(let text): text
        case .bytes(let bytes): ":" + Base64.encode(bytes) + ":"
        case .boolean(let value): value ? "?1" : "?0"
        }
    }
}

/// Parameters in their order; a key that comes twice keeps its first place and takes the last value (RFC 9651, 4.2.3.2).
struct FieldParameters: Hashable, Sendable {
    private(set) var entries: [(key: String, value: BareItem)] = []

    subscript(key: String) -> BareItem? {
        entries.first { $0.key == key }?.value
    }

    mutating func set(_ key: String, _ value: BareItem) {
        if let place = entries.firstIndex(where: { $0.key == key }) {
            entries[place].value = value
        } else {
            entries.append((key, value))
        }
    }

    var serialized: String {
        entries.map { entry in
            entry.value == .boolean(true) ? ";\(entry.key)" : ";\(entry.key)=\(entry.value.serialized)"
        }.joined()
    }

    static func == (left: FieldParameters, right: FieldParameters) -> Bool {
        left.entries.elementsEqual(right.entries) { $0.key == $1.key && $0.value == $1.value }
    }

    func hash(into hasher: inout Hasher) {
        for entry in entries {
            hasher.combine(entry.key)
            hasher.combine(entry.value)
        }
    }
}

/// An item with its parameters.
struct FieldItem: Hashable, Sendable {
    var value: BareItem
    var parameters = FieldParameters()

    var serialized: String { value.serialized + parameters.serialized }
}

/// A member of a dictionary: an item or an inner list.
enum FieldMember: Hashable, Sendable {
    case item(FieldItem)
    case innerList([FieldItem], FieldParameters)
}

/// A strict, bounded parser of structured field dictionaries (RFC 9651, 4.2).
struct StructuredFieldParser {
    /// Dictionaries, inner lists and parameter lists longer than this are refused.
    static let maximumMembers = 32

    private let text: [UInt8]
    private var place = 0

    private init(_ text: String) {
        self.text = Array(text.utf8)
    }

    /// Parses a whole dictionary. A key that comes twice is refused here, stricter than the standard: two meanings of
    /// one signature label must never meet.
    static func dictionary(_ text: String, maximumBytes: Int) throws(HTTPSignatureError) -> [(
        key: String, value: FieldMember
    )] {
        guard text.utf8.count <= maximumBytes else {
            throw HTTPSignatureError(.malformed, "the field is longer than \(maximumBytes) bytes")
        }
        var parser = StructuredFieldParser(text)
        return try parser.dictionary()
    }

    private mutating func dictionary() throws(HTTPSignatureError) -> [(key: String, value: FieldMember)] {
        var members: [(key: String, value: FieldMember)] = []
        skip(spacesOnly: true)
        while place < text.count {
            let key = try key()
            guard !members.contains(where: { $0.key == key }), members.count < Self.maximumMembers else {
                throw refuse("a key comes twice, or there are more than \(Self.maximumMembers)")
            }
            if take("=") {
                members.append((key, try member()))
            } else {
                members.append((key, .item(FieldItem(value: .boolean(true), parameters: try parameters()))))
            }
            skip(spacesOnly: false)
            if place == text.count { return members }
            guard take(",") else { throw refuse("a comma is missing between members") }
            skip(spacesOnly: false)
            guard place < text.count else { throw refuse("a comma ends the field") }
        }
        return members
    }

    private mutating func member() throws(HTTPSignatureError) -> FieldMember {
        guard take("(") else { return .item(try item()) }
        var items: [FieldItem] = []
        while true {
            skip(spacesOnly: true)
            if take(")") { return .innerList(items, try parameters()) }
            guard items.count < Self.maximumMembers else {
                throw refuse("a list has more than \(Self.maximumMembers) items")
            }
            items.append(try item())
            guard place < text.count, text[place] == UInt8(ascii: " ") || text[place] == UInt8(ascii: ")") else {
                throw refuse("a list is not closed, or lacks a space between items")
            }
        }
    }

    private mutating func item() throws(HTTPSignatureError) -> FieldItem {
        FieldItem(value: try bareItem(), parameters: try parameters())
    }

    private mutating func parameters() throws(HTTPSignatureError) -> FieldParameters {
        var result = FieldParameters()
        var count = 0
        while take(";") {
            skip(spacesOnly: true)
            count += 1
            guard count <= Self.maximumMembers else { throw refuse("more than \(Self.maximumMembers) parameters") }
            let key = try key()
            result.set(key, take("=") ? try bareItem() : .boolean(true))
        }
        return result
    }

    private mutating func key() throws(HTTPSignatureError) -> String {
        let start = place
        while place < text.count, Self.isKey(text[place], first: place == start) { place += 1 }
        guard place > start, place - start <= 64 else { throw refuse("a key is missing or malformed") }
        return String(decoding: text[start..<place], as: UTF8.self)
    }

    private static func isKey(_ byte: UInt8, first: Bool) -> Bool {
        switch byte {
        case 0x61...0x7A, UInt8(ascii: "*"): true
        case 0x30...0x39, UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."): !first
        default: false
        }
    }

    private mutating func bareItem() throws(HTTPSignatureError) -> BareItem {
        guard place < text.count else { throw refuse("a value is missing") }
        switch text[place] {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: ":"): return .bytes(try byteSequence())
        case UInt8(ascii: "?"):
            place += 1
            if take("1") { return .boolean(true) }
            if take("0") { return .boolean(false) }
            throw refuse("a boolean is ?0 or ?1")
        case UInt8(ascii: "-"), 0x30...0x39: return .integer(try integer())
        case 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "*"): return .token(token())
        default: throw refuse("a value is malformed")
        }
    }

    /// At most 15 digits (RFC 9651, 3.3.1).
    private mutating func integer() throws(HTTPSignatureError) -> Int64 {
        let negative = take("-")
        let start = place
        while place < text.count, (0x30...0x39).contains(text[place]) { place += 1 }
        guard (1...15).contains(place - start), place == text.count || text[place] != UInt8(ascii: "."),
            let value = Int64(String(decoding: text[start..<place], as: UTF8.self))
        else {
            throw refuse("a number must be whole and have 1 to 15 digits")
        }
        return negative ? -value : value
    }

    private mutating func string() throws(HTTPSignatureError) -> String {
        place += 1
        var bytes: [UInt8] = []
        while place < text.count {
            let byte = text[place]
            place += 1
            switch byte {
            case UInt8(ascii: "\""):
                return String(decoding: bytes, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard place < text.count, text[place] == UInt8(ascii: "\"") || text[place] == UInt8(ascii: "\\") else {
                    throw refuse("a string holds a bad escape")
                }
                bytes.append(text[place])
                place += 1
            case 0x20...0x7E:
                bytes.append(byte)
            default:
                throw refuse("a string holds a byte outside printable ASCII")
            }
        }
        throw refuse("a string is not closed")
    }

    private mutating func byteSequence() throws(HTTPSignatureError) -> [UInt8] {
        place += 1
        guard let end = text[place...].firstIndex(of: UInt8(ascii: ":")),
            let bytes = try? Base64.decode(String(decoding: text[place..<end], as: UTF8.self))
        else {
            throw refuse("a byte sequence is not `:`, padded base64 and `:`")
        }
        place = end + 1
        return bytes
    }

    private mutating func token() -> String {
        let start = place
        while place < text.count, Self.isToken(text[place]) { place += 1 }
        return String(decoding: text[start..<place], as: UTF8.self)
    }

    private static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x41...0x5A, 0x61...0x7A, 0x30...0x39: true
        default: Array("!#$%&'*+-.^_`|~:/".utf8).contains(byte)
        }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard place < text.count, text[place] == UInt8(ascii: character) else { return false }
        place += 1
        return true
    }

    private mutating func skip(spacesOnly: Bool) {
        while place < text.count,
            text[place] == UInt8(ascii: " ") || (!spacesOnly && text[place] == UInt8(ascii: "\t"))
        { place += 1 }
    }

    private func refuse(_ what: String) -> HTTPSignatureError {
        HTTPSignatureError(.malformed, "structured field, at byte \(place): \(what)")
    }
}
