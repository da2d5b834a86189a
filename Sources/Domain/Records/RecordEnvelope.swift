internal import CanonicalJSON
public import Passports

/// A record as it travels: with what speaks for its author. What is around the record is not signed with it, since a
/// passport is renewed while the record stays; whoever passes it on may leave it out.
public struct RecordEnvelope: Sendable {
    /// The most bytes of one.
    public static let maximumBytes = Record.maximumBytes + Passport.maximumBytes + Stamp.maximumBytes + 64

    public var record: Record
    /// The author's passport.
    public var passport: Passport?
    /// An entry node's word that postage was paid for it.
    public var stamp: Stamp?

    public init(record: Record, passport: Passport? = nil, stamp: Stamp? = nil) {
        self.record = record
        self.passport = passport
        self.stamp = stamp
    }

    /// Reads what travels.
    /// - Throws: `RecordRefusal` with `.tooLarge` or `.malformed`.
    public init(bytes: [UInt8]) throws(RecordRefusal) {
        let value = try RecordShape.parse(bytes, maximumBytes: Self.maximumBytes)
        guard let object = value.objectValue, object.keys.allSatisfy(["record", "passport", "stamp"].contains),
            let document = object["record"]?.objectValue
        else { throw RecordShape.refuse("what travels is a `record`, perhaps with `passport` and `stamp`") }
        record = try Record(document: document)
        if let value = object["passport"] { passport = try Self.passport(value) }
        if let value = object["stamp"] {
            guard let document = value.objectValue else { throw RecordShape.refuse("`stamp` must be an object") }
            stamp = try Stamp(document: document)
        }
    }

    static func passport(_ value: JSONValue) throws(RecordRefusal) -> Passport {
        do throws(PassportReason) {
            if let token = value.stringValue { return try Passport(bytes: [UInt8](token.utf8)) }
            guard let document = value.objectValue else {
                throw PassportReason(.malformed, "`passport` must be a document or a token")
            }
            return try Passport(document: document)
        } catch {
            throw RecordShape.refuse("`passport` is not a passport")
        }
    }

    /// As it travels.
    public var bytes: [UInt8] {
        Self.bytes(record: record.bytes, passport: passport.map(Self.bytes), stamp: stamp?.bytes)
    }

    /// A passport as it travels: its document, or its token as a string.
    public static func bytes(_ passport: Passport) -> [UInt8] {
        passport.token.map { JSONValue.string($0).serialized() } ?? passport.bytes
    }

    /// Puts together what was kept apart.
    public static func bytes(record: [UInt8], passport: [UInt8]?, stamp: [UInt8]?) -> [UInt8] {
        var bytes = [UInt8](#"{"record":"#.utf8)
        bytes.reserveCapacity(record.count + (passport?.count ?? 0) + (stamp?.count ?? 0) + 40)
        bytes += record
        if let passport {
            bytes += [UInt8](#","passport":"#.utf8)
            bytes += passport
        }
        if let stamp {
            bytes += [UInt8](#","stamp":"#.utf8)
            bytes += stamp
        }
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }

    /// Reads a passport as it travels.
    /// - Throws: `RecordRefusal` with `.malformed`.
    public static func passport(_ bytes: [UInt8]) throws(RecordRefusal) -> Passport {
        try passport(try RecordShape.parse(bytes, maximumBytes: Passport.maximumBytes + 2))
    }
}
