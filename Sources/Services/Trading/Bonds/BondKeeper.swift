public import CanonicalJSON
public import Cashu
internal import Cryptography
public import Encodings
public import Logging
internal import Market
public import SignedDocuments
public import Storage
public import Wallet

/// Keeps bonds of providers and pays out of them what a breach gives back, by rule ([BND-2] to [BND-7]).
///
/// The money stays in its lock, which opens to the provider by itself after its time. A ruling is on disk before the mint hears of it,
/// and of one bond one is paid at a time.
public actor BondKeeper {
    /// The most bonds that are kept at a time.
    public static let maximumBonds = 10_000

    private let database: Database
    private let wallet: Wallet
    private let signer: DocumentSigner
    private let isOpen: Bool
    private let mints: [MintURL]
    private let clocks: MintClocks
    private let clock: WallClock
    private let logger: Logger
    /// Bonds that something is paid out of just now.
    private var paying: Set<[UInt8]> = []

    /// - Parameters:
    ///   - database: with ``BondTables/migrations``.
    ///   - isOpen: whether this node keeps bonds of others; those that it has it goes on with anyway.
    ///   - mints: whose ecash it keeps.
    public init(
        database: Database,
        wallet: Wallet,
        signer: DocumentSigner,
        isOpen: Bool,
        mints: [MintURL],
        clock: WallClock,
        logger: Logger
    ) {
        self.database = database
        self.wallet = wallet
        self.signer = signer
        self.isOpen = isOpen
        self.mints = mints
        clocks = MintClocks(wallet: wallet, acceptedMints: mints, clock: clock)
        self.clock = clock
        self.logger = logger
    }

    // MARK: Keeping

    /// What this node tells of itself ([BND-1]): `{"id", "key", "mints"}`.
    /// - Throws: ``JobError`` `no-arbiter`.
    public func terms() throws -> JSONObject {
        guard isOpen else {
            throw JobError(.noArbiter, "This node keeps no bonds: it has no market.arbiterSeconds.")
        }
        return [
            "id": .string(signer.did.string), "key": .string(Hex.encode(try wallet.bondKey())),
            "mints": JSONValue(mints.map(\.string)),
        ]
    }

    /// Takes a bond ([BND-2], [BND-3]): `{"deposit", "token"}` → its state. The same again gives the same.
    /// - Throws: ``JobError``.
    public func take(_ body: JSONObject) async throws -> JSONObject {
        _ = try terms()
        let deposit: Signed<BondDeposit> = try JobWire.signed(body["deposit"], "deposit")
        let said = deposit.content
        guard said.keeper == signer.did, said.provider != signer.did else {
            throw JobError(.invalid, "The deposit is for another keeper than this node, or its own.")
        }
        if let known = try await find(said.bond) {
            guard known.statement.content.provider == said.provider else {
                throw JobError(.invalid, "These coins are another's bond.")
            }
            return try await state(known)
        }
        guard let text = body["token"]?.stringValue, let token = try? Token(text), mints.contains(token.mint) else {
            throw JobError(.wrongLock, "`token` is none, or not of a mint whose ecash is kept here.")
        }
        let now = try await clocks.seconds(token.mint.string)
        let coins = try await checked(text, token, said, at: now)
        let statement = try Signed<Bond>.sign(
            Bond(said, amount: coins.worth, unit: coins.unit, mint: coins.mint, time: now),
            by: signer,
            now: clock.now()
        )
        let kept = KeptBond(
            statement: statement,
            token: text,
            remaining: coins.worth,
            locktime: coins.locktime,
            createdAt: clock.now()
        )
        let stored = try await database.write { connection in
            if let known = try KeptBonds.find(said.bond, in: connection) { return known }
            guard try KeptBonds.count(in: connection) < Self.maximumBonds else {
                throw JobError(.tooMany, "\(Self.maximumBonds) bonds are kept, which is the most: try again later.")
            }
            try KeptBonds.insert(kept, in: connection)
            return kept
        }
        logger.notice(
            "a bond came in",
            metadata: ["provider": "\(said.provider)", "amount": "\(coins.worth) \(coins.unit)"]
        )
        return try await state(stored)
    }

    /// The lock is exactly the agreed one, at a mint that keeps to it, and the coins are there.
    private func checked(_ text: String, _ token: Token, _ said: BondDeposit, at now: UInt64) async throws -> BondCoins
    {
        guard token.count <= BondTerms.maximumCoins else {
            throw JobError(.wrongLock, "A bond has at most \(BondTerms.maximumCoins) coins.")
        }
        let snapshot = try await wallet.snapshot(of: token.mint)
        guard [7, 10, 11, 12].allSatisfy(snapshot.info.supports) else {
            throw JobError(.wrongLock, "The mint does not say that it keeps to locks.")
        }
        let coins: BondCoins
        do {
            coins = try await wallet.bondCoins(text)
        } catch let error as WalletError where [.invalidArgument, .invalidToken, .belowFee].contains(error.code) {
            throw JobError(.wrongLock, "The lock is not the agreed one: \(error.message).")
        }
        guard said.until > now, BondTerms.backedSeconds.contains(said.until - now),
            coins.locktime == Int64(said.until + BondTerms.claimSeconds)
        else { throw JobError(.wrongLock, "A bond backs an hour to a year, and is locked for a day longer.") }
        guard coins.expiry.map({ $0 >= UInt64(coins.locktime) + 86_400 }) ?? true else {
            throw JobError(.wrongLock, "The mint owes nothing for these coins soon after the locktime.")
        }
        guard coins.isSigned, BondTerms.name(of: coins.ys) == said.bond else {
            throw JobError(
                .wrongLock,
                "The coins do not show that the mint signed them, or are others than were named."
            )
        }
        let states = try await wallet.coinStates(coins.ys, at: token.mint)
        guard states.count == coins.ys.count,
            zip(states, coins.ys).allSatisfy({ $0.hashedSecret == $1 && $0.state == .unspent })
        else { throw JobError(.wrongLock, "The money is not in the lock any more.") }
        return coins
    }

    /// How a bond stands, with the latest rulings on it ([BND-7]).
    /// - Throws: ``JobError`` `unknown-bond`.
    public func told(_ name: String) async throws -> JSONObject { try await state(named(name)) }

    /// The latest bonds that are kept here, newest first.
    public func list(limit: Int) async throws -> [JSONObject] {
        let bounded = min(max(1, limit), 1_000)
        var all: [JSONObject] = []
        for bond in try await database.read({ connection in try KeptBonds.recent(limit: bounded, in: connection) }) {
            all.append(try await state(bond))
        }
        return all
    }

    /// `{"bond", "remaining", "locktime", "token", "rulings"}`.
    private func state(_ kept: KeptBond) async throws -> JSONObject {
        let rulings = try await database.read { connection in
            try KeptBonds.rulings(kept.bond, limit: 64, in: connection)
        }
        var json: JSONObject = [
            "bond": .object(kept.statement.document), "remaining": .string(String(kept.remaining)),
            "locktime": .integer(kept.locktime),
            "rulings": .array(rulings.map { .object($0.ruling.document) }),
        ]
        // Of no use to anybody but the two whose keys it names: the provider takes back what is left with it.
        json["token"] = kept.token.map { .string($0) }
        return json
    }

    // MARK: Paying

    /// Rules on what a buyer shows, and pays it ([BND-4] to [BND-6]): `{"claim", "evidence"}` → `{"ruling", "token"}`. The same again gives
    /// the same.
    /// - Throws: ``JobError``.
    public func claim(_ name: String, _ body: JSONObject) async throws -> JSONObject {
        let kept = try await named(name)
        let claim: Signed<BondClaim> = try JobWire.signed(body["claim"], "claim")
        let asked = claim.content
        guard asked.bond == kept.bond else { throw JobError(.invalid, "The claim is on another bond.") }
        if let known = try await ruled(kept.bond, asked.subject) {
            guard known.ruling.content.claimant == asked.claimant else {
                throw JobError(.invalid, "The job was another's.")
            }
            return try await paid(known)
        }
        let breach: ProvenBreach
        do {
            breach = try JobEvidence(json: body["evidence"]?.objectValue ?? [:]).proven()
        } catch {
            throw JobError(.unproven, "The evidence: \(error.message).")
        }
        let bond = kept.statement.content
        guard breach.provider == bond.provider, breach.buyer == asked.claimant, breach.subject == asked.subject,
            breach.bond == kept.bond, breach.unit == bond.unit.name
        else {
            throw JobError(.unproven, "The evidence is of another provider, buyer, job, unit or bond than the claim.")
        }
        // What it backs from when on, the provider says itself: its quote names the bond.
        guard breach.agreedAt < bond.until else {
            throw JobError(.unproven, "The job was agreed on when the bond backed nothing any more.")
        }
        let now = try await clocks.seconds(bond.mint.string)
        guard now + BondTerms.marginSeconds < UInt64(kept.locktime) else {
            throw JobError(.notNow, "The bond's time is over.")
        }
        return try await rule(breach, to: asked.key.compressed, on: kept.bond, at: now)
    }

    private func rule(
        _ breach: ProvenBreach,
        to key: [UInt8],
        on bond: [UInt8],
        at now: UInt64
    ) async throws -> JSONObject {
        guard paying.insert(bond).inserted else {
            throw JobError(.claimPending, "Another claim on the bond is being paid: ask again.")
        }
        defer { paying.remove(bond) }
        // One that a crash left on its way comes first: this one is paid out of what it leaves.
        if let open = try await database.read({ connection in try KeptBonds.open(bond, in: connection) }) {
            _ = try await pay(open)
        }
        if let known = try await ruled(bond, breach.subject) { return try answer(known) }
        guard let kept = try await find(bond), kept.remaining > 0 else {
            throw JobError(.notNow, "All of the bond is paid out.")
        }
        let ruling = BondRuling(
            keeper: signer.did,
            bond: bond,
            of: breach,
            paid: min(breach.owed, kept.remaining),
            time: now
        )
        let new = KeptRuling(ruling: try .sign(ruling, by: signer, now: clock.now()), key: key)
        let at = clock.now()
        try await database.write { connection in try KeptBonds.insert(new, at: at, in: connection) }
        logger.notice(
            "a breach is paid out of a bond",
            metadata: [
                "provider": "\(breach.provider)", "rule": "\(breach.rule.rawValue)",
                "amount": "\(ruling.paid) \(breach.unit)",
            ]
        )
        return try answer(try await pay(new))
    }

    /// Pays what was ruled; the wallet pays one reference once.
    private func pay(_ ruling: KeptRuling) async throws -> KeptRuling {
        let content = ruling.ruling.content
        guard let kept = try await find(content.bond), let token = kept.token else {
            throw JobError(.corrupt, "a bond that is to be paid out of is gone")
        }
        let (paid, rest) = try await wallet.payOut(
            content.paid,
            of: token,
            to: ruling.key,
            reference: "bond:\(Hex.encode(content.bond)):\(Hex.encode(content.subject))"
        )
        var left: (token: String, worth: UInt64)?
        if let rest {
            do {
                left = (rest, try await wallet.bondCoins(rest).worth)
            } catch let error as WalletError where error.code == .belowFee {
                left = (rest, 0)
            }
        }
        let stored = left
        try await database.write { connection in
            try KeptBonds.paid(ruling, token: paid, rest: stored, in: connection)
        }
        return KeptRuling(ruling: ruling.ruling, key: ruling.key, token: paid)
    }

    /// Of one that was ruled before.
    private func paid(_ known: KeptRuling) async throws -> JSONObject {
        if known.token != nil { return try answer(known) }
        let bond = known.ruling.content.bond
        guard paying.insert(bond).inserted else {
            throw JobError(.claimPending, "The claim is being paid: ask again.")
        }
        defer { paying.remove(bond) }
        return try answer(try await pay(known))
    }

    private func answer(_ ruling: KeptRuling) throws -> JSONObject {
        guard let token = ruling.token else { throw JobError(.claimPending, "The claim is being paid: ask again.") }
        return ["ruling": .object(ruling.ruling.document), "token": .string(token)]
    }

    /// Goes on with what a crash or a silent mint left open, and forgets what is long over.
    public func advance() async {
        do {
            for open in try await database.read({ connection in try KeptBonds.open(in: connection) }) {
                do {
                    _ = try await paid(open)
                } catch {
                    logger.notice("a bond pays out later", metadata: ["why": "\(error)"])
                }
            }
            let before = clock.now().secondsSince1970 - DisputeStore.keepSeconds
            try await database.write { connection in try KeptBonds.forget(lockedUntil: before, in: connection) }
        } catch {
            logger.warning("bonds pay out later", metadata: ["why": "\(error)"])
        }
    }

    // MARK: On disk

    private func find(_ bond: [UInt8]) async throws -> KeptBond? {
        try await database.read { connection in try KeptBonds.find(bond, in: connection) }
    }

    private func ruled(_ bond: [UInt8], _ subject: [UInt8]) async throws -> KeptRuling? {
        try await database.read { connection in try KeptBonds.ruling(bond, subject, in: connection) }
    }

    private func named(_ name: String) async throws -> KeptBond {
        guard name.utf8.count == 64, let bond = try? Hex.decode(name), let found = try await find(bond) else {
            throw JobError(.unknownBond, "No bond \(name.prefix(64)) is kept here.")
        }
        return found
    }
}
