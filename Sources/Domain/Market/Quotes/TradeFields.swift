internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Records
internal import SignedDocuments

/// Reads the members of a trade's document; what is wrong is told with the name of the member.
public struct TradeFields {
    let object: JSONObject

    init(_ object: JSONObject, known: Set<String>) throws(TradeRefusal) {
        guard object.keys.allSatisfy(known.contains) else {
            throw TradeRefusal(.malformed, "the document has members that have no place in it")
        }
        self.object = object
    }

    static func refuse(_ name: String, _ what: String) -> TradeRefusal {
        TradeRefusal(.malformed, "`\(name)` \(what)")
    }

    func has(_ name: String) -> Bool { object[name] != nil }

    private func string(_ name: String) throws(TradeRefusal) -> String {
        guard let text = object[name]?.stringValue else { throw Self.refuse(name, "is missing, or no text") }
        return text
    }

    /// In its one notation.
    func did(_ name: String) throws(TradeRefusal) -> DIDKey {
        let text = try string(name)
        guard let did = try? DIDKey(parsing: text), did.string == text, did.kind == .ed25519 else {
            throw Self.refuse(name, "is a did:key of Ed25519")
        }
        return did
    }

    /// 32 bytes as `u` and base64url of their multihash.
    func digest(_ name: String) throws(TradeRefusal) -> [UInt8] {
        let text = try string(name)
        guard let digest = try? MultihashDigest.decode(text), MultihashDigest.encode(digest) == text else {
            throw Self.refuse(name, "is a SHA-256 multihash as `u` and base64url")
        }
        return digest
    }

    /// Small hex of so many bytes.
    func hex(_ name: String, bytes count: Int) throws(TradeRefusal) -> [UInt8] {
        let text = try string(name)
        guard text.utf8.count == 2 * count, let bytes = try? Hex.decode(text), Hex.encode(bytes) == text else {
            throw Self.refuse(name, "is \(2 * count) small hex digits")
        }
        return bytes
    }

    /// A compressed point in small hex.
    func point(_ name: String) throws(TradeRefusal) -> Secp256k1.Point {
        guard let point = try? Secp256k1.Point(compressed: hex(name, bytes: 33)) else {
            throw Self.refuse(name, "is a compressed point of secp256k1 in small hex")
        }
        return point
    }

    /// A decimal text without leading zeros, up to 2^53-1.
    func amount(_ name: String, least: UInt64 = 1) throws(TradeRefusal) -> UInt64 {
        let text = try string(name)
        guard (1...16).contains(text.utf8.count), let amount = UInt64(text), String(amount) == text,
            (least...Listing.maximumAmount).contains(amount)
        else { throw Self.refuse(name, "is a whole number from \(least) to 2^53-1 as a text, without leading zeros") }
        return amount
    }

    func number(_ name: String, in range: ClosedRange<UInt64>) throws(TradeRefusal) -> UInt64 {
        guard let value = object[name], case .integer(let number) = value, let number = UInt64(exactly: number),
            range.contains(number)
        else { throw Self.refuse(name, "is a whole number from \(range.lowerBound) to \(range.upperBound)") }
        return number
    }

    /// Seconds since 1970, up to the year 9999.
    func time(_ name: String) throws(TradeRefusal) -> UInt64 {
        try number(name, in: 0...TradeBounds.lastSecond)
    }

    /// A service's name, as in a listing.
    func service(_ name: String) throws(TradeRefusal) -> String {
        let text = try string(name)
        guard (1...63).contains(text.utf8.count), text.utf8.allSatisfy(ListingFields.isWordByte),
            text.utf8.first != 0x2D
        else { throw Self.refuse(name, "is the name of a service") }
        return text
    }

    /// An HTTP method, in capitals.
    func method(_ name: String) throws(TradeRefusal) -> String {
        let text = try string(name)
        guard (1...16).contains(text.utf8.count), text.utf8.allSatisfy({ (0x41...0x5A).contains($0) }) else {
            throw Self.refuse(name, "is an HTTP method in capitals")
        }
        return text
    }

