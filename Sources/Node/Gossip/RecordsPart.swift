internal import CanonicalJSON
internal import Encodings
internal import Gossip
internal import Identity
internal import Libp2p
internal import Logging
internal import Market
internal import P2PTransport
internal import Peering
internal import Records
internal import SignedDocuments
internal import Storage
internal import Synchronization

/// Records on the gossip network: kept in the cache, told, taken and repaired; and by them the news of status lists, this
/// node's own and others' (`Specs/revocation.md`). What else of the node publishes records does it by ``publish(_:of:name:lifetimeSeconds:)``.
final class RecordsPart: GossipPart {
    static let kinds = RecordKinds([
        StatusEvent.kind, Listing.kind, LivenessReport.kind, OpenCall.kind, BidNews.kind, PublishedReceipts.kind,
    ])
    /// News that are worked on at once; each may wait for an issuer's server.
    private static let hearing = 64
    private static let retry = Duration.seconds(1)

    let intake: RecordIntake
    let repair: RepairService
    /// Stamps what others paid for.
    let postOffice: PostOffice
    /// Has this node's own stamped; nil: they go out without.
    private let postage: Postage?
    /// Of this node's own, what was stamped and could not be kept: paid for once.
    private let unsent = Mutex<[RecordKey: (record: Record, stamp: Stamp)]>([:])
    private let identity: IdentityService
    private let trusted: @Sendable () -> Set<DIDKey>
    private let clock: WallClock
    private let logger: Logger
    private let changed: AsyncStream<[Int64]>
    private let changes: AsyncStream<[Int64]>.Continuation
    /// While the host runs.
    private let current = Mutex<RecordExchange?>(nil)
    private let tasks = PartTasks()
    private let metrics = RecordsMetrics()
    private static let metricsInterval = Duration.seconds(5)

    /// - Parameters:
    ///   - cache: with ``RecordStore/migrations``.
    ///   - trusted: the issuers that this node trusts now; ``trustChanged()`` says that they are others.
    ///   - settings: of stamps.
    ///   - postage: has this node's own records stamped.
    init(
        cache: Database,
        identity: IdentityService,
        trusted: @escaping @Sendable () -> Set<DIDKey>,
        settings: PostageSettings,
        postage: Postage?,
        clock: WallClock,
        logger: Logger
    ) {
        self.identity = identity
        self.trusted = trusted
        self.clock = clock
        self.logger = logger
        self.postage = postage
        postOffice = PostOffice(
            signer: identity.nodeKeys.node,
            secret: identity.nodeKeys.postageSecret,
            rules: RecordRules(Self.kinds),
            clock: clock
        )
        let resolver = StatusResolver(office: identity.office, cache: identity.cache)
        intake = RecordIntake(
            store: RecordStore(database: cache, kinds: Self.kinds, clock: clock),
            rules: RecordRules(Self.kinds),
            policy: AdmissionPolicy(
                trustedIssuers: trusted(),
                // What this node stamped counts here as well.
                entryNodes: settings.entryNodes.union([identity.office.issuer]),
                minimumPostage: settings.minimum
            ),
            clock: clock,
            statusLists: { passport, now in await resolver.states(for: passport, now: now) }
        )
        repair = RepairService(intake: intake, logger: logger)
        (changed, changes) = AsyncStream.makeStream(of: [Int64].self)
        identity.office.statusHooks.add { [changes] in changes.yield($0) }
    }

    // MARK: Part of the node on the network

    var protocols: [P2PProtocol] { [repair.servedProtocol] }

    func start(on host: P2PHost) async throws {
        await trustChanged()
        let exchange = RecordExchange(intake: intake, host: host)
        try await exchange.start()
        current.withLock { $0 = exchange }
        let (records, record) = AsyncStream.makeStream(of: Record.self, bufferingPolicy: .bufferingNewest(4_096))
        let isNews: @Sendable (Record) -> Void = { if $0.key.kind == StatusEvent.kind.name { record.yield($0) } }
        // News that lose against others of the same sequence are heard too: the two are the evidence ([RVK-4]).
        let watching = intake.watch(isNews, contradicted: isNews)
        tasks.begin([
            Task { [repair] in await repair.run(on: host) },
            Task { [weak self] in await self?.hear(records) },
            Task { [weak self] in await self?.tellChanges(by: exchange) },
            Task { [weak self, intake] in
                // Until it is cancelled: then nothing is watched any more.
                while !Task.isCancelled {
                    await self?.measure()
                    try? await Task.sleep(for: Self.metricsInterval)
                }
                intake.unwatch(watching)
                record.finish()
                await exchange.stop()
            },
        ])
    }

