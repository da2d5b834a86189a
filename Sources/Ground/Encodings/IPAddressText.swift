internal import Glibc

/// IP addresses as text, strictly: no brackets, port, zone, or leading zeros (RFC 4291 §2.2, RFC 5952).
package enum IPAddressText {
    /// Four bytes; nil where the text is no IPv4 address.
    package static func bytes4(_ text: String) -> [UInt8]? { bytes(text, AF_INET, count: 4) }

    /// Sixteen bytes; nil where the text is no IPv6 address.
    package static func bytes6(_ text: String) -> [UInt8]? { bytes(text, AF_INET6, count: 16) }

    private static func bytes(_ text: String, _ family: Int32, count: Int) -> [UInt8]? {
        // To C a text ends at its first zero.
        guard text.utf8.count <= Int(INET6_ADDRSTRLEN), !text.utf8.contains(0) else { return nil }
        var raw = [UInt8](repeating: 0, count: count)
        return inet_pton(family, text, &raw) == 1 ? raw : nil
    }

    /// The text of 4 or 16 bytes.
    package static func text(_ bytes: [UInt8]) -> String {
        guard bytes.count == 16 else { return bytes.map(String.init).joined(separator: ".") }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        _ = inet_ntop(AF_INET6, bytes, &text, socklen_t(text.count))
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
