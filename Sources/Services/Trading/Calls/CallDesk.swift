internal import CanonicalJSON
public import Cashu
internal import Cryptography
public import Encodings
public import Logging
public import Market
public import Records
public import SignedDocuments
public import Storage

/// What bids are called for.
public struct CallOrder: Sendable {
    /// All of them are among the words of a service that fits.
    public var words: [String]
    public var request: JobRequest
    /// The most that is locked for it, in whole parts of `unit`.
    public var budget: UInt64
    public var unit: CurrencyUnit
    /// How long bidders may commit themselves.
    public var bidSeconds: UInt64 = 5
    /// How long they may show their bids after that.
    public var revealSeconds = OpenCall.minimumRevealSeconds
    public var deliverWithinSeconds: UInt64 = 60

    public init(words: [String], request: JobRequest, budget: UInt64, unit: CurrencyUnit) {
        self.words = words
        self.request = request
        self.budget = budget
        self.unit = unit
    }
}

/// Calls for bids of this node's own ([QUO-15]): told by gossip, and awarded to the best bid, which the buyer's desk then buys.
///
/// Each step is on disk before anybody sees it, so that a call goes on after a restart, or ends.
public actor CallDesk {
    /// Calls that are open at a time.
    public static let maximumOpen = 16
    /// Bids that are tried for one call, the best first.
    static let maximumTried = 16
    /// How long a call that is over is kept.
    private static let keepSeconds: Int64 = 30 * 86_400
    /// After a failure of this node's own an award goes on after so long.
    private static let retrySeconds: UInt64 = 5

    let database: Database
    let market: any CallMarket
    private let signer: DocumentSigner
    let clock: WallClock
    private let allowsLocal: Bool
    let logger: Logger
    let trustPPM: @Sendable ([DIDKey]) async throws -> [DIDKey: UInt64]
    let blame: @Sendable ([WithheldBid]) async throws -> Void
    /// While the node is on the network.
    var tell: CallNews.Tell?
    private var live: [[UInt8]: Live] = [:]
    /// Calls that are to be awarded, and from when on.
    private var due: [[UInt8]: UInt64] = [:]
    private var awards: [[UInt8]: Task<Void, Never>] = [:]

    /// A call that takes bids.
    struct Live {
        var book: BidBook
        /// Shown before the time by this node's clock.
        var early: [DIDKey: Signed<Bid>] = [:]
        /// This node heard all that was said since bids could be shown: only then is anybody blamed for silence.
        var isWhole: Bool
    }

    /// - Parameters:
    ///   - database: with ``CallTables/migrations`` and ``JobTables/migrations``.
    ///   - signer: the node's key: it signs calls.
    ///   - allowsLocal: whether bidders are asked that are on this machine or its network alone.
    ///   - trustPPM: what bidders are trusted, in millionths.
    ///   - blame: counts bids that were not shown.
    public init(
        database: Database,
        market: any CallMarket,
        signer: DocumentSigner,
        clock: WallClock,
        allowsLocal: Bool,
        logger: Logger,
        trustPPM: @escaping @Sendable ([DIDKey]) async throws -> [DIDKey: UInt64],
        blame: @escaping @Sendable ([WithheldBid]) async throws -> Void
    ) {
        self.database = database
        self.market = market
        self.signer = signer
        self.clock = clock
        self.allowsLocal = allowsLocal
        self.logger = logger
        self.trustPPM = trustPPM
        self.blame = blame
    }

    func seconds() -> UInt64 { UInt64(max(0, clock.now().secondsSince1970)) }

    // MARK: Being there

    /// Takes up what is open, and hears bids from now on.
    public func start(_ tell: @escaping CallNews.Tell) async throws {
        let (unfinished, bids) = try await database.read { connection in
            let calls = try CallStore.unfinished(in: connection)
            return (calls, try calls.map { try CallStore.bids(on: $0.call.digest, in: connection) })
        }
        let now = seconds()
        for (stored, said) in zip(unfinished, bids) {
            let call = stored.call
            switch stored.state {
            case .open where now <= call.content.revealUntil:
                live[call.digest] = Live(book: Self.book(call, said), isWhole: now <= call.content.commitUntil)
                due[call.digest] = call.content.revealUntil + 1
            default: due[call.digest] = now
            }
        }
        self.tell = tell
    }

    /// Stops; what is under way goes on after the next start.
    public func stop() async {
        tell = nil
        let running = awards.values
        for task in running { task.cancel() }
        for task in running { await task.value }
        (live, due, awards) = ([:], [:], [:])
    }

    /// What was said and kept, said again: it was in its time.
    private static func book(_ call: Signed<OpenCall>, _ said: [StoredBid]) -> BidBook {
        var book = BidBook(call)
        for stored in said { try? book.commit(stored.commitment, now: call.content.commitUntil) }
        for stored in said {
            if let bid = stored.bid { try? book.reveal(bid, now: call.content.commitUntil + 1) }
        }
        return book
    }

    // MARK: Calling

    /// Calls for bids.
    /// - Returns: the call's name.
    /// - Throws: ``CallError``, `WalletError` where there is no money for it; then nobody hears of it.
    public func open(_ order: CallOrder) async throws -> String {
        guard let tell else { throw Self.notRunning }
        let now = seconds()
        let call = try await signed(order, now)
        let stored = StoredCall(call: call, request: order.request, state: .open, createdAt: clock.now())
        try await database.write { connection in
            guard try CallStore.countOpen(in: connection) < Self.maximumOpen else {
                throw CallError(.tooMany, "\(Self.maximumOpen) calls are open, which is the most: wait, or cancel one.")
            }
            try CallStore.insert(stored, in: connection)
        }
        live[call.digest] = Live(book: BidBook(call), isWhole: true)
        due[call.digest] = call.content.revealUntil + 1
        do {
            try await tell(.of(call, now: now))
        } catch {
            (live[call.digest], due[call.digest]) = (nil, nil)
            _ = try await database.write { connection in
                try CallStore.move(
                    call.digest,
                    from: [.open],
                    to: .failed,
                    note: "nobody could be told",
                    in: connection
                )
            }
            throw error
        }
        return call.name
    }

    private func signed(_ order: CallOrder, _ now: UInt64) async throws -> Signed<OpenCall> {
        guard (1...3_600).contains(order.bidSeconds), (1...3_600).contains(order.revealSeconds) else {
            throw CallError(.invalid, "Bids are called for 1 to 3600 seconds, and shown within 1 to 3600 seconds.")
        }
        let call = OpenCall(
            buyer: signer.did,
            words: order.words,
            request: order.request,
            maximumPrice: order.budget,
            unit: order.unit,
            mints: try await market.mints(in: order.unit),
            escrow: [.key],
            deliverWithinSeconds: order.deliverWithinSeconds,
            commitUntil: now + order.bidSeconds,
            revealUntil: now + order.bidSeconds + order.revealSeconds,
            nonce: SecureRandom.bytes(16),
            time: now
        )
        do {
            return try Signed<OpenCall>.sign(call, by: signer, now: clock.now())
        } catch let refusal as TradeRefusal {
            throw CallError(.invalid, "The call can't be made: \(refusal.message).")
        }
    }

    private static let notRunning = CallError(
        .notRunning,
        "This node is not on the gossip network, so nobody hears a call: run `mintmark serve`, with gossip.enabled=true."
    )

    /// Takes a call back that takes bids still; nobody is blamed then.
    /// - Throws: ``CallError`` `unknown-call`, `call-over`.
    public func cancel(_ name: String) async throws {
        let stored = try await named(name)
        let digest = stored.call.digest
        let isCancelled = try await database.write { connection in
            try CallStore.move(digest, from: [.open], to: .cancelled, note: "cancelled", in: connection)
        }
        guard isCancelled else {
            throw CallError(.callOver, "The call is \(stored.state.rawValue): it can't be cancelled any more.")
        }
        (live[digest], due[digest]) = (nil, nil)
        await takeBack(stored.call)
    }

    /// Bidders are free then. A record that could not be told ends by itself.
    func takeBack(_ call: Signed<OpenCall>) async {
        do {
            try await tell?(.over(call))
        } catch {
            logger.notice("the end of a call was not told", metadata: ["call": "\(call.name)", "why": "\(error)"])
        }
    }

    /// - Throws: ``CallError`` `unknown-call`.
    func named(_ name: String) async throws -> StoredCall {
        let digest = name.utf8.count == 64 ? try? Hex.decode(name) : nil
        let found = try await database.read { connection in
            try digest.flatMap { try CallStore.find($0, in: connection) }
        }
        guard let found else { throw CallError(.unknownCall, "There is no call \(name.prefix(64)) of this node's.") }
        return found
    }

    // MARK: Hearing

    /// Takes what a bidder tells; what does not count changes nothing.
    public func hear(_ record: Record) async {
        guard let call = BidNews.call(named: record.key.name), live[call] != nil else { return }
        do {
            switch try BidNews(record) {
            case .commitment(let said): try await commit(said)
            case .bid(let said): try await show(said)
            }
        } catch {
            logger.debug(
                "a bid does not count",
                metadata: ["call": "\(Hex.encode(call))", "bidder": "\(record.author)", "why": "\(error)"]
            )
        }
    }

    private func commit(_ said: Signed<BidCommitment>) async throws {
        try live[said.content.call]?.book.commit(said, now: seconds())
        try await database.write { try CallStore.commit(said, in: $0) }
    }

    private func show(_ said: Signed<Bid>) async throws {
        let digest = said.content.call
        guard let entry = live[digest] else { return }
        guard allowsLocal || said.content.node.reach == .internet else {
            throw TradeRefusal(.unsuitable, "the bidder's node is not on the internet")
        }
        let now = seconds()
        if now <= entry.book.call.content.commitUntil, entry.book.isBound(said) {
            // A clock ahead of this one: it is taken up when its time has come.
            live[digest]?.early[said.content.bidder] = said
            return
        }
        try live[digest]?.book.reveal(said, now: now)
        try await database.write { try CallStore.show(said, in: $0) }
    }

    // MARK: Going on

    /// Does what is due. Call it a few times a second.
    public func advance() async {
        guard tell != nil else { return }
        let now = seconds()
        for (digest, entry) in live where !entry.early.isEmpty && now > entry.book.call.content.commitUntil {
            live[digest]?.early = [:]
            for bid in entry.early.values { try? await show(bid) }
        }
        for (digest, time) in due where time <= now && awards[digest] == nil {
            let book = live[digest]
            awards[digest] = Task { await award(digest, book) }
        }
    }

    private func award(_ digest: [UInt8], _ book: Live?) async {
        defer { awards[digest] = nil }
        do {
            try await award(digest, withheldIn: book)
            (live[digest], due[digest]) = (nil, nil)
        } catch {
            due[digest] = seconds() + Self.retrySeconds
            guard !Task.isCancelled else { return }
            logger.warning(
                "the award of a call goes on later",
                metadata: ["call": "\(Hex.encode(digest))", "why": "\(error)"]
            )
        }
    }

    func forgetOld() async throws {
        let before = clock.now().adding(seconds: -Self.keepSeconds)
        try await database.write { try CallStore.forget(before: before, in: $0) }
    }
}
