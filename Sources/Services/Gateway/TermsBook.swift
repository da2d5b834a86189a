import Cashu
import Encodings
import Logging
import Paywall
import Synchronization

/// What is known of the accepted mints, at hand for every call and fetched anew in the background.
final class TermsBook: Sendable {
    /// Terms older than this are fetched anew by the housekeeping, well before they are too old to be relied on.
    static let refreshAfterSeconds: Int64 = 1800
    /// An unknown keyset makes us ask a mint again, but not more often than this.
    static let rotationCheckSeconds: Int64 = 10

    private let purse: any SellerPurse
    private let clock: WallClock
    private let logger: Logger
    private let pages = Mutex<[MintURL: Page]>([:])

    private struct Fetch {
        var maximumAgeSeconds: Int64
        var task: Task<MintTerms?, Never>
    }

    private struct Page {
        var terms: MintTerms?
        var askedAt: Timestamp?
        /// Whoever needs the terms while they are being fetched waits for them: the first calls after a start all do.
        var fetch: Fetch?
    }

    init(purse: any SellerPurse, clock: WallClock, logger: Logger) {
        self.purse = purse
        self.clock = clock
        self.logger = logger
    }

    /// The terms of an accepted mint, perhaps old where it can't be reached; nil where nothing was ever heard of it.
    func terms(of mint: MintURL) async -> MintTerms? {
        let terms = pages.withLock { $0[mint]?.terms }
        if let terms, clock.now().milliseconds(since: terms.fetchedAt) < 3600 * 1000 { return terms }
        return await fetch(mint, maximumAgeSeconds: 3600) ?? terms
    }

    /// Asks a mint again where a token names a keyset that is not known, unless that was just done.
    /// - Returns: nil where nothing can be learned now.
    func afterRotation(of mint: MintURL) async -> MintTerms? {
        await fetch(mint, maximumAgeSeconds: Self.rotationCheckSeconds)
    }

    /// Every accepted mint that something is known of, best first.
    func all() async -> [MintTerms] {
        var result: [MintTerms] = []
        for mint in purse.acceptedMints {
            if let terms = await terms(of: mint) { result.append(terms) }
        }
        return result
    }

    /// Fetches what is due. Called by the housekeeping.
    func refresh() async {
        for mint in purse.acceptedMints {
            let terms = pages.withLock { $0[mint]?.terms }
            if let terms, clock.now().milliseconds(since: terms.fetchedAt) < Self.refreshAfterSeconds * 1000 {
                continue
            }
            _ = await fetch(mint, maximumAgeSeconds: Self.refreshAfterSeconds)
        }
    }

    /// - Returns: what is known then, where the mint was asked less than a second ago; nil where it can't be reached.
    private func fetch(_ mint: MintURL, maximumAgeSeconds: Int64) async -> MintTerms? {
        let now = clock.now()
        let (task, known) = pages.withLock { pages -> (Task<MintTerms?, Never>?, MintTerms?) in
            var page = pages[mint] ?? Page()
            // One that may be content with older terms learns nothing of a rotation.
            if let fetch = page.fetch, fetch.maximumAgeSeconds <= maximumAgeSeconds { return (fetch.task, nil) }
            if page.fetch == nil, let last = page.askedAt, now >= last, now.milliseconds(since: last) < 1000 {
                return (nil, page.terms)
            }
            let before = page.fetch?.task
            let task = Task {
                _ = await before?.value
                return await self.ask(mint, maximumAgeSeconds: maximumAgeSeconds)
            }
            page.askedAt = now
            page.fetch = Fetch(maximumAgeSeconds: maximumAgeSeconds, task: task)
            pages[mint] = page
            return (task, nil)
        }
        guard let task else { return known }
        return await task.value
    }

    private func ask(_ mint: MintURL, maximumAgeSeconds: Int64) async -> MintTerms? {
        var terms: MintTerms?
        do {
            terms = try await purse.terms(of: mint, maximumAgeSeconds: maximumAgeSeconds)
        } catch {
            logger.warning("a mint's terms can't be fetched", metadata: ["mint": "\(mint)", "error": "\(error)"])
        }
        pages.withLock { pages in
            if let terms { pages[mint]?.terms = terms }
            // A stricter one may have taken its place, and waits for this one.
            if pages[mint]?.fetch?.maximumAgeSeconds == maximumAgeSeconds { pages[mint]?.fetch = nil }
        }
        return terms
    }
}
