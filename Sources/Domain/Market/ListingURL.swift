public import Encodings

/// Where a listed service is sold, or a mint stands: an absolute URL in one form, with how far away its host is ([LST-4]).
///
/// All nodes judge the form alike. Whether a URL that leads into a node's own network may be used there is that node's to say.
public struct ListingURL: Hashable, Sendable, CustomStringConvertible {
    public static let maximumBytes = 512
    private static let localEndings = [".localhost", ".local", ".internal", ".lan", ".home.arpa"]

    public let text: String
    /// From how far away it is reached, as far as the host's text says: a name may lead anywhere still.
    public let reach: IPReach

    /// `https://host[:port][/path]`; with `http` only on the machine itself. Printable ASCII, the host in small letters, no user,
    /// query or fragment.
    ///
    /// - Returns: nil where the text is not of that form.
    public init?(_ text: String) {
        let bytes = text.utf8
        guard (1...Self.maximumBytes).contains(bytes.count),
            bytes.allSatisfy({ (0x21...0x7E).contains($0) && !Self.refused.contains($0) })
        else { return nil }
        let isPlain = text.hasPrefix("http://")
        guard isPlain || text.hasPrefix("https://") else { return nil }
        let authority = text.dropFirst(isPlain ? 7 : 8).prefix { $0 != "/" }
        guard let host = Self.host(of: authority), let reach = Self.reach(of: host), !isPlain || reach == .machine
        else {
            return nil
        }
        self.text = text
        self.reach = reach
    }

    /// `"`, `#`, `<`, `>`, `?`, `@`, `\`, `^`, `` ` ``, `{`, `|` and `}`.
    private static let refused: Set<UInt8> = [
        0x22, 0x23, 0x3C, 0x3E, 0x3F, 0x40, 0x5C, 0x5E, 0x60, 0x7B, 0x7C, 0x7D,
    ]

    public var description: String { text }

    /// Whether it is scheme, host and port alone.
    public var isOrigin: Bool { !text.dropFirst(text.hasPrefix("http://") ? 7 : 8).contains("/") }

    /// The host in small letters, an IPv6 address in its brackets, and the port.
    public var place: (host: String, port: Int) {
        let isPlain = text.hasPrefix("http://")
        let authority = text.dropFirst(isPlain ? 7 : 8).prefix { $0 != "/" }
        let host = Self.host(of: authority) ?? authority
        let port = Int(authority[host.endIndex...].dropFirst()) ?? (isPlain ? 80 : 443)
        return (String(host), port)
    }

    /// The host with an IPv6 address in its brackets; nil where there is none, or a port that does not exist.
    private static func host(of authority: Substring) -> Substring? {
        var host = authority.prefix { $0 != ":" }
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[...end]
        }
        let rest = authority[host.endIndex...]
        guard !host.isEmpty else { return nil }
        guard !rest.isEmpty else { return host }
        let digits = rest.dropFirst()
        guard rest.first == ":", (1...5).contains(digits.utf8.count), digits.utf8.first != 0x30,
            digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(digits), port <= 65_535
        else { return nil }
        return host
    }

    private static func reach(of host: Substring) -> IPReach? {
        if host.hasPrefix("[") {
            let text = String(host.dropFirst().dropLast())
            guard !text.contains(".") else { return nil }
            return IPAddressText.bytes6(text).flatMap { IPReach($0) }
        }
        if let bytes = IPAddressText.bytes4(String(host)) { return IPReach(bytes) }
        // A host whose last label does not begin with a letter is an address, however it is written.
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        guard host.utf8.count <= 253, labels.allSatisfy(isLabel), let last = labels.last?.utf8.first,
            (0x61...0x7A).contains(last)
        else { return nil }
        if host == "localhost" || host.hasSuffix(".localhost") { return .machine }
        return labels.count == 1 || localEndings.contains { host.hasSuffix($0) } ? .network : .internet
    }

    private static func isLabel(_ label: Substring) -> Bool {
        let bytes = label.utf8
        return (1...63).contains(bytes.count) && bytes.first != 0x2D && bytes.last != 0x2D
            && bytes.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D }
    }
}
