import Cryptography
import Encodings

/// Ids of claims and batches: UUID version 7 (RFC 9562), lower case, its 74 variable bits all random.
enum UUIDVersion7 {
    static func make(at now: Timestamp) -> String {
        let milliseconds = UInt64(max(0, now.millisecondsSince1970)) & 0xffff_ffff_ffff
        var bytes = SecureRandom.bytes(16)
        for index in 0..<6 { bytes[index] = UInt8(truncatingIfNeeded: milliseconds >> UInt64(40 - 8 * index)) }
        bytes[6] = 0x70 | (bytes[6] & 0x0f)
        bytes[8] = 0x80 | (bytes[8] & 0x3f)
        let hex = Array(Hex.encode(bytes).utf8)
        let parts = [hex[0..<8], hex[8..<12], hex[12..<16], hex[16..<20], hex[20..<32]]
        return parts.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "-")
    }

    /// Whether `text` is a UUID in lower case, of any version.
    static func isUUID(_ text: some StringProtocol) -> Bool {
        let bytes = Array(text.utf8)
        return bytes.count == 36
            && bytes.enumerated().allSatisfy { index, byte in
                [8, 13, 18, 23].contains(index)
                    ? byte == UInt8(ascii: "-")
                    : (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
            }
    }
}
