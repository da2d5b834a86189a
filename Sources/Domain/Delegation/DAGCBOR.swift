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
        guard try encode(item) == bytes else {
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

    private static func append(_ item: CBOR, to output: inout [UInt8]) throws(DelegationError) {
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

    private static func append(_ pairs: [CBORPair], to output: inout [UInt8]) throws(DelegationError) {
        head(5, UInt64(pairs.count), &output)
        var entries: [(key: [UInt8], value: CBOR)] = []
        entries.reserveCapacity(pairs.count)
        for pair in pairs {
            guard case .text(let key) = pair.key else {
                throw DelegationError(.malformed, "the keys of a map in DAG-CBOR are texts")
            }
            entries.append(([UInt8](key.utf8), pair.value))
        }
        if !zip(entries, entries.dropFirst()).allSatisfy({ precedes($0.key, $1.key) }) {
            entries.sort { precedes($0.key, $1.key) }
            guard zip(entries, entries.dropFirst()).allSatisfy({ $0.key != $1.key }) else {
                throw DelegationError(.malformed, "a map holds the same key twice")
            }
        }
        for entry in entries {
            head(3, UInt64(entry.key.count), &output)
            output.append(contentsOf: entry.key)
            try append(entry.value, to: &output)
        }
    }

    private static func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.count == right.count ? left.lexicographicallyPrecedes(right) : left.count < right.count
    }

    private static func head(_ major: UInt8, _ argument: UInt64, _ output: inout [UInt8]) {
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
