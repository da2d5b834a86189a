internal import Cashu
internal import Lightning

/// How a unit of ecash stands to millisatoshis, in which Lightning counts.
///
/// `sat` and `msat` stand to them by definition. Any other unit does only where the operator has set a rate; the mint asks
/// nobody for a price, and without a rate it mints and melts nothing in that unit.
struct UnitRate: Sendable, Equatable {
    var unit: CurrencyUnit
    /// Millisatoshis in one whole unit (for `usd`, one cent), at least 1.
    var msatPerUnit: UInt64

    init(unit: CurrencyUnit, msatPerUnit: UInt64) {
        self.unit = unit
        self.msatPerUnit = msatPerUnit
    }

    /// nil where the unit has no rate of its own and `set` is nil.
    init?(_ unit: CurrencyUnit, set rate: UInt64? = nil) {
        guard let known = Self.fixed(unit) ?? rate else { return nil }
        self.init(unit: unit, msatPerUnit: known)
    }

    /// What a unit is worth by definition.
    static func fixed(_ unit: CurrencyUnit) -> UInt64? {
        switch unit {
        case .sat: 1000
        case .msat: 1
        default: nil
        }
    }

    /// The most one invoice can be for, in the unit.
    var maximumAmount: UInt64 { LightningLimits.maximumAmountMsat / msatPerUnit }

    /// The amount in millisatoshis.
    /// - Throws: `MintError` 11006 beyond what an invoice can hold.
    func msat(_ amount: UInt64) throws(MintError) -> UInt64 {
        let (msat, overflow) = amount.multipliedReportingOverflow(by: msatPerUnit)
        guard !overflow, msat <= LightningLimits.maximumAmountMsat else {
            throw MintError(.amountOutsideLimits, "\(amount) \(unit) is more than one invoice can be for")
        }
        return msat
    }

    /// Millisatoshis in whole units, rounded up, so that the mint never pays more than it takes.
    func unitsRoundedUp(msat: UInt64) -> UInt64 {
        msat / msatPerUnit + (msat % msatPerUnit == 0 ? 0 : 1)
    }
}

extension Mint {
    /// - Throws: `MintError` 11013 for a unit that Lightning cannot settle here.
    func rate(_ unit: CurrencyUnit) throws(MintError) -> UnitRate {
        let set = configuration.units.first { $0.unit == unit }?.msatPerUnit
        guard let rate = UnitRate(unit, set: set) else {
            throw MintError(
                .unitNotSupported,
                "this mint has no exchange rate for \(unit): its operator must set one (mint.rates) before \(unit) can be"
                    + " minted or melted over Lightning; it can be swapped"
            )
        }
        return rate
    }

    /// The rate that a melt quote was made at, which holds until it ends.
    func rate(of quote: StoredMeltQuote) throws(MintError) -> UnitRate {
        if let msat = quote.msatPerUnit { return UnitRate(unit: quote.unit, msatPerUnit: msat) }
        return try rate(quote.unit)
    }
}
