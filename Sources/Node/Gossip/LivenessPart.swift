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

/// Whether what is listed is there (`Specs/liveness.md`): this node probes what it ranks and tells others what it saw.
final class LivenessPart: GossipPart {
    let book: LivenessBook
    let prober: Prober
    private let records: RecordsPart
    private let shares: Bool
    private let clock: WallClock
    private let logger: Logger
    private let tasks = PartTasks()

    /// How often it is looked whether there is something to be told.
    private static let round = Duration.seconds(15)
    /// What was told is told again after that, and sooner where a listing died or came back, if not at once again.
    private static let renewalSeconds: Int64 = 1_800
    private static let leastSeconds: Int64 = 60

    /// - Parameters:
    ///   - perHour: of probes; 0: none.
    ///   - shares: whether others are told.
    ///   - calls: this node's own paid calls.
    init(
        cache: Database,
        market: MarketPart,
        author: DIDKey,
        canary: Canary,
        perHour: Int,
        shares: Bool,
        calls: CallBook,
        clock: WallClock,
        logger: Logger
    ) {
        records = market.records
        self.shares = shares
        self.clock = clock
        self.logger = logger
        book = LivenessBook(cache: cache, records: market.records.intake.store, own: author, clock: clock) {
            try await calls.liveness(of: $0, since: $1)
        }
        prober = Prober(
            cache: cache,
            index: market.index,
            perHour: perHour,
            own: author,
            clock: clock,
            logger: logger,
            onProbe: { probed in
                Counter(label: "mintmark_probes_total", dimensions: [("result", probed.why.rawValue)]).increment()
                logger.debug(
                    "a listing was probed",
                    metadata: [
                        "seller": "\(probed.listing.author)", "service": "\(probed.listing.name)",
                        "result": "\(probed.why.rawValue)",
                    ]
                )
            },
            ask: { await canary.ask($0) }
        )
    }

    /// What was found, ranked by what is known of its liveness ([LIV-7]); what is shown is probed first from now on.
    func ranked(_ found: FoundListings, aliveAlone: Bool = false, count: Int) async throws -> FoundListings {
        let standings = try await book.standings(of: found.listings.map(\.record.key))
        let ranked = found.ranked(by: standings, aliveAlone: aliveAlone, count: count)
        // Those that were left out too: they may be back.
        let looked = aliveAlone ? found.listings.prefix(count) : ranked.listings[...]
        await prober.show(looked.map(\.record.key))
        return ranked
    }

    // MARK: Part of the node on the network

    var protocols: [P2PProtocol] { [] }

    func start(on host: P2PHost) async throws {
        var running = [Task { [prober] in await prober.run() }]
        if shares {
            running.append(
                Task { [self] in
                    var told: (report: LivenessReport, at: Timestamp)?
                    while (try? await Task.sleep(for: Self.round)) != nil { await tell(after: &told) }
                }
            )
        }
        tasks.begin(running)
    }

    func take(_ event: P2PEvent) {}

    func stop() async { await tasks.stop() }

    /// Publishes what the probes showed, where it is due ([LIV-8]).
    private func tell(after told: inout (report: LivenessReport, at: Timestamp)?) async {
        let now = clock.now()
        let age = told.map { now.milliseconds(since: $0.at) / 1_000 }
        // A clock that was set back is no reason to be silent.
        if let age, (0..<Self.leastSeconds).contains(age) { return }
        do {
            guard let report = try await book.report() else { return }
            if let told, let age, (0..<Self.renewalSeconds).contains(age),
                told.report.states == report.states
            {
                return
            }
            try await records.publish(report.body, of: LivenessReport.kind, name: LivenessReport.name)
            told = (report, now)
        } catch {
            logger.warning("what probes showed is not told yet", metadata: ["why": "\(error)"])
        }
    }
}
