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
            host == "localhost" || host.hasSuffix(".localhost") || host == "[::1]" || Self.quad(host)?.first == 127
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

    /// The four numbers of a dotted quad in its one canonical form.
    private static func quad(_ host: String) -> [UInt8]? {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { $0.utf8.count <= 3 ? UInt8($0) : nil }
        guard parts.count == 4, numbers.count == 4, zip(parts, numbers).allSatisfy({ $0 == String($1) }) else {
            return nil
        }
        return numbers
    }

    private static func isGlobalIPv4(_ host: String) -> Bool {
        guard let numbers = quad(host) else { return false }
        switch (numbers[0], numbers[1]) {
        case (0, _), (10, _), (127, _), (169, 254), (172, 16...31), (192, 168), (100, 64...127), (198, 18...19):
            return false
        case (192, 0) where numbers[2] == 0: return false
        case (224..., _): return false
        default: return true
        }
    }

    /// Global unicast (2000::/3), and no form that wraps an IPv4 address of 6to4 or Teredo.
    private static func isGlobalIPv6(_ host: String) -> Bool {
        let text = host.dropFirst().dropLast()
        guard let first = text.split(separator: ":", omittingEmptySubsequences: false).first,
            let group = UInt16(first, radix: 16)
        else { return false }
        return (0x2000...0x3FFF).contains(group) && group != 0x2002 && !(group == 0x2001 && text.hasPrefix("2001:0:"))
            && !text.hasPrefix("2001::") && !text.contains(".")
    }
}
