internal import Encodings
internal import Gossip
internal import Libp2p
internal import Logging
internal import Market
internal import P2PTransport
internal import Peering
internal import Records
internal import SignedDocuments
internal import Trading

/// Open calls on the gossip network (`Specs/quote.md`, [QUO-11]): what this node calls for and bids is told, and what others call
/// for and bid is heard.
final class CallsPart: GossipPart {
    private let calls: CallDesk
    private let bids: BidDesk
    private let records: RecordsPart
    private let standing: @Sendable (DIDKey) async throws -> Int
    /// Whether money may move.
    private let isOpen: @Sendable () -> Bool
    private let logger: Logger
    private let tasks = PartTasks()

    /// How often it is looked whether something is due: the shortest times of a call are seconds.
    private static let round = Duration.milliseconds(250)

    /// - Parameters:
    ///   - standing: what this node thinks of a buyer, 0 to 100.
    ///   - isOpen: whether money may move; where not, nothing is heard or done.
    init(
        calls: CallDesk,
        bids: BidDesk,
        records: RecordsPart,
        standing: @escaping @Sendable (DIDKey) async throws -> Int,
        isOpen: @escaping @Sendable () -> Bool,
        logger: Logger
    ) {
        self.calls = calls
        self.bids = bids
        self.records = records
        self.standing = standing
        self.isOpen = isOpen
        self.logger = logger
    }

    // MARK: Part of the node on the network

    var protocols: [P2PProtocol] { [] }

    func start(on host: P2PHost) async throws {
        let (heard, hear) = AsyncStream<Record>.makeStream(bufferingPolicy: .bufferingNewest(4_096))
        let kinds: Set<String> = [OpenCall.kind.name, BidNews.kind.name]
        let watching = records.intake.watch { if kinds.contains($0.key.kind) { hear.yield($0) } }
        let tell: CallNews.Tell = { [weak self] in try await self?.publish($0) }
        try await calls.start(tell)
        await bids.start(tell, standing: standing)
        let hearing = Task { [self] in
            await hearKept()
            for await record in heard { await take(record) }
            records.intake.unwatch(watching)
        }
        let ticking = Task { [calls, bids, isOpen] in
            while !Task.isCancelled {
                if isOpen() {
                    await bids.advance()
                    await calls.advance()
                }
                try? await Task.sleep(for: Self.round)
            }
        }
        tasks.begin([hearing, ticking])
    }

    func take(_ event: P2PEvent) {}

    func stop() async {
        await tasks.stop()
        await calls.stop()
        await bids.stop()
    }

    /// Calls that came while this node was away, and can be bid on still.
    private func hearKept() async {
        var query = RecordQuery(kind: OpenCall.kind.name)
        query.count = RecordQuery.maximumCount
        do {
            while !Task.isCancelled {
                let page = try await records.intake.store.records(query)
                for record in page { await take(record) }
                guard page.count == query.count, let last = page.last else { return }
                query.after = ReconciliationItem(
                    timestamp: UInt64(clamping: last.created.millisecondsSince1970),
                    id: last.id
                )
            }
        } catch {
            logger.warning("calls that came before are not heard", metadata: ["why": "\(error)"])
        }
    }

    private func take(_ record: Record) async {
        // Behind the fence the database may be an older copy, which knows nothing of what was bid since.
        guard isOpen() else { return }
        if record.key.kind == BidNews.kind.name {
            await calls.hear(record)
        } else {
            await bids.hear(record)
        }
    }

    private func publish(_ news: CallNews) async throws {
        try await records.publish(
            news.body,
            of: news.kind,
            name: news.name,
            lifetimeSeconds: news.lifetimeSeconds
        )
    }
}
