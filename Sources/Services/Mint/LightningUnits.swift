internal import Cashu
internal import Lightning

/// How a unit of ecash stands to millisatoshis, in which Lightning counts.
enum LightningUnits {
    /// nil where Lightning cannot settle the unit without an exchange rate.
    static func msatPerUnit(_ unit: CurrencyUnit) -> UInt64? {
        switch unit {
        case .sat: 1000
        case .msat: 1
        default: nil
        }
    }

    /// The most one invoice can be for, in the unit; 0 where the unit is not settled.
    static func maximumAmount(_ unit: CurrencyUnit) -> UInt64 {
        msatPerUnit(unit).map { LightningLimits.maximumAmountMsat / $0 } ?? 0
    }

    /// The amount in millisatoshis.
    /// - Throws: `MintError` 11013 for a unit that is not settled, 11006 beyond what an invoice can hold.
    static func msat(_ amount: UInt64, _ unit: CurrencyUnit) throws(MintError) -> UInt64 {
        guard let factor = msatPerUnit(unit) else {
            throw MintError(.unitNotSupported, "\(unit) cannot be settled over Lightning by this mint")
        }
        let (msat, overflow) = amount.multipliedReportingOverflow(by: factor)
        guard !overflow, msat <= LightningLimits.maximumAmountMsat else {
            throw MintError(.amountOutsideLimits, "\(amount) \(unit) is more than one invoice can be for")
        }
        return msat
    }

    /// Millisatoshis in whole units, rounded up, so that the mint never pays more than it takes.
    static func unitsRoundedUp(msat: UInt64, _ unit: CurrencyUnit) throws(MintError) -> UInt64 {
        guard let factor = msatPerUnit(unit) else {
            throw MintError(.unitNotSupported, "\(unit) cannot be settled over Lightning by this mint")
        }
        return msat / factor + (msat % factor == 0 ? 0 : 1)
    }
}
