// Keysets as wallets see them: public keys, ids, fees and expiry (NUT-01, NUT-02).
public import CanonicalJSON
public import Cryptography
import Encodings

/// What a mint says of a keyset at `/v1/keysets`, without its keys.
public struct KeysetInfo: Hashable, Sendable {
    public var id: KeysetID
    public var unit: CurrencyUnit
    /// Whether the mint signs new outputs with it. Inputs are taken from inactive keysets too.
    public var isActive: Bool
    /// Parts per thousand of one unit, per input spent.
    public var inputFeePPK: UInt64
    /// Seconds since 1970, after which the mint no longer owes anything for this keyset; nil: never.
    public var finalExpiry: UInt64?

    public init(id: KeysetID, unit: CurrencyUnit, isActive: Bool, inputFeePPK: UInt64 = 0, finalExpiry: UInt64? = nil) {
        self.id = id
        self.unit = unit
        self.isActive = isActive
        self.inputFeePPK = inputFeePPK
        self.finalExpiry = finalExpiry == 0 ? nil : finalExpiry
    }

    public init(json: JSONValue) throws {
        let active = try json.optionalBool("active") ?? true
        self.init(
            id: try KeysetID(hex: json.string("id")),
            unit: try CurrencyUnit(json.string("unit")),
            isActive: active,
            inputFeePPK: try json.optionalUInt64("input_fee_ppk") ?? 0,
            finalExpiry: try json.optionalUInt64("final_expiry")
        )
    }

    public var json: JSONValue {
        .object([
            "id": .string(id.hex),
            "unit": .string(unit.name),
            "active": .bool(isActive),
            "input_fee_ppk": JSONValue(inputFeePPK),
            "final_expiry": finalExpiry.map { JSONValue($0) } ?? .null,
        ])
    }

    /// True once `now` (seconds since 1970) has reached the final expiry.
    public func hasExpired(now: UInt64) -> Bool {
        finalExpiry.map { now >= $0 } ?? false
    }
}

/// A keyset with its public keys, whose id has been computed from them and found right.
public struct Keyset: Hashable, Sendable {
    public let info: KeysetInfo
    /// The mint's public key K for each amount.
    public let keys: [UInt64: Secp256k1.Point]

    public var id: KeysetID { info.id }
    public var unit: CurrencyUnit { info.unit }

    /// Computes the id from the keys (and, for version 2, unit, fee and expiry).
    /// - Throws: ``CashuError/Code/keysetMismatch`` where it isn't `info.id`.
    public init(info: KeysetInfo, keys: [UInt64: Secp256k1.Point]) throws(CashuError) {
        guard !keys.isEmpty, keys.count <= CashuLimits.keysPerKeyset, keys[0] == nil else {
            throw CashuError(
                .malformed,
                "keyset \(info.id) must have 1 to \(CashuLimits.keysPerKeyset) keys, none of them for amount 0"
            )
        }
        let computed = try KeysetID.computed(
            version: info.id.version,
            keys: keys,
            unit: info.unit,
            inputFeePPK: info.inputFeePPK,
            finalExpiry: info.finalExpiry
        )
        guard computed == info.id else {
            throw CashuError(
                .keysetMismatch,
                "the keys of keyset \(info.id) hash to \(computed); the mint may be lying about its keys"
            )
        }
        self.info = info
        self.keys = keys
    }

    /// A keyset as `/v1/keys` gives it; the id is verified.
    public init(json: JSONValue) throws {
        try self.init(info: KeysetInfo(json: json), keys: Keyset.keys(json: json.object("keys")))
    }

    /// The map of amounts to compressed keys (NUT-01). Each key must be a 33-byte compressed point.
    public static func keys(json: JSONObject) throws -> [UInt64: Secp256k1.Point] {
        guard json.count <= CashuLimits.keysPerKeyset else {
            throw CashuError(.tooLarge, "a keyset has at most \(CashuLimits.keysPerKeyset) keys")
        }
        var keys: [UInt64: Secp256k1.Point] = [:]
        for (name, value) in json {
            guard let amount = Decimal.uint64(name), amount > 0 else {
                throw CashuError(.malformed, "\"\(name.prefix(40))\" isn't an amount of a keyset")
            }
            guard let text = value.stringValue else {
                throw CashuError(.malformed, "the key for amount \(amount) must be a string of hex digits")
            }
            guard
                keys.updateValue(try Points.parse(hex: text, as: "the key for amount \(amount)"), forKey: amount) == nil
            else {
                throw CashuError(.malformed, "amount \(amount) has two keys")
            }
        }
        return keys
    }

    public var json: JSONValue {
        var members = JSONObject()
        for (amount, key) in keys.sorted(by: { $0.key < $1.key }) {
            members[String(amount)] = .string(Hex.encode(key.compressed))
        }
        guard case .object(var object) = info.json else { return info.json }
        object["keys"] = .object(members)
        return .object(object)
    }

    /// The key for `amount`, or ``CashuError/Code/amountWithoutKey``.
    public func key(for amount: UInt64) throws(CashuError) -> Secp256k1.Point {
        guard let key = keys[amount] else {
            throw CashuError(.amountWithoutKey, "keyset \(id) has no key for amount \(amount)")
        }
        return key
    }
}

/// `GET /v1/keys` and `/v1/keys/{id}` (NUT-01).
public struct KeysResponse: Hashable, Sendable {
    public var keysets: [Keyset]

    public init(keysets: [Keyset]) {
        self.keysets = keysets
    }

    /// Keysets of a version that this library doesn't know are left out; one whose id is wrong is an error.
    public init(json: JSONValue) throws {
        keysets = try json.boundedArray("keysets", maximum: CashuLimits.arrayLength).compactMap { entry in
            KeysetID.isKnownVersion(json: entry) ? try Keyset(json: entry) : nil
        }
    }

    public var json: JSONValue { .object(["keysets": .array(keysets.map(\.json))]) }
}

/// `GET /v1/keysets` (NUT-02).
public struct KeysetsResponse: Hashable, Sendable {
    public var keysets: [KeysetInfo]

    public init(keysets: [KeysetInfo]) {
        self.keysets = keysets
    }

    /// Keysets of a version that this library doesn't know are left out.
    public init(json: JSONValue) throws {
        keysets = try json.boundedArray("keysets", maximum: CashuLimits.arrayLength).compactMap { entry in
            KeysetID.isKnownVersion(json: entry) ? try KeysetInfo(json: entry) : nil
        }
    }

    public var json: JSONValue { .object(["keysets": .array(keysets.map(\.json))]) }
}
