internal import Cashu
internal import Cryptography
internal import Encodings
internal import Paywall
internal import Storage

/// Ids of operations, payments and keys: 128 random bits in hex.
enum WalletID {
    static func random() -> String { Hex.encode(SecureRandom.bytes(16)) }
}

/// Writes intents: chooses coins, holds them, takes counters and puts the operation on disk, all in one transaction.
struct OperationPlanner: Sendable {
    let terms: MintTerms
    let unit: CurrencyUnit
    let keyset: Keyset
    let maximumInputs: Int
    let at: Timestamp

    init(terms: MintTerms, unit: CurrencyUnit, maximumInputs: Int, at: Timestamp) throws(WalletError) {
        self.terms = terms
        self.unit = unit
        self.maximumInputs = maximumInputs
        self.at = at
        keyset = try terms.keysetForNewCoins(unit: unit, at: at)
    }

    /// Our coins for `groups` and the rest back to us.
    /// - Throws: `insufficientFunds`, saying what is there.
    func spend(
        _ kind: Operation.Kind,
        groups: [OutputGroup],
        reference: String?,
        in connection: Connection
    ) throws -> Operation {
        let target = try OutputPlan.sum(of: groups)
        let coins = try CoinStore.available(mint: terms.mint, unit: unit, at: at, in: connection)
        guard let chosen = try CoinSelection.covering(coins, target: target, maximumInputs: maximumInputs) else {
            throw try shortage(target, coins)
        }
        let sum = try Amounts.sum(chosen.map(\.amount))
        let fee = try Fees.total(inputFeesPPK: chosen.map(\.feePPK))
        let change = try keyset.split(sum - fee - target)
        let kept = groups + (change.isEmpty ? [] : [OutputGroup(use: .keep, amounts: change)])
        return try own(kind, chosen, groups: kept, fee: fee, reference: reference, in: connection)
    }

    /// Holds `chosen` for a new operation.
    func own(
        _ kind: Operation.Kind,
        _ chosen: [Coin],
        groups: [OutputGroup],
        fee: UInt64,
        quote: QuoteID? = nil,
        meltAmount: UInt64 = 0,
        reference: String?,
        prepare: (Proof, StoredCoin) throws -> Proof = { proof, _ in proof },
        in connection: Connection
    ) throws -> Operation {
        let id = WalletID.random()
        var inputs: [Proof] = []
        for coin in chosen {
            guard let stored = try CoinStore.find(coin.y, in: connection) else {
                throw WalletError(.corrupt, "a coin of the wallet is gone")
            }
            inputs.append(try prepare(stored.proof, stored))
        }
        try CoinStore.move(chosen.map(\.y), from: .unspent, to: .reserved, holder: id, at: at, in: connection)
        return try plan(
            id: id,
            kind,
            inputs: inputs,
            ownsInputs: true,
            groups: groups,
            fee: fee,
            quote: quote,
            meltAmount: meltAmount,
            reference: reference,
            in: connection
        )
    }

    /// Coins that are not in our table, or were given out before, for new ones of ours.
    /// - Throws: `belowFee`.
    func claim(
        _ kind: Operation.Kind,
        inputs: [Proof],
        reference: String?,
        in connection: Connection
    ) throws -> Operation {
        let net = try netWorth(of: inputs)
        return try plan(
            id: WalletID.random(),
            kind,
            inputs: inputs,
            ownsInputs: false,
            groups: [OutputGroup(use: .keep, amounts: try keyset.split(net.amount))],
            fee: net.fee,
            reference: reference,
            in: connection
        )
    }

    /// New coins for a paid quote.
    func mint(_ amount: UInt64, quote: QuoteID, in connection: Connection) throws -> Operation {
        try plan(
            id: WalletID.random(),
            .mint,
            inputs: [],
            ownsInputs: false,
            groups: [OutputGroup(use: .keep, amounts: try keyset.split(amount))],
            fee: 0,
            quote: quote,
            inputSum: amount,
            reference: nil,
            in: connection
        )
    }

