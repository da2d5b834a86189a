public import Encodings

/// How far a source of rates is believed ([PRC-9]).
public struct RateBounds: Sendable, Equatable {
    /// How old a rate may be, in seconds.
    public var maximumAgeSeconds: Int64
    /// How far a new rate may lie from the last one, up or down, in hundredths of it.
    public var maximumChangePercent: UInt64

    public init(maximumAgeSeconds: Int64 = 600, maximumChangePercent: UInt64 = 20) {
        self.maximumAgeSeconds = maximumAgeSeconds
        self.maximumChangePercent = maximumChangePercent
    }
}

/// What a source said at one time.
public struct RateReading: Sendable, Equatable {
    /// Millisatoshis in one of each unit.
    public var msatPerUnit: [String: UInt64]
    /// Since when that holds.
    public var at: Timestamp

    public init(msatPerUnit: [String: UInt64], at: Timestamp) {
        self.msatPerUnit = msatPerUnit
        self.at = at
    }
}

/// The rates that a source gives, within bounds: one that is too old counts for nothing, and one that jumps is not taken. The
/// units that the source gives are never priced by the fixed table instead.
public struct RateBook: Sendable {
    private struct Entry: Sendable {
        var msat: UInt64
        var at: Timestamp
    }

    /// The units that the source gives.
    public let units: Set<String>
    private let fixed: PriceRates
    private let bounds: RateBounds
    private var entries: [String: Entry] = [:]

    public init(fixed: PriceRates, units: Set<String> = [], bounds: RateBounds = RateBounds()) {
        self.fixed = fixed
        self.units = units
        self.bounds = bounds
    }

    /// Takes what the source said; a unit that it does not give, or says nothing of, stays as it is.
    /// - Returns: what was not taken and why, for the operator.
    public mutating func take(_ reading: RateReading, now: Timestamp) -> [String] {
        var refused: [String] = []
        let age = now.milliseconds(since: reading.at)
        guard age <= bounds.maximumAgeSeconds * 1000, age >= -60_000 else {
            return ["what it says is of \(reading.at.rfc3339), which is too old, or yet to come"]
        }
        for unit in units.sorted() {
            guard let msat = reading.msatPerUnit[unit] else {
                refused.append("it says nothing of \(unit)")
                continue
            }
            guard (1...Price.maximumAmount).contains(msat) else {
                refused.append("its rate of \(unit) is no rate")
                continue
            }
            if let last = entries[unit] {
                guard reading.at >= last.at else { continue }
                guard isNear(msat, last.msat) else {
                    refused.append(
                        "\(unit) went from \(last.msat) to \(msat) msat at once, more than \(bounds.maximumChangePercent) %"
                    )
                    continue
                }
            }
            entries[unit] = Entry(msat: msat, at: reading.at)
        }
        return refused
    }

    private func isNear(_ msat: UInt64, _ last: UInt64) -> Bool {
        let change = UInt128(max(msat, last) - min(msat, last))
        return change * 100 <= UInt128(last) * UInt128(bounds.maximumChangePercent)
    }

    /// What counts now: the fixed table, and what the source said not too long ago.
    public func rates(now: Timestamp) -> PriceRates {
        guard !units.isEmpty else { return fixed }
        var rates = fixed
        for unit in units { rates.set(unit, msat: entries[unit].flatMap { isFresh($0, now) ? $0.msat : nil }) }
        return rates
    }

    /// Whether a unit is the source's, and has no rate that counts now.
    public func isStale(_ unit: String, now: Timestamp) -> Bool {
        guard units.contains(unit) else { return false }
        return entries[unit].map { !isFresh($0, now) } ?? true
    }

    /// The last rate that was taken of a unit, and since when it holds; nil where there was none.
    public func last(_ unit: String) -> (msat: UInt64, at: Timestamp)? {
        entries[unit].map { ($0.msat, $0.at) }
    }

    private func isFresh(_ entry: Entry, _ now: Timestamp) -> Bool {
        now.milliseconds(since: entry.at) <= bounds.maximumAgeSeconds * 1000
    }
}
