/// How units of money stand to each other, by the operator's own word: nobody is asked for a rate ([PRC-6]).
public struct PriceRates: Sendable, Equatable {
    /// Millisatoshis in one of each unit (for `usd`, one cent).
    private var msatPerUnit: [String: UInt64] = ["sat": 1000, "msat": 1]

    public init() {}

    /// Reads entries such as `usd=10400`: millisatoshis in one unit, which for `usd` is a cent.
    /// - Throws: ``PriceError`` `bad-rate` for another form, a unit twice, or one whose worth stands by definition.
    public init(_ entries: [String]) throws(PriceError) {
        for entry in entries {
            let parts = entry.split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 2, (1...16).contains(parts[0].utf8.count), !parts[1].isEmpty,
                parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let rate = UInt64(parts[1]),
                (1...Price.maximumAmount).contains(rate), msatPerUnit[String(parts[0])] == nil
            else {
                throw PriceError(
                    .badRate,
                    "\(entry.prefix(64)) must be a unit and its millisatoshis, once, such as usd=10400 for a cent."
                )
            }
            msatPerUnit[String(parts[0])] = rate
        }
    }

    /// - Parameter msat: millisatoshis in one of the unit, at least 1; nil for no rate. `sat` and `msat` stay what they are.
    mutating func set(_ unit: String, msat: UInt64?) {
        guard unit != "sat", unit != "msat" else { return }
        msatPerUnit[unit] = msat
    }

    /// The price in millisatoshis; exact.
    /// - Throws: ``PriceError`` `bad-rate` without a rate, `bad-amount` above ``Price/maximumAmount``.
    public func msat(_ price: Price) throws(PriceError) -> UInt64 {
        guard let rate = msatPerUnit[price.unit] else { throw Self.unknown(price.unit) }
        let (msat, overflow) = price.amount.multipliedReportingOverflow(by: rate)
        guard !overflow, msat <= Price.maximumAmount else { throw Self.tooMuch(price) }
        return msat
    }

    /// The price in another unit, rounded up to a whole one: a seller never takes less than it asked.
    /// - Throws: ``PriceError`` `bad-rate`, `bad-amount`.
    public func converted(_ price: Price, to unit: String) throws(PriceError) -> Price {
        guard unit != price.unit else { return price }
        guard let rate = msatPerUnit[unit] else { throw Self.unknown(unit) }
        let msat = try msat(price)
        return Price(amount: msat / rate + (msat % rate == 0 ? 0 : 1), unit: unit)
    }

    private static func unknown(_ unit: String) -> PriceError {
        PriceError(.badRate, "There is no rate for \(unit): the operator sets one, such as usd=10400.")
    }

    private static func tooMuch(_ price: Price) -> PriceError {
        PriceError(.badAmount, "\(price) is more than can be converted.")
    }
}
