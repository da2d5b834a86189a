public import CanonicalJSON
internal import Cryptography
internal import Encodings

/// Entries whose keys follow each other: the unit in which a tree is shown, so that asking for one does not tell which key
/// is meant ([POL-3], [POL-11]).
public struct LiabilityPage: Hashable, Sendable {
    /// A page is full before the next begins.
    public static let maximumEntries = 1024

    /// Ascending by digest, none twice.
    public let entries: [LiabilityEntry]

    /// - Throws: `malformed` where there are too many, or one stands twice.
    public init(_ entries: [LiabilityEntry]) throws(LiabilityError) {
        let sorted = entries.sorted { $0.digest.lexicographicallyPrecedes($1.digest) }
        try self.init(ascending: sorted)
    }

    private init(ascending entries: [LiabilityEntry]) throws(LiabilityError) {
        guard entries.count <= Self.maximumEntries else {
            throw LiabilityError(.malformed, "a page has at most \(Self.maximumEntries) entries")
        }
        guard zip(entries, entries.dropFirst()).allSatisfy({ $0.digest.lexicographicallyPrecedes($1.digest) }) else {
            throw LiabilityError(.malformed, "the entries of a page ascend, and none stands twice")
        }
        self.entries = entries
    }

    /// What the page is in the tree.
    /// - Throws: `sums` where an amount is 0 or the sum leaves 63 bits.
    public func node() throws(LiabilityError) -> LiabilityNode {
        var sum: UInt64 = 0
        var bytes: [UInt8] = [0] + LiabilityNode.bigEndian(UInt64(entries.count))
        bytes.reserveCapacity(9 + 40 * entries.count)
        for entry in entries {
            let (next, overflow) = sum.addingReportingOverflow(entry.amount)
            guard !overflow, next <= LiabilityNode.maximum, entry.amount > 0 else {
                throw LiabilityError(.sums, "the amounts of a page are at least 1 and sum to less than 2^63")
            }
            sum = next
            bytes += entry.digest
            bytes += LiabilityNode.bigEndian(entry.amount)
        }
        return try LiabilityNode(hash: Hashing.sha256(bytes), sum: sum, count: UInt64(entries.count))
    }

    /// The amount that stands beside a key; nil where the key is not here.
    public func amount(ofKey key: [UInt8]) -> UInt64? {
        let digest = Hashing.sha256(key)
        return entries.first { $0.digest == digest }?.amount
    }

    public var json: JSONValue {
        let pairs = entries.map { JSONValue.array([.string(Hex.encode($0.digest)), .string(String($0.amount))]) }
        return ["entries": .array(pairs)]
    }

    /// - Throws: `malformed`.
    public init(json: JSONValue) throws(LiabilityError) {
        guard let pairs = json["entries"]?.arrayValue, pairs.count <= Self.maximumEntries else {
            throw LiabilityError(.malformed, "a page has `entries`, at most \(Self.maximumEntries)")
        }
        var entries: [LiabilityEntry] = []
        for pair in pairs {
            guard let both = pair.arrayValue, both.count == 2, let text = both[0].stringValue, text.utf8.count == 64,
                let digest = try? Hex.decode(text), let amount = LiabilityNode.number(both[1])
            else {
                throw LiabilityError(.malformed, "an entry is a digest (64 hex digits) and an amount (decimal text)")
            }
            entries.append(LiabilityEntry(digest: digest, amount: amount))
        }
        try self.init(ascending: entries)
    }
}

/// All pages of one tree with their nodes, in the order of their keys: from it anyone works out the root ([POL-6]).
public struct LiabilityIndex: Hashable, Sendable {
    /// One page: which keys stand on it, and its node.
    public struct Line: Hashable, Sendable {
        /// Keys from this one on, compared as bytes, up to where the next page begins; at most 33 bytes, empty for the
        /// first page.
        public let from: [UInt8]
        public let node: LiabilityNode

        public init(from: [UInt8], node: LiabilityNode) {
            self.from = from
            self.node = node
        }

        /// The page as a leaf of the tree over the pages: its hash binds where it begins.
        func leaf() throws(LiabilityError) -> LiabilityNode {
            try LiabilityNode(
                hash: Hashing.sha256([2, UInt8(truncatingIfNeeded: from.count)] + from + node.bytes),
                sum: node.sum,
                count: node.count
            )
        }
    }

    /// Over it a tree cannot be shown: some 16 million entries. A keyset is rotated long before.
    public static let maximumPages = 16_384

    /// At least one; that of an empty tree is empty.
    public let lines: [Line]
    /// The tree's root, worked out from the lines.
    public let root: LiabilityNode

    /// - Throws: `malformed` where the pages do not begin at the first key and ascend from there; `sums`.
    public init(_ lines: [Line]) throws(LiabilityError) {
        guard (1...Self.maximumPages).contains(lines.count), lines.first?.from == [],
            lines.allSatisfy({ $0.from.count <= 33 }),
            zip(lines, lines.dropFirst()).allSatisfy({ $0.from.lexicographicallyPrecedes($1.from) })
        else {
            throw LiabilityError(
                .malformed,
                "an index has 1 to \(Self.maximumPages) pages that ascend, the first from the first key on"
            )
        }
        var leaves: [LiabilityNode] = []
        for line in lines { leaves.append(try line.leaf()) }
        root = try Self.root(leaves[...])
        self.lines = lines
    }

    /// Divided at the largest power of two below the number of leaves, as in RFC 9162 §2.1.1.
    private static func root(_ leaves: ArraySlice<LiabilityNode>) throws(LiabilityError) -> LiabilityNode {
        guard let only = leaves.first else { throw LiabilityError(.malformed, "a tree has at least one page") }
        guard leaves.count > 1 else { return only }
        var half = 1
        while half * 2 < leaves.count { half *= 2 }
        return try .branch(root(leaves.prefix(half)), root(leaves.dropFirst(half)))
    }

    /// The number of the one page where a key stands if it stands anywhere.
    public func page(ofKey key: [UInt8]) -> Int {
        (lines.firstIndex { key.lexicographicallyPrecedes($0.from) } ?? lines.count) - 1
    }

    public var json: JSONValue {
        let pages = lines.map { line in
            guard case .object(var object) = line.node.json else { return line.node.json }
            object["from"] = .string(Hex.encode(line.from))
            return JSONValue.object(object)
        }
        return ["pages": .array(pages)]
    }

    /// - Throws: `malformed` or `sums`.
    public init(json: JSONValue) throws(LiabilityError) {
        guard let pages = json["pages"]?.arrayValue, pages.count <= Self.maximumPages else {
            throw LiabilityError(.malformed, "an index has `pages`, at most \(Self.maximumPages)")
        }
        var lines: [Line] = []
        for page in pages {
            guard let text = page["from"]?.stringValue, text.utf8.count <= 66, let from = try? Hex.decode(text) else {
                throw LiabilityError(.malformed, "a page of an index has `from`, at most 66 hex digits")
            }
            lines.append(Line(from: from, node: try LiabilityNode(json: page)))
        }
        try self.init(lines)
    }
}
