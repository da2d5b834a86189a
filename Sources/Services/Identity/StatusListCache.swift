public import Encodings
public import Logging
public import Passports
import SignedDocuments
public import Storage
import Synchronization

/// Other issuers' status lists: fetched when needed, kept while they serve, and never older than one seen before.
///
/// The highest sequence seen of each list is on the disk before the list is used, so that not even a restart lets an older
/// one in. At most ``maximumLists`` are in memory; one fetch a list at a time.
public final class StatusListCache: Sendable {
    /// The most lists kept in memory: 32 MiB in all at the very most.
    public static let maximumLists = 256
    /// The most lists whose sequence is remembered. Only lists of trusted issuers get here.
    static let maximumSeen: Int64 = 100_000
    /// A list that could not be had is not asked for again for so long.
    static let retryMilliseconds: Int64 = 2_000
    /// A list whose issuer does not sign it anew is not asked for more often than this, however young it is wanted.
    static let refetchMilliseconds: Int64 = 250

    private struct Entry: Sendable {
        var state: StatusListState
        var etag: String?
        var fetchedAt: Timestamp
        /// When to ask again.
        var refreshAt: Timestamp
        var lastUsed: Timestamp

        /// Whether a caller that wants a younger copy should have it asked for.
        func isTooOld(for maximumAgeSeconds: Int64?, now: Timestamp) -> Bool {
            guard let maximumAgeSeconds, case .list(let list) = state else { return false }
            return now > list.validFrom.adding(seconds: maximumAgeSeconds)
                && now >= fetchedAt.adding(milliseconds: StatusListCache.refetchMilliseconds)
        }
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var running: [String: Task<StatusListState, Never>] = [:]
    }

    private let state = Mutex(State())
    private let database: Database
    private let fetcher: any StatusListFetching
    private let clock: WallClock
    private let logger: Logger

    /// - Parameter database: with ``IdentitySchema/migrations``.
    public init(database: Database, fetcher: any StatusListFetching, clock: WallClock, logger: Logger) {
        self.database = database
        self.fetcher = fetcher
        self.clock = clock
        self.logger = logger
    }

    /// How many lists are held in memory.
    var count: Int { state.withLock { $0.entries.count } }

    /// What is known of lists now, by URL. Fetches those of which no copy serves, all at once.
    ///
    /// - Parameter maximumAgeSeconds: how long ago a copy may have been signed for this call; an older one is fetched
    ///   anew, at most every ``refetchMilliseconds``. `nil`: the list's own `ttl` decides.
    public func states(of urls: Set<String>, maximumAgeSeconds: Int64? = nil) async -> [String: StatusListState] {
        // Each is asked for before the first is waited for: where an issuer is silent, a call waits for one time-out, not two.
        let asked = urls.map { (url: $0, answer: ask($0, maximumAgeSeconds)) }
        var states: [String: StatusListState] = [:]
        for (url, answer) in asked { states[url] = await answer.value }
        return states
    }

    /// As ``states(of:maximumAgeSeconds:)``, of one.
    public func state(of url: String, maximumAgeSeconds: Int64? = nil) async -> StatusListState {
        await ask(url, maximumAgeSeconds).value
    }

    private enum Answer {
        case known(StatusListState)
        case wait(Task<StatusListState, Never>)

        var value: StatusListState {
            get async {
                switch self {
                case .known(let known): known
                case .wait(let task): await task.value
                }
            }
        }
    }

    private func ask(_ url: String, _ maximumAgeSeconds: Int64?) -> Answer {
        let now = clock.now()
        return state.withLock { state in
            if let entry = state.entries[url], now < entry.refreshAt, now >= entry.lastUsed.adding(seconds: -60),
                !entry.isTooOld(for: maximumAgeSeconds, now: now)
            {
                state.entries[url]?.lastUsed = now
                return .known(entry.state)
            }
            if let task = state.running[url] { return .wait(task) }
            let task = Task { await self.refresh(url) }
            state.running[url] = task
            return .wait(task)
        }
    }

    // MARK: News

    /// Takes an issuer's word that its list has changed ([RVK-2]): from now on no copy of an earlier sequence serves, and the
    /// list is fetched at once. Whose signature is on the word, the caller has checked.
    ///
    /// - Returns: what it was worth; for `.news` once the list was fetched, or could not be.
    @discardableResult
    public func hear(_ news: StatusListNews) async throws -> StatusListNews.Worth {
        let now = clock.now()
        let worth = try await database.write { connection -> StatusListNews.Worth in
            // Only of lists that are in use here, and only from who signed them: nobody speaks for another's list.
            guard let seen = try StatusListRecord.find(news.url, in: connection), seen.issuer == news.issuer.string
            else { return .notOurs }
            if news.sequence < seen.sequence { return .old }
            if news.sequence == seen.sequence {
                guard seen.digest != news.digest else { return .old }
                try StatusListRecord.keepEvidence(seen, news, now: now, in: connection)
                return .equivocation
            }
            try StatusListRecord(news).save(now: now, in: connection)
            return .news
        }
        switch worth {
        case .notOurs, .old: break
        case .equivocation: shout(news.url, news.sequence)
        case .news:
            // What is under way may have been answered before the change.
            let running = state.withLock { state in
                for url in [news.url] + ListNotation.otherURLs(of: news.url) { state.entries[url]?.refreshAt = now }
                return state.running[news.url]
            }
            if let running {
                _ = await running.value
                state.withLock { $0.entries[news.url]?.refreshAt = now }
            }
            _ = await self.state(of: news.url)
        }
        return worth
    }

