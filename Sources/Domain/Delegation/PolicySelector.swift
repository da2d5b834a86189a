internal import Encodings

/// A path into an invocation's arguments, as UCAN's policies write it (`.to[0]`, `.["a key"]`, `.list[1:]`, `.maybe?`).
struct PolicySelector: Hashable, Sendable {
    static let maximumBytes = 512
    static let maximumSegments = 16

    enum Step: Hashable, Sendable {
        case key(String)
        case index(Int)
        /// Half open; a negative bound counts from the end.
        case slice(Int?, Int?)
        /// `[]`: the values of a map; a list stays what it is.
        case values
    }

    struct Segment: Hashable, Sendable {
        var step: Step
        var isOptional: Bool
    }

    let text: String
    let segments: [Segment]

    init(_ text: String) throws(DelegationError) {
        guard text.utf8.count <= Self.maximumBytes else {
            throw DelegationError(.tooLarge, "a selector has at most \(Self.maximumBytes) bytes")
        }
        var parser = Parser(bytes: Array(text.utf8))
        segments = try parser.segments()
        self.text = text
    }

    /// What the selector finds in `value`; nil where there is nothing at that path.
    ///
    /// A key that a map lacks finds null; what is looked for in no map, or beyond the end of a list, finds nothing unless
    /// it is optional, and then null.
    func resolve(in value: CBOR) -> CBOR? {
        var current = value
        for segment in segments {
            if let next = Self.step(segment.step, in: current) {
                current = next
            } else if segment.isOptional {
                current = .null
            } else {
                return nil
            }
        }
        return current
    }

    private static func step(_ step: Step, in value: CBOR) -> CBOR? {
        switch (step, value) {
        case (.key(let key), .map): value[text: key] ?? .null
        case (.index(let index), .array(let items)):
            items.indices.contains(index < 0 ? items.count + index : index)
                ? items[index < 0 ? items.count + index : index] : nil
        case (.slice(let from, let to), .array(let items)): .array(slice(items, from, to))
        case (.values, .array): value
        case (.values, .map(let pairs)): .array(pairs.map(\.value))
        default: nil
        }
    }

    private static func slice(_ items: [CBOR], _ from: Int?, _ to: Int?) -> [CBOR] {
        func bound(_ index: Int) -> Int { min(max(0, index < 0 ? items.count + index : index), items.count) }
        let lower = bound(from ?? 0)
        let upper = to.map(bound) ?? items.count
        return lower < upper ? Array(items[lower..<upper]) : []
    }

    /// Reads a selector from front to back.
    private struct Parser {
        let bytes: [UInt8]
        var place = 0

        mutating func segments() throws(DelegationError) -> [Segment] {
            guard take("."), !bytes.isEmpty else { throw malformed }
            var segments: [Segment] = []
            // `.` alone is the whole, and `.?` as well.
            if place < bytes.count, peek("?") { skipMarks() }
            var needsDot = false
            while place < bytes.count {
                guard segments.count < PolicySelector.maximumSegments else {
                    throw DelegationError(
                        .tooLarge,
                        "a selector has at most \(PolicySelector.maximumSegments) segments"
                    )
                }
                let step: Step
                if take("[") {
                    step = try bracket()
                } else {
                    if needsDot { guard take(".") else { throw malformed } }
                    step = peek("[") && needsDot ? try dotBracket() : .key(try name())
                }
                needsDot = true
                let mark = place
                skipMarks()
                segments.append(Segment(step: step, isOptional: place > mark))
            }
            return segments
        }

        private mutating func dotBracket() throws(DelegationError) -> Step {
            place += 1
            return try bracket()
        }

        private mutating func name() throws(DelegationError) -> String {
            let start = place
            while place < bytes.count {
                switch bytes[place] {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "/"):
                    place += 1
                case 0x80...: place += 1
                default:
                    guard place > start else { throw malformed }
                    return String(decoding: bytes[start..<place], as: UTF8.self)
                }
            }
            guard place > start else { throw malformed }
            return String(decoding: bytes[start..<place], as: UTF8.self)
        }

        /// What stands behind `[`.
        private mutating func bracket() throws(DelegationError) -> Step {
            if take("]") { return .values }
            if take("\"") { return .key(try quoted()) }
            let first = number()
            if take(":") {
                let second = number()
                guard take("]"), first != nil || second != nil else { throw malformed }
                return .slice(first, second)
            }
            guard let first, take("]") else { throw malformed }
            return .index(first)
        }

        private mutating func quoted() throws(DelegationError) -> String {
            var text: [UInt8] = []
            while place < bytes.count {
                let byte = bytes[place]
                place += 1
                if byte == UInt8(ascii: "\"") {
                    guard take("]") else { throw malformed }
                    return String(decoding: text, as: UTF8.self)
                }
                if byte == UInt8(ascii: "\\") {
                    guard place < bytes.count, [UInt8(ascii: "\""), UInt8(ascii: "\\")].contains(bytes[place]) else {
                        throw malformed
                    }
                    text.append(bytes[place])
                    place += 1
                } else {
                    text.append(byte)
                }
            }
            throw malformed
        }

        /// An index of up to nine digits; nil where none stands here.
        private mutating func number() -> Int? {
            let start = place
            _ = take("-")
            let digits = place
            while place < bytes.count, (0x30...0x39).contains(bytes[place]), place - digits < 9 { place += 1 }
            guard place > digits, let value = Int(String(decoding: bytes[start..<place], as: UTF8.self)) else {
                place = start
                return nil
            }
            return value
        }

        private mutating func skipMarks() { while take("?") {} }
        private func peek(_ character: Unicode.Scalar) -> Bool {
            place < bytes.count && bytes[place] == UInt8(ascii: character)
        }
        private mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard peek(character) else { return false }
            place += 1
            return true
        }

        private var malformed: DelegationError {
            DelegationError(.malformed, "a selector such as .to[0] was expected, and stops making sense at \(place)")
        }
    }
}
