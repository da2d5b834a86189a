public import CanonicalJSON
public import Cashu
internal import Cryptography
public import Encodings
public import Logging
public import Market
public import SignedDocuments
public import Storage
public import Wallet

/// What is to be bought, and from whom.
public struct JobOrder: Sendable {
    /// Scheme, host and port of the seller's node.
    public var origin: String
    public var service: String
    public var request: JobRequest
    /// The most that is locked for it, in whole parts of `unit`.
    public var budget: UInt64
    public var unit: CurrencyUnit
    /// Whose quote it must be; nil: whoever answers there.
    public var provider: DIDKey?
    /// By when it must be delivered, in seconds from now.
    public var deadlineSeconds: UInt64 = 120
    public var mode = Listing.Escrow.key
    /// Of mode `arbiter`: whom the buyer takes, the first that the seller takes too.
    public var arbiters: [NamedArbiter] = []
    /// Of mode `arbiter`: a person says whether the answer is good; else any answer in time is.
    public var isReviewed = false

    public init(origin: String, service: String, request: JobRequest, budget: UInt64, unit: CurrencyUnit) {
        self.origin = origin
        self.service = service
        self.request = request
        self.budget = budget
        self.unit = unit
    }

    /// Who decides, where the quote's mode has somebody that does: by name and key the same for both.
    func arbiter(of quote: Quote) -> NamedArbiter? {
        arbiters.first { named in
            quote.arbiters.contains { $0.did == named.arbiter.did && $0.key.xOnly == named.arbiter.key.xOnly }
        }
    }
}

