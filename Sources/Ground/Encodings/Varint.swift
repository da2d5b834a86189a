/// Unsigned LEB128 integers (multiformats unsigned-varint, protobuf): seven bits a byte, least significant first.
public enum Varint {
    /// The longest form of a 64-bit value.
    public static let maximumBytes = 10

    /// The minimal form: 1 to 10 bytes.
    public static func encode(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
        return bytes
    }

    /// Reads one integer in its minimal form.
    ///
    /// - Throws: `EncodingError` with `.truncated`, `.notMinimal`, or `.tooLarge` above 2⁶⁴−1.
    public static func decode(_ reader: inout ByteReader) throws(EncodingError) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<maximumBytes {
            let byte = try reader.byte()
            // The tenth byte has room for one bit only.
            guard index < maximumBytes - 1 || byte <= 1 else { break }
            value |= UInt64(byte & 0x7F) << UInt64(7 * index)
            if byte < 0x80 {
                guard byte != 0 || index == 0 else {
                    throw EncodingError(.notMinimal, "the varint has superfluous zero bytes at its end")
                }
                return value
            }
        }
        throw EncodingError(.tooLarge, "the varint does not fit in 64 bits")
    }
}
