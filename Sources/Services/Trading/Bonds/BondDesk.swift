public import CanonicalJSON
public import Cashu
internal import Cryptography
public import Encodings
public import Logging
public import Market
public import SignedDocuments
public import Storage
public import Wallet

/// Leaves bonds with keepers, so that buyers are paid where this node breaks a promise ([BND-2], [BND-8]). What no breach took comes back
/// by itself after its time.
public actor BondDesk {
    /// The most bonds that are out at a time.
    public static let maximumBonds = 16
    /// How often a keeper is asked for what is left: what a bond is after a payment is known to the keeper alone until then.
    private static let askSeconds: Int64 = 30

    private let database: Database
    private let wallet: Wallet
    private let signer: DocumentSigner
    private let line: JobLine
    private let clock: WallClock
    private let logger: Logger
    /// Hears what backs this node's promises, whenever that may be another.
    private let onBacking: @Sendable (Listing.Bond?) async -> Void
    private var isBusy = false
    private var askedAt: [String: Timestamp] = [:]

    /// - Parameter database: with ``BondTables/migrations``.
    public init(
        database: Database,
        wallet: Wallet,
        signer: DocumentSigner,
        clock: WallClock,
        logger: Logger,
        post: @escaping BuyerDesk.Post,
        onBacking: @escaping @Sendable (Listing.Bond?) async -> Void
    ) {
        self.database = database
        self.wallet = wallet
        self.signer = signer
        line = JobLine(party: "keeper", post: post)
        self.clock = clock
        self.logger = logger
        self.onBacking = onBacking
    }

    /// Locks money for a keeper and leaves it there.
    ///
    /// - Parameters:
    ///   - seconds: how long it backs what is agreed on; it comes back a day later.
    /// - Returns: the bond, as ``list()`` shows it.
    /// - Throws: ``JobError``, `WalletError`; nothing was locked.
    public func leave(
        _ amount: UInt64,
        _ unit: CurrencyUnit,
        with keeper: NamedKeeper,
        seconds: UInt64
    ) async throws -> JSONObject {
        guard BondTerms.backedSeconds.contains(seconds) else {
            throw JobError(.invalid, "A bond backs from an hour to a year.")
        }
        guard keeper.did != signer.did else { throw JobError(.invalid, "Another node than this one keeps its bonds.") }
        let funds = try await wallet.balances().filter { $0.unit == unit && $0.available >= amount }
        guard let mint = funds.map(\.mint).first(where: { keeper.mints.contains($0) && ListingURL($0.string) != nil })
        else {
            throw JobError(
                .noOffer,
                "The wallet has \(amount) \(unit) at no mint that the keeper takes: "
                    + keeper.mints.map(\.string).joined(separator: ", ")
            )
        }
        let now = UInt64(max(0, clock.now().secondsSince1970))
        let bond = LeftBond(
            id: Hex.encode(SecureRandom.bytes(16)),
            origin: keeper.origin,
            keeper: keeper.did,
            key: keeper.key,
            mint: mint,
            unit: unit,
            amount: amount,
            until: now + seconds,
            createdAt: clock.now()
        )
        try await database.write { connection in
            guard try LeftBonds.open(in: connection).count < Self.maximumBonds else {
                throw JobError(.tooMany, "\(Self.maximumBonds) bonds are out, which is the most.")
            }
            try LeftBonds.insert(bond, in: connection)
        }
        // A round that goes on just now began before it.
        while isBusy { try await Task.sleep(for: .milliseconds(20)) }
        await advance()
        return try await shown(bond.id)
    }

    /// One bond, by its id.
    /// - Throws: ``JobError`` `unknown-bond`.
    public func shown(_ id: String) async throws -> JSONObject {
        guard let bond = try await database.read({ connection in try LeftBonds.find(id, in: connection) }) else {
            throw JobError(.unknownBond, "This node has left no bond \(id.prefix(64)).")
        }
        return bond.shown
    }

    /// All that were left, newest first.
    public func list() async throws -> [JSONObject] {
        try await database.read { connection in try LeftBonds.recent(limit: 100, in: connection) }.map(\.shown)
    }

    /// Goes on with every bond: makes it, leaves it, hears what is left of it, takes it back.
    public func advance() async {
        guard !isBusy else { return }
        isBusy = true
        defer { isBusy = false }
        do {
            for bond in try await database.read({ connection in try LeftBonds.open(in: connection) }) {
                do {
                    try await step(bond)
                } catch {
                    try await note("\(error)", bond)
                }
            }
            try await announce()
        } catch {
            logger.warning("bonds go on later", metadata: ["why": "\(error)"])
        }
    }

    /// Says what backs this node's promises, from what is on disk: to be called before anything is sold.
    /// - Throws: `StorageError`.
    public func announce() async throws {
        let now = UInt64(max(0, clock.now().secondsSince1970))
        let held = try await database.read { connection in try LeftBonds.open(in: connection) }
            .filter { $0.state == .held && $0.until > now && $0.remaining > 0 }
        await onBacking(held.max { $0.remaining < $1.remaining }?.backing)
    }

    private func step(_ stored: LeftBond) async throws {
        var bond = stored
        if bond.state == .making { try await make(&bond) }
        guard let token = bond.token else { return }
        let now = clock.now().secondsSince1970
        if now >= bond.locktime + Int64(TradeBounds.skewSeconds) { return try await takeBack(&bond, token) }
        guard askedAt[bond.id].map({ clock.now() >= $0.adding(seconds: Self.askSeconds) }) ?? true else { return }
        askedAt[bond.id] = clock.now()
        switch bond.state {
        case .placing: try await place(&bond, token)
        case .held: try await ask(&bond)
        case .making, .back, .refused, .spent: break
        }
    }

    /// The wallet makes one token for a bond.
    private func make(_ bond: inout LeftBond) async throws {
        let sent: SentToken
        do {
            sent = try await wallet.send(
                bond.amount,
                at: bond.mint,
                unit: bond.unit,
                lock: TokenLock(key: bond.key, locktime: bond.locktime, refundKey: try wallet.receivingKey()),
                reference: "left-bond:\(bond.id)"
            )
        } catch let error as WalletError {
            guard case .none = try await wallet.token(sentFor: "left-bond:\(bond.id)"),
                error.code != .mintUnreachable, error.code != .outcomeUnknown
            else { throw error }
            (bond.state, bond.note) = (.refused, error.message)
            return try await save(bond)
        }
        let ys = try await wallet.coins(of: sent.token).map { try $0.hashedSecret().compressed }
        (bond.state, bond.token, bond.name) = (.placing, sent.token, BondTerms.name(of: ys))
        try await save(bond)
    }

    private func place(_ bond: inout LeftBond, _ token: String) async throws {
        guard let name = bond.name else { throw JobError(.corrupt, "a bond has lost its name") }
        let now = clock.now()
        let deposit = BondDeposit(
            provider: signer.did,
            keeper: bond.keeper,
            bond: name,
            until: bond.until,
            time: UInt64(max(0, now.secondsSince1970))
        )
        let answer = try await line.call(
            bond.origin + "/market/bonds",
            [
                "deposit": .object(try Signed<BondDeposit>.sign(deposit, by: signer, now: now).document),
                "token": .string(token),
            ]
        )
        guard answer.status == 200 else {
            // It stays locked until its time; a keeper that is busy is asked again.
            bond.note = answer.error.message
            return try await save(bond)
        }
        try await heard(try BondState(answer.json), &bond)
    }

    private func ask(_ bond: inout LeftBond) async throws {
        guard let name = bond.name else { return }
        let answer = try await line.call(bond.origin + "/market/bonds/" + Hex.encode(name), [:])
        guard answer.status == 200 else { throw answer.error }
        try await heard(try BondState(answer.json), &bond)
    }

    private func heard(_ state: BondState, _ bond: inout LeftBond) async throws {
        let said = state.statement.content
        guard said.keeper == bond.keeper, said.provider == signer.did, said.bond == bond.name,
            said.until == bond.until
        else { throw JobError(.sellerFailed, "The keeper's statement is of another bond.") }
        bond.statement = String(decoding: state.statement.bytes, as: UTF8.self)
        (bond.state, bond.remaining, bond.note) = (.held, state.remaining, nil)
        bond.rulings = String(decoding: JSONValue.array(state.rulings).serialized(), as: UTF8.self)
        if let known = bond.token, state.token != known {
            // What this node can take back is not given up for what a keeper says.
            let ys = try await wallet.coins(of: known).map { try $0.hashedSecret().compressed }
            guard try await wallet.coinStates(ys, at: bond.mint).allSatisfy({ $0.state == .spent }) else {
                throw JobError(
                    .sellerFailed,
                    "The keeper says that it paid out of the bond, and the mint that it did not."
                )
            }
            bond.token = state.token ?? known
            if state.token == nil { bond.state = .spent }
        }
        try await save(bond)
    }

    private func takeBack(_ bond: inout LeftBond, _ token: String) async throws {
        do {
            _ = try await wallet.receive(token)
        } catch let error as WalletError where error.code == .tokenSpent {
            // Unless it came in before, the keeper has paid out of it since it was heard last: what is left it knows.
            if try await wallet.received(of: token) == 0 { return try await ask(&bond) }
        }
        (bond.state, bond.returned, bond.note) = (.back, try await wallet.received(of: token), nil)
        try await save(bond)
    }

    private func save(_ bond: LeftBond) async throws {
        try await database.write { connection in try LeftBonds.update(bond, in: connection) }
    }

    private func note(_ what: String, _ bond: LeftBond) async throws {
        try await database.write { connection in
            guard var now = try LeftBonds.find(bond.id, in: connection), now.note != what else { return }
            now.note = what
            try LeftBonds.update(now, in: connection)
        }
    }
}
