public import CanonicalJSON
public import Cashu
internal import Cryptography
public import Encodings
public import Logging
public import Market
public import SignedDocuments
public import Storage
public import Wallet

/// What is sold by escrow here, for the desk.
public protocol JobServices: Sendable {
    /// nil where that call of the service is not sold so.
    func offer(_ service: String, method: String, target: String) async -> JobOffer?
    /// The service's listing as it would be told now; nil where it can't be told.
    func promise(of service: String) async -> JSONObject?
    /// Calls the service.
    func perform(_ request: JobRequest, of service: String) async throws -> JobResponse
}

/// Sells jobs (`Specs/job.md`): quotes, deliveries that in mode `key` are sealed until they are paid, and the locks that pay them.
///
/// Each step of a job is on disk before anybody sees it; ``advance()`` goes on with what a crash or a silent mint left open.
public actor SellerDesk {
    typealias Sold = StoredJob<EscrowProvider>

    /// The most services that are called at a time.
    public static let maximumServing = 64
    /// How long a quote holds.
    static let quoteSeconds: UInt64 = 60
    /// From the delivery's time to the locktime: the margin of [ESC-3] and five minutes for the buyer to lock.
    static let lockMarginSeconds: UInt64 = EscrowMargins.claimSeconds + 300

    let wallet: Wallet
    private let services: any JobServices
    let signer: DocumentSigner
    let arbiterLine: JobLine
    let joint: JointLock
    private let keySecret: [UInt8]
    private let acceptedMints: [MintURL]
    /// Whether a quote, by its digest, is of this node's whatever its service costs: a bid's ([QUO-14]).
    private let isBid: @Sendable ([UInt8]) async throws -> Bool
    let clock: WallClock
    private let logger: Logger
    let book: JobBook<EscrowProvider>
    private var serving: [[UInt8]: Task<Void, any Error>] = [:]
    /// Jobs that are about to be served.
    private var starting = 0
    /// Mode `arbiter`: jobs whose lock is being looked at.
    private var locking: Set<[UInt8]> = []
    var pace = DisputePace()

    /// - Parameters:
    ///   - database: with ``JobTables/migrations``.
    ///   - signer: the node's key: it signs quotes and deliveries.
    ///   - keySecret: 32 secret bytes that the keys of deliveries come from.
    ///   - acceptedMints: whose ecash is taken.
    public init(
        database: Database,
        wallet: Wallet,
        services: any JobServices,
        signer: DocumentSigner,
        keySecret: [UInt8],
        acceptedMints: [MintURL],
        isBid: @escaping @Sendable ([UInt8]) async throws -> Bool = { _ in false },
        clock: WallClock,
        logger: Logger,
        post: @escaping BuyerDesk.Post
    ) {
        arbiterLine = JobLine(party: "arbiter", post: post)
        joint = JointLock(wallet: wallet, signer: signer, clock: clock, reference: Self.reference)
        book = JobBook(
            side: "sold",
            database: database,
            wallet: wallet,
            acceptedMints: acceptedMints,
            clock: clock,
            logger: logger
        )
        self.wallet = wallet
        self.services = services
        self.signer = signer
        self.keySecret = keySecret
        self.acceptedMints = acceptedMints
        self.isBid = isBid
        self.clock = clock
        self.logger = logger
    }

    // MARK: Quotes

    /// Answers a request for a quote ([JOB-3]): `{"ask": QuoteRequest, "method", "target"}` → `{"quote": Quote, "promise"}`, what it names as `sla`.
    /// - Throws: ``JobError``.
    public func quote(_ body: JSONObject) async throws -> JSONObject {
        let ask: Signed<QuoteRequest> = try JobWire.signed(body["ask"], "ask")
        let asked = ask.content
        let now = book.seconds()
        do { try asked.check(now: now) } catch { throw JobError(.invalid, "`ask`: \(error.message).") }
        let call = try JobWire.request(.object(["method": body["method"] ?? .null, "target": body["target"] ?? .null]))
        guard let offer = await services.offer(asked.service, method: call.method, target: call.target) else {
            throw JobError(.notSold, "This call of \(asked.service) is not sold by escrow here.")
        }
        let mint = asked.mints.first(where: acceptedMints.contains)
        let parties = [asked.buyer, signer.did]
        let arbiters = offer.arbiters.filter { named in
            mint.map(named.mints.contains) == true && !parties.contains(named.arbiter.did)
        }.map(\.arbiter)
        let mode = asked.escrow.first { offer.modes.contains($0) && ($0 != .arbiter || !arbiters.isEmpty) }
        guard let mode, offer.unit == asked.unit.name, offer.amount <= asked.maximumPrice, let mint else {
            let modes = offer.modes.map(\.rawValue).joined(separator: " or ")
            throw JobError(
                .noOffer,
                "This call costs \(offer.amount) \(offer.unit), in the mode \(modes), with ecash of "
                    + acceptedMints.map(\.string).joined(separator: ", ")
            )
        }
        // The acceptance is dated later than the quote: what is left until the buyer's deadline is not promised whole.
        let left = asked.deadline - now
        let within = min(UInt64(clamping: offer.seconds) + 5, left - min(30, left / 4))
        let ruling = arbiters.map(\.withinSeconds).max().map { EscrowMargins.rulingSeconds($0) + 300 }
        let margin = mode == .arbiter ? ruling ?? 0 : Self.lockMarginSeconds
        var quote = Quote(
            provider: signer.did,
            buyer: asked.buyer,
            service: asked.service,
            price: offer.amount,
            unit: asked.unit,
            mint: mint,
            mode: mode,
            deliverWithinSeconds: within,
            lockSeconds: within + margin,
            lockKey: try Secp256k1.Point(compressed: wallet.receivingKey()),
            validUntil: now + Self.quoteSeconds,
            nonce: SecureRandom.bytes(16),
            time: now
        )
        quote.request = asked.request
        if mode == .arbiter { quote.arbiters = arbiters }
        let promise = await services.promise(of: asked.service)
        quote.sla = try promise.map { try JobEvidence.digest(of: $0) }
        let signed = try Signed<Quote>.sign(quote, by: signer, now: clock.now())
        var answer: JSONObject = ["quote": .object(signed.document)]
        answer["promise"] = promise.map { .object($0) }
        return answer
    }

    // MARK: Jobs

    /// Takes an acceptance ([JOB-4]): `{"quote", "acceptance", "request"}` → `{"job", "delivery", "sealed"}`. In mode `arbiter` ([JOB-10])
    /// with `token`, the lock: `{"job", "delivery", "answer", "outputs"}`. The same again gives the same.
    /// - Throws: ``JobError``.
    public func take(_ body: JSONObject) async throws -> JSONObject {
        let quote: Signed<Quote> = try JobWire.signed(body["quote"], "quote")
        let acceptance: Signed<Acceptance> = try JobWire.signed(body["acceptance"], "acceptance")
        let request = try JobWire.request(body["request"])
        guard quote.content.provider == signer.did, quote.content.mode != .stream else {
            throw JobError(.invalid, "The quote is not of this node.")
        }
        let terms: EscrowTerms
        do {
            terms = try EscrowTerms(quote: quote, acceptance: acceptance)
        } catch {
            throw JobError(.invalid, "`acceptance`: \(error.message).")
        }
        guard Hex.encode(request.digest) == terms.request else {
            throw JobError(.invalid, "The request is another than was accepted.")
        }
        let job = acceptance.digest
        if let stored = try await book.find(job) {
            let isBegun = stored.engine.phase != .awaitingLock && !locking.contains(job)
            if isBegun, stored.delivery == nil, stored.isOpen, serving[job] == nil {
                try await withPlace { try await resume(stored, request) }
            }
        } else {
            try await withPlace { try await begin(quote, acceptance, terms, request) }
        }
        // The acceptance was taken in its time; the lock has until the delivery is due.
        if terms.mode == .arbiter, let token = body["token"]?.stringValue {
            try await serve(job, lockedBy: token, request)
        }
        try await serving[job]?.value
        return try await answer(job)
    }

    /// A place is counted before anything is waited for: many at once are no more than there may be.
    private func withPlace(_ start: () async throws -> Void) async throws {
        guard serving.count + starting < Self.maximumServing else {
            throw JobError(.tooMany, "\(Self.maximumServing) jobs are being worked at: try again shortly.")
        }
        starting += 1
        defer { starting -= 1 }
        try await start()
    }

    private func begin(
        _ quote: Signed<Quote>,
        _ acceptance: Signed<Acceptance>,
        _ terms: EscrowTerms,
        _ request: JobRequest
    ) async throws {
        let now = try await book.mintSeconds(terms.mint)
        do {
            try acceptance.content.check(quote, now: now)
        } catch {
            throw JobError(.invalid, "`acceptance`: \(error.message).")
        }
        let offer = await services.offer(terms.service, method: request.method, target: request.target)
        var isAgreed = offer?.amount == terms.price && offer?.unit == terms.unit
        if !isAgreed, offer != nil { isAgreed = try await isBid(quote.digest) }
        guard isAgreed else {
            throw JobError(.notSold, "This call costs something else than was quoted.")
        }
        var stored = Sold(
            quote: quote,
            acceptance: acceptance,
            engine: EscrowProvider(terms),
            createdAt: clock.now()
        )
        if let arbiter = terms.arbiter {
            stored.arbiter = offer?.arbiters.first { $0.arbiter.did.string == arbiter }?.origin
            // To be shown to the arbiter.
            stored.request = String(decoding: JobWire.json(request).serialized(), as: UTF8.self)
        }
        guard try await book.insert(stored) else {
            // Whoever was first with this very acceptance works at it.
            guard try await book.find(stored.job) != nil else {
                throw JobError(.invalid, "This place of the quote was taken by another acceptance.")
            }
            return
        }
        if terms.mode != .arbiter { serve(stored, request) }
    }

    /// Mode `arbiter`: the money is locked before the service is called.
    private func serve(_ job: [UInt8], lockedBy token: String, _ request: JobRequest) async throws {
        guard try await book.find(job)?.engine.phase == .awaitingLock else { return }
        guard locking.insert(job).inserted else {
            throw JobError(.running, "The lock is being looked at: ask again shortly.")
        }
        defer { locking.remove(job) }
        guard let stored = try await book.find(job), stored.engine.phase == .awaitingLock else { return }
        try await withPlace {
            try await check(token, for: stored)
            guard let locked = try await book.find(job), locked.engine.phase == .working else {
                throw JobError(.wrongLock, "The lock came too late.")
            }
            serve(locked, request)
        }
    }

    /// After a crash the service is called again only where that does no harm.
    private func resume(_ stored: Sold, _ request: JobRequest) async throws {
        let offer = await services.offer(
            stored.engine.terms.service,
            method: request.method,
            target: request.target
        )
        guard serving[stored.job] == nil else { return }
        if offer?.isIdempotent == true { return serve(stored, request) }
        try await book.apply(.failed, to: stored.job) { $0.note = "the node stopped while the service was called" }
    }

    private func serve(_ stored: Sold, _ request: JobRequest) {
        let job = stored.job
        serving[job] = Task {
            do {
                let response = try await services.perform(request, of: stored.engine.terms.service)
                try await deliver(response, stored)
            } catch {
                _ = try? await book.apply(.failed, to: job) { $0.note = "\(error)" }
                logger.notice("a job failed", metadata: ["job": "\(Hex.encode(job))", "why": "\(error)"])
            }
            serving[job] = nil
        }
    }

    private func deliver(_ response: JobResponse, _ stored: Sold) async throws {
        let terms = stored.engine.terms
        let now = try await book.mintSeconds(terms.mint)
        let (content, sealed) =
            terms.mode == .arbiter
            ? (Delivery(open: response.bytes, by: signer.did, job: stored.job, time: now), response.bytes)
            : try Delivery.sealing(response.bytes, key: key(stored.job), by: signer.did, job: stored.job, time: now)
        let delivery = try Signed<Delivery>.sign(content, by: signer, now: clock.now())
        try await book.apply(.served(delivery), to: stored.job) { job in
            guard job.engine.phase == .delivered else { return }
            job.delivery = delivery
            job.sealed = sealed
        }
    }

    private func key(_ job: [UInt8]) -> [UInt8] { DeliverySeal.key(secret: keySecret, job: job, index: 0) }

    private func answer(_ job: [UInt8]) async throws -> JSONObject {
        guard let stored = try await book.find(job) else { throw JobError(.unknownJob, "There is no such job.") }
        if let delivery = stored.delivery, let sealed = stored.sealed {
            if stored.engine.terms.mode == .arbiter { return try await openAnswer(stored, delivery, sealed) }
            return [
                "job": .string(stored.engine.terms.job), "delivery": .object(delivery.document),
                "sealed": .string(Base64URL.encode(sealed)),
            ]
        }
        guard stored.isOpen else { throw JobError(.failed, "The service gave no answer; nothing is to be paid.") }
        if stored.engine.phase == .awaitingLock {
            return ["job": .string(stored.engine.terms.job), "phase": .string(stored.engine.phase.rawValue)]
        }
        throw JobError(.running, "The service is at it: ask again shortly.")
    }

    // MARK: Locks

    /// Takes the money of a job ([JOB-5]): `{"token"}` → `{"job", "key"}`, once the mint has given it to this node. The same again gives
    /// the same.
    /// - Throws: ``JobError``.
    public func lock(_ name: String, _ body: JSONObject) async throws -> JSONObject {
        let stored = try await book.named(name)
        guard stored.engine.terms.mode != .arbiter else {
            throw JobError(.notNow, "In the mode arbiter the lock goes along with the acceptance.")
        }
        switch stored.engine.phase {
        case .delivered:
            guard let text = body["token"]?.stringValue else { throw JobError(.invalid, "`token` is missing.") }
            try await check(text, for: stored)
        case .claiming, .abandoned, .ended: break
        default: throw JobError(.running, "The service is at it: nothing is to be paid yet.")
        }
        try await proceed(stored.job)
        return try await shown(name)
    }

    /// What is known of a job, with its key once that is free: `{"job", "phase", "ending", "key"}`.
    public func shown(_ name: String) async throws -> JSONObject {
        let stored = try await book.named(name)
        var json: JSONObject = [
            "job": .string(stored.engine.terms.job), "phase": .string(stored.engine.phase.rawValue),
        ]
        json["ending"] = stored.engine.ending.map { .string($0.kind.rawValue) }
        if stored.engine.isKeyFree(chunk: 0) { json["key"] = .string(Hex.encode(key(stored.job))) }
        return json
    }

    private func check(_ text: String, for stored: Sold) async throws {
        let terms = stored.engine.terms
        let mint = try MintURL(terms.mint)
        guard let token = try? Token(text), token.mint == mint, token.count <= LockCheck.maximumCoins else {
            throw JobError(.wrongLock, "The token is none, or not of \(terms.mint).")
        }
        let proofs: [Proof]
        let snapshot: MintSnapshot
        do {
            _ = try await book.mintSeconds(terms.mint)
            proofs = try await wallet.coins(of: text)
            snapshot = try await wallet.snapshot(of: mint)
        } catch let error as WalletError where error.code == .invalidToken {
            throw JobError(.wrongLock, error.message)
        }
        let now = try snapshot.mintClock.seconds(at: clock.now())
        let found = LockCheck.obstacles(
            token,
            terms: terms,
            hash: try stored.engine.lock.map { try Hex.decode($0) },
            mint: EscrowMint(
                url: mint,
                isTrusted: acceptedMints.contains(mint),
                info: snapshot.info,
                keysets: snapshot.keysets
            ),
            now: now
        )
        guard found.isEmpty else {
            throw JobError(
                .wrongLock,
                "The lock is not the agreed one: \(found.map(\.rawValue).joined(separator: ", "))."
            )
        }
        let coins = try proofs.map { try LockedCoin($0) }
        let states = try await wallet.coinStates(coins.map { try Hex.decode($0.y) }, at: mint)
        guard LockCheck.isUnspent(states, of: coins) else {
            throw JobError(.wrongLock, "The lock is not the agreed one: not-unspent.")
        }
        // In the transaction the phase is read again: of two locks at once one is taken.
        try await book.apply(.locked(coins), to: stored.job, now: now) { job in
            let isTaken = job.engine.phase == .claiming || (terms.mode == .arbiter && job.engine.phase == .working)
            if isTaken, job.token == nil { job.token = text }
        }
    }

    // MARK: Going on

    /// Goes on with every open job, and forgets old ones.
    public func advance() async {
        await book.advance { [self] stored in try await goOn(stored.job) }
    }

    private func goOn(_ job: [UInt8]) async throws {
        if serving[job] == nil, !locking.contains(job) { try await proceed(job) }
    }

    /// Does what the job's state says.
    func proceed(_ job: [UInt8]) async throws {
        guard let stored = try await book.find(job), stored.isOpen else { return }
        let now = try await book.mintSeconds(stored.engine.terms.mint)
        var moved = stored.engine
        _ = try moved.take(.tick, at: now)
        var actions = moved.actions(at: now)
        if moved != stored.engine { actions = try await book.apply(.tick, to: job, now: now).actions }
        for action in actions {
            switch action {
            case .claim: if try await claim(job, stored.token) { return }
            case .askMint: try await askMint(job)
            case .restore: try await restore(stored)
            case .escalate: try await escalate(stored)
            case .claimSigned(let amount): if try await claimSigned(stored, amount) { return }
            case .serve, .askRelease: break
            }
        }
    }

    /// Swaps the lock at the mint, which shows it the key. The wallet has the swap on disk before, and knows it again.
    /// - Returns: whether the money is here.
    private func claim(_ job: [UInt8], _ token: String?) async throws -> Bool {
        guard let token else { throw JobError(.corrupt, "a job's lock is gone") }
        do {
            _ = try await wallet.receive(token, preimage: key(job))
        } catch let error as WalletError where error.code == .tokenSpent {
            // By this node before, or by the buyer: the mint says which.
            return false
        } catch let error as WalletError {
            throw JobError(.claimPending, "The lock is not claimed yet: \(error.message)")
        }
        try await book.apply(.claimed, to: job)
        return true
    }

    /// What this wallet has of a lock that was spent.
    func restore(_ stored: Sold) async throws {
        guard let token = stored.token else { return }
        let here =
            stored.engine.terms.mode == .arbiter
            ? try await wallet.collectShares(reference: Self.reference(stored.engine.terms))
            : try await wallet.received(of: token)
        try await book.apply(.restored(here), to: stored.job)
    }

    func askMint(_ job: [UInt8]) async throws {
        guard let stored = try await book.find(job), stored.isOpen, !stored.engine.coins.isEmpty else { return }
        let ys = try stored.engine.coins.map { try Hex.decode($0.y) }
        let states = try await wallet.coinStates(ys, at: MintURL(stored.engine.terms.mint))
        guard states.contains(where: { $0.state == .spent }) else { return }
        try await book.apply(.states(states), to: job)
    }
}
