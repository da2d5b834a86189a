/// A CBOR data item (RFC 8949).
///
/// Maps keep the order their pairs were inserted or read in. Equality is by value and type: texts by code units (never by
/// Unicode's canonical equivalence), floats by bit pattern, maps in order.
public enum CBOR: Sendable {
    /// 0 … 2⁶⁴−1.
    case unsigned(UInt64)
    /// The value −1−n.
    case negative(UInt64)
    case bytes([UInt8])
    case text(String)
    case array([CBOR])
    case map([CBORPair])
    /// A tag number and the item it qualifies.
    indirect case tagged(UInt64, CBOR)
    case bool(Bool)
    case null
    case undefined
    case float(Double)
    /// A simple value without a name of its own: 0 … 19 or 32 … 255.
    case simple(UInt8)
}

/// One entry of a CBOR map.
public struct CBORPair: Sendable, Equatable {
    public var key: CBOR
    public var value: CBOR

    public init(key: CBOR, value: CBOR) {
        self.key = key
        self.value = value
    }

    /// An entry under a text key.
    public init(_ key: String, _ value: CBOR) {
        self.init(key: .text(key), value: value)
    }
}

extension CBOR: Equatable {
    /// Whether both are written as the same bytes: 0 and -0 differ, and every NaN is the same (RFC 8949 §4.2.2).
    public static func == (left: CBOR, right: CBOR) -> Bool {
        switch (left, right) {
        case (.unsigned(let a), .unsigned(let b)): a == b
        case (.negative(let a), .negative(let b)): a == b
        case (.bytes(let a), .bytes(let b)): a == b
        case (.text(let a), .text(let b)): a.hasSameCodeUnits(as: b)
        case (.array(let a), .array(let b)): a == b
        case (.map(let a), .map(let b)): a == b
        case (.tagged(let tagA, let a), .tagged(let tagB, let b)): tagA == tagB && a == b
        case (.bool(let a), .bool(let b)): a == b
        case (.null, .null), (.undefined, .undefined): true
        case (.float(let a), .float(let b)): a.bitPattern == b.bitPattern || (a.isNaN && b.isNaN)
        case (.simple(let a), .simple(let b)): a == b
        default: false
        }
    }
}

extension CBOR {
    public var textValue: String? {
        if case .text(let value) = self { value } else { nil }
    }

    public var bytesValue: [UInt8]? {
        if case .bytes(let value) = self { value } else { nil }
    }

    public var unsignedValue: UInt64? {
        if case .unsigned(let value) = self { value } else { nil }
    }

    public var arrayValue: [CBOR]? {
        if case .array(let value) = self { value } else { nil }
    }

    public var mapValue: [CBORPair]? {
        if case .map(let value) = self { value } else { nil }
    }

    public var boolValue: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The value under a text key, or nil where this is no map or has no such key.
    public subscript(text key: String) -> CBOR? {
        guard case .map(let pairs) = self else { return nil }
        for pair in pairs {
            if case .text(let name) = pair.key, name.hasSameCodeUnits(as: key) { return pair.value }
        }
        return nil
    }
}
