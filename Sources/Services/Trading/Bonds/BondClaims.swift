public import CanonicalJSON
internal import Cryptography
public import Encodings
public import Logging
internal import Market
public import SignedDocuments
public import Storage
public import Wallet

/// Asks keepers for what jobs that broke their promise give back ([BND-4], [BND-5]): by itself, as soon as a job has ended so, and again
/// until the keeper has paid or refused.
public actor BondClaims {
    private let database: Database
    private let wallet: Wallet
    private let jobs: BuyerDesk
    private let signer: DocumentSigner
    private let line: JobLine
    private let clock: WallClock
    private let logger: Logger
    private var isBusy = false

    private static let batch = 100
    /// What a keeper does not think better of.
    private static let final: Set<JobError.Code> = [.unproven, .unknownBond, .invalid, .notNow, .noArbiter]
    /// How long a claim is asked for: longer than any bond backs its job.
    private static let keepSeconds: Int64 = 400 * 86_400
    private static let longestPauseSeconds: Int64 = 3_600

    /// - Parameters:
    ///   - database: with ``BondTables/migrations`` and ``JobTables/migrations``.
    ///   - jobs: where this node's jobs are.
    public init(
        database: Database,
        wallet: Wallet,
        jobs: BuyerDesk,
        signer: DocumentSigner,
        clock: WallClock,
        logger: Logger,
        post: @escaping BuyerDesk.Post
    ) {
        self.database = database
        self.wallet = wallet
        self.jobs = jobs
        self.signer = signer
        line = JobLine(party: "keeper", post: post)
        self.clock = clock
        self.logger = logger
    }

    /// Looks at what has ended, and goes on with every open claim.
    public func advance() async {
        guard !isBusy else { return }
        isBusy = true
        defer { isBusy = false }
        do {
            while try await follow() {}
            let now = clock.now()
            for claim in try await database.read({ connection in try ClaimStore.due(at: now, in: connection) }) {
                await pursue(claim)
            }
            let before = now.adding(seconds: -Self.keepSeconds)
            try await database.write { connection in try ClaimStore.forget(before: before, in: connection) }
        } catch {
            logger.warning("claims on bonds go on later", metadata: ["why": "\(error)"])
        }
    }

    /// The latest claims, newest first.
    public func list(limit: Int) async throws -> [JSONObject] {
        let bounded = min(max(1, limit), 1_000)
        return try await database.read { connection in try ClaimStore.recent(limit: bounded, in: connection) }
            .map(\.shown)
    }

    /// Takes up the jobs that ended since the last time.
    /// - Returns: whether there may be more.
    private func follow() async throws -> Bool {
        let cursor = try await database.read { connection in try ClaimStore.cursor(in: connection) }
        let ended = try await jobs.book.ended(after: cursor, limit: Self.batch)
        guard let last = ended.last else { return false }
        let claims = ended.compactMap { claim(of: $0.1) }
        try await database.write { connection in
            for claim in claims { try ClaimStore.insert(claim, in: connection) }
            try ClaimStore.setCursor(last.0, in: connection)
        }
        for claim in claims {
            logger.notice(
                "a job broke its promise: its bond is asked",
                metadata: ["job": "\(Hex.encode(claim.job))", "rule": "\(claim.rule)", "keeper": "\(claim.origin)"]
            )
        }
        return ended.count == Self.batch
    }

    /// - Returns: nil where nothing is proven, or nothing backs it.
    private func claim(of job: BuyerDesk.Bought) -> StoredClaim? {
        guard job.engine.terms.mode == .key, job.engine.ending?.kind == .claimed, let delivery = job.delivery,
            let sealed = job.sealed, let key = job.engine.key.flatMap({ try? Hex.decode($0) }),
            let promise = job.promiseJSON, let keeper = job.promisedListing?.bond?.keeper
        else { return nil }
        let evidence = JobEvidence(
            quote: job.quote,
            acceptance: job.acceptance,
            delivery: delivery,
            sealed: sealed,
            key: key,
            promise: promise
        )
        let now = clock.now()
        guard let breach = try? evidence.proven(), let point = try? Secp256k1.Point(compressed: wallet.receivingKey()),
            let signed = try? Signed<BondClaim>.sign(
                BondClaim(
                    claimant: signer.did,
                    bond: keeper.bond,
                    subject: breach.subject,
                    key: point,
                    time: UInt64(max(0, now.secondsSince1970))
                ),
                by: signer,
                now: now
            )
        else { return nil }
        let body: JSONObject = ["claim": .object(signed.document), "evidence": .object(evidence.json)]
        return StoredClaim(
            job: job.job,
            origin: keeper.at.text,
            keeper: keeper.did,
            bond: keeper.bond,
            rule: breach.rule.rawValue,
            body: String(decoding: body.serialized(), as: UTF8.self),
            dueAt: now,
            createdAt: now
        )
    }

    private func pursue(_ stored: StoredClaim) async {
        var claim = stored
        do {
            if claim.token == nil { try await ask(&claim) }
            if let token = claim.token, claim.state == .open {
                do {
                    _ = try await wallet.receive(token)
                } catch let error as WalletError where error.code == .tokenSpent {
                    // Unless it came in before.
                    if try await wallet.received(of: token) == 0 { throw error }
                }
                (claim.state, claim.received, claim.note) = (.paid, try await wallet.received(of: token), nil)
            }
        } catch {
            claim.note = "\(error)"
        }
        if claim.state == .open {
            let pause = min(Self.longestPauseSeconds, 2 << min(claim.tries, 11))
            claim.tries = min(claim.tries + 1, 1_000)
            claim.dueAt = clock.now().adding(seconds: pause)
        }
        let ended = claim
        do {
            try await database.write { connection in try ClaimStore.update(ended, in: connection) }
        } catch {
            logger.warning("a claim on a bond is not written down", metadata: ["why": "\(error)"])
        }
    }

    private func ask(_ claim: inout StoredClaim) async throws {
        let body = try JSONValue.parse(Array(claim.body.utf8), limits: JobWire.limits)
        let answer = try await line.call(
            claim.origin + "/market/bonds/\(Hex.encode(claim.bond))/claims",
            body.objectValue ?? [:]
        )
        switch answer.status {
        case 200:
            let ruling: Signed<BondRuling> = try JobWire.signed(answer.json["ruling"], "ruling")
            guard ruling.content.keeper == claim.keeper, ruling.content.subject == claim.job,
                let token = answer.json["token"]?.stringValue, !token.isEmpty
            else { throw JobError(.sellerFailed, "The keeper's ruling is of another job or keeper.") }
            claim.ruling = String(decoding: ruling.bytes, as: UTF8.self)
            claim.token = token
        default:
            claim.note = answer.error.message
            if let code = answer.code, Self.final.contains(JobError.Code(rawValue: code)) { claim.state = .refused }
        }
    }
}
