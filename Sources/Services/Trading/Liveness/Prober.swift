public import Encodings
public import Logging
public import Market
public import Records
public import SignedDocuments
public import Storage

/// Probes what this node ranks, at times that nobody knows beforehand and within its budget ([LIV-4]).
public actor Prober {
    /// Asks for a price: what came, and after how many milliseconds.
    public typealias Ask = @Sendable (ProbeTarget) async -> (answer: ProbeAnswer, milliseconds: Int64?)

    /// What one probe showed.
    public struct Probed: Sendable, Hashable {
        public var listing: RecordKey
        public var target: ProbeTarget
        public var why: ProbeTarget.Why
        public var milliseconds: Int64?
    }

    /// Probes that wait for their answers at once.
    static let maximumAtOnce = 8
    /// Listings that are remembered as shown.
    static let maximumRanked = 1_000
    /// Of those so many are looked at for one probe, and of sellers that are not among them.
    private static let looked = 64

    private let store: ProbeStore
    private let index: ListingIndex
    private let plan: ProbePlan
    private let own: DIDKey
    private let clock: WallClock
    private let ask: Ask
    private let onProbe: @Sendable (Probed) -> Void
    private let logger: Logger
    private var random: any RandomNumberGenerator & Sendable
    private var ranked: [RecordKey: Timestamp] = [:]
    private var busy: Set<String> = []
    /// Those of the last hour; nil until they were read from disk, where an earlier run may have left some.
    private var begun: [ProbePlan.Begun]?

    /// - Parameters:
    ///   - cache: with ``migrations`` and those of the index.
    ///   - perHour: 0: none.
    ///   - own: the node, which does not ask itself.
    ///   - random: makes the times.
    ///   - onProbe: is told of each.
    public init(
        cache: Database,
        index: ListingIndex,
        perHour: Int,
        own: DIDKey,
        clock: WallClock,
        random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator(),
        logger: Logger,
        onProbe: @escaping @Sendable (Probed) -> Void = { _ in },
        ask: @escaping Ask
    ) {
        store = ProbeStore(database: cache)
        self.index = index
        var random = random
        plan = ProbePlan(perHour: perHour, salt: random.next())
        self.random = random
        self.own = own
        self.clock = clock
        self.logger = logger
        self.onProbe = onProbe
        self.ask = ask
    }

    public static var migrations: [Migration] { ProbeStore.migrations }

    /// Remembers that a search showed them: they are probed first.
    public func show(_ listings: [RecordKey]) {
        let now = clock.now()
        for listing in listings { ranked[listing] = now }
        guard ranked.count > Self.maximumRanked else { return }
        let latest = ranked.sorted { ($0.value, $0.key.name) > ($1.value, $1.key.name) }
        ranked = Dictionary(latest.prefix(Self.maximumRanked).map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
    }

    /// Probes until it is cancelled.
    ///
    /// - Parameter pause: waits so many milliseconds.
    public func run(
        pause: @escaping @Sendable (Int64) async throws -> Void = { try await Task.sleep(for: .milliseconds($0)) }
    ) async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled, let gap = plan.gap(using: &random) {
                guard (try? await pause(gap)) != nil else { return }
                group.addTask { await self.stepLogging() }
            }
        }
    }

    private func stepLogging() async {
        do {
            try await step()
        } catch {
            logger.warning("a probe could not be made", metadata: ["error": "\(error)"])
        }
    }

    /// Makes one probe where one is due and the budget has room.
    /// - Returns: nil where none was made.
    /// - Throws: `StorageError`.
    @discardableResult
    public func step() async throws -> Probed? {
        guard busy.count < Self.maximumAtOnce, plan.perHour > 0 else { return nil }
        let choices = try await candidates()
        let hour = try await known()
        // From here until it is marked nothing is waited for: no other step chooses the same.
        let now = clock.now()
        guard let (candidate, target) = choose(of: choices, onDisk: hour, now: now) else { return nil }
        begun?.append(.init(host: candidate.host, at: now))
        busy.insert(candidate.host)
        defer { busy.remove(candidate.host) }
        let id = try await store.begin(candidate.key, host: candidate.host, at: now)
        let (answer, milliseconds) = await ask(target)
        // What was cut short says nothing of whom it asked.
        guard !Task.isCancelled else { return nil }
        let why = target.why(answer)
        try await store.end(id, why, milliseconds: milliseconds)
        let probed = Probed(listing: candidate.key, target: target, why: why, milliseconds: milliseconds)
        onProbe(probed)
        return probed
    }

    /// What was begun before this run; nothing once that was read.
    private func known() async throws -> [ProbePlan.Begun] {
        guard begun == nil else { return [] }
        return try await store.begun(since: clock.now().adding(seconds: -ProbePlan.windowSeconds))
    }

    private typealias Choice = (candidate: ProbePlan.Candidate, target: ProbeTarget)

    private func choose(of choices: [Choice], onDisk: [ProbePlan.Begun], now: Timestamp) -> Choice? {
        guard busy.count < Self.maximumAtOnce else { return nil }
        let from = now.adding(seconds: -ProbePlan.windowSeconds)
        let recent = (begun ?? onDisk).filter { $0.at > from }
        begun = recent
        let next = plan.next(of: choices.map(\.candidate), begun: recent, busy: busy, now: now, using: &random)
        return next.flatMap { next in choices.first { $0.candidate == next } }
    }

    /// Since the last success, of what is kept.
    private static func failures(_ latestFirst: [ProbeStore.Entry]) -> Int {
        latestFirst.compactMap(\.result).filter { $0.outcome != .unclear }.prefix { $0.outcome == .failed }.count
    }

    private func candidates() async throws -> [Choice] {
        let keys = ranked.keys.sorted { ($0.author.string, $0.name) < ($1.author.string, $1.name) }
            .shuffled(using: &random).prefix(Self.looked)
        let start = Double.random(in: 0..<1, using: &random)
        var found: [RecordKey: FoundListing] = [:]
        for key in keys {
            // It may have ended since.
            guard let listing = try? await index.listing(of: key.author, named: key.name) else { continue }
            found[key] = listing
        }
        for listing in try await index.some(sellers: Self.looked, at: start) { found[listing.record.key] = listing }
        found = found.filter { $0.key.author != own }
        let entries = try await store.entries(of: Array(found.keys))
        var choices: [Choice] = []
        for (key, listing) in found.sorted(by: {
            ($0.key.author.string, $0.key.name) < ($1.key.author.string, $1.key.name)
        }) {
            guard let target = ProbeTarget(listing.listing, urls: listing.urls, using: &random) else { continue }
            let results = entries[key] ?? []
            let candidate = ProbePlan.Candidate(
                key: key,
                host: target.host,
                rankedAt: ranked[key],
                last: results.first?.at,
                failures: Self.failures(results)
            )
            choices.append((candidate, target))
        }
        return choices
    }
}
