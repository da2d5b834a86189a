// What a mint says of itself at `/v1/info` (NUT-06), with the settings of NUT-04, NUT-05 and NUT-23.
public import CanonicalJSON

/// The settings of one payment method and unit for minting or melting (NUT-04, NUT-05 "Settings").
public struct MethodSetting: Hashable, Sendable {
    public var method: PaymentMethod
    public var unit: CurrencyUnit
    public var minimumAmount: UInt64?
    public var maximumAmount: UInt64?
    /// Whether an invoice can carry a description (NUT-23, minting).
    public var takesDescription: Bool?
    /// Whether invoices without amount can be paid (NUT-23, melting).
    public var paysAmountless: Bool?

    public init(
        method: PaymentMethod = .bolt11,
        unit: CurrencyUnit,
        minimumAmount: UInt64? = nil,
        maximumAmount: UInt64? = nil,
        takesDescription: Bool? = nil,
        paysAmountless: Bool? = nil
    ) {
        self.method = method
        self.unit = unit
        self.minimumAmount = minimumAmount
        self.maximumAmount = maximumAmount
        self.takesDescription = takesDescription
        self.paysAmountless = paysAmountless
    }

    public init(json: JSONValue) throws {
        method = try PaymentMethod(json.string("method"))
        unit = try CurrencyUnit(json.string("unit"))
        minimumAmount = try json.optionalUInt64("min_amount")
        maximumAmount = try json.optionalUInt64("max_amount")
        takesDescription = json["options"]?["description"]?.boolValue
        paysAmountless = json["options"]?["amountless"]?.boolValue
    }

    public var json: JSONValue {
        var object: JSONObject = ["method": .string(method.name), "unit": .string(unit.name)]
        object["min_amount"] = minimumAmount.map { JSONValue($0) }
        object["max_amount"] = maximumAmount.map { JSONValue($0) }
        var options = JSONObject()
        options["description"] = takesDescription.map(JSONValue.bool)
        options["amountless"] = paysAmountless.map(JSONValue.bool)
        if options.count > 0 { object["options"] = .object(options) }
        return .object(object)
    }
}

/// A way to reach the operator.
public struct MintContact: Hashable, Sendable {
    /// Such as `email`, `nostr`.
    public var method: String
    public var info: String

    public init(method: String, info: String) {
        self.method = method
        self.info = info
    }
}

/// `GET /v1/info`. Every member is optional on the wire.
public struct MintInfo: Sendable, Equatable {
    public var name: String?
    /// The mint's public key, compressed, in hex.
    public var publicKey: String?
    /// Implementation and version, such as `Mintmark/0.1.0`.
    public var version: String?
    public var description: String?
    public var longDescription: String?
    public var contact: [MintContact] = []
    /// What a wallet must show to its user.
    public var messageOfTheDay: String?
    public var iconURL: String?
    public var urls: [String] = []
    /// The mint's clock, seconds since 1970.
    public var time: UInt64?
    public var termsURL: String?
    /// The most entries the mint takes in any array of a request.
    public var maximumArrayLength: UInt64?
    /// Settings by NUT number, as they are on the wire.
    public var nuts = JSONObject()

    public init() {}

    /// Says that the mint mints (NUT-04) by these methods.
    public mutating func setMinting(_ methods: [MethodSetting], isDisabled: Bool = false) {
        nuts["4"] = .object(["methods": .array(methods.map(\.json)), "disabled": .bool(isDisabled)])
    }

    /// Says that the mint melts (NUT-05) by these methods.
    public mutating func setMelting(_ methods: [MethodSetting], isDisabled: Bool = false) {
        nuts["5"] = .object(["methods": .array(methods.map(\.json)), "disabled": .bool(isDisabled)])
    }

    /// Says that the mint supports an optional NUT, as `{"supported": true}`.
    public mutating func setSupported(_ numbers: Int...) {
        for number in numbers { nuts[String(number)] = .object(["supported": .bool(true)]) }
    }

    /// Whether the mint says that it supports an optional NUT.
    public func supports(_ number: Int) -> Bool {
        nuts[String(number)]?["supported"]?.boolValue ?? false
    }

    /// Says which answers are kept for a repeated request (NUT-19), and for how long.
    /// - Parameters:
    ///   - seconds: nil: for good.
    ///   - paths: of POST requests, such as `/v1/swap`.
    public mutating func setCachedAnswers(seconds: UInt64?, paths: [String]) {
        nuts["19"] = .object([
            "ttl": seconds.map { JSONValue($0) } ?? .null,
            "cached_endpoints": .array(paths.map { .object(["method": "POST", "path": .string($0)]) }),
        ])
    }

