// Units of account (NUT-01 "Supported Currency Units") and mint addresses (NUT-00).

/// The unit that a keyset's amounts count, such as `sat`; always lower case.
public struct CurrencyUnit: Hashable, Sendable, CustomStringConvertible {
    public let name: String

    /// One to 32 characters of `A–Z a–z 0–9 _ -`; upper case is folded, as the keyset id is made of the lower-case name.
    public init(_ name: String) throws(CashuError) {
        let lower = name.lowercased()
        let isWellFormed = lower.utf8.allSatisfy { byte in
            (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5F || byte == 0x2D
        }
        guard isWellFormed, (1...32).contains(lower.utf8.count) else {
            throw CashuError(.malformed, "a unit is 1 to 32 letters, digits, `_` or `-`, such as \"sat\"")
        }
        self.name = lower
    }

    private init(known name: String) {
        self.name = name
    }

    public static let sat = CurrencyUnit(known: "sat")
    public static let msat = CurrencyUnit(known: "msat")
    public static let usd = CurrencyUnit(known: "usd")
    public static let eur = CurrencyUnit(known: "eur")
    /// Reserved for blind authentication (NUT-22).
    public static let auth = CurrencyUnit(known: "auth")

    public var description: String { name }
}

/// The address of a mint, without trailing slashes and with scheme and host in lower case, so that two spellings of
/// one mint compare equal (NUT-00: "MUST be normalized by stripping any trailing slashes").
public struct MintURL: Hashable, Sendable, CustomStringConvertible {
    public let string: String

    /// An `http` or `https` address of at most ``CashuLimits/urlBytes`` bytes, with a host, and without spaces, control
    /// characters, user information, query or fragment.
    public init(_ text: String) throws(CashuError) {
        guard text.utf8.count <= CashuLimits.urlBytes else {
            throw CashuError(.tooLarge, "a mint's address has at most \(CashuLimits.urlBytes) bytes")
        }
        let forbidden = text.utf8.contains { byte in
            byte <= 0x20 || byte >= 0x7F || "\"<>\\^`{|}@?#".utf8.contains(byte)
        }
        let lower = text.lowercased()
        guard !forbidden, let scheme = ["https://", "http://"].first(where: { lower.hasPrefix($0) }) else {
            throw CashuError(
                .malformed,
                "a mint's address must look like https://mint.example, not \"\(text.prefix(80))\""
            )
        }
        let rest = text.dropFirst(scheme.count)
        let host = rest.prefix { $0 != "/" }
        var path = rest.dropFirst(host.count)
        while path.last == "/" { path.removeLast() }
        guard let first = host.first, first != ":" else {
            throw CashuError(.malformed, "the mint's address \"\(text.prefix(80))\" names no host")
        }
        string = scheme + host.lowercased() + path
    }

    public var description: String { string }
}
