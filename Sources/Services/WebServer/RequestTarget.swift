internal import NIOHTTP1

/// Settles whom a request is for before anybody reads it (RFC 9112, 3.2): one `Host`, the same as in a target in absolute form,
/// which becomes one in origin form. Two readings of it are one too many where services are told apart by host.
enum RequestTarget {
    /// - Returns: how the request is refused; nil where it is fine.
    static func settle(_ head: inout HTTPRequestHead) -> DoorAnswer? {
        let hosts = head.headers["host"]
        guard hosts.count == 1 || (hosts.isEmpty && head.version.major == 1 && head.version.minor == 0) else {
            return refusal(
                hosts.isEmpty ? "The request has no Host header" : "The request has several Host headers"
            )
        }
        if let host = hosts.first {
            guard isAuthority(host) else { return refusal("The Host header names no host") }
        }
        let target = head.uri
        if target.hasPrefix("/") || (target == "*" && head.method == .OPTIONS) { return nil }
        let lower = target.prefix(8).lowercased()
        guard let scheme = ["http://", "https://"].first(where: lower.hasPrefix) else {
            return refusal("The request's target is neither a path nor an address")
        }
        let rest = target.dropFirst(scheme.count)
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        guard isAuthority(String(authority)), authority.lowercased() == (hosts.first ?? "").lowercased() else {
            return refusal("The request's target names another host than its Host header")
        }
        let path = rest.dropFirst(authority.count)
        head.uri = path.hasPrefix("/") ? String(path) : "/" + path
        return nil
    }

    /// A name or an address with an optional port; nothing that somebody could read as more than one host.
    static func isAuthority(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard (1...320).contains(bytes.count) else { return false }
        var name = bytes[...]
        if bytes[0] == UInt8(ascii: "[") {
            guard let end = bytes.firstIndex(of: UInt8(ascii: "]")),
                bytes[1..<end].allSatisfy({ isHexadecimal($0) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".") })
            else { return false }
            name = bytes[(end + 1)...]
            return name.isEmpty || (name.first == UInt8(ascii: ":") && isPort(name.dropFirst()))
        }
        if let colon = bytes.firstIndex(of: UInt8(ascii: ":")) {
            guard isPort(bytes[(colon + 1)...]) else { return false }
            name = bytes[..<colon]
        }
        return !name.isEmpty
            && name.allSatisfy { byte in
                (97...122).contains(byte | 0x20) || (48...57).contains(byte) || byte == UInt8(ascii: ".")
                    || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
            }
    }

    private static func isPort(_ bytes: ArraySlice<UInt8>) -> Bool {
        (1...5).contains(bytes.count) && bytes.allSatisfy { (48...57).contains($0) }
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (97...102).contains(byte | 0x20)
    }

    private static func refusal(_ detail: String) -> DoorAnswer {
        DoorAnswer(WebSocketRefusal.problem(400, "malformed-request", detail))
    }
}
