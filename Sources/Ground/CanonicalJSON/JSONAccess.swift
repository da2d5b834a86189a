/// Reading the members a decoder needs, with messages that name the member and what it must be.
///
/// The plain forms throw `JSONError` with `.missing` where the member is absent and `.type` where it is of another type.
/// The optional forms return nil where it is absent or null.
extension JSONObject {
    /// The value of a member that must be there (it may be null).
    public func value(_ key: String) throws(JSONError) -> JSONValue {
        guard let value = self[key] else { throw JSONError(.missing, "`\(key)` is missing") }
        return value
    }

    public func string(_ key: String) throws(JSONError) -> String {
        try required(key, "a string", \.stringValue)
    }

    /// A number written as an integer of 0 to 2⁶⁴−1.
    public func uint64(_ key: String) throws(JSONError) -> UInt64 {
        try required(key, "an unsigned integer", \.uint64Value)
    }

    /// A number written as an integer of −2⁶³ to 2⁶³−1.
    public func int64(_ key: String) throws(JSONError) -> Int64 {
        try required(key, "an integer", \.int64Value)
    }

    public func double(_ key: String) throws(JSONError) -> Double {
        try required(key, "a number", \.doubleValue)
    }

    public func bool(_ key: String) throws(JSONError) -> Bool {
        try required(key, "a boolean", \.boolValue)
    }

    public func array(_ key: String) throws(JSONError) -> [JSONValue] {
        try required(key, "an array", \.arrayValue)
    }

    public func object(_ key: String) throws(JSONError) -> JSONObject {
        try required(key, "an object", \.objectValue)
    }

    /// An array that holds nothing but strings.
    public func strings(_ key: String) throws(JSONError) -> [String] {
        try required(key, "an array of strings", \.stringsValue)
    }

    public func optionalString(_ key: String) throws(JSONError) -> String? {
        try optional(key, "a string", \.stringValue)
    }

    public func optionalUInt64(_ key: String) throws(JSONError) -> UInt64? {
        try optional(key, "an unsigned integer", \.uint64Value)
    }

    public func optionalInt64(_ key: String) throws(JSONError) -> Int64? {
        try optional(key, "an integer", \.int64Value)
    }

    public func optionalDouble(_ key: String) throws(JSONError) -> Double? {
        try optional(key, "a number", \.doubleValue)
    }

    public func optionalBool(_ key: String) throws(JSONError) -> Bool? {
        try optional(key, "a boolean", \.boolValue)
    }

    public func optionalArray(_ key: String) throws(JSONError) -> [JSONValue]? {
        try optional(key, "an array", \.arrayValue)
    }

    public func optionalObject(_ key: String) throws(JSONError) -> JSONObject? {
        try optional(key, "an object", \.objectValue)
    }

    public func optionalStrings(_ key: String) throws(JSONError) -> [String]? {
        try optional(key, "an array of strings", \.stringsValue)
    }

    private func required<Result>(
        _ key: String,
        _ expected: String,
        _ read: (JSONValue) -> Result?
    ) throws(JSONError) -> Result {
        guard let value = self[key] else {
            throw JSONError(.missing, "`\(key)` is missing; it must be \(expected)")
        }
        guard let result = read(value) else { throw wrongType(key, expected, value) }
        return result
    }

    private func optional<Result>(
        _ key: String,
        _ expected: String,
        _ read: (JSONValue) -> Result?
    ) throws(JSONError) -> Result? {
        guard let value = self[key], !value.isNull else { return nil }
        guard let result = read(value) else { throw wrongType(key, expected, value) }
        return result
    }

    private func wrongType(_ key: String, _ expected: String, _ value: JSONValue) -> JSONError {
        JSONError(.type, "`\(key)` must be \(expected)\(value.contrast(to: expected))")
    }
}

/// The same on a value that should be an object.
extension JSONValue {
    /// This value as an object.
    ///
    /// - Parameter name: what the value is, for the message, such as "the request body".
    /// - Throws: `JSONError` with `.type`.
    public func requireObject(_ name: String = "the value") throws(JSONError) -> JSONObject {
        guard case .object(let object) = self else {
            throw JSONError(.type, "\(name) must be an object\(contrast(to: "an object"))")
        }
        return object
    }

    /// This value as an array; see ``requireObject(_:)``.
    public func requireArray(_ name: String = "the value") throws(JSONError) -> [JSONValue] {
        guard case .array(let elements) = self else {
            throw JSONError(.type, "\(name) must be an array\(contrast(to: "an array"))")
        }
        return elements
    }

    /// This value as a string; see ``requireObject(_:)``.
    public func requireString(_ name: String = "the value") throws(JSONError) -> String {
        guard case .string(let text) = self else {
            throw JSONError(.type, "\(name) must be a string\(contrast(to: "a string"))")
        }
        return text
    }

    public func value(_ key: String) throws(JSONError) -> JSONValue { try requireObject().value(key) }
    public func string(_ key: String) throws(JSONError) -> String { try requireObject().string(key) }
    public func uint64(_ key: String) throws(JSONError) -> UInt64 { try requireObject().uint64(key) }
    public func int64(_ key: String) throws(JSONError) -> Int64 { try requireObject().int64(key) }
    public func double(_ key: String) throws(JSONError) -> Double { try requireObject().double(key) }
    public func bool(_ key: String) throws(JSONError) -> Bool { try requireObject().bool(key) }
    public func array(_ key: String) throws(JSONError) -> [JSONValue] { try requireObject().array(key) }
    public func object(_ key: String) throws(JSONError) -> JSONObject { try requireObject().object(key) }
    public func strings(_ key: String) throws(JSONError) -> [String] { try requireObject().strings(key) }

    public func optionalString(_ key: String) throws(JSONError) -> String? { try requireObject().optionalString(key) }
    public func optionalUInt64(_ key: String) throws(JSONError) -> UInt64? { try requireObject().optionalUInt64(key) }
    public func optionalInt64(_ key: String) throws(JSONError) -> Int64? { try requireObject().optionalInt64(key) }
    public func optionalDouble(_ key: String) throws(JSONError) -> Double? { try requireObject().optionalDouble(key) }
    public func optionalBool(_ key: String) throws(JSONError) -> Bool? { try requireObject().optionalBool(key) }
    public func optionalArray(_ key: String) throws(JSONError) -> [JSONValue]? {
        try requireObject().optionalArray(key)
    }
    public func optionalObject(_ key: String) throws(JSONError) -> JSONObject? {
        try requireObject().optionalObject(key)
    }
    public func optionalStrings(_ key: String) throws(JSONError) -> [String]? {
        try requireObject().optionalStrings(key)
    }

    /// The strings of an array that holds nothing else.
    fileprivate var stringsValue: [String]? {
        guard case .array(let elements) = self else { return nil }
        var strings: [String] = []
        strings.reserveCapacity(elements.count)
        for element in elements {
            guard case .string(let text) = element else { return nil }
            strings.append(text)
        }
        return strings
    }

    /// ", not a string", where that tells more than what was expected.
    fileprivate func contrast(to expected: String) -> String {
        switch self {
        case .integer, .unsigned, .double: expected.hasSuffix("integer") ? "" : ", not \(typeName)"
        case .array: expected.hasPrefix("an array") ? "" : ", not \(typeName)"
        default: ", not \(typeName)"
        }
    }
}
