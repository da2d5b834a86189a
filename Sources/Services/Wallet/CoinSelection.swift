internal import Cashu

/// A coin as the choice sees it.
struct Coin: Sendable, Equatable {
    let y: [UInt8]
    let amount: UInt64
    /// The input fee of its keyset, parts per thousand.
    let feePPK: UInt64
    /// Its keyset signs no more: such a coin had better go first.
    var isRetiring = false
    /// Seconds since 1970 from which the mint owes nothing for it; nil: never.
    var ends: Int64?
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

    /// Coins whose sum less their own input fee is at least `target`: those with the lowest fee, then the fewest; among
    /// them those of retiring keysets, then the smallest that do.
    ///
    /// The lowest fee is found for up to three different fees per coin; beyond that the dearer ones are taken by size.
    /// At most `maximumInputs`² × log steps.
    /// - Returns: nil where all of them together, or `maximumInputs` of them, are not enough.
    static func covering(_ coins: [Coin], target: UInt64, maximumInputs: Int) throws(CashuError) -> [Coin]? {
        // A coin that costs as much as it is worth only makes things worse.
        let useful = coins.filter { $0.feePPK / 1000 < $0.amount }
        // No sum of them passes 64 bits, then nothing below overflows.
        _ = try Amounts.sum(useful.map(\.amount))
        let classes = FeeClass.all(of: useful, limit: max(0, maximumInputs))
        guard let counts = cheapest(classes, target: target, maximumInputs: maximumInputs) else { return nil }
        var choice = Choice(target: target)
        for (fees, count) in zip(classes, counts) { choice.add(fees.coins, count: count) }
        return try choice.improved()
    }

    /// What the coins are worth after their input fee; 0 where the fee eats them.
    static func netWorth(_ coins: [Coin]) throws(CashuError) -> UInt64 {
        let sum = try Amounts.sum(coins.map(\.amount))
        let fee = try Fees.total(inputFeesPPK: coins.map(\.feePPK))
        return sum > fee ? sum - fee : 0
    }

    // MARK: The lowest fee

    /// Coins of one fee, the largest first: of `n` of them, the first `n` cover most.
    private struct FeeClass {
        let coins: [Coin]
        /// Amount and fee (in thousandths) of the first `n`, by `n`.
        let sums: [(amount: UInt64, ppk: UInt64)]

        init(_ coins: [Coin], limit: Int) {
            self.coins = coins
            var sums: [(amount: UInt64, ppk: UInt64)] = [(0, 0)]
            for coin in coins.prefix(limit) {
                let last = sums[sums.count - 1]
                sums.append((last.amount + coin.amount, last.ppk + coin.feePPK))
            }
            self.sums = sums
        }

        /// At most three; the cheapest and the dearest of the coins in between each on their own.
        static func all(of coins: [Coin], limit: Int) -> [FeeClass] {
            let groups = Dictionary(grouping: coins, by: \.feePPK).sorted { $0.key < $1.key }.map(\.value)
            let kept = groups.count <= 3 ? groups : [groups[0], groups[1], groups[2...].flatMap { $0 }]
            return kept.map { FeeClass($0.sorted(by: largestFirst), limit: limit) }
        }
    }

    private struct Cost: Comparable {
        var fee: UInt64
        var ppk: UInt64
        var count: Int
        static func < (left: Cost, right: Cost) -> Bool {
            (left.fee, left.ppk, left.count) < (right.fee, right.ppk, right.count)
        }
    }

    /// How many of each class cover the target at the lowest fee.
    private static func cheapest(_ classes: [FeeClass], target: UInt64, maximumInputs: Int) -> [Int]? {
        let none: [(amount: UInt64, ppk: UInt64)] = [(0, 0)]
        let sums = (0..<3).map { $0 < classes.count ? classes[$0].sums : none }
        var best: (cost: Cost, counts: [Int])?
        for first in sums[0].indices {
            for second in sums[1].indices where first + second <= maximumInputs {
                let amount = sums[0][first].amount + sums[1][second].amount
                let ppk = sums[0][first].ppk + sums[1][second].ppk
                let most = min(sums[2].count - 1, maximumInputs - first - second)
                func covers(_ third: Int) -> Bool {
                    let fee = (ppk + sums[2][third].ppk + 999) / 1000
                    let sum = amount + sums[2][third].amount
                    return sum >= fee && sum - fee >= target
                }
                guard covers(most) else { continue }
                // One more coin never makes the rest smaller, since each is worth more than it costs.
                var (low, high) = (0, most)
                while low < high {
                    let middle = (low + high) / 2
                    if covers(middle) { high = middle } else { low = middle + 1 }
                }
                let total = ppk + sums[2][low].ppk
                let cost = Cost(fee: (total + 999) / 1000, ppk: total, count: first + second + low)
                if best.map({ cost < $0.cost }) ?? true { best = (cost, [first, second, low]) }
                // With as many of this class already enough, more of it only cost more.
                if low == 0 { break }
            }
        }
        guard let best, best.cost.count > 0 || target == 0 else { return nil }
        return Array(best.counts.prefix(classes.count))
    }

    // MARK: Which of them

    /// A choice that covers, and may be made better without costing more: a coin is only changed for one of its own fee.
    private struct Choice {
        let target: UInt64
        var chosen: [Coin] = []
        var spare: [Coin] = []

        init(target: UInt64) { self.target = target }

        mutating func add(_ coins: [Coin], count: Int) {
            chosen += coins.prefix(count)
            spare += coins.dropFirst(count)
        }

        func improved() throws(CashuError) -> [Coin] {
            var choice = self
            choice.spare.sort { ($0.amount, $0.y.first ?? 0) < ($1.amount, $1.y.first ?? 0) }
            choice.chosen.sort(by: largestFirst)
            var slack = try netWorth(chosen) - target
            for place in choice.chosen.indices.reversed() where !choice.chosen[place].isRetiring {
                slack = choice.exchange(place, slack: slack) { $0.isRetiring }
            }
            // Large coins stay whole where a smaller one does.
            if let last = choice.chosen.lastIndex(where: { !$0.isRetiring }) {
                let amount = choice.chosen[last].amount
                _ = choice.exchange(last, slack: slack) { $0.amount < amount }
            }
            return choice.chosen
        }

        /// Puts the smallest spare coin that is `wanted` and still covers in the place of one that was chosen.
        private mutating func exchange(_ place: Int, slack: UInt64, wanted: (Coin) -> Bool) -> UInt64 {
            let old = chosen[place]
            let least = old.amount > slack ? old.amount - slack : 0
            let found = spare.firstIndex { $0.amount >= least && $0.feePPK == old.feePPK && wanted($0) }
            guard let found else { return slack }
            let new = spare[found]
            chosen[place] = new
            spare[found] = old
            spare.sort { ($0.amount, $0.y.first ?? 0) < ($1.amount, $1.y.first ?? 0) }
            return slack + new.amount - old.amount
        }
    }

    private static func largestFirst(_ left: Coin, _ right: Coin) -> Bool {
        if left.amount != right.amount { return left.amount > right.amount }
        if left.feePPK != right.feePPK { return left.feePPK < right.feePPK }
        if left.isRetiring != right.isRetiring { return left.isRetiring }
        return left.y.lexicographicallyPrecedes(right.y)
    }
}