    /// Path and query below a service.
    func target(_ name: String) throws(TradeRefusal) -> String {
        let text = try string(name)
        guard text.hasPrefix("/"), text.utf8.count <= 2_048, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }),
            !text.contains("#")
        else { throw Self.refuse(name, "is a path, perhaps with a query, that begins with /") }
        return text
    }

    /// Scheme, host and port, without a path.
    func origin(_ name: String) throws(TradeRefusal) -> ListingURL {
        guard let url = ListingURL(try string(name)), url.isOrigin else {
            throw Self.refuse(name, "is https (http on the machine itself), a host and perhaps a port")
        }
        return url
    }

    /// Words in their one form, see ``MarketWords``.
    func words(_ name: String, atMost count: Int) throws(TradeRefusal) -> [String] {
        let words = try texts(name, atMost: count)
        guard words.allSatisfy(MarketWords.isWord) else {
            throw Self.refuse(name, "lists words of letters and digits in small letters")
        }
        return words
    }

    func unit(_ name: String) throws(TradeRefusal) -> CurrencyUnit {
        let text = try string(name)
        guard text.utf8.count <= 16, let unit = try? CurrencyUnit(text), unit.name == text else {
            throw Self.refuse(name, "is a unit such as `sat`")
        }
        return unit
    }

    func mint(_ name: String) throws(TradeRefusal) -> MintURL { try Self.mint(string(name), name) }

    private static func mint(_ text: String, _ name: String) throws(TradeRefusal) -> MintURL {
        guard ListingURL(text) != nil, let mint = try? MintURL(text), mint.string == text else {
            throw refuse(name, "is an https URL (http on the machine itself) without a slash at its end")
        }
        return mint
    }

    func mints(_ name: String) throws(TradeRefusal) -> [MintURL] {
        var mints: [MintURL] = []
        for text in try texts(name, atMost: 16) { mints.append(try Self.mint(text, name)) }
        return mints
    }

    func outcome(_ name: String) throws(TradeRefusal) -> CallOutcome {
        guard let outcome = CallOutcome(rawValue: try string(name)) else {
            throw Self.refuse(name, "is `ok`, `failed`, `late` or `wrong`")
        }
        return outcome
    }

    func mode(_ name: String) throws(TradeRefusal) -> Listing.Escrow {
        guard let mode = Listing.Escrow(rawValue: try string(name)) else {
            throw Self.refuse(name, "is `key`, `arbiter` or `stream`")
        }
        return mode
    }

    func modes(_ name: String) throws(TradeRefusal) -> [Listing.Escrow] {
        var modes: [Listing.Escrow] = []
        for text in try texts(name, atMost: 3) {
            guard let mode = Listing.Escrow(rawValue: text) else {
                throw Self.refuse(name, "lists `key`, `arbiter`, `stream`")
            }
            modes.append(mode)
        }
        return modes
    }

    /// Each once, at least one.
    private func texts(_ name: String, atMost count: Int) throws(TradeRefusal) -> [String] {
        guard let items = object[name]?.arrayValue, (1...count).contains(items.count) else {
            throw Self.refuse(name, "is a list of 1 to \(count)")
        }
        let texts = items.compactMap(\.stringValue)
        guard texts.count == items.count, Set(texts).count == texts.count else {
            throw Self.refuse(name, "lists texts, none twice")
        }
        return texts
    }

    func objects(_ name: String, atMost count: Int, known: Set<String>) throws(TradeRefusal) -> [TradeFields] {
        guard let items = object[name]?.arrayValue, (1...count).contains(items.count) else {
            throw Self.refuse(name, "is a list of 1 to \(count)")
        }
        var fields: [TradeFields] = []
        for item in items {
            guard let object = item.objectValue else { throw Self.refuse(name, "lists objects") }
            fields.append(try TradeFields(object, known: known))
        }
        return fields
    }

    /// One line for people, up to 512 bytes.
    func line(_ name: String) throws(TradeRefusal) -> String {
        let line: String?
        do {
            line = try ListingFields(object).line(name, atMost: 512)
        } catch {
            throw TradeRefusal(.malformed, error.message)
        }
        guard let line else { throw Self.refuse(name, "is missing") }
        return line
    }
}

/// Bounds that all documents of a trade keep.
public enum TradeBounds {
    /// The last second of the year 9999.
    public static let lastSecond: UInt64 = 253_402_300_799
    /// A week: the longest time to deliver.
    public static let deliverSeconds: ClosedRange<UInt64> = 1...604_800
    /// Thirty days: the longest lock.
    public static let lockSeconds: ClosedRange<UInt64> = 1...2_592_000
    /// A month: the longest that a quote holds.
    public static let quoteSeconds: UInt64 = 2_678_400
    /// Acceptances of one quote.
    public static let calls: ClosedRange<UInt64> = 1...10_000
    /// Pieces of one stream.
    public static let chunks: ClosedRange<UInt64> = 1...1_024
    /// How far ahead of the clock a document may be dated, and the oldest acceptance: 30 seconds either way.
    public static let skewSeconds: UInt64 = 30
}
