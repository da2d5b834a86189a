/// What may be done: a path such as `/pay/call`. It covers itself and everything below it.
public struct Command: Hashable, Sendable, CustomStringConvertible {
    public static let maximumBytes = 256
    /// A call paid for over HTTP, as our profile names it ([DLG-2]).
    public static let paidCall = Command(trusted: "/pay/call")

    public let text: String

    private init(trusted text: String) {
        self.text = text
    }

    /// - Throws: `DelegationError` with `.malformed`: a command begins with `/`, has no empty segments, no upper case,
    ///   and no `/` at its end.
    public init(_ text: String) throws(DelegationError) {
        let bytes = Array(text.utf8)
        guard bytes.count <= Self.maximumBytes, bytes.first == UInt8(ascii: "/"),
            bytes.allSatisfy({ (0x21...0x7E).contains($0) && !(0x41...0x5A).contains($0) }),
            bytes.count == 1 || bytes.last != UInt8(ascii: "/"),
            !zip(bytes, bytes.dropFirst()).contains(where: { $0 == UInt8(ascii: "/") && $1 == UInt8(ascii: "/") })
        else {
            throw DelegationError(.malformed, "a command is a path such as /pay/call in lower case")
        }
        self.text = text
    }

    /// Whether `other` is this command or stands below it.
    public func covers(_ other: Command) -> Bool {
        text == "/" || other.text == text || other.text.hasPrefix(text + "/")
    }

    public var description: String { text }
}
