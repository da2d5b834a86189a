internal import Cashu
internal import Encodings
internal import Logging
internal import Market
internal import Storage
internal import Wallet

/// One side of a job, as a desk keeps it.
protocol JobEngine: Codable, Equatable, Sendable {
    associatedtype Event: Sendable
    associatedtype Action: Sendable
    var terms: EscrowTerms { get }
    var ending: EscrowEnding? { get }
    mutating func take(_ event: Event, at now: UInt64) throws(TradeRefusal) -> [Action]
    func actions(at now: UInt64) -> [Action]
}

extension EscrowBuyer: JobEngine {}
extension EscrowProvider: JobEngine {}

/// The jobs of one side on disk, and the clocks of the mints that they go by.
final class JobBook<Engine: JobEngine>: Sendable {
    typealias Job = StoredJob<Engine>

    /// The most jobs that are open at a time.
    static var maximumOpen: Int { 1_000 }
    /// The longest answer that is kept in memory while its job is at work, in bytes.
    private static var maximumRemembered: Int { 64 * 1024 }
    /// How long a job that is over is kept.
    private static var keepSeconds: Int64 { 30 * 86_400 }

    private let store: JobStore<Engine>
    private let known = Committed<[UInt8], Job>(64)
    private let database: Database
    private let clocks: MintClocks
    private let clock: WallClock
    private let logger: Logger

    /// - Parameters:
    ///   - side: `bought` or `sold`.
    ///   - database: with ``JobTables/migrations``.
    ///   - acceptedMints: those that the wallet is to know, where it has not met them.
    init(
        side: String,
        database: Database,
        wallet: Wallet,
        acceptedMints: [MintURL] = [],
        clock: WallClock,
        logger: Logger
    ) {
        store = JobStore(side: side)
        self.database = database
        clocks = MintClocks(wallet: wallet, acceptedMints: acceptedMints, clock: clock)
        self.clock = clock
        self.logger = logger
    }

    /// - Returns: false where the job, or another one of its place, is there.
    /// - Throws: ``JobError`` `too-many-jobs`.
    func insert(_ job: Job) async throws -> Bool {
        let (store, known) = (store, known)
        let write: Committed<[UInt8], Job>.Write? = try await database.write { connection in
            guard try store.countOpen(in: connection) < Self.maximumOpen else {
                throw JobError(.tooMany, "\(Self.maximumOpen) jobs are open, which is the most: try again later.")
            }
            let write = known.begin(job.job)
            return try store.insert(job, in: connection) ? write : nil
        }
        guard let write else { return false }
        remember(job, of: write)
        return true
    }

    private func remember(_ job: Job, of write: Committed<[UInt8], Job>.Write) {
        guard job.sealed?.count ?? 0 <= Self.maximumRemembered else { return }
        known.end(write, job.job, job)
    }

    func find(_ job: [UInt8]) async throws -> Job? {
        if let stored = known[job] { return stored }
        let store = store
        return try await database.read { connection in try store.find(job, in: connection) }
    }

    /// By the name that people are told.
    func named(_ name: String) async throws -> Job {
        guard name.utf8.count == 64, let job = try? Hex.decode(name), let stored = try await find(job) else {
            throw JobError(.unknownJob, "There is no job \(name.prefix(64)) that this node \(store.side).")
        }
        return stored
    }

    /// Newest first.
    func recent(limit: Int) async throws -> [Job] {
        let store = store
        return try await database.read { connection in try store.recent(limit: limit, in: connection) }
    }

    /// The job that was made of a quote's first place.
    func made(of quote: [UInt8]) async throws -> [UInt8]? {
        let side = store.side
        return try await database.read { connection in
            try connection.first(
                "SELECT job FROM jobs WHERE side = ? AND quote_digest = ? AND sequence = 0",
                .text(side),
                .blob(quote)
            )?.blob(0)
        }
    }

    /// Those that ended after a sequence, in that order, with their own.
    func ended(after sequence: Int64, limit: Int) async throws -> [(Int64, Job)] {
        let store = store
        return try await database.read { connection in
            try store.ended(after: sequence, limit: limit, in: connection)
        }
    }

    /// Takes an event into a job's state, in one transaction that reads and writes it.
    ///
    /// - Parameter now: the mint's clock; nil: it is asked, where that is long ago.
    @discardableResult
    func apply(
        _ event: Engine.Event,
        to job: [UInt8],
        now: UInt64? = nil,
        _ change: @escaping @Sendable (inout Job) -> Void = { _ in }
    ) async throws -> (stored: Job, actions: [Engine.Action]) {
        guard let found = try await find(job) else { throw JobError(.unknownJob, "There is no such job.") }
        let seconds = if let now { now } else { try await mintSeconds(found.engine.terms.mint) }
        let (store, known, at) = (store, known, clock.now())
        let (write, stored, actions) = try await database.write { connection in
            guard var stored = try known[job] ?? store.find(job, in: connection) else {
                throw JobError(.unknownJob, "There is no such job.")
            }
            let actions = try stored.engine.take(event, at: seconds)
            change(&stored)
            stored.isOpen = stored.engine.ending == nil
            let write = known.begin(job)
            try store.update(stored, at: at, in: connection)
            return (write, stored, actions)
        }
        remember(stored, of: write)
        return (stored, actions)
    }

    /// Says what went wrong last, for the operator.
    func note(_ what: String, _ job: [UInt8]) async throws {
        let (store, known, at) = (store, known, clock.now())
        try await database.write { connection in
            guard var stored = try store.find(job, in: connection), stored.note != what else { return }
            stored.note = what
            _ = known.begin(job)
            try store.update(stored, at: at, in: connection)
        }
    }

    /// Goes on with every open job, oldest first, and forgets old ones.
    func advance(_ step: @Sendable (Job) async throws -> Void) async {
        do {
            let (store, before) = (store, clock.now().adding(seconds: -Self.keepSeconds))
            let open = try await database.read { connection in
                try store.open(limit: Self.maximumOpen, in: connection)
            }
            for stored in open {
                do {
                    try await step(stored)
                } catch {
                    logger.notice(
                        "a job goes on later",
                        metadata: ["job": "\(stored.engine.terms.job)", "why": "\(error)"]
                    )
                }
            }
            let forgotten = try await database.write { connection in try store.forget(before: before, in: connection) }
            if forgotten > 0 { known.removeAll() }
        } catch {
            logger.warning("jobs go on later", metadata: ["side": "\(store.side)", "why": "\(error)"])
        }
    }

    /// This node's clock.
    func seconds() -> UInt64 { UInt64(max(0, clock.now().secondsSince1970)) }

    /// The mint's clock.
    func mintSeconds(_ name: String) async throws -> UInt64 { try await clocks.seconds(name) }
}
