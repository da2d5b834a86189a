internal import Encodings

/// One challenge out of `WWW-Authenticate` (RFC 9110, 11.3): a scheme and its parameters.
public struct HTTPChallenge: Sendable, Equatable {
    /// As written; schemes are told apart without regard to case.
    public var scheme: String
    /// Names in lower case, values without their quotes, in order; a name that stands twice counts where it stood first.
    public var parameters: [(name: String, value: String)]

    /// The longest header value read, in bytes.
    public static let maximumBytes = 16_384
    /// The most challenges read of one answer.
    public static let maximumChallenges = 32
    /// The most parameters read of one challenge.
    public static let maximumParameters = 32

    public init(scheme: String, parameters: [(name: String, value: String)]) {
        self.scheme = scheme
        self.parameters = parameters
    }

    /// The value of a parameter, by its name in lower case.
    public func value(_ name: String) -> String? { parameters.first { $0.name == name }?.value }

    public func isScheme(_ name: String) -> Bool { scheme.lowercased() == name.lowercased() }

    public static func == (left: HTTPChallenge, right: HTTPChallenge) -> Bool {
        left.scheme == right.scheme
            && left.parameters.elementsEqual(right.parameters) { $0.name == $1.name && $0.value == $1.value }
    }

    /// Every challenge in the values of `WWW-Authenticate`, whether they came in lines of their own or joined by commas.
    ///
    /// What can't be read ends the reading of that line: what stood before it counts.
    public static func read(_ headerValues: [String]) -> [HTTPChallenge] {
        var found: [HTTPChallenge] = []
        for value in headerValues where value.utf8.count <= maximumBytes {
            var scanner = ChallengeScanner(value)
            found += scanner.challenges(limit: maximumChallenges - found.count)
        }
        return found
    }

    /// `value` as a quoted-string (RFC 9110, 5.6.4).
    /// - Returns: nil where it holds what no quoted-string can: a control character other than a tab.
    public static func quoted(_ value: String) -> String? {
        guard value.utf8.allSatisfy({ $0 == 0x09 || ($0 >= 0x20 && $0 != 0x7f) }) else { return nil }
        return value.quoted
    }
}

/// Reads one line of challenges from front to back.
private struct ChallengeScanner {
    private let bytes: [UInt8]
    private var index = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    mutating func challenges(limit: Int) -> [HTTPChallenge] {
        var found: [HTTPChallenge] = []
        while found.count < limit {
            skip { $0 == 0x20 || $0 == 0x09 || $0 == UInt8(ascii: ",") }
            let scheme = take(Self.isTokenByte)
            guard !scheme.isEmpty else { break }
            var challenge = HTTPChallenge(scheme: scheme, parameters: [])
            let isWhole = readParameters(of: &challenge)
            found.append(challenge)
            guard isWhole else { break }
        }
        return found
    }

    /// - Returns: whether the next challenge, or the end of the line, comes next.
    private mutating func readParameters(of challenge: inout HTTPChallenge) -> Bool {
        skip(Self.isSpace)
        while index < bytes.count {
            skip { Self.isSpace($0) || $0 == UInt8(ascii: ",") }
            let start = index
            let name = take(Self.isTokenByte)
            if name.isEmpty { return index == bytes.count }
            skip(Self.isSpace)
            guard index < bytes.count, bytes[index] == UInt8(ascii: "=") else {
                // A token without "=" is the scheme of the next challenge, or a token68 of this one, which none of
                // the schemes that are read here has.
                index = start
                return true
            }
            index += 1
            skip(Self.isSpace)
            guard let value = readValue() else {
                // Padding of a token68 (`Negotiate abc==`): no parameter, and the line goes on behind it.
                skip { $0 == UInt8(ascii: "=") || Self.isSpace($0) }
                guard index == bytes.count || bytes[index] == UInt8(ascii: ",") else { return false }
                continue
            }
            let lower = name.lowercased()
            if challenge.value(lower) == nil {
                guard challenge.parameters.count < HTTPChallenge.maximumParameters else { return false }
                challenge.parameters.append((lower, value))
            }
        }
        return true
    }

    private mutating func readValue() -> String? {
        guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else {
            let token = take(Self.isTokenByte)
            return token.isEmpty ? nil : token
        }
        index += 1
        var value: [UInt8] = []
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\""):
                return String(validating: value, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard index < bytes.count else { return nil }
                value.append(bytes[index])
                index += 1
            default:
                value.append(byte)
            }
        }
        return nil
    }

    private mutating func skip(_ isSkipped: (UInt8) -> Bool) {
        while index < bytes.count, isSkipped(bytes[index]) { index += 1 }
    }

    private mutating func take(_ isTaken: (UInt8) -> Bool) -> String {
        let start = index
        skip(isTaken)
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// tchar of RFC 9110, 5.6.2.
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default:
            "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
