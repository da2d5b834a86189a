public import Encodings
public import Gossip
public import Logging
internal import Market
internal import Receipts
internal import Records
public import SignedDocuments
internal import Storage
internal import Synchronization
internal import TransparencyLog

/// Fetches what others published of the calls that they paid for, of those alone whose word counts for something here ([REP-18]),
/// and has the node's book count what holds.
public actor RatingGatherer {
    /// Fetches a document of at most so many bytes.
    public typealias Fetch = @Sendable (String, Int) async throws -> [UInt8]

    /// What a visit came to.
    public struct Visit: Sendable, Hashable {
        public var judge: DIDKey
        public var counted = 0
        /// By the code of the ``ReputationRefusal``.
        public var refused: [String: Int] = [:]
        /// Why it came to nothing; nil where it did not.
        public var why: String?
    }

    /// Judges that are looked at, the most valued.
    public static let maximumJudges = 128
    /// One after another, in one round.
    static let visitsPerRound = 8
    /// Of one visit.
    static let maximumRows = UInt64(RatingStore.maximumPerJudge)
    static let maximumPages = 64
    static let maximumBytes = 16 << 20
    static let maximumMilliseconds: Int64 = 60_000
    /// Between two visits, and after one that failed.
    static let leastSeconds: Int64 = 60
    static let retrySeconds: Int64 = 600

    private let store: RatingStore
    private let calls: CallBook
    private let records: RecordStore
    private let clock: WallClock
    private let logger: Logger
    private let maximumRows: UInt64
    private let onVisit: @Sendable (Visit) -> Void
    private let fetch: Fetch

    /// - Parameters:
    ///   - store: that the book's sources tell from too.
    ///   - onVisit: is told of each.
    public init(
        store: RatingStore,
        calls: CallBook,
        records: RecordStore,
        clock: WallClock,
        logger: Logger,
        onVisit: @escaping @Sendable (Visit) -> Void = { _ in },
        fetch: @escaping Fetch
    ) {
        self.init(
            store: store,
            calls: calls,
            records: records,
            clock: clock,
            logger: logger,
            maximumRows: Self.maximumRows,
            onVisit: onVisit,
            fetch: fetch
        )
    }

    init(
        store: RatingStore,
        calls: CallBook,
        records: RecordStore,
        clock: WallClock,
        logger: Logger,
        maximumRows: UInt64,
        onVisit: @escaping @Sendable (Visit) -> Void = { _ in },
        fetch: @escaping Fetch
    ) {
        self.maximumRows = maximumRows
        self.store = store
        self.calls = calls
        self.records = records
        self.clock = clock
        self.logger = logger
        self.onVisit = onVisit
        self.fetch = fetch
    }

    /// Visits those of whom there is something new, one after another, those not visited for longest first.
    /// - Throws: `StorageError`.
    @discardableResult
    public func round() async throws -> [Visit] {
        let places = try await store.places()
        let now = clock.now()
        let told = try await told().filter { Self.isDue($0.value, places[$0.key], now: now) }
        // Without news it is not looked who counts: that may take a while.
        guard !told.isEmpty else { return [] }
        var due: [(judge: DIDKey, told: PublishedReceipts, place: RatingStore.Place)] = []
        for judge in try await calls.judges(most: Self.maximumJudges) {
            if let told = told[judge] { due.append((judge, told, places[judge] ?? .init())) }
        }
        let first = Timestamp(millisecondsSince1970: 0)
        due.sort { ($0.place.visitedAt ?? first, $0.judge.string) < ($1.place.visitedAt ?? first, $1.judge.string) }
        var visits: [Visit] = []
        for (judge, told, place) in due.prefix(Self.visitsPerRound) where !Task.isCancelled {
            visits.append(try await visit(judge, told, place))
        }
        return visits
    }

    /// What others' records say now, by author.
    private func told() async throws -> [DIDKey: PublishedReceipts] {
        var query = RecordQuery(kind: PublishedReceipts.kind.name)
        query.count = RecordQuery.maximumCount
        var told: [DIDKey: PublishedReceipts] = [:]
        while true {
            let page = try await records.records(query)
            for record in page where record.author != calls.viewer {
                told[record.author] = try? PublishedReceipts(record)
            }
            guard page.count == query.count, let last = page.last else { return told }
            query.after = ReconciliationItem(
                timestamp: UInt64(clamping: last.created.millisecondsSince1970),
                id: last.id
            )
        }
    }

    private static func isDue(_ told: PublishedReceipts, _ place: RatingStore.Place?, now: Timestamp) -> Bool {
        guard let place else { return true }
        func isPast(_ then: Timestamp?, _ seconds: Int64) -> Bool {
            guard let then else { return true }
            // A clock that was set back is no reason to wait.
            return !(0..<seconds * 1_000).contains(now.milliseconds(since: then))
        }
        guard isPast(place.contradictedAt, RatingStore.distrustSeconds) else { return false }
        guard isPast(place.visitedAt, place.failed ? retrySeconds : leastSeconds) else { return false }
        return told.count != place.edge.size || told.root != place.edge.root
    }

    // MARK: One visit

    /// Nothing is kept of a visit that did not come to its end.
    private func visit(_ judge: DIDKey, _ told: PublishedReceipts, _ place: RatingStore.Place) async throws -> Visit {
        var visit = Visit(judge: judge)
        do {
            // After a while whoever contradicted itself begins anew.
            let known = place.contradictedAt == nil ? place.edge : MerkleFrontier()
            let reading = try await read(told, of: judge, after: known)
            visit.refused = reading.refused
            let (now, store) = (clock.now(), store)
            let counted = Count()
            try await calls.hear {
                let new = try await store.keep(
                    reading.shown,
                    refused: reading.refused,
                    of: judge,
                    edge: reading.edge,
                    at: now
                )
                counted.set(new.count)
                return new
            }
            visit.counted = counted.value
            let repeated = reading.shown.count - visit.counted
            if repeated > 0 { visit.refused[ReputationRefusal.Code.repeated.rawValue] = repeated }
            logger.debug(
                "ratings were gathered",
                metadata: [
                    "judge": "\(judge)", "counted": "\(visit.counted)", "refused": "\(visit.refused)",
                ]
            )
        } catch let failure as GatheringFailure {
            visit.why = failure.code.rawValue
            let isContradiction = failure.code == .contradicted
            logger.log(
                level: isContradiction ? .warning : .debug,
                isContradiction
                    ? "a node showed other ratings than it signed: no more of its are taken for 30 days"
                    : "ratings could not be gathered yet",
                metadata: ["judge": "\(judge)", "why": "\(failure)"]
            )
            try await store.fail(
                judge,
                why: String(failure.description.prefix(500)),
                contradicted: isContradiction,
                at: clock.now()
            )
        }
        onVisit(visit)
        return visit
    }

    /// What was read, all of it proved.
    private struct Reading: Sendable {
        /// Of the tree over all that was shown so far.
        var edge = MerkleFrontier()
        var shown: [RatingStore.Shown] = []
        /// By code.
        var refused: [String: Int] = [:]

        mutating func take(_ document: Result<RatedReceipt, ReputationRefusal>, of judge: DIDKey, at now: Timestamp) {
            do throws(ReputationRefusal) {
                let document = try document.get()
                let call = try document.call(publishedBy: judge, now: now)
                shown.append(.init(receipt: document.receipt.id, call: call))
            } catch {
                refused[error.code.rawValue, default: 0] += 1
            }
        }
    }

    /// Reads all that is new and holds it against the root that was signed.
    ///
    /// - Parameter known: the edge of the tree over what it showed before.
    private func read(
        _ told: PublishedReceipts,
        of judge: DIDKey,
        after known: MerkleFrontier
    ) async throws -> Reading {
        guard told.count >= known.size else {
            throw GatheringFailure(.contradicted, "It tells of fewer receipts than it showed before.")
        }
        // Where more came than one visit takes, the latest are read, after an edge that the node says and the root proves.
        var edge: MerkleFrontier? = known
        var position = known.size
        if told.count - position > maximumRows {
            edge = nil
            position = told.count - maximumRows
        }
        var reading = Reading()
        var (pages, bytes, start) = (0, 0, clock.now())
        while position < told.count {
            guard pages < Self.maximumPages, bytes <= Self.maximumBytes,
                clock.now().milliseconds(since: start) < Self.maximumMilliseconds
            else { throw GatheringFailure(.tooMuch, "A visit has \(Self.maximumPages) pages and a minute at most.") }
            let answer: [UInt8]
            do {
                answer = try await fetch("\(told.url)?from=\(position)", ReceiptsPage.maximumBytes)
            } catch {
                // What was cut short says nothing of whom it asked.
                try Task.checkCancellation()
                throw GatheringFailure(.unreachable, "\(told.url) can't be had: \(error)")
            }
            pages += 1
            bytes += answer.count
            let page = try ReceiptsPage(answer, from: position)
            var grown = edge ?? page.edge
            // It may have grown past what the record tells.
            for row in page.rows.prefix(Int(clamping: told.count - position)) {
                grown.append(leaf: MerkleTree.leaf(row.entry))
                reading.take(row.document, of: judge, at: clock.now())
            }
            (edge, position) = (grown, grown.size)
        }
        guard let edge, edge.root == told.root else {
            throw GatheringFailure(.contradicted, "What it showed is not what the root stands for that it signed.")
        }
        reading.edge = edge
        return reading
    }
}

/// A number that is set in another's turn.
private final class Count: Sendable {
    private let number = Mutex(0)
    var value: Int { number.withLock { $0 } }
    func set(_ value: Int) { number.withLock { $0 = value } }
}
