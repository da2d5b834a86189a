internal import NIOCore

/// So much at once, and so much more each second.
struct TokenBucket {
    private let perSecond: Int64
    private let atOnce: Int64
    private var tokens: Int64
    private var filledAt: NIODeadline?

    init(perSecond: Int, atOnce: Int) {
        self.perSecond = Int64(max(perSecond, 1))
        self.atOnce = Int64(max(atOnce, 1))
        tokens = self.atOnce
    }

    /// Takes so many where there are as many, and none otherwise.
    mutating func take(_ count: Int, at now: NIODeadline) -> Bool {
        fill(now)
        guard tokens >= Int64(count) else { return false }
        tokens -= Int64(count)
        return true
    }

    /// Takes so many also where there are fewer.
    /// - Returns: how long to wait until that is made up for; nil for not at all.
    mutating func spend(_ count: Int, at now: NIODeadline) -> TimeAmount? {
        fill(now)
        tokens -= Int64(count)
        guard tokens < 0 else { return nil }
        return .milliseconds(1 + -tokens * 1_000 / perSecond)
    }

    private mutating func fill(_ now: NIODeadline) {
        guard let before = filledAt else {
            filledAt = now
            return
        }
        // Whole tokens only; the time of the rest counts the next time. After an hour any bucket is full.
        let passed = min((now - before).nanoseconds / 1_000_000, 3_600_000)
        let added = passed * perSecond / 1_000
        guard added > 0 else { return }
        filledAt = passed == 3_600_000 ? now : before + .milliseconds(added * 1_000 / perSecond)
        tokens = min(atOnce, tokens + added)
    }
}