    func take(_ event: P2PEvent) {
        if case .connected(let connection) = event { repair.connected(connection) }
    }

    func stop() async {
        current.withLock { $0 = nil }
        await tasks.stop()
    }

    // MARK: Publishing

    /// Signs and tells a record of this node's own: of the key that kind and name make, after all that stood there.
    ///
    /// - Parameters:
    ///   - body: nil: what stood there is taken back.
    ///   - lifetimeSeconds: nil: the kind's longest.
    /// - Returns: the record, and how many peers it was sent to; 0 where there are none, and repair brings it to those that come.
    /// - Throws: `RecordRefusal` where it would not be taken here either, `.unavailable` where the host does not run;
    ///   `DocumentError` where signing fails.
    @discardableResult
    func publish(
        _ body: JSONObject?,
        of kind: RecordKind,
        name: String,
        lifetimeSeconds: Int64? = nil
    ) async throws -> (Record, peers: Int) {
        guard let exchange = current.withLock({ $0 }) else {
            throw RecordRefusal(.unavailable, "the node is not on the gossip network")
        }
        let (signer, now) = (identity.nodeKeys.node, clock.now())
        let key = RecordKey(author: signer.did, kind: kind.name, name: name)
        let sequence = try await exchange.nextSequence(key)
        let signed =
            if let body {
                try Record.sign(
                    body,
                    of: kind,
                    name: name,
                    sequence: sequence,
                    created: now,
                    lifetimeSeconds: lifetimeSeconds,
                    by: signer
                )
            } else {
                try Record.tombstone(of: kind, name: name, sequence: sequence, created: now, by: signer)
            }
        let (record, stamp) = await stamped(signed)
        let peers = try await telling(kind.name) { try await exchange.publish(record, stamp: stamp) }
        unsent.withLock { $0[key] = nil }
        return (record, peers)
    }

    /// The record with its stamp, where this node has an entry node that gives one.
    private func stamped(_ record: Record) async -> (Record, Stamp?) {
        guard let postage, Self.kinds[record.key.kind]?.authors == .admitted else { return (record, nil) }
        if let paid = unsent.withLock({ $0[record.key] }), paid.record.body == record.body,
            record.created < paid.record.expires
        {
            return paid
        }
        do {
            let stamp = try await postage.stamp(record)
            unsent.withLock { $0[record.key] = (record, stamp) }
            return (record, stamp)
        } catch {
            logger.warning(
                "a record goes out without a stamp: it counts only with those that trust this node",
                metadata: ["kind": "\(record.key.kind)", "name": "\(record.key.name)", "why": "\(error)"]
            )
            return (record, nil)
        }
    }

    /// Stamps what somebody paid for, keeps it and tells the network ([PST-2]).
    ///
    /// - Returns: what travels now, and how many peers it was sent to.
    /// - Throws: `RecordRefusal`; `DocumentError` where the issuer's key can't be reached.
    func post(_ bytes: [UInt8], _ paid: PostOffice.Postage) async throws -> (RecordEnvelope, peers: Int) {
        guard let exchange = current.withLock({ $0 }) else {
            throw RecordRefusal(.unavailable, "the node is not on the gossip network")
        }
        let envelope = try postOffice.stamp(bytes, paid)
        let peers = try await telling(envelope.record.key.kind) {
            try await exchange.announce(envelope.record, passport: envelope.passport, stamp: envelope.stamp)
        }
        return (envelope, peers)
    }

    /// What is kept and could not be told is told by repair.
    private func telling(_ kind: String, _ publish: () async throws -> Int) async throws -> Int {
        do {
            return try await publish()
        } catch let error as Libp2pError {
            logger.notice("a record reached nobody yet", metadata: ["kind": "\(kind)", "why": "\(error)"])
            return 0
        }
    }

