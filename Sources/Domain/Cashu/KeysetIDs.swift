// Keyset ids, versions 1 and 2, and the short form that stands in tokens (NUT-02 "Deriving the keyset ID", NUT-00).
import CanonicalJSON
public import Cryptography
import Encodings

/// The curve that a keyset's keys are points of.
public enum KeysetCurve: String, Hashable, Sendable {
    case secp256k1
    /// Announced for version 3; no arithmetic of this library's reaches it yet.
    case bls12381 = "bls12-381"
}

/// The first byte of a keyset id. Version 3 (BLS keys, byte 2) is known by name and not spoken; it and unknown versions are
/// refused, not guessed.
public struct KeysetVersion: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt8

    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// 8 bytes, over the keys only. Deprecated.
    public static let v1 = KeysetVersion(rawValue: 0)
    /// 33 bytes, over keys, unit, fee and expiry.
    public static let v2 = KeysetVersion(rawValue: 1)
    /// Keys on BLS12-381. Its ids are not fixed yet, so that `idBytes` is nil.
    public static let v3 = KeysetVersion(rawValue: 2)

    /// nil where the version isn't known here.
    public var curve: KeysetCurve? {
        switch self {
        case .v1, .v2: .secp256k1
        case .v3: .bls12381
        default: nil
        }
    }

    /// Such as `2 (02…, bls12-381)`.
    public var description: String {
        "\(rawValue) (\(Hex.encode([rawValue]))…, \(curve?.rawValue ?? "of a curve not known here"))"
    }

    /// The refusal of a version that this library doesn't speak.
    var unsupported: CashuError {
        CashuError(.unsupportedVersion, "keysets of version \(self) aren't supported")
    }

    /// The length of an id of this version, version byte included; nil where the version isn't known here.
    public var idBytes: Int? {
        switch self {
        case .v1: 8
        case .v2: 33
        default: nil
        }
    }
}

/// The full id of a keyset: 8 bytes (version 1) or 33 (version 2).
public struct KeysetID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let bytes: [UInt8]

    public var version: KeysetVersion { KeysetVersion(rawValue: bytes[0]) }
    /// Lower-case hex, as on the wire.
    public var hex: String { Hex.encode(bytes) }
    public var description: String { hex }
    /// The first 8 bytes: what may stand in a token (NUT-00 "Short keyset ID"). A version 1 id is its own short form.
    public var short: [UInt8] { Array(bytes.prefix(8)) }

    /// A full id of a known version.
    public init(bytes: [UInt8]) throws(CashuError) {
        guard let first = bytes.first else {
            throw CashuError(.malformed, "a keyset id can't be empty")
        }
        guard let expected = KeysetVersion(rawValue: first).idBytes else {
            throw KeysetVersion(rawValue: first).unsupported
        }
        guard bytes.count == expected else {
            throw CashuError(.malformed, "a keyset id of version \(first) has \(expected) bytes, not \(bytes.count)")
        }
        self.bytes = bytes
    }

    public init(hex: String) throws(CashuError) {
        guard hex.utf8.count <= 66, let bytes = try? Hex.decode(hex) else {
            throw CashuError(.malformed, "\"\(hex.prefix(80))\" isn't a keyset id: 16 or 66 hex digits are expected")
        }
        try self.init(bytes: bytes)
    }

    public static func < (first: KeysetID, second: KeysetID) -> Bool {
        first.bytes.lexicographicallyPrecedes(second.bytes)
    }

    /// The id that these keys have (NUT-02).
    /// - Parameters:
    ///   - inputFeePPK: left out of the hash where 0.
    ///   - finalExpiry: seconds since 1970, left out where nil or 0.
    public static func computed(
        version: KeysetVersion,
        keys: [UInt64: Secp256k1.Point],
        unit: CurrencyUnit,
        inputFeePPK: UInt64,
        finalExpiry: UInt64?
    ) throws(CashuError) -> KeysetID {
        let ascending = keys.sorted { $0.key < $1.key }
        switch version {
        case .v1:
            let hash = Hashing.sha256(ascending.flatMap { $0.value.compressed })
            return try KeysetID(bytes: [version.rawValue] + hash.prefix(7))
        case .v2:
            var text = ascending.map { "\($0.key):\(Hex.encode($0.value.compressed))" }.joined(separator: ",")
            text += "|unit:\(unit.name)"
            if inputFeePPK != 0 { text += "|input_fee_ppk:\(inputFeePPK)" }
            if let finalExpiry, finalExpiry != 0 { text += "|final_expiry:\(finalExpiry)" }
            return try KeysetID(bytes: [version.rawValue] + Hashing.sha256(Array(text.utf8)))
        default:
            throw version.unsupported
        }
    }

    /// False for an entry of a keyset list whose id is of a version this library doesn't know (or of the base64 form
    /// used before version 1), so that one such entry doesn't hide a mint's other keysets.
    static func isKnownVersion(json: JSONValue) -> Bool {
        guard let text = json["id"]?.stringValue, text.utf8.count >= 2 else { return true }
        guard let first = try? Hex.decode(String(text.prefix(2))), let byte = first.first else { return false }
        return KeysetVersion(rawValue: byte).idBytes != nil
    }
}

/// How a token names a keyset: by its full id, or by the first 8 bytes (NUT-00).
public enum KeysetReference: Hashable, Sendable, CustomStringConvertible {
    case full(KeysetID)
    /// 8 bytes whose first is the version.
    case short([UInt8])

    /// 8 bytes are a version 1 id or a short one; anything else must be a full id.
    public init(bytes: [UInt8]) throws(CashuError) {
        if bytes.count == 8, let first = bytes.first, KeysetVersion(rawValue: first) != .v1 {
            guard KeysetVersion(rawValue: first).idBytes != nil else {
                throw KeysetVersion(rawValue: first).unsupported
            }
            self = .short(bytes)
        } else {
            self = .full(try KeysetID(bytes: bytes))
        }
    }

    public init(hex: String) throws(CashuError) {
        guard hex.utf8.count <= 66, let bytes = try? Hex.decode(hex) else {
            throw CashuError(.malformed, "\"\(hex.prefix(80))\" isn't a keyset id: 16 or 66 hex digits are expected")
        }
        try self.init(bytes: bytes)
    }

    public var bytes: [UInt8] {
        switch self {
        case .full(let id): id.bytes
        case .short(let bytes): bytes
        }
    }

    public var description: String { Hex.encode(bytes) }

    /// The one keyset among `known` that this names.
    /// - Throws: ``CashuError/Code/keysetUnknown``, or ``CashuError/Code/keysetAmbiguous`` where several share the
    ///   short id (NUT-00: "MUST fail token parsing").
    public func resolved(among known: some Sequence<KeysetID>) throws(CashuError) -> KeysetID {
        let matches: Set<KeysetID>
        switch self {
        case .full(let id): matches = Set(known.filter { $0 == id })
        case .short(let bytes): matches = Set(known.filter { $0.short == bytes })
        }
        guard let match = matches.first else {
            throw CashuError(.keysetUnknown, "no known keyset of the mint has the id \(self)")
        }
        guard matches.count == 1 else {
            throw CashuError(.keysetAmbiguous, "the short keyset id \(self) stands for \(matches.count) keysets")
        }
        return match
    }
}