/// Buys jobs (`Specs/job.md`). In mode `key` it asks for a quote, accepts it, locks money for a delivery that is here sealed, and opens
/// it; in mode `arbiter` it locks the money first, and signs it over for the answer. Where the seller does not take the money, it comes
/// back by itself after the locktime.
public actor BuyerDesk {
    typealias Bought = StoredJob<EscrowBuyer>
    /// Sends a POST; the answer's status and body.
    public typealias Post = @Sendable (_ url: String, _ body: [UInt8]) async throws -> (status: Int, body: [UInt8])

    let wallet: Wallet
    let line: JobLine
    let arbiterLine: JobLine
    let joint: JointLock
    let signer: DocumentSigner
    let clock: WallClock
    let book: JobBook<EscrowBuyer>
    /// Of the other side, for what is shown.
    let sold: JobBook<EscrowProvider>
    private var busy: Set<[UInt8]> = []
    var pace = DisputePace()

    /// - Parameters:
    ///   - database: with ``JobTables/migrations``.
    ///   - signer: the node's key: it signs requests and acceptances.
    public init(
        database: Database,
        wallet: Wallet,
        signer: DocumentSigner,
        clock: WallClock,
        logger: Logger,
        post: @escaping Post
    ) {
        book = JobBook(side: "bought", database: database, wallet: wallet, clock: clock, logger: logger)
        sold = JobBook(side: "sold", database: database, wallet: wallet, clock: clock, logger: logger)
        self.wallet = wallet
        self.signer = signer
        self.clock = clock
        line = JobLine(party: "seller", post: post)
        arbiterLine = JobLine(party: "arbiter", post: post)
        joint = JointLock(wallet: wallet, signer: signer, clock: clock, reference: Self.reference)
    }

    // MARK: Buying

    /// Takes a quote; the job is on disk then, and ``pursue(_:milliseconds:)`` goes on with it.
    ///
    /// - Parameters:
    ///   - quote: one that ``quotes(for:trustPPM:)`` got for this very order.
    ///   - promise: the listing's body that it names; nil: none that is kept.
    /// - Returns: the job's name.
    /// - Throws: ``JobError``, `WalletError`; nothing was paid.
    public func begin(
        _ order: JobOrder,
        _ quote: Signed<Quote>,
        promise: JSONObject?
    ) async throws -> String {
        let mint = quote.content.mint
        let rate = try await wallet.inputFeePPK(ofNewCoinsAt: mint, unit: order.unit)
        let locked = try Fees.grossedUp(price: quote.content.price, feePPK: rate)
        guard locked <= order.budget else {
            throw JobError(
                .overBudget,
                "The call costs \(quote.content.price) \(order.unit), and \(locked) \(order.unit) with the mint's fee; the budget is"
                    + " \(order.budget) \(order.unit)."
            )
        }
        let arbiter = order.arbiter(of: quote.content)
        let acceptance = try Signed<Acceptance>.sign(
            Acceptance(
                of: quote,
                request: order.request.digest,
                refundKey: Secp256k1.Point(compressed: wallet.receivingKey()),
                arbiter: arbiter?.arbiter.did,
                nonce: SecureRandom.bytes(16),
                time: try await book.mintSeconds(mint.string)
            ),
            by: signer,
            now: clock.now()
        )
        let terms = try EscrowTerms(quote: quote, acceptance: acceptance)
        var stored = Bought(
            quote: quote,
            acceptance: acceptance,
            engine: EscrowBuyer(terms),
            createdAt: clock.now()
        )
        stored.origin = order.origin
        stored.arbiter = arbiter?.origin
        stored.isReviewed = order.isReviewed
        stored.promise = promise.map { String(decoding: $0.serialized(), as: UTF8.self) }
        stored.request = String(decoding: JobWire.json(order.request).serialized(), as: UTF8.self)
        guard try await book.insert(stored) else {
            throw JobError(.invalid, "The quote was accepted already.")
        }
        return terms.job
    }

    /// Goes on with a job until its answer is here, it has ended, or the time is over.
    func pursue(_ name: String, milliseconds: Int64) async throws {
        let until = clock.now().adding(milliseconds: milliseconds)
        var pause: Int64 = 20
        while true {
            let before = try await book.named(name)
            if before.isOpen, before.engine.key == nil { try await step(before.job) }
            let after = try await book.named(name)
            if !after.isOpen { break }
            if after.engine.key != nil {
                // So that the end is known at once, where the mint says it; a round may be at the job just now.
                while busy.contains(after.job), clock.now() < until { try await Task.sleep(for: .milliseconds(5)) }
                try await step(after.job)
                break
            }
            if after.waitsForPeople { break }
            guard clock.now() < until else { break }
            if after.engine != before.engine {
                pause = 20
            } else {
                try await Task.sleep(for: .milliseconds(pause))
                pause = min(1_000, pause * 2)
            }
        }
    }

    // MARK: Going on

    /// Goes on with every open job, and forgets old ones.
    public func advance() async {
        await book.advance { [self] stored in try await step(stored.job) }
    }

    /// Does once what the job's state says. One at a time.
    func step(_ job: [UInt8]) async throws {
        guard busy.insert(job).inserted else { return }
        defer { busy.remove(job) }
        guard let stored = try await book.find(job), stored.isOpen else { return }
        let now = try await book.mintSeconds(stored.engine.terms.mint)
        var moved = stored.engine
        _ = try moved.take(.tick, at: now)
        if moved != stored.engine { try await book.apply(.tick, to: job) }
        for action in moved.actions(at: now) {
            guard let current = try await book.find(job), current.isOpen else { return }
            try await perform(action, current)
        }
    }

    private func perform(_ action: EscrowBuyer.Action, _ stored: Bought) async throws {
        let (job, terms) = (stored.job, stored.engine.terms)
        switch action {
        case .askDelivery:
            if terms.mode == .arbiter { try await askOpenDelivery(stored) } else { try await askDelivery(stored) }
        case .lock:
            if terms.mode == .arbiter, try await !announce(stored) { return }
            try await lock(stored)
        case .findLock:
            switch try await wallet.token(sentFor: Self.reference(terms)) {
            case .sent(let token): try await locked(token, stored)
            case .unknown: break
            case .none: try await book.apply(.lockFailed, to: job)
            }
        // In mode `arbiter` it goes along with the question for the delivery.
        case .sendLock: if terms.mode != .arbiter { try await sendLock(stored) }
        case .askMint: try await askMint(stored)
        case .refund:
            guard let token = stored.token else { throw JobError(.corrupt, "a job's lock is gone") }
            do {
                _ = try await wallet.receive(token)
            } catch let error as WalletError {
                // What the mint says comes next.
                try await book.note(error.message, job)
            }
        case .restore: try await book.apply(.restored(try await cameBack(stored)), to: job)
        case .judge: if !stored.isReviewed { try await book.apply(.judged(isGood: true, reason: ""), to: job) }
        case .release: try await release(stored)
        case .escalate(let reason): try await escalate(stored, reason)
        case .claimRuling(let amount): try await claimRuling(stored, amount)
        }
    }

    @Sendable static func reference(_ terms: EscrowTerms) -> String { "job:\(terms.job):0" }

    /// What this wallet has of a lock that was spent.
    func cameBack(_ stored: Bought) async throws -> UInt64 {
        guard let token = stored.token else { throw JobError(.corrupt, "a job's lock is gone") }
        let refunded = try await wallet.received(of: token)
        guard refunded == 0, stored.engine.terms.mode == .arbiter else { return refunded }
        return try await wallet.collectShares(reference: Self.reference(stored.engine.terms))
    }

    private func askDelivery(_ stored: Bought) async throws {
        let answer = try await line.call((stored.origin ?? "") + "/market/jobs", try Self.body(stored))
        switch answer.status {
        case 200:
            do {
                let delivery: Signed<Delivery> = try JobWire.signed(answer.json["delivery"], "delivery")
                guard let text = answer.json["sealed"]?.stringValue, let sealed = try? Base64URL.decode(text) else {
                    throw JobError(.sellerFailed, "The seller's delivery has no sealed answer.")
                }
                try await book.apply(.delivered(delivery, beside: sealed), to: stored.job) { job in
                    job.delivery = delivery
                    job.sealed = sealed
                }
            } catch let error as TradeRefusal {
                try await giveUp(stored, "the delivery is not what was agreed: \(error.message)")
            } catch let error as JobError {
                try await giveUp(stored, error.message)
            }
        // The service is at it, or the seller is busy.
        case 409, 429, 503: try await book.note(answer.error.message, stored.job)
        default: try await giveUp(stored, answer.error.message)
        }
    }

    /// What a seller is asked for a job with.
    static func body(_ stored: Bought) throws -> JSONObject {
        [
            "quote": .object(stored.quote.document), "acceptance": .object(stored.acceptance.document),
            "request": try stored.requestJSON,
        ]
    }

    /// Before any money was locked.
    private func giveUp(_ stored: Bought, _ why: String) async throws {
        try await book.apply(.stop, to: stored.job) { $0.note = why }
    }

    /// The wallet has it on disk before the mint hears of it, and makes one for a job.
    private func lock(_ stored: Bought) async throws {
        let terms = stored.engine.terms
        let (mint, unit) = (try MintURL(terms.mint), try CurrencyUnit(terms.unit))
        let amount = try terms.lockAmount(inputFeePPK: await wallet.inputFeePPK(ofNewCoinsAt: mint, unit: unit))
        let token: SentToken
        do {
            token = try await wallet.send(
                amount,
                at: mint,
                unit: unit,
                lock: try Self.lock(stored.engine),
                reference: Self.reference(terms)
            )
        } catch let error as WalletError {
            // Where something may have been made, it is looked for.
            guard case .none = try await wallet.token(sentFor: Self.reference(terms)) else { throw error }
            switch error.code {
            case .mintUnreachable, .outcomeUnknown: throw error
            default: try await book.apply(.lockFailed, to: stored.job) { $0.note = error.message }
            }
            return
        }
        try await locked(token, stored)
    }

    private static func lock(_ engine: EscrowBuyer) throws -> TokenLock {
        let terms = engine.terms
        var lock = TokenLock(
            key: try Hex.decode(terms.providerKey),
            hash: try engine.lock.map { try Hex.decode($0) },
            locktime: Int64(terms.locktime),
            refundKey: try Hex.decode(terms.refundKey)
        )
        if let arbiter = terms.arbiterKey {
            lock.sharedWith = [try Hex.decode(terms.refundKey), try Hex.decode(arbiter)]
        }
        return lock
    }

    private func locked(_ token: SentToken, _ stored: Bought) async throws {
        let coins = try await wallet.coins(of: token.token).map { try LockedCoin($0) }
        try await book.apply(.locked(coins), to: stored.job) { $0.token = token.token }
    }

    private func sendLock(_ stored: Bought) async throws {
        guard let token = stored.token, let sealed = stored.sealed else {
            throw JobError(.corrupt, "a job's lock is gone")
        }
        let url = (stored.origin ?? "") + "/market/jobs/\(stored.engine.terms.job)/lock"
        let answer: JobLine.Answer
        do {
            answer = try await line.call(url, ["token": .string(token)])
        } catch {
            // The mint knows what the seller did.
            return try await book.note("\(error)", stored.job)
        }
        guard answer.status == 200, let hex = answer.json["key"]?.stringValue, let key = try? Hex.decode(hex) else {
            return try await book.note(answer.error.message, stored.job)
        }
        do {
            try await book.apply(.key(key, beside: sealed), to: stored.job) { $0.note = nil }
        } catch let error as TradeRefusal {
            try await book.note("the seller's key is none: \(error.message)", stored.job)
        }
    }

    func askMint(_ stored: Bought) async throws {
        guard !stored.engine.coins.isEmpty else { return }
        let ys = try stored.engine.coins.map { try Hex.decode($0.y) }
        let states = try await wallet.coinStates(ys, at: MintURL(stored.engine.terms.mint))
        guard states.contains(where: { $0.state == .spent }) else { return }
        try await book.apply(.states(states, beside: stored.sealed ?? []), to: stored.job)
    }
}
