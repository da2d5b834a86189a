/// One field of a Protocol Buffers message as it stands on the wire.
package struct ProtobufField: Sendable {
    package enum Value: Sendable {
        case varint(UInt64)
        case fixed32(UInt32)
        case fixed64(UInt64)
        case bytes(ArraySlice<UInt8>)
    }

    package let number: Int
    package let value: Value

    /// The field's bytes, at most `maximum`.
    package func bytes(maximum: Int) throws(Libp2pError) -> ArraySlice<UInt8> {
        guard case .bytes(let bytes) = value else { throw wrongType }
        guard bytes.count <= maximum else {
            throw Libp2pError(.tooLarge, "field \(number) has \(bytes.count) bytes, at most \(maximum) are read")
        }
        return bytes
    }

    /// The field as text, at most `maximum` bytes of UTF-8.
    package func text(maximum: Int) throws(Libp2pError) -> String {
        guard let text = String(validating: try bytes(maximum: maximum), as: UTF8.self) else {
            throw Libp2pError(.malformed, "field \(number) is not valid UTF-8")
        }
        return text
    }

    package func varint() throws(Libp2pError) -> UInt64 {
        guard case .varint(let value) = value else { throw wrongType }
        return value
    }

    package func bool() throws(Libp2pError) -> Bool {
        try varint() != 0
    }

    private var wrongType: Libp2pError {
        Libp2pError(.malformed, "field \(number) has another wire type than its message gives it")
    }
}

/// Reads a Protocol Buffers message (proto2 and proto3 wire format) field by field, without a copy of what it holds.
///
/// Strict: varints in their shortest form, field numbers from 1 to 2²⁹−1, no groups, nothing cut off. Fields that the
/// caller does not know are its to skip; a field that comes again is its to judge.
package struct ProtobufReader: Sendable {
    private let input: ArraySlice<UInt8>
    private var position: Int
    private var fieldsLeft: Int

    /// - Parameter maximumFields: more fields than this are refused, known or not.
    package init(_ input: ArraySlice<UInt8>, maximumFields: Int = 1024) {
        self.input = input
        position = input.startIndex
        fieldsLeft = maximumFields
    }

    package init(_ input: [UInt8], maximumFields: Int = 1024) {
        self.init(input[...], maximumFields: maximumFields)
    }

    /// The next field; nil at the end.
    /// - Throws: `Libp2pError` with `.malformed` or `.tooLarge`.
    package mutating func next() throws(Libp2pError) -> ProtobufField? {
        guard position < input.endIndex else { return nil }
        guard fieldsLeft > 0 else { throw Libp2pError(.tooLarge, "the message has more fields than are read") }
        fieldsLeft -= 1
        let tag = try varint()
        let number = tag >> 3
        guard (1...536_870_911).contains(number) else {
            throw Libp2pError(.malformed, "\(number) is not the number of a field")
        }
        let value: ProtobufField.Value
        switch tag & 7 {
        case 0: value = .varint(try varint())
        case 1: value = .fixed64(try littleEndian(8))
        case 2:
            let count = try varint()
            guard count <= UInt64(input.endIndex - position) else { throw truncated }
            let end = position + Int(count)
            value = .bytes(input[position..<end])
            position = end
        case 5: value = .fixed32(UInt32(truncatingIfNeeded: try littleEndian(4)))
        default: throw Libp2pError(.malformed, "wire type \(tag & 7) is not read")
        }
        return ProtobufField(number: Int(number), value: value)
    }

    private mutating func varint() throws(Libp2pError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < input.endIndex {
            let byte = input[position]
            position += 1
            // The tenth byte has room for one bit only.
            guard shift < 63 || byte <= 1 else { throw Libp2pError(.malformed, "a varint does not fit in 64 bits") }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 {
                guard byte != 0 || shift == 0 else {
                    throw Libp2pError(.malformed, "a varint is not in its shortest form")
                }
                return value
            }
            shift += 7
        }
        throw truncated
    }

    private mutating func littleEndian(_ count: Int) throws(Libp2pError) -> UInt64 {
        guard count <= input.endIndex - position else { throw truncated }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(input[position + index]) << UInt64(8 * index) }
        position += count
        return value
    }

    private var truncated: Libp2pError { Libp2pError(.malformed, "the message ends inside a field") }
}

/// Writes a Protocol Buffers message; the fields stand in the order in which they are written.
package struct ProtobufWriter: Sendable {
    package private(set) var bytes: [UInt8] = []

    package init(reserving count: Int = 0) {
        bytes.reserveCapacity(count)
    }

    package mutating func varint(_ field: Int, _ value: UInt64) {
        append(UInt64(field) << 3)
        append(value)
    }

    package mutating func bytes(_ field: Int, _ value: some Collection<UInt8>) {
        append(UInt64(field) << 3 | 2)
        append(UInt64(value.count))
        bytes.append(contentsOf: value)
    }

    package mutating func text(_ field: Int, _ value: String) {
        bytes(field, value.utf8)
    }

    private mutating func append(_ value: UInt64) {
        bytes.append(varint: value)
    }
}

extension [UInt8] {
    /// Appends an unsigned LEB128 integer in its shortest form.
    package mutating func append(varint value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }
}