    /// Whether the mint says that a repeated POST to `path` gets the same answer (NUT-19).
    public func cachesAnswers(path: String) -> Bool {
        (nuts["19"]?["cached_endpoints"]?.arrayValue ?? []).contains {
            $0["method"]?.stringValue == "POST" && $0["path"]?.stringValue == path
        }
    }

    /// Says in which units the mint pays parts of an invoice (NUT-15).
    public mutating func setPartialPayments(_ units: [CurrencyUnit], method: String = "bolt11") {
        nuts["15"] = .object([
            "methods": .array(units.map { .object(["method": .string(method), "unit": .string($0.name)]) })
        ])
    }

    /// Whether the mint says that it pays parts of an invoice in this unit (NUT-15).
    public func paysParts(_ unit: CurrencyUnit, method: String = "bolt11") -> Bool {
        (nuts["15"]?["methods"]?.arrayValue ?? []).contains {
            $0["method"]?.stringValue == method && $0["unit"]?.stringValue == unit.name
        }
    }

    /// What the mint says of batches (NUT-29); nil where it has none.
    public var batchMinting: BatchMintSetting? {
        get { nuts["29"].flatMap { $0.objectValue == nil ? nil : try? BatchMintSetting(json: $0) } }
        set { nuts["29"] = newValue?.json }
    }

    /// The methods for minting; empty where it is disabled. Entries that can't be read are left out.
    public var mintMethods: [MethodSetting] { methods("4") }

    /// The methods for melting; empty where it is disabled.
    public var meltMethods: [MethodSetting] { methods("5") }

    private func methods(_ nut: String) -> [MethodSetting] {
        guard let setting = nuts[nut], setting["disabled"]?.boolValue != true else { return [] }
        return (setting["methods"]?.arrayValue ?? []).prefix(100).compactMap { try? MethodSetting(json: $0) }
    }
}

extension MintInfo {
    /// Texts are bounded to ``CashuLimits/memoBytes`` bytes, lists to 100 entries. What NUT-06 doesn't name is ignored.
    public init(json: JSONValue) throws {
        func text(_ key: String) throws -> String? {
            try json.optionalBoundedString(key, maximumBytes: CashuLimits.memoBytes)
        }
        guard json.objectValue != nil else {
            throw CashuError(.malformed, "a mint's info must be a JSON object")
        }
        name = try text("name")
        publicKey = try text("pubkey")
        version = try text("version")
        description = try text("description")
        longDescription = try json.optionalBoundedString("description_long", maximumBytes: 4 * CashuLimits.memoBytes)
        messageOfTheDay = try text("motd")
        iconURL = try text("icon_url")
        termsURL = try text("tos_url")
        time = try json.optionalUInt64("time")
        maximumArrayLength = try json.optionalUInt64("max_array_length")
        urls = (json["urls"]?.arrayValue ?? []).prefix(100).compactMap(\.stringValue)
        contact = (json["contact"]?.arrayValue ?? []).prefix(100).compactMap { entry in
            guard let method = entry["method"]?.stringValue, let info = entry["info"]?.stringValue else { return nil }
            return MintContact(method: method, info: info)
        }
        nuts = json["nuts"]?.objectValue ?? JSONObject()
    }

    public var json: JSONValue {
        var object = JSONObject()
        object["name"] = name.map(JSONValue.string)
        object["pubkey"] = publicKey.map(JSONValue.string)
        object["version"] = version.map(JSONValue.string)
        object["description"] = description.map(JSONValue.string)
        object["description_long"] = longDescription.map(JSONValue.string)
        if !contact.isEmpty {
            object["contact"] = .array(
                contact.map { .object(["method": .string($0.method), "info": .string($0.info)]) }
            )
        }
        object["motd"] = messageOfTheDay.map(JSONValue.string)
        object["icon_url"] = iconURL.map(JSONValue.string)
        if !urls.isEmpty { object["urls"] = .array(urls.map(JSONValue.string)) }
        object["time"] = time.map { JSONValue($0) }
        object["tos_url"] = termsURL.map(JSONValue.string)
        object["max_array_length"] = maximumArrayLength.map { JSONValue($0) }
        object["nuts"] = .object(nuts)
        return .object(object)
    }
}