    /// Two contents of one list under one sequence, as their issuer signed both; the latest first, at most 1,000.
    public func equivocations() async throws -> [Equivocation] {
        try await database.read { try StatusListRecord.evidence(in: $0) }
    }

    private func shout(_ url: String, _ sequence: UInt64) {
        logger.critical(
            "an issuer says two things at once of its passports: do not trust it",
            metadata: ["list": "\(url)", "sequence": "\(sequence)", "evidence": "mintmark passport evidence"]
        )
    }

    // MARK: Fetching

    private func refresh(_ url: String) async -> StatusListState {
        let old = state.withLock { $0.entries[url] }
        let entry = await fetched(url, old: old)
        state.withLock { state in
            state.running[url] = nil
            if state.entries.count >= Self.maximumLists, state.entries[url] == nil,
                let leastUsed = state.entries.min(by: { $0.value.lastUsed < $1.value.lastUsed })?.key
            {
                state.entries[leastUsed] = nil
            }
            state.entries[url] = entry
        }
        return entry.state
    }

    private func fetched(_ url: String, old: Entry?) async -> Entry {
        var kept: VerifiedStatusList?
        if case .list(let list)? = old?.state { kept = list }
        do {
            let answer = try await fetcher.fetch(url, etag: kept == nil ? nil : old?.etag)
            let now = clock.now()
            switch answer {
            case .notModified:
                guard let kept else {
                    throw FetchError(description: "\(url) says its list is unchanged, but none is at hand")
                }
                if await isOutdated(kept) { throw Self.outdated(url) }
                return serve(kept, etag: old?.etag, now: now)
            case .document(let bytes, let etag):
                let list = try StatusListCredential.verify(bytes: bytes, url: url)
                try await remember(list, bytes: bytes, now: now)
                return serve(list, etag: etag, now: now)
            }
        } catch let reason as PassportReason {
            logger.warning("status list refused", metadata: ["url": "\(url)", "reason": "\(reason)"])
            return refused(reason)
        } catch {
            logger.warning("status list not to be had", metadata: ["url": "\(url)", "error": "\(error)"])
            // The copy at hand still says what it says, unless its issuer told of a later one; the verifier looks at its age
            // and end on every call.
            if let kept {
                if await isOutdated(kept) { return refused(Self.outdated(url)) }
                return retry(.list(kept), etag: old?.etag)
            }
            return refused(PassportReason(.statusUnavailable, "the status list at \(url) could not be had"))
        }
    }

    private func serve(_ list: VerifiedStatusList, etag: String?, now: Timestamp) -> Entry {
        Entry(
            state: .list(list),
            etag: etag,
            fetchedAt: now,
            refreshAt: min(
                now.adding(milliseconds: list.ttlMilliseconds),
                max(list.validUntil, now.adding(seconds: 1))
            ),
            lastUsed: now
        )
    }

    private func refused(_ reason: PassportReason) -> Entry { retry(.refused(reason), etag: nil) }

    private func retry(_ state: StatusListState, etag: String?) -> Entry {
        let now = clock.now()
        return Entry(
            state: state,
            etag: etag,
            fetchedAt: now,
            refreshAt: now.adding(milliseconds: Self.retryMilliseconds),
            lastUsed: now
        )
    }

    private static func outdated(_ url: String) -> PassportReason {
        PassportReason(.statusStale, "the status list at \(url) has changed, and could not be had since")
    }

    /// Whether its issuer has told of a later one. Where the disk does not say, it may have.
    private func isOutdated(_ list: VerifiedStatusList) async -> Bool {
        do {
            let seen = try await database.read { try StatusListRecord.find(list.url, in: $0) }
            return (seen?.sequence ?? 0) > list.sequence
        } catch {
            return true
        }
    }

    /// Holds a list against the highest sequence seen, and remembers its own on the disk.
    ///
    /// - Parameter bytes: the document.
    /// - Throws: `PassportReason` with `.statusRolledBack` or `.statusEquivocated`.
    private func remember(_ list: VerifiedStatusList, bytes: [UInt8], now: Timestamp) async throws {
        let news = StatusListNews(
            url: list.url,
            issuer: list.issuer,
            sequence: list.sequence,
            digest: list.contentDigest,
            document: bytes
        )
        let refusal = try await database.write { connection -> PassportReason? in
            guard let seen = try StatusListRecord.find(list.url, in: connection) else {
                guard try StatusListRecord.count(in: connection) < Self.maximumSeen else {
                    return PassportReason(
                        .statusUnavailable,
                        "\(Self.maximumSeen) status lists are remembered, the most there may be"
                    )
                }
                try StatusListRecord(news).save(now: now, in: connection)
                return nil
            }
            guard list.sequence >= seen.sequence else {
                return PassportReason(
                    .statusRolledBack,
                    "the status list at \(list.url) has sequence \(list.sequence), after \(seen.sequence) was seen"
                )
            }
            guard list.sequence > seen.sequence || seen.digest == news.digest else {
                try StatusListRecord.keepEvidence(seen, news, now: now, in: connection)
                return PassportReason(
                    .statusEquivocated,
                    "the status list at \(list.url) shows two contents under sequence \(seen.sequence)"
                )
            }
            // What was remembered before there was a column for the issuer learns it now.
            if list.sequence > seen.sequence || seen.issuer == nil {
                try StatusListRecord(news).save(now: now, in: connection)
            }
            return nil
        }
        guard let refusal else { return }
        if refusal.code == .statusEquivocated { shout(list.url, list.sequence) }
        throw refusal
    }
}
