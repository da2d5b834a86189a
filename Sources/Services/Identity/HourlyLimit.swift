import Encodings
import Synchronization

/// Counts of the hour that runs, by key, in a table of bounded size: where it is full, newcomers wait for the next hour.
final class HourlyLimit: Sendable {
    static let maximumKeys = 10_000

    private struct State {
        var hour: Int64 = 0
        var counts: [String: Int64] = [:]
        var total: Int64 = 0
    }

    private let state = Mutex(State())

    /// - Returns: nil where one more may come, else the seconds until the next hour.
    func take(_ key: String, each: Int64, all: Int64, now: Timestamp) -> Int64? {
        state.withLock { state in
            let seconds = max(now.secondsSince1970, 0)
            if state.hour != seconds / 3_600 { state = State(hour: seconds / 3_600) }
            let count = state.counts[key] ?? 0
            guard count < each, state.total < all, count > 0 || state.counts.count < Self.maximumKeys else {
                return 3_600 - seconds % 3_600
            }
            state.counts[key] = count + 1
            state.total += 1
            return nil
        }
    }
}
