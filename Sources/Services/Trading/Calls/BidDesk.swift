public import Cashu
internal import Cryptography
public import Encodings
public import Logging
public import Market
public import Records
public import SignedDocuments
public import Storage

/// What is sold here, for the desk that bids.
public protocol BidServices: Sendable {
    /// What a call costs by the service's price list; nil where it is not sold by escrow.
    func offer(_ service: String, method: String, target: String) async -> JobOffer?
    /// The words of a service's name, title, tags and description; nil where it is not sold by escrow here.
    func words(of service: String) async -> Set<String>?
}

/// Bids on others' calls by rule ([QUO-12] to [QUO-14]): commits itself, shows its bid, and honours it once by a firm quote.
///
/// A bid is on disk before anybody hears of it, so that it is shown and honoured after a restart too.
public actor BidDesk {
    public static let maximumRules = 64
    /// Bids that bind this node at a time, of all services.
    public static let maximumBinding = 256
    /// How long a bid that is over is kept.
    private static let keepSeconds: Int64 = 7 * 86_400

    let database: Database
    let services: any BidServices
    let signer: DocumentSigner
    let acceptedMints: [MintURL]
    let lockKey: @Sendable () throws -> [UInt8]
    let clock: WallClock
    private let logger: Logger
    /// Where buyers ask for the quote; nil where none that others take is known.
    private let node: ListingURL?
    private var tell: CallNews.Tell?
    private var standing: @Sendable (DIDKey) async throws -> Int = { _ in 0 }
    /// Whether something is to be told or shown.
    private var isWaiting = false

    /// - Parameters:
    ///   - database: with ``CallTables/migrations`` and ``JobTables/migrations``.
    ///   - signer: the node's key: it signs bids and quotes.
    ///   - publicURL: where others reach this node.
    ///   - acceptedMints: whose ecash is taken.
    ///   - lockKey: a key of the wallet's that money can be locked to.
    public init(
        database: Database,
        services: any BidServices,
        signer: DocumentSigner,
        publicURL: String,
        acceptedMints: [MintURL],
        lockKey: @escaping @Sendable () throws -> [UInt8],
        clock: WallClock,
        logger: Logger
    ) {
        self.database = database
        self.services = services
        self.signer = signer
        self.acceptedMints = acceptedMints
        self.lockKey = lockKey
        self.clock = clock
        self.logger = logger
        node = ListingURL(publicURL).flatMap { $0.isOrigin ? $0 : nil }
    }

    func seconds() -> UInt64 { UInt64(max(0, clock.now().secondsSince1970)) }

    /// Bids from now on.
    ///
    /// - Parameter standing: what this node thinks of a buyer, 0 to 100.
    public func start(
        _ tell: @escaping CallNews.Tell,
        standing: @escaping @Sendable (DIDKey) async throws -> Int
    ) {
        self.tell = tell
        self.standing = standing
        isWaiting = true
    }

    public func stop() { tell = nil }

    // MARK: Rules

    /// - Throws: ``CallError``.
    public func add(_ rule: BidRule, replaces: Bool = false) async throws {
        guard node != nil else {
            throw CallError(
                .notSold,
                "Other nodes take an https address only, or http on one's own machine: set http.publicURL."
            )
        }
        guard await services.words(of: rule.service) != nil else {
            throw CallError(.notSold, "\(rule.service) is not sold by escrow here: mintmark service add … --escrow key")
        }
        try await database.write { connection in
            let known = try BidStore.rules(in: connection)
            guard known.count < Self.maximumRules || known.contains(where: { $0.service == rule.service }) else {
                throw CallError(.tooManyRules, "There are \(Self.maximumRules) rules, which is the most.")
            }
            guard try BidStore.insert(rule, replaces: replaces, in: connection) else {
                throw CallError(
                    .ruleExists,
                    "\(rule.service) has a rule: replace it with --replace, or remove it first."
                )
            }
        }
    }

    /// What was bid by it still binds.
    /// - Throws: ``CallError`` `unknown-bid-rule`.
    public func remove(_ service: String) async throws {
        guard try await database.write({ try BidStore.remove(service, in: $0) }) else {
            throw CallError(.unknownRule, "There is no rule for \(service.prefix(63)).")
        }
    }

    // MARK: Hearing

    /// Bids on a call where a rule says so; what does not fit, or was heard before, changes nothing.
    public func hear(_ record: Record) async {
        guard tell != nil, record.author != signer.did else { return }
        do {
            guard !record.isTombstone else {
                guard let call = BidNews.call(named: record.key.name) else { return }
                return try await database.write { try BidStore.release(call, of: record.author, in: $0) }
            }
            if let why = try await consider(Signed<OpenCall>(record)) { note(record, why) }
        } catch {
            note(record, "\(error)")
        }
    }

    private func note(_ record: Record, _ why: String) {
        logger.debug("nothing is bid on a call", metadata: ["call": "\(record.key.name)", "why": "\(why)"])
    }

    /// - Returns: why nothing is bid.
    private func consider(_ call: Signed<OpenCall>) async throws -> String? {
        let (asked, now) = (call.content, seconds())
        guard now < asked.commitUntil, asked.time <= now + TradeBounds.skewSeconds else { return "it is not its time" }
        guard asked.escrow.contains(.key), let mint = asked.mints.first(where: acceptedMints.contains) else {
            return "its buyer pays at none of the mints that are taken here, or in another way"
        }
        let rules = try await database.read { try BidStore.rules(in: $0) }.filter { $0.unit == asked.unit.name }
        guard !rules.isEmpty else { return "there is no rule in its unit" }
        let percent = try await standing(asked.buyer)
        var why = "no service with a rule has its words"
        for rule in rules {
            guard let words = await services.words(of: rule.service), BidRule.fits(asked.words, service: words),
                let offer = await services.offer(rule.service, method: asked.method, target: asked.target),
                offer.unit == rule.unit
            else { continue }
            guard percent >= rule.reputation else {
                why = "its buyer's standing is \(percent), under \(rule.reputation)"
                continue
            }
            let used = try await database.read { try BidStore.used(rule.service, now: now, in: $0) }
            guard let price = rule.price(listed: offer.amount, used: used.total, most: asked.maximumPrice) else {
                why = "\(rule.service) is at its capacity, or its floor is above what the buyer pays"
                continue
            }
            guard try await bid(price, by: rule, on: call, mint: mint, offer) else {
                why = "as much is bid for as may be"
                continue
            }
            return nil
        }
        return why
    }

    /// Keeps the bid, then tells of the commitment.
    /// - Returns: false where there is no room for it.
    private func bid(
        _ price: UInt64,
        by rule: BidRule,
        on call: Signed<OpenCall>,
        mint: MintURL,
        _ offer: JobOffer
    ) async throws -> Bool {
        guard let node else { return false }
        let (now, asked) = (seconds(), call.content)
        let bid = try Signed<Bid>.sign(
            Bid(
                bidder: signer.did,
                call: call.digest,
                service: rule.service,
                node: node,
                price: price,
                deliverWithinSeconds: min(UInt64(clamping: offer.seconds) + 5, asked.deliverWithinSeconds),
                mint: mint,
                mode: .key,
                salt: SecureRandom.bytes(32),
                time: now
            ),
            by: signer,
            now: clock.now()
        )
        let made = MadeBid(call: call, bid: bid, state: .made, createdAt: clock.now())
        let before = clock.now().adding(seconds: -Self.keepSeconds)
        let isKept = try await database.write { connection in
            try BidStore.forget(before: before, in: connection)
            guard try BidStore.used(rule.service, now: now, in: connection).total < rule.capacity,
                try BidStore.countBinding(to: asked.buyer, for: rule.service, now: now, in: connection)
                    < rule.capacityOfOneBuyer,
                try BidStore.countBinding(now: now, in: connection) < Self.maximumBinding
            else { return false }
            return try BidStore.insert(made, in: connection)
        }
        guard isKept else { return false }
        isWaiting = true
        try await commit(made)
        return true
    }

    // MARK: Going on

    /// Tells and shows what is due. Call it a few times a second.
    public func advance() async {
        guard tell != nil, isWaiting else { return }
        do {
            let waiting = try await database.read { try BidStore.waiting(in: $0) }
            isWaiting = !waiting.isEmpty
            for made in waiting {
                do {
                    try await goOn(made)
                } catch {
                    logger.notice("a bid is told later", metadata: ["call": "\(made.call.name)", "why": "\(error)"])
                }
            }
        } catch {
            isWaiting = true
            logger.warning("bids go on later", metadata: ["why": "\(error)"])
        }
    }

    private func goOn(_ made: MadeBid) async throws {
        let (now, asked) = (seconds(), made.call.content)
        switch made.state {
        case .made where now < asked.commitUntil: try await commit(made)
        case .made: try await move(made, to: .dropped)
        // The buyer counts whole seconds, and takes no bid before the next one.
        case .committed where now > asked.revealUntil: try await move(made, to: .dropped)
        case .committed where now > asked.commitUntil:
            try await tell?(.of(.bid(made.bid), for: asked, now: now))
            try await move(made, to: .shown)
        default: break
        }
    }

    private func commit(_ made: MadeBid) async throws {
        let now = seconds()
        let commitment = try Signed<BidCommitment>.sign(
            BidCommitment(to: made.bid.content, time: now),
            by: signer,
            now: clock.now()
        )
        try await tell?(.of(.commitment(commitment), for: made.call.content, now: now))
        try await move(made, to: .committed)
    }

    private func move(_ made: MadeBid, to state: MadeBid.State) async throws {
        _ = try await database.write { connection in
            try BidStore.move(made.call.digest, from: made.state, to: state, in: connection)
        }
    }
}
