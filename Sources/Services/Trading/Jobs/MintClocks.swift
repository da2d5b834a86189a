internal import Cashu
internal import Encodings
internal import Market
internal import Wallet

/// The clocks of mints, each asked again after half a minute ([ESC-2]).
struct MintClocks: Sendable {
    private var known: [String: (clock: MintClock, at: Timestamp)] = [:]
    private static let keepSeconds: Int64 = 30

    mutating func note(_ clock: MintClock, of mint: String, at now: Timestamp) {
        if known.count >= 64 { known.removeAll() }
        known[mint] = (clock, now)
    }

    /// What the mint's clock shows; nil where it was not asked of late.
    func seconds(_ mint: String, at now: Timestamp) -> UInt64? {
        guard let (clock, at) = known[mint], now >= at, now < at.adding(seconds: Self.keepSeconds) else { return nil }
        return clock.seconds(at: now)
    }
}

extension MintSnapshot {
    /// - Throws: `TradeRefusal` with `.clockSkew`.
    var mintClock: MintClock {
        get throws(TradeRefusal) { try MintClock(told: info.time, sent: asked, received: answered) }
    }
}
