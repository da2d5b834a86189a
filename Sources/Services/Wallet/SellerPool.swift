internal import Cashu
internal import Cryptography
internal import Encodings
internal import Ledger
internal import Paywall
internal import Storage

/// Coins locked to sellers beforehand, so that a call costs no trip to the mint.
actor SellerPool {
    private let wallet: Wallet
    private let configuration: BuyerConfiguration
    private var filling: [Key: Filling] = [:]
    private var fillings: UInt64 = 0
    /// How many wait for what another fills in.
    private(set) var waiting = 0

    private struct Filling {
        var number: UInt64
        var amount: UInt64
        var task: Task<Void, any Error>
    }

    struct Key: Hashable, Sendable {
        /// 33 bytes; empty for coins without a lock.
        var seller: [UInt8]
        var mint: MintURL
        var unit: CurrencyUnit
    }

    init(wallet: Wallet, configuration: BuyerConfiguration) {
        self.wallet = wallet
        self.configuration = configuration
    }

    /// Puts coins worth `amount` at least into the pool, and some for the calls to come. Callers at the same time share
    /// one exchange; that another's larger amount is not there says nothing of a smaller one.
    /// - Parameter budget: the most to lock beyond this call, by the caller's own limit; nil: none of it.
    func fill(_ key: Key, amount: UInt64, budget: UInt64?) async throws {
        while let running = filling[key] {
            do {
                waiting += 1
                defer { waiting -= 1 }
                return try await running.task.value
            } catch let error as WalletError where error.code == .insufficientFunds && amount < running.amount {
                ended(running, key)
            }
        }
        fillings += 1
        let task = Task { try await exchange(key, amount: amount, budget: budget) }
        let own = Filling(number: fillings, amount: amount, task: task)
        filling[key] = own
        defer { ended(own, key) }
        try await task.value
    }

    private func ended(_ one: Filling, _ key: Key) {
        if filling[key]?.number == one.number { filling[key] = nil }
    }

    private func exchange(_ key: Key, amount: UInt64, budget: UInt64?) async throws {
        guard !key.seller.isEmpty else {
            _ = try await wallet.perform(at: key.mint, unit: key.unit) { planner, connection in
                let group = OutputGroup(use: .keep, amounts: try planner.keyset.split(amount))
                return try planner.spend(.swap, groups: [group], reference: nil, in: connection)
            }
            return
        }
        let now = wallet.clock.now()
        let terms = try await wallet.book.terms(key.mint)
        guard terms.supportsP2PK else {
            throw WalletError(
                .mintUnsuitable,
                "the mint \(key.mint) does not keep locks (NUT-11), which this seller wants"
            )
        }
        let lock = CoinLock(
            key: key.seller,
            refundKey: Secp256k1.Point(multiplyingGeneratorBy: try wallet.keys.refund(seller: key.seller)).compressed,
            locktime: terms.mintSeconds(at: now) + configuration.lockSeconds
        )
        let rules = configuration
        do {
            _ = try await wallet.perform(at: key.mint, unit: key.unit) { planner, connection in
                let calls = try Self.calls(
                    key,
                    amount: amount,
                    budget: budget,
                    rules: rules,
                    at: now,
                    in: connection
                )
                return try Self.plan(planner, calls: calls, amount: amount, lock: lock, in: connection)
            }
        } catch let error as WalletError where error.code == .insufficientFunds {
            // What is there may do for this one call.
            _ = try await wallet.perform(at: key.mint, unit: key.unit) { planner, connection in
                try Self.plan(planner, calls: 1, amount: amount, lock: lock, in: connection)
            }
        }
    }

    private static func plan(
        _ planner: OperationPlanner,
        calls: UInt64,
        amount: UInt64,
        lock: CoinLock,
        in connection: Connection
    ) throws -> Operation {
        let one = try planner.keyset.split(amount)
        // An exchange that is too large for the mint would be refused as a whole.
        let fitting = max(1, min(calls, UInt64(planner.maximumInputs / max(1, one.count))))
        let amounts = Array(repeating: one, count: Int(fitting)).flatMap { $0 }
        let group = OutputGroup(use: .pool, amounts: amounts, lock: lock)
        return try planner.spend(.lock, groups: [group], reference: nil, in: connection)
    }

    /// How many calls the next filling covers: twice as many each time, within every limit.
    private static func calls(
        _ key: Key,
        amount: UInt64,
        budget: UInt64?,
        rules: BuyerConfiguration,
        at now: Timestamp,
        in connection: Connection
    ) throws -> UInt64 {
        let row = try connection.first(
            "SELECT next_calls FROM wallet_pools WHERE seller = ? AND mint = ? AND unit = ?",
            .blob(key.seller),
            .text(key.mint.string),
            .text(key.unit.name)
        )
        let wanted = try row?.uint64(0) ?? UInt64(rules.firstPoolCalls)
        try connection.execute(
            """
            INSERT INTO wallet_pools (seller, mint, unit, next_calls) VALUES (?, ?, ?, ?)
            ON CONFLICT (seller, mint, unit) DO UPDATE SET next_calls = excluded.next_calls
            """,
            .blob(key.seller),
            .text(key.mint.string),
            .text(key.unit.name),
            try .amount(min(UInt64(rules.maximumPoolCalls), wanted * 2))
        )
        let locked = try LedgerStore.balance(
            of: WalletAccounts.locked(key.seller),
            unit: key.unit.name,
            in: connection
        )
        let room = rules.maximumPoolValue > locked ? rules.maximumPoolValue - locked : 0
        let available = try Amounts.sum(
            CoinStore.available(mint: key.mint, unit: key.unit, at: now, in: connection).map(\.amount)
        )
        // Half of what is there stays free for other sellers.
        let most = min(room, available / 2, budget ?? .max)
        return max(1, min(wanted, UInt64(rules.maximumPoolCalls), most / amount))
    }

    /// Coins that make exactly `amount`, as few as its own split has, so that the seller's fee is what it expects.
    static func choose(
        _ key: Key,
        amount: UInt64,
        minimumLocktime: Int64,
        at now: Timestamp,
        in connection: Connection
    ) throws -> [Coin]? {
        let coins =
            key.seller.isEmpty
            ? try CoinStore.available(mint: key.mint, unit: key.unit, at: now, in: connection)
            : try CoinStore.pool(
                seller: key.seller,
                mint: key.mint,
                unit: key.unit,
                minimumLocktime: minimumLocktime,
                in: connection
            )
        guard let chosen = CoinSelection.exact(coins, target: amount), chosen.count <= amount.nonzeroBitCount else {
            return nil
        }
        return chosen
    }
}
