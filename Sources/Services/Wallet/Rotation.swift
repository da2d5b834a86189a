internal import Cashu
internal import Encodings
internal import Logging
internal import Paywall
internal import Storage

extension Wallet {
    /// What moving coins may cost where there is no hurry: a fiftieth of them.
    private static let fairShare: UInt64 = 50
    /// So long before a keyset ends, moving its coins may cost what it costs.
    private static let hurrySeconds: Int64 = 30 * 86_400

    /// Exchanges coins of keysets that sign no more for coins of one that does, so that they outlive the old keyset's end.
    /// - Returns: how many coins went.
    public func moveRetiringCoins() async throws -> Int {
        let places = try await database.read { connection in try CoinStore.places(in: connection) }
        var moved = 0
        for (mint, unit) in places {
            do {
                moved += try await moveRetiringCoins(at: mint, unit: unit)
            } catch let error as WalletError {
                logger.notice(
                    "coins of an old keyset stay for now",
                    metadata: ["mint": "\(mint)", "why": "\(error.message)"]
                )
            }
        }
        return moved
    }

    private func moveRetiringCoins(at mint: MintURL, unit: CurrencyUnit) async throws -> Int {
        // Asks the mint anew where what is known is old: that is how a rotation is noticed.
        _ = try await book.terms(mint)
        let now = clock.now()
        let retiring = try await database.read { connection in
            try CoinStore.available(mint: mint, unit: unit, at: now, in: connection)
        }.filter { $0.isRetiring && $0.feePPK / 1000 < $0.amount }
        var moved = 0
        for batch in retiring.chunks(of: configuration.maximumInputs) where try Self.isWorthMoving(batch, at: now) {
            let result = try await perform(at: mint, unit: unit) { planner, connection in
                let still = try batch.filter { try CoinStore.find($0.y, in: connection)?.state == .unspent }
                let worth = try CoinSelection.netWorth(still)
                guard worth > 0 else {
                    throw WalletError(.insufficientFunds, "the coins of the old keyset were spent meanwhile")
                }
                return try planner.own(
                    .swap,
                    still,
                    groups: [OutputGroup(use: .keep, amounts: try planner.keyset.split(worth))],
                    fee: Fees.total(inputFeesPPK: still.map(\.feePPK)),
                    reference: nil,
                    in: connection
                )
            }
            moved += result.operation.inputs.count
        }
        return moved
    }

    private static func isWorthMoving(_ coins: [Coin], at now: Timestamp) throws -> Bool {
        let worth = try CoinSelection.netWorth(coins)
        guard worth > 0 else { return false }
        let end = coins.compactMap(\.ends).min() ?? .max
        if end - now.secondsSince1970 < hurrySeconds { return true }
        let fee = try Fees.total(inputFeesPPK: coins.map(\.feePPK))
        return fee <= worth / fairShare
    }
}
