import CanonicalJSON

/// The rules for the short texts in a passport, shared by reading and issuing.
enum PassportText {
    /// An absolute URL or URN in printable ASCII, at most 256 bytes.
    static func identifier(_ text: String?, _ name: String) throws(PassportReason) -> String {
        guard let text, (3...256).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }),
            let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")), colon != text.utf8.startIndex
        else {
            throw PassportReason(.malformed, "`\(name)` must be a URL or URN of at most 256 printable ASCII characters")
        }
        return text
    }

    /// A text to show to people: 1 to `limit` UTF-8 bytes, without control characters.
    static func label(_ text: String?, _ name: String, limit: Int) throws(PassportReason) -> String {
        guard let text, (1...limit).contains(text.utf8.count),
            // Most names are ASCII, and a scalar's category costs more than all the rest of a name's check.
            text.utf8.allSatisfy({ (0x20..<0x7F).contains($0) })
                || text.unicodeScalars.allSatisfy({
                    $0.properties.generalCategory != .control && $0.properties.generalCategory != .format
                })
        else {
            throw PassportReason(.malformed, "`\(name)` must have 1 to \(limit) bytes and no control characters")
        }
        return text
    }

    /// At most 32 capabilities, none twice.
    static func capabilities(_ list: [String]) throws(PassportReason) -> [String] {
        guard list.count <= Passport.maximumCapabilities, Set(list).count == list.count,
            list.allSatisfy(isCapability)
        else {
            throw PassportReason(
                .malformed,
                "`capability` must list at most \(Passport.maximumCapabilities) different names of a-z, 0-9 and : . _ / - with 1 to 64 characters"
            )
        }
        return list
    }

    static func isCapability(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x61...0x7A, 0x30...0x39: true
                case UInt8(ascii: ":"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "/"), UInt8(ascii: "-"): true
                default: false
                }
            }
    }

    /// A date and time with an offset.
    static func string(_ value: JSONValue?, _ name: String) throws(PassportReason) -> String {
        guard let text = value?.stringValue else { throw PassportReason(.malformed, "`\(name)` must be a string") }
        return text
    }
}
