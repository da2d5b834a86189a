/// Where a feed stands that asks for the latest settled payments again and again: from when on, and which of them were
/// told already.
struct SettledSweep: Sendable {
    /// Payments asked for at once.
    static let pageSize = 200

    /// Milliseconds since 1970. A little before the newest payment seen, as times are the node's and may tie.
    private(set) var since: Int64
    private var told: Set<[UInt8]> = []
    private static let overlapMilliseconds: Int64 = 60_000

    init(since: Int64) { self.since = since }

    /// - Returns: those not told before.
    mutating func take(_ found: [(hash: [UInt8], at: Int64)]) -> [[UInt8]] {
        let fresh = found.map(\.hash).filter { !told.contains($0) }
        // What stands in this answer is all that the next one can repeat.
        told = Set(found.map(\.hash))
        if let newest = found.map(\.at).max() { since = max(since, newest - Self.overlapMilliseconds) }
        return fresh
    }
}