    /// New coins for several paid quotes, worth `amount` together.
    func mint(_ amount: UInt64, batch: [QuoteID], in connection: Connection) throws -> Operation {
        try plan(
            id: WalletID.random(),
            .batch,
            inputs: [],
            ownsInputs: false,
            groups: [OutputGroup(use: .keep, amounts: try keyset.split(amount))],
            fee: 0,
            batch: batch,
            inputSum: amount,
            reference: nil,
            in: connection
        )
    }

    /// What proofs are worth here after the fee.
    func netWorth(of inputs: [Proof]) throws -> (amount: UInt64, fee: UInt64) {
        let sum = try Amounts.sum(inputs.map(\.amount))
        var fees: [UInt64] = []
        for input in inputs { fees.append(try terms.keyset(input.keysetID).info.inputFeePPK) }
        let fee = try Fees.total(inputFeesPPK: fees)
        guard sum > fee else {
            throw WalletError(.belowFee, "the mint's fee of \(fee) \(unit) would take all of these \(sum) \(unit)")
        }
        return (sum - fee, fee)
    }

    private func plan(
        id: String,
        _ kind: Operation.Kind,
        inputs: [Proof],
        ownsInputs: Bool,
        groups: [OutputGroup],
        fee: UInt64,
        quote: QuoteID? = nil,
        batch: [QuoteID] = [],
        inputSum: UInt64? = nil,
        meltAmount: UInt64 = 0,
        reference: String?,
        in connection: Connection
    ) throws -> Operation {
        let first = try Counters.take(OutputPlan.counters(of: groups), of: keyset.id, in: connection)
        let operation = Operation(
            id: id,
            kind: kind,
            mint: terms.mint,
            unit: unit,
            inputs: inputs,
            ownsInputs: ownsInputs,
            plan: OutputPlan(keyset: keyset.id, firstCounter: first, groups: groups),
            quote: quote,
            batch: batch,
            reference: reference,
            inputSum: try inputSum ?? Amounts.sum(inputs.map(\.amount)),
            meltAmount: meltAmount,
            fee: fee,
            plannedAt: at
        )
        try operation.insert(in: connection)
        return operation
    }

    func shortage(_ target: UInt64, _ coins: [Coin]) throws -> WalletError {
        let there = try Amounts.sum(coins.map(\.amount))
        let hint =
            there > target
            ? "; with the mint's fee, or in fewer than \(maximumInputs) coins, it is not enough" : ""
        return WalletError(
            .insufficientFunds,
            "\(target) \(unit) are needed at \(terms.mint) and \(there) \(unit) are there\(hint)"
        )
    }
}

extension Wallet {
    /// Plans an operation and carries it out. Where the mint has changed its keysets since we asked, asks again and
    /// plans anew, once.
    func perform(
        at mint: MintURL,
        unit: CurrencyUnit,
        plan: @escaping @Sendable (OperationPlanner, Connection) throws -> Operation
    ) async throws -> OperationResult {
        do {
            return try await performOnce(at: mint, unit: unit, plan: plan)
        } catch let error as WalletError where error.code == .mintRefused && Self.isKeysetChange(error.mintCode) {
            _ = try await book.refresh(mint)
            return try await performOnce(at: mint, unit: unit, plan: plan)
        }
    }

    private static func isKeysetChange(_ code: Int?) -> Bool {
        [MintErrorCode.keysetUnknown, .keysetInactive, .keysetExpired].contains { $0.rawValue == code }
    }

    private func performOnce(
        at mint: MintURL,
        unit: CurrencyUnit,
        plan: @escaping @Sendable (OperationPlanner, Connection) throws -> Operation
    ) async throws -> OperationResult {
        let operation = try await planned(at: mint, unit: unit, plan: plan)
        // What came of it, or that it is not known, is news for whoever waits.
        defer { bell.ring() }
        return try await runner.run(operation, isFresh: true)
    }

    /// Writes an intent without carrying it out.
    func planned(
        at mint: MintURL,
        unit: CurrencyUnit,
        plan: @escaping @Sendable (OperationPlanner, Connection) throws -> Operation
    ) async throws -> Operation {
        let planner = try OperationPlanner(
            terms: try await book.terms(mint),
            unit: unit,
            maximumInputs: configuration.maximumInputs,
            at: clock.now()
        )
        return try await database.write { connection in try plan(planner, connection) }
    }
}
