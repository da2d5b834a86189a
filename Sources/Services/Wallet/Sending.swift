public import Cashu
internal import Encodings
internal import Ledger
internal import Storage

/// A lock for a token that is sent (NUT-11, NUT-14).
public struct TokenLock: Sendable {
    /// The receiver's key, 33 bytes compressed; nil only with `hash`, where whoever has the preimage may spend it.
    public var key: [UInt8]?
    /// SHA-256 of a preimage of 32 bytes that the receiver must show; nil: none.
    public var hash: [UInt8]?
    /// Blinds the keys, so that the mint does not learn whom the token is for (NUT-28).
    public var isBlinded: Bool
    /// Seconds since 1970 after which `refundKey` can take it back; nil: never.
    public var locktime: Int64?
    /// Who may take it back after the locktime. With a locktime and no refund key anyone could, so it is required.
    public var refundKey: [UInt8]?
    /// Where two of three keys spend it together: the other two, in the lock's order. What they sign covers all that it is swapped to
    /// (NUT-11, `n_sigs` 2, SIG_ALL).
    public var sharedWith: [[UInt8]] = []

    public init(
        key: [UInt8]?,
        hash: [UInt8]? = nil,
        isBlinded: Bool = false,
        locktime: Int64? = nil,
        refundKey: [UInt8]? = nil
    ) {
        self.key = key
        self.hash = hash
        self.isBlinded = isBlinded
        self.locktime = locktime
        self.refundKey = refundKey
    }
}

extension Wallet {
    /// Takes `amount` out of the wallet as a token for somebody else.
    /// - Parameters:
    ///   - lock: only this key can spend it.
    ///   - reference: calling again with the same reference gives the same token and takes nothing more.
    ///   - account: on whose account it goes, for limits; nil: it is no spending of ours (a refund).
    /// - Throws: `insufficientFunds`, `limitExceeded`; `outcomeUnknown`: then the token appears in `sentTokens` later.
    public func send(
        _ amount: UInt64,
        at mint: MintURL,
        unit: CurrencyUnit = .sat,
        lock: TokenLock? = nil,
        reference: String? = nil,
        account: SpendingAccount? = SpendingAccount()
    ) async throws -> SentToken {
        try await send(amount, at: mint, unit: unit, lock: lock, reference: reference, account: account, host: nil)
    }

    /// - Parameter host: who it goes to, where that is known.
    func send(
        _ amount: UInt64,
        at mint: MintURL,
        unit: CurrencyUnit,
        lock: TokenLock?,
        reference: String?,
        account: SpendingAccount?,
        host: WebAddress?
    ) async throws -> SentToken {
        guard amount > 0, amount <= UInt64(Int64.max) else {
            throw WalletError(.invalidArgument, "an amount to send must be above zero")
        }
        let coinLock = try lock.map(Self.checked)
        let spend = account.map { account in
            Spend(
                agent: account.agent,
                host: host.map { ($0.host, $0.effectivePort) },
                key: lock?.key,
                unit: unit,
                amount: amount,
                at: clock.now()
            )
        }
        // Who loses a race for the reference asks for what the winner made; where that was refused, it is free again.
        for _ in 0..<Self.attemptsAtReference {
            if let reference, let token = try await tokenSent(for: reference) { return token }
            do {
                return try await sendNew(
                    amount,
                    at: mint,
                    unit: unit,
                    lock: coinLock,
                    reference: reference,
                    spend: spend
                )
            } catch is ReferenceTaken {
                continue
            }
        }
        throw WalletError(.outcomeUnknown, "this token is being made by others over and over; ask again")
    }

    private static let attemptsAtReference = 8

    /// Another call makes, or made, the token of this reference.
    private struct ReferenceTaken: Error {}

    /// Asked inside the transaction that reserves the coins: of any number of calls at once one goes on.
    private static func requireFree(_ reference: String?, in connection: Connection) throws {
        guard let reference else { return }
        guard try TokenStore.find(reference: reference, in: connection) == nil,
            try Operation.live(reference: reference, in: connection) == nil
        else { throw ReferenceTaken() }
        // What a mint answered with signatures that are none gave nobody a token. But who goes on forever feeds it coins.
        guard try Operation.disputed(reference: reference, in: connection) < maximumDisputes else {
            throw WalletError(
                .mintDishonest,
                "the mint took the coins for this token \(maximumDisputes) times and gave no valid signatures; no more are sent"
            )
        }
    }

    private static let maximumDisputes = 3

    private func sendNew(
        _ amount: UInt64,
        at mint: MintURL,
        unit: CurrencyUnit,
        lock coinLock: CoinLock?,
        reference: String?,
        spend: Spend?
    ) async throws -> SentToken {
        if coinLock == nil,
            let token = try await sendExact(amount, at: mint, unit: unit, reference: reference, spend: spend)
        {
            bell.ring()
            return token
        }
        let result = try await perform(at: mint, unit: unit) { planner, connection in
            try Self.requireFree(reference, in: connection)
            let group = OutputGroup(use: .send, amounts: try planner.keyset.split(amount), lock: coinLock)
            let operation = try planner.spend(.swap, groups: [group], reference: reference, in: connection)
            try spend?.charged(as: operation.id, in: connection)
            return operation
        }
        return try await token(result.operation.id)
    }

