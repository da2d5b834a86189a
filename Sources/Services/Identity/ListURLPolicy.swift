internal import Encodings

/// Which URLs that others named may be fetched: status lists of trusted issuers, and DID documents. It keeps them from making the
/// node ask its own network.
struct ListURLPolicy: Sendable {
    /// Whether loopback and private hosts are allowed, plain http on loopback included.
    var allowsLocal: Bool

    /// A sentence why not, or `nil` where the URL may be fetched.
    func refusal(_ url: String) -> String? {
        guard let mark = url.utf8.firstRange(of: Array("://".utf8)) else { return "it is no absolute URL" }
        let scheme = url[..<mark.lowerBound].lowercased()
        let rest = url[mark.upperBound...]
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        guard !authority.isEmpty, !authority.contains("@") else { return "it names no host, or a user" }
        let host = Self.host(of: authority).lowercased()
        let isLoopback =
            host == "localhost" || host.hasSuffix(".localhost") || host == "[::1]"
            || IPAddressText.bytes4(host)?.first == 127
        switch scheme {
        case "https": break
        case "http":
            guard isLoopback, allowsLocal else {
                return "plain http is taken on loopback only, where the configuration allows it"
            }
        default: return "its scheme is not https"
        }
        if allowsLocal { return nil }
        if isLoopback { return "loopback addresses are not allowed by the configuration" }
        if host.hasPrefix("[") { return Self.isGlobalIPv6(host) ? nil : "its address is private" }
        // A host whose last label does not begin with a letter is an address, however it is written.
        guard let last = host.split(separator: ".").last?.utf8.first, (0x61...0x7A).contains(last) else {
            return Self.isGlobalIPv4(host) ? nil : "its address is private, or oddly written"
        }
        return nil
    }

    /// Whether a connection may be made to an address that a host's name led to.
    func allowsAddress(_ address: String) -> Bool {
        if allowsLocal { return true }
        return address.contains(":") ? Self.isGlobalIPv6("[\(address)]") : Self.isGlobalIPv4(address)
    }

    /// The host, in small letters and with an IPv6 address in its brackets, and the port of an http or https URL; nil for another.
    static func place(of url: String) -> (host: String, port: Int)? {
        guard let mark = url.utf8.firstRange(of: Array("://".utf8)) else { return nil }
        let authority = url[mark.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let host = host(of: authority)
        let rest = authority.dropFirst(host.count)
        guard !host.isEmpty else { return nil }
        if rest.isEmpty { return (host.lowercased(), url[..<mark.lowerBound].lowercased() == "http" ? 80 : 443) }
        guard rest.first == ":", let port = UInt16(rest.dropFirst()) else { return nil }
        return (host.lowercased(), Int(port))
    }

    private static func host(of authority: Substring) -> String {
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            return String(authority[...end])
        }
        return String(authority.prefix { $0 != ":" })
    }

    private static func isGlobalIPv4(_ host: String) -> Bool {
        IPAddressText.bytes4(host).flatMap { IPReach($0) } == .internet
    }

    /// In brackets. One that is written with an IPv4 address in it is none.
    private static func isGlobalIPv6(_ host: String) -> Bool {
        let text = String(host.dropFirst().dropLast())
        return !text.contains(".") && IPAddressText.bytes6(text).flatMap { IPReach($0) } == .internet
    }
}
