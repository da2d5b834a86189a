import Encodings
import Logging
import Paywall
import Synchronization

/// The rates that prices are converted by: the operator's table, and what a source says within its bounds.
final class RateDesk: Sendable {
    private let source: (any RateSource)?
    private let book: Mutex<RateBook>
    private let bounds: RateBounds
    private let clock: WallClock
    private let logger: Logger
    private let nextAt = Mutex(Timestamp(millisecondsSince1970: .min))

    init(
        fixed: PriceRates,
        source: (any RateSource)?,
        bounds: RateBounds,
        clock: WallClock,
        logger: Logger
    ) {
        self.source = source
        self.bounds = bounds
        book = Mutex(RateBook(fixed: fixed, units: source?.units ?? [], bounds: bounds))
        self.clock = clock
        self.logger = logger
    }

    /// What counts now.
    var current: PriceRates { book.withLock { $0.rates(now: clock.now()) } }

    /// Asks the source where it is time to, several times within the age that a rate may have.
    func refreshIfDue() async {
        guard source != nil else { return }
        let now = clock.now()
        let isDue = nextAt.withLock { next in
            guard now >= next else { return false }
            next = now.adding(seconds: max(5, min(60, bounds.maximumAgeSeconds / 4)))
            return true
        }
        if isDue { await refresh() }
    }

    func refresh() async {
        guard let source else { return }
        do {
            let reading = try await source.reading(now: clock.now())
            let refused = book.withLock { $0.take(reading, now: clock.now()) }
            for reason in refused {
                logger.error("a rate is not taken", metadata: ["source": "\(source.name)", "reason": "\(reason)"])
            }
        } catch {
            logger.warning("no rates can be had", metadata: ["source": "\(source.name)", "error": "\(error)"])
        }
    }

    /// Why a price can't be asked in another unit now; nil where it can, or never could.
    func staleness(of unit: String) -> CallRefusal? {
        guard book.withLock({ $0.isStale(unit, now: clock.now()) }) else { return nil }
        return CallRefusal(
            .rateStale,
            "The seller's rate for \(unit) is too old to ask a price by it. Nothing was taken.",
            retryAfterSeconds: 30
        )
    }

    /// For the operator.
    var report: (source: String, units: [(unit: String, msat: UInt64?, at: Timestamp?, isStale: Bool)])? {
        guard let source else { return nil }
        let now = clock.now()
        return book.withLock { book in
            (
                source.name,
                book.units.sorted().map { unit in
                    let last = book.last(unit)
                    return (unit, last?.msat, last?.at, book.isStale(unit, now: now))
                }
            )
        }
    }
}
