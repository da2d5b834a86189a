import Cryptography
import Encodings

/// Random UUIDs (RFC 9562, version 4) in lower case.
public enum UUIDText {
    /// 122 random bits.
    public static func random() -> String {
        var bytes = SecureRandom.bytes(16)
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        let hex = Array(Hex.encode(bytes).utf8)
        let parts = [hex[0..<8], hex[8..<12], hex[12..<16], hex[16..<20], hex[20..<32]]
        return parts.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "-")
    }

    /// `urn:uuid:` and a random UUID.
    public static func randomURN() -> String { "urn:uuid:" + random() }

    /// The UUID without `urn:uuid:`.
    static func bare(_ text: String) -> String {
        text.hasPrefix("urn:uuid:") ? String(text.dropFirst(9)) : text
    }

    /// A path's id, with or without `urn:uuid:`, as the URN.
    static func urn(_ text: String) -> String {
        text.hasPrefix("urn:uuid:") ? text : "urn:uuid:" + text
    }
}
