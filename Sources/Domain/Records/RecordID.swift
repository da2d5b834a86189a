internal import Cryptography
internal import Encodings

/// The name of a record: the SHA-256 of its canonical bytes, proof and all. Ordered as its bytes are.
public struct RecordID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// How many bytes an id has.
    public static let byteCount = 32
    static let zero = RecordID(words: 0, 0, 0, 0)

    // Big-endian words: a million ids stand in one array without an allocation each.
    let first: UInt64
    let second: UInt64
    let third: UInt64
    let fourth: UInt64

    init(words first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64) {
        self.first = first
        self.second = second
        self.third = third
        self.fourth = fourth
    }

    /// Nil where there are not 32 bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        self.init(padding: bytes)
    }

    /// The id that begins with these at most 32 bytes and goes on with zeros.
    init(padding bytes: some Collection<UInt8>) {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        for (place, byte) in bytes.prefix(Self.byteCount).enumerated() {
            let shifted = UInt64(byte) << UInt64(56 - 8 * (place % 8))
            switch place / 8 {
            case 0: words.0 |= shifted
            case 1: words.1 |= shifted
            case 2: words.2 |= shifted
            default: words.3 |= shifted
            }
        }
        self.init(words: words.0, words.1, words.2, words.3)
    }

    /// The id of a record with these canonical bytes.
    init(ofCanonical bytes: [UInt8]) {
        self.init(padding: Hashing.sha256(bytes))
    }

    /// Its 32 bytes.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.byteCount)
        append(to: &bytes)
        return bytes
    }

    func append(to bytes: inout [UInt8]) {
        for word in [first, second, third, fourth] {
            for shift in stride(from: UInt64(56), through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: word >> shift))
            }
        }
    }

    public var description: String { Hex.encode(bytes) }

    public static func < (left: RecordID, right: RecordID) -> Bool {
        if left.first != right.first { return left.first < right.first }
        if left.second != right.second { return left.second < right.second }
        if left.third != right.third { return left.third < right.third }
        return left.fourth < right.fourth
    }
}
