internal import Cashu

/// A coin as the choice sees it.
struct Coin: Sendable, Equatable {
    let y: [UInt8]
    let amount: UInt64
    /// The input fee of its keyset, parts per thousand.
    let feePPK: UInt64
}

/// Which coins to spend. Pure.
enum CoinSelection {
    /// Coins that make exactly `target`, as few as possible; nil where there are none. Coins are powers of two, so
    /// taking the largest that fits finds a way wherever there is one.
    static func exact(_ coins: [Coin], target: UInt64) -> [Coin]? {
        var rest = target
        var chosen: [Coin] = []
        for coin in coins.sorted(by: largestFirst) where coin.amount <= rest {
            chosen.append(coin)
            rest -= coin.amount
            if rest == 0 { return chosen }
        }
        return rest == 0 ? chosen : nil
    }

    /// Coins whose sum less their own input fee is at least `target`: the fewest, then the smallest that do.
    /// - Returns: nil where all of them together, or `maximumInputs` of them, are not enough.
    static func covering(_ coins: [Coin], target: UInt64, maximumInputs: Int) throws(CashuError) -> [Coin]? {
        // A coin that costs as much as it is worth only makes things worse.
        let useful = coins.filter { $0.feePPK / 1000 < $0.amount }.sorted(by: largestFirst)
        var chosen: [Coin] = []
        for coin in useful.prefix(maximumInputs) {
            chosen.append(coin)
            guard try covers(chosen, target) else { continue }
            return try shrunk(chosen, from: useful, target: target)
        }
        return nil
    }

    /// What the coins are worth after their input fee; 0 where the fee eats them.
    static func netWorth(_ coins: [Coin]) throws(CashuError) -> UInt64 {
        let sum = try Amounts.sum(coins.map(\.amount))
        let fee = try Fees.total(inputFeesPPK: coins.map(\.feePPK))
        return sum > fee ? sum - fee : 0
    }

    private static func covers(_ coins: [Coin], _ target: UInt64) throws(CashuError) -> Bool {
        try netWorth(coins) >= target
    }

    /// Puts the smallest coin that still does in the last one's place, so that large coins stay whole.
    private static func shrunk(_ chosen: [Coin], from useful: [Coin], target: UInt64) throws(CashuError) -> [Coin] {
        let head = Array(chosen.dropLast())
        for coin in useful.dropFirst(head.count).reversed() where try covers(head + [coin], target) {
            return head + [coin]
        }
        return chosen
    }

    private static func largestFirst(_ left: Coin, _ right: Coin) -> Bool {
        left.amount != right.amount
            ? left.amount > right.amount
            : left.feePPK != right.feePPK ? left.feePPK < right.feePPK : left.y.lexicographicallyPrecedes(right.y)
    }
}
