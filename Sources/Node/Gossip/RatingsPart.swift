internal import Encodings
internal import Gossip
internal import Libp2p
internal import Logging
internal import Market
internal import Metrics
internal import P2PTransport
internal import Peering
internal import Records
internal import SignedDocuments
internal import Storage
internal import Trading

/// Ratings on the network: this node tells of the receipts that it published, where its operator wants that ([RCPT-15]), and
/// gathers those of others whose word counts here ([REP-18]).
final class RatingsPart: GossipPart {
    let shelf: ReceiptShelf
    let store: RatingStore
    /// Whether the operator wants own receipts published.
    let publishes: Bool
    private let gatherer: RatingGatherer
    private let records: RecordsPart
    private let author: DIDKey
    private let publicURL: String
    private let isOpen: @Sendable () -> Bool
    private let clock: WallClock
    private let logger: Logger
    private let tasks = PartTasks()

    /// Where the receipts are had, below the public URL.
    static let path = "/market/receipts"
    /// How often it is looked whether something is to be told or gathered.
    private static let round = Duration.seconds(5)
    /// What was told is told again after that, and where there is more after the least.
    private static let renewalSeconds: Int64 = 12 * 3_600
    private static let leastSeconds: Int64 = 60

    /// - Parameters:
    ///   - isOpen: whether money moves here.
    ///   - fetch: for URLs that others named.
    init(
        shelf: ReceiptShelf,
        store: RatingStore,
        calls: CallBook,
        records: RecordsPart,
        author: DIDKey,
        publishes: Bool,
        publicURL: String,
        isOpen: @escaping @Sendable () -> Bool,
        clock: WallClock,
        logger: Logger,
        fetch: @escaping RatingGatherer.Fetch
    ) {
        self.shelf = shelf
        self.store = store
        self.records = records
        self.author = author
        self.publishes = publishes
        self.publicURL = publicURL
        self.isOpen = isOpen
        self.clock = clock
        self.logger = logger
        gatherer = RatingGatherer(
            store: store,
            calls: calls,
            records: records.intake.store,
            clock: clock,
            logger: logger,
            onVisit: { visit in
                let results = visit.refused.merging(["ok": visit.counted]) { $1 }
                for (result, count) in results where count > 0 {
                    Counter(label: "mintmark_ratings_total", dimensions: [("result", result)]).increment(by: count)
                }
            },
            fetch: fetch
        )
    }

    // MARK: Part of the node on the network

    var protocols: [P2PProtocol] { [] }

    func start(on host: P2PHost) async throws {
        if publishes { try await shelf.begin() }
        tasks.begin([
            Task { [self] in
                while (try? await Task.sleep(for: Self.round)) != nil {
                    do {
                        try await gatherer.round()
                    } catch is CancellationError {
                        return
                    } catch {
                        logger.warning("ratings are gathered later", metadata: ["why": "\(error)"])
                    }
                }
            },
            Task { [self] in
                var told: (what: PublishedReceipts?, at: Timestamp)?
                while (try? await Task.sleep(for: Self.round)) != nil {
                    if publishes { await tell(after: &told) } else if await takeBack() { return }
                }
            },
        ])
    }

    func take(_ event: P2PEvent) {}

    func stop() async { await tasks.stop() }

    private var key: RecordKey {
        RecordKey(author: author, kind: PublishedReceipts.kind.name, name: PublishedReceipts.name)
    }

    /// Countersigns what was bought and tells of it, where that is due.
    private func tell(after told: inout (what: PublishedReceipts?, at: Timestamp)?) async {
        let now = clock.now()
        // A clock that was set back is no reason to be silent.
        func isWithin(_ seconds: Int64) -> Bool {
            told.map { (0..<seconds * 1_000).contains(now.milliseconds(since: $0.at)) } ?? false
        }
        let isRecent = isWithin(Self.leastSeconds)
        // Behind the fence the list may be an older one; and what failed is not tried each round anew.
        guard isOpen(), !isRecent || told?.what != nil else { return }
        do {
            try await shelf.follow()
            guard !isRecent, let state = try await shelf.state() else { return }
            guard let url = ListingURL(publicURL + Self.path) else {
                throw ConfigurationError("\(publicURL) is no URL that others can fetch: see http.publicURL")
            }
            let until = min(state.until, Timestamp(secondsSince1970: now.secondsSince1970))
            let what = PublishedReceipts(
                count: state.count,
                root: state.root,
                from: min(state.from, until),
                until: until,
                url: url
            )
            if told?.what == what, isWithin(Self.renewalSeconds) { return }
            try await records.publish(what.body, of: PublishedReceipts.kind, name: PublishedReceipts.name)
            told = (what, now)
        } catch {
            logger.warning("what was bought is not published yet", metadata: ["why": "\(error)"])
            told = (nil, now)
        }
    }

    /// Ends what was told while the operator wanted it.
    /// - Returns: whether nothing is left to be done.
    private func takeBack() async -> Bool {
        do {
            try await shelf.pause()
            guard try await records.intake.store.record(key) != nil else { return true }
            try await records.publish(nil, of: PublishedReceipts.kind, name: PublishedReceipts.name)
            return true
        } catch {
            logger.warning("what was published is not taken back yet", metadata: ["why": "\(error)"])
            return false
        }
    }
}