    private static func checked(_ lock: TokenLock) throws -> CoinLock {
        guard lock.locktime == nil || lock.refundKey != nil else {
            throw WalletError(.invalidArgument, "a lock with a time needs a refund key, else anyone can take it then")
        }
        guard lock.locktime ?? 0 >= 0, lock.refundKey == nil || lock.locktime != nil else {
            throw WalletError(.invalidArgument, "a refund key needs the time from which it counts")
        }
        guard lock.key != nil || lock.hash != nil else {
            throw WalletError(.invalidArgument, "a lock needs a key, a hash or both")
        }
        guard lock.sharedWith.isEmpty || (lock.key != nil && lock.hash == nil && !lock.isBlinded) else {
            throw WalletError(.invalidArgument, "a lock that keys share is of keys alone")
        }
        let coinLock = CoinLock(
            key: lock.key ?? [],
            hash: lock.hash,
            isBlinded: lock.isBlinded,
            refundKey: lock.refundKey,
            locktime: lock.locktime,
            sharedWith: lock.sharedWith
        )
        do {
            _ = try OutputMaker.secretText(coinLock, nonce: [0])
        } catch {
            throw WalletError(.invalidArgument, "the key to lock to is not a compressed point: \(error)", cause: error)
        }
        return coinLock
    }

    /// The token made for a reference before, also where its making has to be finished first.
    private func tokenSent(for reference: String) async throws -> SentToken? {
        let found = try await database.read { connection in
            (
                try TokenStore.find(reference: reference, in: connection),
                try Operation.live(reference: reference, in: connection)
            )
        }
        if let token = found.0 { return token }
        guard let operation = found.1, operation.state == .planned else { return nil }
        do {
            _ = try await runner.run(operation, isFresh: false)
        } catch let error as WalletError where error.code != .outcomeUnknown && error.code != .mintUnreachable {
            return nil
        }
        return try await database.read { connection in try TokenStore.find(reference: reference, in: connection) }
    }

    /// Coins that make the amount as they are need no trip to the mint.
    private func sendExact(
        _ amount: UInt64,
        at mint: MintURL,
        unit: CurrencyUnit,
        reference: String?,
        spend: Spend?
    ) async throws -> SentToken? {
        let now = clock.now()
        return try await database.write { connection in
            try Self.requireFree(reference, in: connection)
            let coins = try CoinStore.available(mint: mint, unit: unit, at: now, in: connection)
            guard let chosen = CoinSelection.exact(coins, target: amount), chosen.count <= 200 else { return nil }
            let id = WalletID.random()
            try spend?.charged(as: id, in: connection)
            var proofs: [Proof] = []
            for coin in chosen {
                guard let stored = try CoinStore.find(coin.y, in: connection) else { return nil }
                proofs.append(stored.proof)
            }
            try CoinStore.move(chosen.map(\.y), from: .unspent, to: .sent, holder: id, at: now, in: connection)
            try TokenStore.insert(
                id: id,
                mint: mint,
                unit: unit,
                proofs: proofs,
                reference: reference,
                at: now,
                in: connection
            )
            var booking = Booking(reference: id, kind: "send", unit: unit.name, at: now)
            booking.move(amount, from: WalletAccounts.ecash(mint), to: WalletAccounts.external)
            try LedgerStore.post(booking.transfers, in: connection)
            try History.note(
                .sent,
                mint: mint,
                unit: unit,
                change: -Int64(amount),
                fee: 0,
                reference: id,
                at: now,
                in: connection
            )
            return try TokenStore.find(id, in: connection)
        }
    }

    private func token(_ id: String) async throws -> SentToken {
        guard let token = try await database.read({ connection in try TokenStore.find(id, in: connection) }) else {
            throw WalletError(.corrupt, "the token that was just made is not in the wallet's tables")
        }
        return token
    }

    /// Tokens that left and that nobody claimed yet, as far as we know, oldest first.
    public func sentTokens() async throws -> [SentToken] {
        try await database.read { connection in try TokenStore.open(limit: 1000, in: connection) }
    }

    /// Gives back money for a call that was not served, out of the seller's wallet. The same reference always gives the
    /// same token, so that a refund is paid once.
    public func refundToken(
        _ amount: UInt64,
        at mint: MintURL,
        unit: CurrencyUnit = .sat,
        reference: String
    ) async throws -> String {
        // What is given back is no spending: no limit may keep a seller from it.
        try await send(amount, at: mint, unit: unit, reference: "seller-refund:" + reference, account: nil).token
    }
}
