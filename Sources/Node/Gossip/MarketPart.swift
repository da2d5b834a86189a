internal import CanonicalJSON
internal import Encodings
internal import Gossip
internal import Libp2p
internal import Logging
internal import Market
internal import P2PTransport
internal import Peering
internal import Records
internal import SignedDocuments
internal import Synchronization
internal import Trading

/// The market on the gossip network (`Specs/listing.md`): what this node sells is told and taken back, and what others sell is
/// found.
final class MarketPart: GossipPart {
    /// One of this node's own listings.
    struct Own: Sendable {
        enum State: String {
            /// It is told.
            case listed
            /// It is to be told, and could not be yet.
            case waiting
            /// It can't be told as it is.
            case refused
        }

        var name: String
        var state: State
        /// Why it is not told.
        var why: String?
        var record: Record?
    }

    let index: ListingIndex
    let records: RecordsPart
    private let author: DIDKey
    private let listings: @Sendable () -> [String: Result<Listing, RecordRefusal>]?
    private let clock: WallClock
    private let logger: Logger
    private let due: AsyncStream<Void>
    private let dues: AsyncStream<Void>.Continuation
    private let tasks = PartTasks()
    /// Why a listing was not told at the last try, by name.
    private let failures = Mutex<[String: String]>([:])

    /// How often it is looked whether a listing is to be renewed, or one of this node's came back from others.
    private static let round = Duration.seconds(30)
    private static let retry = Duration.seconds(2)

    /// - Parameters:
    ///   - listings: what is for sale, by name; nil where nothing is to be told or taken back now.
    ///   - author: this node, which signs what is told.
    init(
        index: ListingIndex,
        records: RecordsPart,
        author: DIDKey,
        listings: @escaping @Sendable () -> [String: Result<Listing, RecordRefusal>]?,
        clock: WallClock,
        logger: Logger
    ) {
        self.index = index
        self.records = records
        self.author = author
        self.listings = listings
        self.clock = clock
        self.logger = logger
        (due, dues) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    // MARK: Part of the node on the network

    var protocols: [P2PProtocol] { [] }

    func start(on host: P2PHost) async throws {
        let (arrivals, arrival) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let watching = records.intake.watch { if $0.key.kind == Listing.kind.name { arrival.yield() } }
        // What came while the index was not kept.
        arrival.yield()
        servicesChanged()
        let following = Task { [self] in
            for await _ in arrivals {
                do {
                    try await index.follow()
                } catch {
                    logger.warning("listings are not read into the index yet", metadata: ["error": "\(error)"])
                }
            }
            records.intake.unwatch(watching)
        }
        let telling = Task { [self] in
            for await _ in due {
                if await tellAll() { continue }
                try? await Task.sleep(for: Self.retry)
                servicesChanged()
            }
        }
        let ticking = Task { [self] in
            while (try? await Task.sleep(for: Self.round)) != nil { servicesChanged() }
        }
        tasks.begin([following, telling, ticking])
    }

    func take(_ event: P2PEvent) {}

    func stop() async { await tasks.stop() }

    /// What is for sale may be another: it is told soon.
    func servicesChanged() { dues.yield() }

    // MARK: This node's own

    /// Publishes, renews and takes back what is due.
    /// - Returns: whether nothing is left to be done.
    private func tellAll() async -> Bool {
        guard let listings = listings() else { return true }
        do {
            let schedule = ListingSchedule(offered: listings.compactMapValues { try? $0.get().body })
            var failed: [String: String] = [:]
            for action in schedule.actions(standing: try await standing(), now: clock.now()) {
                guard !Task.isCancelled else { return true }
                let name =
                    switch action {
                    case .publish(let name, _), .withdraw(let name): name
                    }
                do {
                    try await carry(action, name)
                } catch {
                    failed[name] = "\(error)"
                    logger.warning("a listing is not told yet", metadata: ["service": "\(name)", "why": "\(error)"])
                }
            }
            failures.withLock { $0 = failed }
            return failed.isEmpty
        } catch {
            logger.warning("what is for sale is not told yet", metadata: ["why": "\(error)"])
            return false
        }
    }

    private func carry(_ action: ListingSchedule.Action, _ name: String) async throws {
        let body: JSONObject? =
            switch action {
            case .publish(_, let body): body
            case .withdraw: nil
            }
        let (record, peers) = try await records.publish(
            body,
            of: Listing.kind,
            name: name,
            lifetimeSeconds: ListingSchedule.lifetimeSeconds
        )
        logger.info(
            record.isTombstone ? "a listing was taken back" : "a listing was published",
            metadata: ["service": "\(name)", "peers": "\(peers)"]
        )
    }

    /// This node's own listings and tombstones that are in the store.
    private func standing() async throws -> [Record] {
        var query = RecordQuery(kind: Listing.kind.name, author: author)
        query.includesTombstones = true
        query.count = RecordQuery.maximumCount
        var records: [Record] = []
        while true {
            let page = try await self.records.intake.store.records(query)
            records += page
            guard page.count == query.count, let last = page.last else { return records }
            query.after = ReconciliationItem(
                timestamp: UInt64(clamping: last.created.millisecondsSince1970),
                id: last.id
            )
        }
    }

    /// What of this node's is told, and what is not and why, by name.
    func own() async throws -> [Own] {
        var own: [String: Own] = [:]
        let failures = failures.withLock { $0 }
        for (name, result) in listings() ?? [:] {
            switch result {
            case .success: own[name] = Own(name: name, state: .waiting, why: failures[name])
            case .failure(let refusal): own[name] = Own(name: name, state: .refused, why: refusal.message)
            }
        }
        for record in try await standing() where !record.isTombstone {
            let name = record.key.name
            // One that is still told though it is not for sale waits to be taken back.
            var entry = own[name] ?? Own(name: name, state: .waiting, why: failures[name] ?? "to be taken back")
            entry.record = record
            if entry.state == .waiting, entry.why == nil { entry.state = .listed }
            own[name] = entry
        }
        return own.values.sorted { $0.name < $1.name }
    }
}
