public import Encodings

/// DAG-CBOR, the one form of CBOR that content is named by: shortest heads, 64-bit floats, text keys sorted by length
/// and then by bytes, no tag but 42, no infinity, no NaN.
public enum DAGCBOR {
    /// How deep arrays, maps and links may stand inside each other.
    public static let maximumDepth = 24
    /// How many items one block may hold.
    public static let maximumItems = 4096

    /// The item that `bytes` holds, if they are its one form.
    ///
    /// - Parameter maximumBytes: the longest block read.
    /// - Throws: `DelegationError` with `.tooLarge`, `.malformed` or `.notCanonical`.
    public static func decode(_ bytes: [UInt8], maximumBytes: Int) throws(DelegationError) -> CBOR {
        guard bytes.count <= maximumBytes else {
            throw DelegationError(.tooLarge, "a block here has at most \(maximumBytes) bytes, this has \(bytes.count)")
        }
        let item: CBOR
        do {
            item = try CBOR.decode(bytes, maximumDepth: maximumDepth, maximumItems: maximumItems)
        } catch {
            throw DelegationError(error.code == .tooLarge ? .tooLarge : .malformed, error.message)
        }
        var comparison = Comparison(with: bytes)
        try append(item, to: &comparison)
        guard comparison.isWhole else {
            throw DelegationError(.notCanonical, "the block is CBOR in another form than DAG-CBOR's")
        }
        return item
    }

    /// The one form of an item; maps are sorted.
    ///
    /// - Throws: `DelegationError` with `.malformed` for what DAG-CBOR can't hold.
    public static func encode(_ item: CBOR) throws(DelegationError) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(512)
        try append(item, to: &output)
        return output
    }

    /// How many bytes a byte string of so many takes.
    static func count(ofBytes count: Int) -> Int {
        var start: [UInt8] = []
        head(2, UInt64(count), &start)
        return start.count + count
    }

    private static func append(_ item: CBOR, to output: inout some ByteSink) throws(DelegationError) {
        switch item {
        case .unsigned(let value): head(0, value, &output)
        case .negative(let value): head(1, value, &output)
        case .bytes(let bytes):
            head(2, UInt64(bytes.count), &output)
            output.append(contentsOf: bytes)
        case .text(let text):
            head(3, UInt64(text.utf8.count), &output)
            output.append(contentsOf: text.utf8)
        case .array(let items):
            head(4, UInt64(items.count), &output)
            for item in items { try append(item, to: &output) }
        case .map(let pairs): try append(pairs, to: &output)
        case .tagged(let tag, .bytes(let bytes)) where tag == 42 && bytes.count > 1 && bytes[0] == 0:
            head(6, 42, &output)
            head(2, UInt64(bytes.count), &output)
            output.append(contentsOf: bytes)
        case .bool(let value): output.append(value ? 0xF5 : 0xF4)
        case .null: output.append(0xF6)
        case .float(let value):
            guard value.isFinite else { throw DelegationError(.malformed, "DAG-CBOR has no infinity and no NaN") }
            output.append(0xFB)
            for shift in stride(from: 56, through: 0, by: -8) {
                output.append(UInt8(truncatingIfNeeded: value.bitPattern >> UInt64(shift)))
            }
        case .tagged, .undefined, .simple:
            throw DelegationError(.malformed, "DAG-CBOR has no tag but 42, and no undefined or simple values")
        }
    }

    private static func append(_ pairs: [CBORPair], to output: inout some ByteSink) throws(DelegationError) {
        guard pairs.allSatisfy({ $0.key.isText }) else {
            throw DelegationError(.malformed, "the keys of a map in DAG-CBOR are texts")
        }
        head(5, UInt64(pairs.count), &output)
        var pairs = pairs
        if !isSorted(pairs) {
            pairs.sort { precedes($0.key, $1.key) }
            guard isSorted(pairs) else { throw DelegationError(.malformed, "a map holds the same key twice") }
        }
        for pair in pairs {
            try append(pair.key, to: &output)
            try append(pair.value, to: &output)
        }
    }

    /// Whether each key comes before the next.
    private static func isSorted(_ pairs: [CBORPair]) -> Bool {
        for index in pairs.indices.dropFirst() where !precedes(pairs[index - 1].key, pairs[index].key) { return false }
        return true
    }

    private static func precedes(_ left: CBOR, _ right: CBOR) -> Bool {
        guard case .text(let left) = left, case .text(let right) = right else { return false }
        return left.utf8.count == right.utf8.count
            ? left.utf8.lexicographicallyPrecedes(right.utf8) : left.utf8.count < right.utf8.count
    }

    /// The head of an item: its major type, and its value, length or count in the shortest form.
    private static func head(_ major: UInt8, _ argument: UInt64, _ output: inout some ByteSink) {
        let high = major << 5
        let count: Int
        switch argument {
        case ..<24:
            output.append(high | UInt8(truncatingIfNeeded: argument))
            return
        case ..<0x100: (count, _) = (1, output.append(high | 24))
        case ..<0x1_0000: (count, _) = (2, output.append(high | 25))
        case ..<0x1_0000_0000: (count, _) = (4, output.append(high | 26))
        default: (count, _) = (8, output.append(high | 27))
        }
        for index in (0..<count).reversed() {
            output.append(UInt8(truncatingIfNeeded: argument >> UInt64(8 * index)))
        }
    }
}

/// Where an encoder's bytes go.
private protocol ByteSink {
    mutating func append(_ byte: UInt8)
    mutating func append(contentsOf bytes: [UInt8])
    mutating func append(contentsOf text: String.UTF8View)
}

extension [UInt8]: ByteSink {}

/// Holds what is encoded against bytes that are there already, so that none are made anew.
private struct Comparison: ByteSink {
    private let expected: [UInt8]
    private var index = 0
    private var isSame = true

    init(with bytes: [UInt8]) {
        expected = bytes
    }

    /// Whether all was the same, to the last byte.
    var isWhole: Bool { isSame && index == expected.count }

    mutating func append(_ byte: UInt8) {
        isSame = isSame && index < expected.count && expected[index] == byte
        index += 1
    }

    mutating func append(contentsOf bytes: [UInt8]) {
        for byte in bytes { append(byte) }
    }

    mutating func append(contentsOf text: String.UTF8View) {
        for byte in text { append(byte) }
    }
}

extension CBOR {
    fileprivate var isText: Bool {
        if case .text = self { true } else { false }
    }
}
