/// Makes a tree from entries that come in the order of their keys, holding no more than one page of them.
public struct LiabilityTree: Sendable {
    private let pageLimit: Int
    private var page: [LiabilityEntry] = []
    private var pageFrom: [UInt8] = []
    private var last: [UInt8]?
    private var lines: [LiabilityIndex.Line] = []

    /// - Parameter pageLimit: 1 to ``LiabilityPage/maximumEntries``.
    public init(pageLimit: Int = LiabilityPage.maximumEntries) {
        self.pageLimit = min(max(pageLimit, 1), LiabilityPage.maximumEntries)
    }

    /// The next entry.
    /// - Parameters:
    ///   - key: 33 bytes, after the one before.
    ///   - amount: at least 1.
    /// - Throws: `malformed` for keys that do not ascend, or too many pages; `sums`.
    public mutating func add(key: [UInt8], amount: UInt64) throws(LiabilityError) {
        guard key.count == 33, last.map({ $0.lexicographicallyPrecedes(key) }) ?? true else {
            throw LiabilityError(.malformed, "the keys of a tree have 33 bytes and ascend, and none stands twice")
        }
        if page.count == pageLimit {
            try endPage()
            pageFrom = Self.separator(after: last ?? [], before: key)
        }
        page.append(LiabilityEntry(key: key, amount: amount))
        last = key
    }

    /// All pages. An empty tree has one, which is empty.
    /// - Throws: `sums`.
    public consuming func index() throws(LiabilityError) -> LiabilityIndex {
        try endPage()
        return try LiabilityIndex(lines)
    }

    private mutating func endPage() throws(LiabilityError) {
        guard lines.count < LiabilityIndex.maximumPages else {
            throw LiabilityError(.malformed, "a tree has at most \(LiabilityIndex.maximumPages) pages")
        }
        lines.append(.init(from: pageFrom, node: try LiabilityPage(page).node()))
        page.removeAll(keepingCapacity: true)
    }

    /// The shortest bytes that are above `left` and not above `right`, so that an index says little of keys.
    static func separator(after left: [UInt8], before right: [UInt8]) -> [UInt8] {
        let common = zip(left, right).prefix { $0 == $1 }.count
        return Array(right.prefix(common + 1))
    }
}