    private func measure() async {
        if let totals = try? await intake.store.totals() { metrics.set(totals, intake.counts, repair.counts) }
        if let found = try? await identity.cache.equivocations() { metrics.set(equivocations: found.count) }
    }

    /// Looks anew at whom this node trusts, as after a service was put on sale.
    func trustChanged() async {
        var policy = intake.policy
        guard policy.trustedIssuers != trusted() else { return }
        policy.trustedIssuers = trusted()
        do {
            try await intake.setPolicy(policy)
        } catch {
            logger.warning("records are still judged by whom was trusted before", metadata: ["error": "\(error)"])
        }
    }

    // MARK: News of our lists ([RVK-1])

    /// Publishes what changed while this node was not there to tell, then each change as it comes.
    private func tellChanges(by exchange: RecordExchange) async {
        await tell(identity.office.listNumbers, by: exchange)
        for await numbers in changed { await tell(numbers, by: exchange) }
    }

    private func tell(_ numbers: [Int64], by exchange: RecordExchange) async {
        for number in numbers {
            while !Task.isCancelled {
                do {
                    try await tell(number, by: exchange)
                    break
                } catch let error as Libp2pError {
                    // It is kept, and repair brings it to those that come.
                    logger.notice("news of a status list reached nobody yet", metadata: ["why": "\(error)"])
                    break
                } catch let refusal as RecordRefusal where refusal.code != .unavailable {
                    logger.error("news of a status list can't be told", metadata: ["why": "\(refusal)"])
                    break
                } catch {
                    logger.warning("news of a status list is not told yet", metadata: ["why": "\(error)"])
                    try? await Task.sleep(for: Self.retry)
                }
            }
        }
    }

    private func tell(_ number: Int64, by exchange: RecordExchange) async throws {
        guard let news = identity.office.statusNews(of: number) else { return }
        let now = clock.now()
        // A list's sequence is at least the time of its change; what lies longer back everybody has by now ([STAT-5]).
        guard Int64(clamping: news.sequence) > now.secondsSince1970 - StatusEvent.lifetimeSeconds else { return }
        let signer = identity.nodeKeys.node
        let key = RecordKey(author: signer.did, kind: StatusEvent.kind.name, name: String(number))
        if let told = try await intake.store.version(of: key), told.sequence >= news.sequence { return }
        let event = StatusEvent(listURL: news.url, sequence: news.sequence, contentDigest: news.digest)
        try await exchange.publish(event.record(name: key.name, created: now, by: signer))
    }

    // MARK: News of others' lists ([RVK-2])

    private func hear(_ records: AsyncStream<Record>) async {
        // What was kept and not followed before this node ended; of most the disk says that it was.
        await hearAllKept()
        await withTaskGroup(of: Void.self) { group in
            var running = 0
            for await record in records where record.author != identity.office.issuer {
                if running >= Self.hearing {
                    await group.next()
                    running -= 1
                }
                running += 1
                group.addTask { [self] in await hear(record) }
            }
        }
    }

    private func hearAllKept() async {
        var query = RecordQuery(kind: StatusEvent.kind.name)
        query.count = RecordQuery.maximumCount
        while let page = try? await intake.store.records(query), let last = page.last {
            for record in page where record.author != identity.office.issuer { await hear(record) }
            query.after = ReconciliationItem(
                timestamp: UInt64(clamping: last.created.millisecondsSince1970),
                id: last.id
            )
        }
    }

    private func hear(_ record: Record) async {
        guard let event = try? StatusEvent(record) else { return }
        do {
            let worth = try await identity.cache.hear(
                StatusListNews(
                    url: event.listURL,
                    issuer: record.author,
                    sequence: event.sequence,
                    digest: event.contentDigest,
                    document: record.bytes
                )
            )
            guard worth == .news else { return }
            logger.info("a status list has changed", metadata: ["list": "\(event.listURL)"])
        } catch {
            logger.error(
                "news of a status list could not be kept",
                metadata: ["list": "\(event.listURL)", "error": "\(error)"]
            )
        }
    }
}
