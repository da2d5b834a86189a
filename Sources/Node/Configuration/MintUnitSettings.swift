internal import Cashu
internal import Lightning
internal import Mint

/// Reads `mint.units` and `mint.rates`.
enum MintUnitSettings {
    /// - Returns: `sat` where nothing is set.
    static func units(_ names: [String]) throws(ConfigurationError) -> [String] {
        var units: [String] = []
        for name in names {
            guard let unit = try? CurrencyUnit(name), unit != .auth, !units.contains(unit.name) else {
                throw ConfigurationError("mint.units: \(name) is no unit of money, or stands twice (say sat,msat,usd)")
            }
            units.append(unit.name)
        }
        return units.isEmpty ? [CurrencyUnit.sat.name] : units
    }

    /// From entries such as `usd=10400`: millisatoshis in one unit, which for usd is a cent.
    static func rates(_ entries: [String], units: [String]) throws(ConfigurationError) -> [String: UInt64] {
        var rates: [String: UInt64] = [:]
        for entry in entries {
            let parts = entry.split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 2, units.contains(String(parts[0])), !["sat", "msat"].contains(parts[0]),
                let rate = UInt64(parts[1]), (1...LightningLimits.maximumAmountMsat).contains(rate),
                rates.updateValue(rate, forKey: String(parts[0])) == nil
            else {
                throw ConfigurationError(
                    "mint.rates: \(entry) must be a unit of mint.units and its millisatoshis, once, such as usd=10400 for a"
                        + " cent; sat and msat take none"
                )
            }
        }
        return rates
    }
}

extension NodeConfiguration {
    /// The mint's units with fee, rate and lifetime, each with the largest limit that one invoice allows, up to ten million
    /// sat's worth where that is known.
    func mintUnitSettings() throws -> [MintConfiguration.Unit] {
        try mintUnits.map { name in
            let unit = try CurrencyUnit(name)
            let msat = unit == .sat ? 1000 : unit == .msat ? 1 : mintRates[name]
            return MintConfiguration.Unit(
                unit: unit,
                inputFeePPK: mintInputFeePPK,
                lifetimeSeconds: mintKeysetDays.map { $0 * 86_400 },
                msatPerUnit: mintRates[name],
                maximumAmount: msat.map { max(10_000_000_000 / $0, 1) } ?? 10_000_000
            )
        }
    }
}
