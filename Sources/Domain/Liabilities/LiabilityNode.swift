public import CanonicalJSON
internal import Cryptography
internal import Encodings

/// A node of a Merkle-sum tree: what hangs below it, by hash, by sum and by number ([POL-4]).
public struct LiabilityNode: Hashable, Sendable {
    /// The most that a sum or a count may be: 2^63−1.
    public static let maximum = UInt64(Int64.max)

    /// SHA-256, 32 bytes.
    public let hash: [UInt8]
    /// Σ of the amounts below, in whole units.
    public let sum: UInt64
    /// How many entries are below.
    public let count: UInt64

    /// - Throws: `malformed` for a hash of another length; `sums` beyond ``maximum``, or a sum where there is no entry.
    public init(hash: [UInt8], sum: UInt64, count: UInt64) throws(LiabilityError) {
        guard hash.count == 32 else { throw LiabilityError(.malformed, "a node's hash has 32 bytes") }
        guard sum <= Self.maximum, count <= Self.maximum, sum >= count else {
            throw LiabilityError(.sums, "a node of \(count) entries cannot be worth \(sum)")
        }
        self.hash = hash
        self.sum = sum
        self.count = count
    }

    /// The node over two others. Its hash binds the hashes, sums and counts of both.
    /// - Throws: `sums` where a sum or count would leave 63 bits.
    public static func branch(_ left: LiabilityNode, _ right: LiabilityNode) throws(LiabilityError) -> LiabilityNode {
        // Neither side is above 2^63−1, so the additions cannot wrap.
        try LiabilityNode(
            hash: Hashing.sha256([1] + left.bytes + right.bytes),
            sum: left.sum + right.sum,
            count: left.count + right.count
        )
    }

    /// Hash, sum and count, 48 bytes, numbers big-endian.
    var bytes: [UInt8] { hash + Self.bigEndian(sum) + Self.bigEndian(count) }

    static func bigEndian(_ number: UInt64) -> [UInt8] {
        stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> UInt64($0)) }
    }

    /// Numbers travel as text, so that no reader rounds them.
    public var json: JSONValue {
        ["hash": .string(Hex.encode(hash)), "sum": .string(String(sum)), "count": .string(String(count))]
    }

    /// - Throws: `malformed` or `sums`.
    public init(json: JSONValue) throws(LiabilityError) {
        guard let text = json["hash"]?.stringValue, text.utf8.count == 64, let hash = try? Hex.decode(text),
            let sum = Self.number(json["sum"]), let count = Self.number(json["count"])
        else {
            throw LiabilityError(.malformed, "a node is `hash` (64 hex digits), `sum` and `count` (decimal text)")
        }
        try self.init(hash: hash, sum: sum, count: count)
    }

    /// Decimal digits as text, without a sign and without leading zeros.
    static func number(_ json: JSONValue?) -> UInt64? {
        guard let text = json?.stringValue, (1...20).contains(text.utf8.count),
            text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), text == "0" || text.utf8.first != 0x30
        else { return nil }
        return UInt64(text)
    }
}

/// One output that was signed, or one proof that was spent, as a page shows it: its key stays unsaid ([POL-2]).
public struct LiabilityEntry: Hashable, Sendable {
    /// SHA-256 of the key, 32 bytes.
    public let digest: [UInt8]
    /// At least 1.
    public let amount: UInt64

    /// - Parameter key: `B_` or `Y`, 33 bytes, compressed.
    public init(key: [UInt8], amount: UInt64) {
        digest = Hashing.sha256(key)
        self.amount = amount
    }

    init(digest: [UInt8], amount: UInt64) {
        self.digest = digest
        self.amount = amount
    }
}
