/// Reads a byte string from front to back; every read is checked against the end.
public struct ByteReader: Sendable {
    private let input: [UInt8]
    /// The number of bytes read so far.
    public private(set) var offset = 0

    public init(_ bytes: [UInt8]) {
        input = bytes
    }

    /// The number of bytes not read yet.
    public var remaining: Int { input.count - offset }

    /// The next byte without reading it, or nil at the end.
    public var next: UInt8? { offset < input.count ? input[offset] : nil }

    /// - Throws: `EncodingError` with `.truncated` at the end.
    public mutating func byte() throws(EncodingError) -> UInt8 {
        guard offset < input.count else { throw truncated(1) }
        defer { offset += 1 }
        return input[offset]
    }

    /// The next `count` bytes.
    ///
    /// - Throws: `EncodingError` with `.truncated` where fewer are left or `count` is negative.
    public mutating func bytes(_ count: Int) throws(EncodingError) -> [UInt8] {
        guard count >= 0, count <= remaining else { throw truncated(count) }
        defer { offset += count }
        return [UInt8](input[offset..<(offset + count)])
    }

    /// The next `count` bytes as a text; nil where they are not valid UTF-8.
    ///
    /// - Throws: as ``bytes(_:)``.
    mutating func text(_ count: Int) throws(EncodingError) -> String? {
        guard count >= 0, count <= remaining else { throw truncated(count) }
        defer { offset += count }
        let slice = input[offset..<(offset + count)]
        var union: UInt8 = 0
        for byte in slice { union |= byte }
        // Most texts are ASCII, which needs neither a copy nor a validation.
        return union < 0x80 ? String(decoding: slice, as: UTF8.self) : String(validating: slice, as: UTF8.self)
    }

    /// Two bytes, big-endian.
    public mutating func uint16() throws(EncodingError) -> UInt16 { UInt16(truncatingIfNeeded: try bigEndian(2)) }

    /// Four bytes, big-endian.
    public mutating func uint32() throws(EncodingError) -> UInt32 { UInt32(truncatingIfNeeded: try bigEndian(4)) }

    /// Eight bytes, big-endian.
    public mutating func uint64() throws(EncodingError) -> UInt64 { try bigEndian(8) }

    /// - Throws: `EncodingError` with `.trailingBytes` where something is left.
    public func expectEnd() throws(EncodingError) {
        guard remaining == 0 else {
            throw EncodingError(.trailingBytes, "\(remaining) bytes follow the end of the item")
        }
    }

    private mutating func bigEndian(_ count: Int) throws(EncodingError) -> UInt64 {
        guard count <= remaining else { throw truncated(count) }
        var value: UInt64 = 0
        for _ in 0..<count {
            value = value << 8 | UInt64(input[offset])
            offset += 1
        }
        return value
    }

    private func truncated(_ wanted: Int) -> EncodingError {
        EncodingError(.truncated, "the input ends early: \(wanted) bytes wanted at offset \(offset), \(remaining) left")
    }
}
