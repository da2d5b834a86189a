/// What a signature can cover of a request: as the client sent it, before any proxy of ours touched it.
public struct RequestFacts: Sendable {
    /// The method as sent, such as `POST`.
    public var method: String
    /// The absolute URI, such as `https://host:8402/s/weather/today?x=1`; no fragment.
    public var targetURI: String
    /// All header lines in order; names in any case, values without surrounding white space.
    public var headers: [(name: String, value: String)]
    /// Whether the request has a body. Where it has, `content-digest` must be covered.
    public var hasBody: Bool

    public init(method: String, targetURI: String, headers: [(name: String, value: String)], hasBody: Bool = false) {
        self.method = method
        self.targetURI = targetURI
        self.headers = headers
        self.hasBody = hasBody
    }

    /// Whether any line has this name (lower case).
    public func has(_ name: String) -> Bool {
        headers.contains { $0.name.utf8.count == name.utf8.count && $0.name.lowercased() == name }
    }

    /// All lines of this name (lower case), trimmed and joined with `, ` (RFC 9421, 2.1), or `nil`.
    public func value(_ name: String) -> String? {
        var lines: [String] = []
        for header in headers where header.name.utf8.count == name.utf8.count && header.name.lowercased() == name {
            lines.append(Self.trimmed(header.value))
        }
        return lines.isEmpty ? nil : lines.joined(separator: ", ")
    }

    static func trimmed(_ text: String) -> String {
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 }
        let bytes = text.utf8
        guard let first = bytes.first, let last = bytes.last, isSpace(first) || isSpace(last) else { return text }
        guard let start = bytes.firstIndex(where: { !isSpace($0) }), let end = bytes.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(text[start...end])
    }
}

/// The parts of an absolute http(s) URI that derived components name.
struct TargetParts {
    let scheme: String
    let authority: String
    let path: String
    let query: String?

    init(_ uri: String) throws(HTTPSignatureError) {
        guard uri.utf8.count <= 8192, uri.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") }),
            let mark = uri.range(of: "://")
        else {
            throw HTTPSignatureError(
                .unsupportedComponent,
                "the target must be an absolute URI in printable ASCII of at most 8192 bytes, without fragment"
            )
        }
        scheme = uri[..<mark.lowerBound].lowercased()
        guard scheme == "http" || scheme == "https" else {
            throw HTTPSignatureError(.unsupportedComponent, "the target's scheme must be http or https")
        }
        let rest = uri[mark.upperBound...]
        let authorityEnd = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        let standardPort = scheme == "http" ? ":80" : ":443"
        let host = rest[..<authorityEnd].lowercased()
        authority = host.hasSuffix(standardPort) ? String(host.dropLast(standardPort.count)) : host
        guard !authority.isEmpty, !authority.contains("@") else {
            throw HTTPSignatureError(.unsupportedComponent, "the target must name a host and no user")
        }
        let tail = rest[authorityEnd...]
        if let question = tail.firstIndex(of: "?") {
            path = question == tail.startIndex ? "/" : String(tail[..<question])
            query = String(tail[question...])
        } else {
            path = tail.isEmpty ? "/" : String(tail)
            query = nil
        }
    }
}

extension String {
    fileprivate func range(of needle: String) -> Range<String.Index>? {
        firstRange(of: needle)
    }
}
