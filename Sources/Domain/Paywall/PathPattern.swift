/// Which paths a price or a credential is for: a path whose last segment may be `*` (this path and everything under it)
/// and whose other segments may be `*` (any one segment): `/today`, `/v1/*`, `/users/*/photo`, `/*`.
public struct PathPattern: Sendable, Hashable, CustomStringConvertible {
    /// As it was given.
    public let text: String
    let segments: [Segment]
    let matchesBelow: Bool

    enum Segment: Sendable, Hashable {
        case literal(String)
        case any
    }

    /// The longest pattern read, in bytes.
    public static let maximumBytes = 1024

    /// An empty text is the root alone, as `/` is.
    /// - Throws: ``PriceError`` `bad-pattern` where it is no path, too long, or holds a `*` beside other characters.
    public init(_ text: String) throws(PriceError) {
        guard text.utf8.count <= Self.maximumBytes else {
            throw PriceError(.badPattern, "A path pattern has at most \(Self.maximumBytes) bytes.")
        }
        var pattern = text
        var matchesBelow = false
        if pattern == "/*" || pattern.hasSuffix("/*") {
            matchesBelow = true
            pattern.removeLast(2)
        }
        let segments: [Segment]
        if pattern.isEmpty {
            segments = []
        } else {
            do {
                segments = try RequestPath(pattern).segments.map { $0 == "*" ? .any : .literal($0) }
            } catch {
                throw PriceError(.badPattern, "The path pattern \"\(text)\" can't be used: \(error.message)")
            }
        }
        for case .literal(let literal) in segments where literal.contains("*") {
            throw PriceError(.badPattern, "In \"\(text)\" a * must stand alone between slashes.")
        }
        self.text = text
        self.segments = segments
        self.matchesBelow = matchesBelow
    }

    public var description: String { text }

    /// Whether `path` is one of those it names.
    public func matches(_ path: RequestPath) -> Bool {
        let given = path.segments
        guard matchesBelow ? given.count >= segments.count : given.count == segments.count else { return false }
        return zip(segments, given).allSatisfy { pattern, text in
            switch pattern {
            case .any: true
            case .literal(let literal): Self.same(literal, text)
            }
        }
    }

    /// Whether every path that `other` names is named by this pattern too.
    public func contains(_ other: PathPattern) -> Bool {
        guard matchesBelow ? other.segments.count >= segments.count : other.segments.count == segments.count,
            matchesBelow || !other.matchesBelow
        else { return false }
        return zip(segments, other.segments).allSatisfy { mine, theirs in
            switch (mine, theirs) {
            case (.any, _): true
            case (.literal, .any): false
            case (.literal(let left), .literal(let right)): Self.same(left, right)
            }
        }
    }

    /// Many upstreams route without regard to case; a price must not depend on it.
    private static func same(_ left: String, _ right: String) -> Bool {
        left.utf8.elementsEqual(right.utf8) || left.lowercased() == right.lowercased()
    }
}
