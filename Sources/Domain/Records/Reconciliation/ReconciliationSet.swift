internal import Cryptography

/// One element of a set that is reconciled.
public struct ReconciliationItem: Hashable, Comparable, Sendable {
    /// In a unit that both sides share; below `UInt64.max`, which stands for infinity.
    public var timestamp: UInt64
    public var id: RecordID

    public init(timestamp: UInt64, id: RecordID) {
        self.timestamp = timestamp
        self.id = id
    }

    public static func < (left: ReconciliationItem, right: ReconciliationItem) -> Bool {
        left.timestamp != right.timestamp ? left.timestamp < right.timestamp : left.id < right.id
    }
}

/// What one side has: a sorted array of ids, never changed, shared by all sessions that began with it.
///
/// The sum of the ids before every 16th element stands beside it, so that the fingerprint of any range costs at most 32
/// additions and one hash: 42 bytes an element in all, and no tree to keep in balance. It is made anew, in one sort, where the
/// set has changed.
public struct ReconciliationSet: Sendable {
    static let stride = 16

    public let items: [ReconciliationItem]
    private let sums: [IDSum]

    /// Elements may come in any order; those that stand there twice, or at infinity, are taken once or not at all.
    public init(_ elements: some Sequence<ReconciliationItem>) {
        var items = Array(elements)
        var isSorted = true
        for index in items.indices.dropFirst() where items[index] <= items[index - 1] {
            isSorted = false
            break
        }
        if !isSorted {
            items.sort()
            var kept: [ReconciliationItem] = []
            kept.reserveCapacity(items.count)
            for item in items where item != kept.last { kept.append(item) }
            items = kept
        }
        while items.last?.timestamp == .max { items.removeLast() }
        var sums: [IDSum] = [IDSum()]
        sums.reserveCapacity(items.count / Self.stride + 1)
        var sum = IDSum()
        for (index, item) in items.enumerated() {
            sum.add(item.id)
            if (index + 1) % Self.stride == 0 { sums.append(sum) }
        }
        self.items = items
        self.sums = sums
    }

    public var count: Int { items.count }

    /// The fingerprint of the elements of a range of places (NIP-77): the first 16 bytes of SHA-256(sum of the ids mod 2²⁵⁶,
    /// little-endian ‖ varint of their number).
    func fingerprint(_ range: Range<Int>) -> [UInt8] {
        var sum = sum(before: range.upperBound)
        sum.subtract(self.sum(before: range.lowerBound))
        var input = sum.littleEndianBytes
        NegentropyCoding.append(varint: UInt64(range.count), to: &input)
        return [UInt8](Hashing.sha256(input).prefix(NegentropyCoding.fingerprintBytes))
    }

    private func sum(before place: Int) -> IDSum {
        let block = place / Self.stride
        var sum = sums[block]
        for index in (block * Self.stride)..<place { sum.add(items[index].id) }
        return sum
    }

    /// The first place from `start` on whose element does not come before the bound.
    func firstPlace(from start: Int, notBefore bound: NegentropyBound) -> Int {
        var (low, high) = (start, items.count)
        while low < high {
            let middle = low + (high - low) / 2
            if items[middle] < bound.item { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// A sum of ids as little-endian numbers, mod 2²⁵⁶.
struct IDSum: Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    mutating func add(_ id: RecordID) {
        add((id.first.byteSwapped, id.second.byteSwapped, id.third.byteSwapped, id.fourth.byteSwapped), carry: 0)
    }

    /// Adds the two's complement.
    mutating func subtract(_ other: IDSum) {
        add((~other.words.0, ~other.words.1, ~other.words.2, ~other.words.3), carry: 1)
    }

    private mutating func add(_ other: (UInt64, UInt64, UInt64, UInt64), carry: UInt64) {
        var carry = carry
        words.0 = Self.sum(words.0, other.0, &carry)
        words.1 = Self.sum(words.1, other.1, &carry)
        words.2 = Self.sum(words.2, other.2, &carry)
        words.3 = Self.sum(words.3, other.3, &carry)
    }

    private static func sum(_ left: UInt64, _ right: UInt64, _ carry: inout UInt64) -> UInt64 {
        let (half, first) = left.addingReportingOverflow(right)
        let (whole, second) = half.addingReportingOverflow(carry)
        carry = first || second ? 1 : 0
        return whole
    }

    var littleEndianBytes: [UInt8] {
        [words.0, words.1, words.2, words.3].flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) }
        }
    }
}
