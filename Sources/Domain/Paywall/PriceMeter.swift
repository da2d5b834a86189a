public import Encodings

/// What a metered price counts ([PRC-2]).
public enum PriceMeasure: Sendable, Hashable, CustomStringConvertible {
    /// One for each call; with tiers, the more calls in the period the cheaper.
    case calls
    /// Bytes of the request's body.
    case requestBytes
    /// Bytes of the answer's body, as sent to the buyer.
    case responseBytes
    /// Seconds from the call of the upstream to the end of its answer, each begun one counted.
    case seconds
    /// A whole number that the upstream reports in a field or trailer of this name, in small letters.
    case reported(String)

    public var description: String {
        switch self {
        case .calls: "calls"
        case .requestBytes: "requestBytes"
        case .responseBytes: "responseBytes"
        case .seconds: "seconds"
        case .reported(let name): "reported \(name)"
        }
    }
}

/// How long quantities are added up for tiers and free calls. Days and months are those of UTC.
public enum PricePeriod: String, Sendable, Hashable, CaseIterable {
    case day
    case month

    /// The start of the period that `now` is in.
    public func start(_ now: Timestamp) -> Timestamp {
        let day = now.secondsSince1970 - Self.remainder(now.secondsSince1970, 86_400)
        let midnight = Timestamp(secondsSince1970: day)
        guard self == .month, let number = Int64(midnight.rfc3339.dropFirst(8).prefix(2)) else { return midnight }
        return midnight.adding(seconds: -86_400 * (number - 1))
    }

    private static func remainder(_ value: Int64, _ divisor: Int64) -> Int64 {
        let rest = value % divisor
        return rest < 0 ? rest + divisor : rest
    }
}

/// What one measure costs: `amount` of the rule's unit for each `per`, by the quantity used so far in the period ([PRC-3]).
public struct PriceMeter: Sendable, Hashable {
    /// A price from some quantity on.
    public struct Tier: Sendable, Hashable {
        /// The quantity used in the period from which it holds; 0 in the first tier.
        public var from: UInt64
        /// For each ``PriceMeter/per``, in the smallest part of the rule's unit.
        public var amount: UInt64

        public init(from: UInt64 = 0, amount: UInt64) {
            self.from = from
            self.amount = amount
        }
    }

    public static let maximumTiers = 16
    /// The longest name of a reported measure, in bytes.
    public static let maximumNameBytes = 64

    public let measure: PriceMeasure
    /// At least 1.
    public let per: UInt64
    /// Ascending, the first from 0.
    public let tiers: [Tier]
    /// What quantities are added up over; nil where there is one tier.
    public let period: PricePeriod?

    /// - Throws: ``PriceError`` `bad-meter`, `bad-amount`.
    public init(
        _ measure: PriceMeasure,
        per: UInt64 = 1,
        tiers: [Tier],
        period: PricePeriod? = nil
    ) throws(PriceError) {
        guard (1...Price.maximumAmount).contains(per) else {
            throw PriceError(.badMeter, "\"per\" is 1 to \(Price.maximumAmount).")
        }
        guard (1...Self.maximumTiers).contains(tiers.count), tiers.first?.from == 0,
            zip(tiers, tiers.dropFirst()).allSatisfy({ $0.from < $1.from })
        else {
            throw PriceError(
                .badMeter,
                "A meter has 1 to \(Self.maximumTiers) tiers in ascending order, the first from 0."
            )
        }
        guard tiers.allSatisfy({ $0.amount <= Price.maximumAmount && $0.from <= Price.maximumAmount }) else {
            throw PriceError(.badAmount, "The amounts and limits of tiers are at most \(Price.maximumAmount).")
        }
        guard (tiers.count > 1) == (period != nil) else {
            throw PriceError(
                .badMeter,
                "Several tiers need a period (day or month) to be counted in, and one has none."
            )
        }
        if case .reported(let name) = measure {
            guard (1...Self.maximumNameBytes).contains(name.utf8.count), name.utf8.allSatisfy(Self.isNameByte) else {
                throw PriceError(.badMeter, "\"\(name.prefix(80))\" is no field name in small letters.")
            }
        }
        self.measure = measure
        self.per = per
        self.tiers = tiers
        self.period = period
    }

    /// What `quantity` costs after `used` was used in the period: each part by the tier it falls in, the sum rounded up to a
    /// whole unit once. At most `UInt64.max`, which is above every maximum.
    public func cost(_ quantity: UInt64, used: UInt64 = 0) -> UInt64 {
        let start = UInt128(used)
        let end = start + UInt128(quantity)
        var sum: UInt128 = 0
        for (index, tier) in tiers.enumerated() {
            let lower = max(start, UInt128(tier.from))
            let upper = index + 1 < tiers.count ? min(end, UInt128(tiers[index + 1].from)) : end
            if upper > lower { sum += (upper - lower) * UInt128(tier.amount) }
        }
        let divisor = UInt128(per)
        return UInt64(clamping: sum / divisor + (sum % divisor == 0 ? 0 : 1))
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        (97...122).contains(byte) || (48...57).contains(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
    }
}

/// A price that depends on what a call turns out to be, with the most it may come to ([PRC-1]).
public struct PriceMetering: Sendable, Hashable {
    public static let maximumMeters = 8

    /// Each measure once.
    public let meters: [PriceMeter]
    /// The most a call costs, in the smallest part of the rule's unit: charged beforehand where the price is not known.
    public let maximum: UInt64

    /// - Throws: ``PriceError`` `bad-meter`, `bad-amount`.
    public init(meters: [PriceMeter], maximum: UInt64) throws(PriceError) {
        guard (1...Self.maximumMeters).contains(meters.count), Set(meters.map(\.measure)).count == meters.count else {
            throw PriceError(.badMeter, "A price has 1 to \(Self.maximumMeters) meters, each for another measure.")
        }
        guard (1...Price.maximumAmount).contains(maximum) else {
            throw PriceError(.badAmount, "A metered price needs a maximum of 1 to \(Price.maximumAmount).")
        }
        self.meters = meters
        self.maximum = maximum
    }
}
