/// What stands between two commas of an `Authorization` value, read as bytes: a credential has hundreds of them, and each
/// call's are looked through once for every way to pay.
struct AuthorizationPart {
    let bytes: Substring.UTF8View

    init(_ bytes: Substring.UTF8View) { self.bytes = bytes }

    static func parts(of value: String) -> [AuthorizationPart] {
        value.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map(Self.init)
    }

    /// What follows the scheme, with the space before it; nil where the part starts with something else.
    /// - Parameter scheme: in small letters.
    func rest(afterScheme scheme: StaticString) -> Substring.UTF8View? {
        var rest = bytes.drop(while: Self.isBlank)
        let isScheme = scheme.withUTF8Buffer { letters in
            for letter in letters {
                guard let byte = rest.popFirst(), Self.lowercased(byte) == letter else { return false }
            }
            return true
        }
        guard isScheme else { return nil }
        // A line that is nothing but the scheme speaks it too, badly.
        guard let next = rest.first else { return rest }
        return Self.isBlank(next) ? rest : nil
    }

    /// The text without blanks at its ends.
    static func trimmed(_ bytes: Substring.UTF8View) -> String {
        let start = bytes.drop(while: isBlank)
        guard let end = start.lastIndex(where: { !isBlank($0) }) else { return "" }
        return String(Substring(start[...end]))
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }

    private static func lowercased(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
}
