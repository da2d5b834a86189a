import NIOCore
import Synchronization

/// Token buckets by key, in a table of bounded size.
///
/// Where the table is full, buckets that have refilled are dropped first (they say nothing); where none has, the newcomer
/// shares one common bucket, so that a flood of addresses can't push out the callers that are known.
final class RateLimiter: Sendable {
    private struct Bucket {
        /// In thousandths of a call.
        var tokens: Int64
        var at: NIODeadline
    }

    private let buckets = Mutex<[String: Bucket]>([:])
    private let maximumKeys: Int

    init(maximumKeys: Int = 65_536) {
        self.maximumKeys = maximumKeys
    }

    /// Takes one call from `key`'s bucket.
    /// - Returns: nil where it may go on, else the seconds until the next one is there.
    func take(_ key: String, limit: RateLimit, now: NIODeadline = .now()) -> Int? {
        buckets.withLock { table in
            var key = key
            if table[key] == nil, table.count >= maximumKeys {
                table = table.filter { Self.level($0.value, limit: limit, now: now) < limit.burst * 1000 }
                if table.count >= maximumKeys { key = "" }
            }
            let full = Bucket(tokens: limit.burst * 1000, at: now)
            var bucket = table[key] ?? full
            bucket.tokens = Self.level(bucket, limit: limit, now: now)
            bucket.at = now
            defer { table[key] = bucket }
            guard bucket.tokens >= 1000 else {
                let missing = 1000 - bucket.tokens
                return max(1, Int((missing + limit.perSecond * 1000 - 1) / (limit.perSecond * 1000)))
            }
            bucket.tokens -= 1000
            return nil
        }
    }

    var count: Int { buckets.withLock { $0.count } }

    private static func level(_ bucket: Bucket, limit: RateLimit, now: NIODeadline) -> Int64 {
        let elapsedMilliseconds = max(0, (now - bucket.at).nanoseconds / 1_000_000)
        let (refill, overflow) = elapsedMilliseconds.multipliedReportingOverflow(by: limit.perSecond)
        guard !overflow else { return limit.burst * 1000 }
        let (sum, tooMuch) = bucket.tokens.addingReportingOverflow(refill)
        return tooMuch ? limit.burst * 1000 : min(limit.burst * 1000, sum)
    }
}
