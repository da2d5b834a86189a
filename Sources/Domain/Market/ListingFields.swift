internal import CanonicalJSON
internal import Encodings
internal import Records
internal import SignedDocuments

/// Reads the members of an object of a listing; what is wrong is told with the name of the field, and nothing of what a stranger
/// wrote there.
struct ListingFields {
    let object: JSONObject
    /// Before the members' names, such as `prices[2].`.
    let path: String

    /// - Parameter known: the members that the object may have; nil where others are left alone.
    init(_ object: JSONObject, path: String = "", known: Set<String>? = nil) throws(RecordRefusal) {
        self.object = object
        self.path = path
        if let known, !object.keys.allSatisfy(known.contains) {
            let place = path.hasSuffix(".") ? String(path.dropLast()) : path
            throw Self.refuse(place, "has members that have no place in it")
        }
    }

    static func refuse(_ field: String, _ what: String) -> RecordRefusal {
        RecordRefusal(.malformed, "`\(field)` \(what)")
    }

    private func refuse(_ name: String, _ what: String) -> RecordRefusal { Self.refuse(path + name, what) }

    // MARK: Texts

    /// One line that a terminal shows as it is.
    func line(_ name: String, atMost bytes: Int) throws(RecordRefusal) -> String? {
        guard let value = object[name] else { return nil }
        guard let text = value.stringValue, (1...bytes).contains(text.utf8.count),
            text.unicodeScalars.allSatisfy(Self.isShown)
        else { throw refuse(name, "is a text of 1 to \(bytes) bytes without control characters") }
        return text
    }

    /// No control characters, no line ends, and nothing that turns the direction of what stands around it.
    private static func isShown(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: return false
        default: break
        }
        switch scalar.value {
        case 0x061C, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069, 0xFEFF: return false
        default: return true
        }
    }

    static func isWordByte(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D
    }

    /// Small letters, digits and `-`.
    func word(_ name: String) throws(RecordRefusal) -> String? {
        guard let value = object[name] else { return nil }
        guard let text = value.stringValue, Self.isWord(text) else {
            throw refuse(name, "is 1 to 32 of a-z, 0-9 and -")
        }
        return text
    }

    static func isWord(_ text: String) -> Bool {
        (1...32).contains(text.utf8.count) && text.utf8.allSatisfy(isWordByte)
    }

    // MARK: Lists

    /// Texts, each once; an absent list is empty.
    func texts(
        _ name: String,
        atMost count: Int,
        each what: String,
        where isGood: (String) -> Bool
    ) throws(RecordRefusal) -> [String] {
        var texts: [String] = []
        for value in try list(name, atMost: count) {
            guard let text = value.stringValue, isGood(text) else { throw refuse(name, "lists \(what)") }
            texts.append(text)
        }
        guard Set(texts).count == texts.count else { throw refuse(name, "lists something twice") }
        return texts
    }

    func words(_ name: String, atMost count: Int) throws(RecordRefusal) -> [String] {
        try texts(name, atMost: count, each: "words of 1 to 32 of a-z, 0-9 and -", where: Self.isWord)
    }

    func urls(_ name: String, atMost count: Int) throws(RecordRefusal) -> [ListingURL] {
        try texts(
            name,
            atMost: count,
            each: "https URLs (http on the machine itself) of at most \(ListingURL.maximumBytes) bytes",
            where: { ListingURL($0) != nil }
        ).compactMap { ListingURL($0) }
    }

    func dids(_ name: String, atMost count: Int) throws(RecordRefusal) -> [DIDKey] {
        try texts(name, atMost: count, each: "did:keys", where: { Self.did($0) != nil }).compactMap(Self.did)
    }

    func did(_ name: String) throws(RecordRefusal) -> DIDKey? {
        guard let value = object[name] else { return nil }
        guard let did = value.stringValue.flatMap(Self.did) else { throw refuse(name, "is a did:key") }
        return did
    }

    /// In its one notation.
    private static func did(_ text: String) -> DIDKey? {
        guard let did = try? DIDKey(parsing: text), did.string == text else { return nil }
        return did
    }

    private func list(_ name: String, atMost count: Int) throws(RecordRefusal) -> [JSONValue] {
        guard let value = object[name] else { return [] }
        guard let items = value.arrayValue, (1...count).contains(items.count) else {
            throw refuse(name, "is a list of 1 to \(count)")
        }
        return items
    }

    /// Objects with no other members than those.
    func objects(_ name: String, atMost count: Int, known: Set<String>) throws(RecordRefusal) -> [ListingFields] {
        var fields: [ListingFields] = []
        for (index, value) in try list(name, atMost: count).enumerated() {
            guard let object = value.objectValue else { throw refuse("\(name)[\(index)]", "is an object") }
            fields.append(try ListingFields(object, path: "\(path)\(name)[\(index)].", known: known))
        }
        return fields
    }

    func object(_ name: String, known: Set<String>) throws(RecordRefusal) -> ListingFields? {
        guard let value = object[name] else { return nil }
        guard let object = value.objectValue else { throw refuse(name, "is an object") }
        return try ListingFields(object, path: "\(path)\(name).", known: known)
    }

    // MARK: Numbers and flags

    /// A decimal string, as amounts are written everywhere.
    func amount(_ name: String, least: UInt64 = 0) throws(RecordRefusal) -> UInt64? {
        guard let value = object[name] else { return nil }
        guard let text = value.stringValue, (1...16).contains(text.utf8.count), let amount = UInt64(text),
            String(amount) == text, (least...Listing.maximumAmount).contains(amount)
        else { throw refuse(name, "is a whole number from \(least) to 2^53-1 as a text, without leading zeros") }
        return amount
    }

    func number(_ name: String, in range: ClosedRange<Int64>) throws(RecordRefusal) -> Int64? {
        guard let value = object[name] else { return nil }
        guard case .integer(let number) = value, range.contains(number) else {
            throw refuse(name, "is a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// In its one notation.
    func second(_ name: String) throws(RecordRefusal) -> Timestamp {
        guard let text = object[name]?.stringValue, let time = try? Timestamp(rfc3339: text), time.rfc3339 == text,
            time.millisecondsSince1970 % 1_000 == 0
        else { throw refuse(name, "is a date and time in UTC in whole seconds") }
        return time
    }

    func flag(_ name: String) throws(RecordRefusal) -> Bool? {
        guard let value = object[name] else { return nil }
        guard let flag = value.boolValue else { throw refuse(name, "is true or false") }
        return flag
    }

    /// A JSON Schema: an object within its bounds. What it says is looked at where it is used.
    func schema(_ name: String) throws(RecordRefusal) -> JSONObject? {
        guard let value = object[name] else { return nil }
        guard let schema = value.objectValue, Self.depth(of: value, within: Listing.maximumSchemaDepth),
            let bytes = try? schema.canonicalized(), bytes.count <= Listing.maximumSchemaBytes
        else {
            throw refuse(
                name,
                "is a JSON Schema, an object of at most \(Listing.maximumSchemaBytes) bytes"
                    + " and \(Listing.maximumSchemaDepth) levels"
            )
        }
        return schema
    }

    private static func depth(of value: JSONValue, within levels: Int) -> Bool {
        switch value {
        case .object(let object): levels > 0 && object.allSatisfy { depth(of: $0.value, within: levels - 1) }
        case .array(let items): levels > 0 && items.allSatisfy { depth(of: $0, within: levels - 1) }
        default: true
        }
    }

    func required<Value>(_ value: Value?, _ name: String) throws(RecordRefusal) -> Value {
        guard let value else { throw refuse(name, "is missing") }
        return value
    }
}
