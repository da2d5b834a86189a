public import Encodings

/// The times of `Specs/escrow.md`, in seconds on the mint's clock ([ESC-3], [ESC-4]).
public enum EscrowMargins {
    /// δ: no key is shown to anybody in the last two minutes before the locktime.
    public static let revealSeconds: UInt64 = 120
    /// The least from the delivery to the locktime in modes `key` and `stream`.
    public static let claimSeconds: UInt64 = 600
    /// How far the mint's clock may be from the one here.
    public static let skewMilliseconds: Int64 = 30_000

    /// W: the least from the delivery to the locktime in mode `arbiter`.
    public static func rulingSeconds(_ arbiterSeconds: UInt64) -> UInt64 { arbiterSeconds + 600 }
}

/// The mint's clock as one of its answers told it (NUT-06 `time`), against the clock here ([ESC-2]).
public struct MintClock: Sendable, Equatable {
    /// The mint's clock minus the one here.
    public let offsetMilliseconds: Int64

    /// - Parameters:
    ///   - told: the mint's `time`, seconds since 1970; nil where it tells none.
    ///   - sent: when it was asked, on the clock here; `received`: when it answered.
    /// - Throws: `TradeRefusal` with `.clockSkew` where the mint tells no time, took over 30 seconds to answer, or its clock is over 30
    ///   seconds from the one here.
    public init(told: UInt64?, sent: Timestamp, received: Timestamp) throws(TradeRefusal) {
        guard let told, let seconds = Int64(exactly: told) else {
            throw TradeRefusal(.clockSkew, "the mint does not tell its time")
        }
        let way = received.milliseconds(since: sent)
        guard (0...EscrowMargins.skewMilliseconds).contains(way) else {
            throw TradeRefusal(.clockSkew, "the mint took too long to tell its time")
        }
        // Its second had begun somewhere between question and answer.
        let middle = sent.adding(milliseconds: way / 2)
        let offset = Timestamp(secondsSince1970: seconds).adding(milliseconds: 500).milliseconds(since: middle)
        guard (-EscrowMargins.skewMilliseconds...EscrowMargins.skewMilliseconds).contains(offset) else {
            throw TradeRefusal(.clockSkew, "the mint's clock and the one here are over 30 seconds apart")
        }
        offsetMilliseconds = offset
    }

    /// What the mint's clock shows, in seconds since 1970.
    public func seconds(at now: Timestamp) -> UInt64 {
        UInt64(max(0, now.adding(milliseconds: offsetMilliseconds).secondsSince1970))
    }
}
