/// How long calls took, in at most ``maximumBuckets`` buckets: exact up to 32 ms, then 16 buckets to each doubling, so that what
/// is read is at most a sixteenth too high. What took over a day counts as a day.
public struct LatencyHistogram: Sendable, Hashable {
    public static let maximumMilliseconds: Int64 = 86_400_000
    /// 32 exact ones and 16 to each doubling from 2⁵ to 2²⁷.
    public static let maximumBuckets = 32 + 16 * 22

    /// Calls by bucket, only those that have some.
    public private(set) var counts: [Int: Int64] = [:]
    public private(set) var count: Int64 = 0

    public init() {}

    /// Of counts that were kept; what is no bucket or no count is left out.
    public init(counts: [Int: Int64]) {
        for (bucket, calls) in counts where (0..<Self.maximumBuckets).contains(bucket) && calls > 0 {
            let (sum, isTooMany) = count.addingReportingOverflow(calls)
            if isTooMany { continue }
            self.counts[bucket] = calls
            count = sum
        }
    }

    public mutating func add(_ milliseconds: Int64) {
        guard count < .max else { return }
        counts[Self.bucket(of: min(max(0, milliseconds), Self.maximumMilliseconds)), default: 0] += 1
        count += 1
    }

    public mutating func merge(_ other: LatencyHistogram) {
        self = LatencyHistogram(counts: counts.merging(other.counts) { $0.addingReportingOverflow($1).partialValue })
    }

    /// The least time within which `percentile` of a hundred calls were answered, rounded up to its bucket's end; nil where
    /// there was no call.
    ///
    /// - Parameter percentile: 1 to 100.
    public func milliseconds(atPercentile percentile: Int) -> Int64? {
        guard count > 0 else { return nil }
        let share = Int64(min(max(1, percentile), 100))
        // ⌈count · share ÷ 100⌉ without overflow.
        let needed = count / 100 * share + (count % 100 * share + 99) / 100
        var seen: Int64 = 0
        for bucket in counts.keys.sorted() {
            seen += counts[bucket] ?? 0
            if seen >= needed { return Self.end(of: bucket) }
        }
        return nil
    }

    static func bucket(of milliseconds: Int64) -> Int {
        guard milliseconds >= 32 else { return Int(milliseconds) }
        let octave = 63 - milliseconds.leadingZeroBitCount
        return 32 + (octave - 5) * 16 + Int((milliseconds >> (octave - 4)) & 15)
    }

    /// The longest time that falls into the bucket.
    static func end(of bucket: Int) -> Int64 {
        guard bucket >= 32 else { return Int64(bucket) }
        let octave = (bucket - 32) / 16 + 5
        let step = Int64((bucket - 32) % 16)
        return ((16 + step + 1) << (octave - 4)) - 1
    }
}
