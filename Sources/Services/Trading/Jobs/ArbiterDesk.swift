public import CanonicalJSON
public import Cashu
internal import Cryptography
public import Encodings
public import Logging
internal import Market
public import SignedDocuments
public import Storage
public import Wallet

/// Decides jobs in mode `arbiter` that one of the two sides brings here ([JOB-12], [ESC-13] to [ESC-17]). What evidence decides it rules by
/// itself; for the rest a person has its stated time, and a delivery in time is paid after that. It never holds the money: it signs the
/// swap to where the two sides want what it gave them.
public actor ArbiterDesk {
    /// The most disputes that are open at a time.
    public static let maximumOpen = 1_000

    private let database: Database
    private let wallet: Wallet
    private let signer: DocumentSigner
    /// nil: this node decides nothing.
    private let withinSeconds: UInt64?
    private let mints: [MintURL]
    private let clocks: MintClocks
    private let clock: WallClock
    private let logger: Logger

    /// - Parameters:
    ///   - database: with ``JobTables/migrations``.
    ///   - withinSeconds: the stated time to a ruling; nil: this node decides nothing.
    ///   - mints: where it looks at locks.
    public init(
        database: Database,
        wallet: Wallet,
        signer: DocumentSigner,
        withinSeconds: UInt64?,
        mints: [MintURL],
        clock: WallClock,
        logger: Logger
    ) {
        self.database = database
        self.wallet = wallet
        self.signer = signer
        self.withinSeconds = withinSeconds
        self.mints = Array(mints.prefix(NamedArbiter.maximumMints))
        clocks = MintClocks(wallet: wallet, acceptedMints: mints, clock: clock)
        self.clock = clock
        self.logger = logger
    }

    /// What this node tells of itself ([ESC-19]).
    /// - Throws: ``JobError`` `no-arbiter`.
    public func statement() throws -> JSONObject {
        guard let withinSeconds else {
            throw JobError(.noArbiter, "This node decides no disputes: it has no market.arbiterSeconds.")
        }
        let key = try Secp256k1.Point(compressed: wallet.arbiterKey())
        let arbiter = Quote.Arbiter(did: signer.did, key: key, withinSeconds: withinSeconds)
        return NamedArbiter(origin: "", arbiter: arbiter, mints: mints).json
    }

    // MARK: The two sides

    /// Hears a side ([JOB-12]): `{"quote", "acceptance", "token", "escalation", "delivery", "request", "answer"}`, the last three where it has them
    /// → the dispute's state.
    /// - Throws: ``JobError``.
    public func hear(_ body: JSONObject) async throws -> JSONObject {
        let quote: Signed<Quote> = try JobWire.signed(body["quote"], "quote")
        let acceptance: Signed<Acceptance> = try JobWire.signed(body["acceptance"], "acceptance")
        let said: Signed<Escalation> = try JobWire.signed(body["escalation"], "escalation")
        let delivery: Signed<Delivery>? = try body["delivery"].map { try JobWire.signed($0, "delivery") }
        let terms: EscrowTerms
        do {
            terms = try EscrowTerms(quote: quote, acceptance: acceptance)
            try TradeTime.check(said.content.time, now: seconds)
        } catch {
            throw JobError(.invalid, "The dispute: \(error.message).")
        }
        guard terms.arbiter == signer.did.string, terms.arbiterKey == Hex.encode(try wallet.arbiterKey()) else {
            throw JobError(.invalid, "The job names another arbiter than this node.")
        }
        let now = try await clocks.seconds(terms.mint)
        if try await find(acceptance.digest) == nil {
            guard let token = body["token"]?.stringValue else { throw JobError(.invalid, "`token` is missing.") }
            try await open(quote, acceptance, terms, token, now)
        }
        let request = try body["request"].map { try JobWire.request($0) }
        let answer = try body["answer"]?.stringValue.map { try Base64URL.decode($0) }
        let stored = try await apply(to: acceptance.digest, at: now) { dispute in
            _ = try dispute.engine.take(.escalated(said), at: now)
            if let delivery {
                _ = try dispute.engine.take(.shown(delivery), at: now)
                if dispute.delivery == nil { dispute.delivery = delivery }
            }
            // Only what the parties' own signatures name is kept for the person that decides.
            if let request, Hex.encode(request.digest) == terms.request { dispute.request = JobWire.json(request) }
            if let answer, answer.count <= DeliverySeal.maximumBytes,
                Hashing.sha256(answer) == dispute.delivery?.content.response
            {
                dispute.answer = answer
            }
        }
        return try await state(stored)
    }

    /// How a dispute stands: for whoever knows the job's name.
    /// - Throws: ``JobError`` `unknown-dispute`.
    public func told(_ name: String) async throws -> JSONObject { try await state(named(name)) }

    /// Hears where a side wants its part: `{"outputs"}` → the dispute's state.
    /// - Throws: ``JobError``.
    public func plan(_ name: String, _ body: JSONObject) async throws -> JSONObject {
        let outputs: Signed<PlannedOutputs> = try JobWire.signed(body["outputs"], "outputs")
        let known = try await named(name)
        let now = seconds
        return try await state(
            apply(to: known.job, at: now) { dispute in _ = try dispute.engine.take(.outputs(outputs), at: now) }
        )
    }

    /// `{"job", "phase", "ruleBy", "ruling", "swap": {"outputs", "signature"}}`.
    private func state(_ dispute: Dispute) async throws -> JSONObject {
        var json: JSONObject = [
            "job": .string(dispute.engine.terms.job), "phase": .string(dispute.engine.phase.rawValue),
            "ruleBy": JSONValue(dispute.engine.ruleBy),
        ]
        json["ruling"] = dispute.ruling.map { .object($0.document) }
        if let plan = dispute.engine.plan {
            let signature = try await wallet.cosign(dispute.token, to: plan, asArbiter: true)
            json["swap"] = ["outputs": .array(plan.map(\.json)), "signature": .string(Hex.encode(signature))]
        }
        return json
    }

    /// Looks at the lock as a provider does ([ESC-5]).
    private func open(
        _ quote: Signed<Quote>,
        _ acceptance: Signed<Acceptance>,
        _ terms: EscrowTerms,
        _ text: String,
        _ now: UInt64
    ) async throws {
        let mint = try MintURL(terms.mint)
        guard let token = try? Token(text), token.mint == mint, token.count <= LockCheck.maximumCoins else {
            throw JobError(.wrongLock, "The token is none, or not of \(terms.mint).")
        }
        guard now < terms.locktime else {
            throw JobError(.notNow, "The lock's time is over: the money is the buyer's.")
        }
        let snapshot = try await wallet.snapshot(of: mint)
        let escrowMint = EscrowMint(
            url: mint,
            isTrusted: mints.contains(mint),
            info: snapshot.info,
            keysets: snapshot.keysets
        )
        // When it was locked, the provider has looked at.
        let found = LockCheck.obstacles(
            token,
            terms: terms,
            hash: nil,
            mint: escrowMint,
            now: min(now, terms.deliverBy)
        )
        guard found.isEmpty else {
            let names = found.map(\.rawValue).joined(separator: ", ")
            throw JobError(.wrongLock, "The lock is not the agreed one: \(names).")
        }
        let coins = try await wallet.coins(of: text).map { try LockedCoin($0) }
        let states = try await wallet.coinStates(coins.map { try Hex.decode($0.y) }, at: mint)
        guard LockCheck.isUnspent(states, of: coins) else {
            throw JobError(.wrongLock, "The money is not in the lock any more.")
        }
        let engine = try EscrowArbiter(terms, net: await wallet.worth(of: text), at: now)
        let dispute = Dispute(
            quote: quote,
            acceptance: acceptance,
            token: text,
            engine: engine,
            createdAt: clock.now()
        )
        try await database.write { connection in
            guard try DisputeStore.countOpen(in: connection) < Self.maximumOpen else {
                throw JobError(.tooMany, "\(Self.maximumOpen) disputes are open, which is the most: try again later.")
            }
            try DisputeStore.insert(dispute, in: connection)
        }
        logger.notice("a dispute came in", metadata: ["job": "\(terms.job)", "ruleBy": "\(engine.ruleBy)"])
    }

    // MARK: The person that decides

    /// The latest disputes, newest first.
    public func list(limit: Int) async throws -> [JSONObject] {
        let bounded = min(max(1, limit), 1_000)
        return try await database.read { connection in try DisputeStore.recent(limit: bounded, in: connection) }
            .map { $0.summary }
    }

    /// A dispute, with all that its sides showed.
    /// - Throws: ``JobError`` `unknown-dispute`.
    public func shown(_ name: String) async throws -> JSONObject { try await named(name).shown }

    /// Divides the money, once.
    ///
    /// - Parameter provider: what the seller gets; the rest goes back to the buyer.
    /// - Throws: ``JobError``.
    public func rule(_ name: String, provider: UInt64, reason: String) async throws -> JSONObject {
        let why = reason.split(whereSeparator: \.isNewline).joined(separator: " ")
        guard !why.isEmpty, why.utf8.count <= 200 else { throw JobError(.invalid, "A reason has 1 to 200 bytes.") }
        let known = try await named(name)
        let now = seconds
        guard known.engine.phase == .open else { throw JobError(.notNow, "The dispute was ruled before.") }
        return try await apply(to: known.job, at: now) { dispute in
            _ = try dispute.engine.take(.decided(provider: provider, reason: why), at: now)
        }.shown
    }

    /// Rules what the time is over for, and forgets what is long over.
    public func advance() async {
        do {
            let open = try await database.read { connection in
                try DisputeStore.open(limit: Self.maximumOpen, in: connection)
            }
            for dispute in open {
                do {
                    let now = try await clocks.seconds(dispute.engine.terms.mint)
                    _ = try await apply(to: dispute.job, at: now) { _ = try $0.engine.take(.tick, at: now) }
                } catch {
                    logger.notice(
                        "a dispute goes on later",
                        metadata: ["job": "\(dispute.engine.terms.job)", "why": "\(error)"]
                    )
                }
            }
            let before = clock.now().adding(seconds: -DisputeStore.keepSeconds)
            try await database.write { connection in try DisputeStore.forget(before: before, in: connection) }
        } catch {
            logger.warning("disputes go on later", metadata: ["why": "\(error)"])
        }
    }

    // MARK: On disk

    private func find(_ job: [UInt8]) async throws -> Dispute? {
        try await database.read { connection in try DisputeStore.find(job, in: connection) }
    }

    /// This node's clock: what a person decides does not wait for a mint that is away.
    private var seconds: UInt64 { UInt64(max(0, clock.now().secondsSince1970)) }

    private func named(_ name: String) async throws -> Dispute {
        guard name.utf8.count == 64, let job = try? Hex.decode(name), let found = try await find(job) else {
            throw JobError(.unknownDispute, "No dispute of the job \(name.prefix(64)) is known here.")
        }
        return found
    }

    /// Changes a dispute in one transaction; where that brings the ruling, it is signed in it: there is one.
    private func apply(
        to job: [UInt8],
        at now: UInt64,
        _ change: @escaping @Sendable (inout Dispute) throws -> Void
    ) async throws -> Dispute {
        let (signer, at) = (signer, clock.now())
        do {
            return try await database.write { connection in
                guard var dispute = try DisputeStore.find(job, in: connection) else {
                    throw JobError(.unknownDispute, "There is no such dispute.")
                }
                try change(&dispute)
                let engine = dispute.engine
                if dispute.ruling == nil, let outcome = engine.outcome {
                    let ruling = Ruling(
                        arbiter: signer.did,
                        job: job,
                        outcome: outcome,
                        provider: engine.provider,
                        buyer: engine.net - engine.provider,
                        reason: engine.reason,
                        time: engine.ruledAt ?? now
                    )
                    dispute.ruling = try .sign(ruling, by: signer, now: at)
                }
                try DisputeStore.update(dispute, in: connection)
                return dispute
            }
        } catch let error as TradeRefusal {
            throw JobError(.invalid, "The dispute: \(error.message).")
        }
    }
}
