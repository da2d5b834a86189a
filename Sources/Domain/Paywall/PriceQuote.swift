/// What is known of a call before it is made ([PRC-4]).
public struct QuoteFacts: Sendable, Equatable {
    /// Of the request's body; nil where it is not known beforehand.
    public var requestBytes: UInt64?
    /// What this passport used in the period of each meter with tiers; absent where nothing, or where nobody showed one.
    public var used: [PriceMeasure: UInt64]
    /// The free calls that this passport made today; nil where nobody showed one that the service trusts.
    public var freeCallsToday: UInt64?

    public init(requestBytes: UInt64? = nil, used: [PriceMeasure: UInt64] = [:], freeCallsToday: UInt64? = nil) {
        self.requestBytes = requestBytes
        self.used = used
        self.freeCallsToday = freeCallsToday
    }
}

/// What a call turned out to be.
public struct MeasuredCall: Sendable, Equatable {
    public var requestBytes: UInt64
    public var responseBytes: UInt64
    public var milliseconds: UInt64
    /// By field name in small letters. What the upstream did not report costs nothing.
    public var reported: [String: UInt64]

    public init(requestBytes: UInt64, responseBytes: UInt64, milliseconds: UInt64, reported: [String: UInt64] = [:]) {
        self.requestBytes = requestBytes
        self.responseBytes = responseBytes
        self.milliseconds = milliseconds
        self.reported = reported
    }

    /// A reported measure as it stands in a field: a whole number of up to 16 digits.
    /// - Returns: nil where it is anything else, which counts as not reported.
    public static func reportedValue(_ text: String) -> UInt64? {
        guard (1...16).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return UInt64(text)
    }

    /// How much of a measure the call was.
    public func quantity(_ measure: PriceMeasure) -> UInt64 {
        switch measure {
        case .calls: 1
        case .requestBytes: requestBytes
        case .responseBytes: responseBytes
        case .seconds: milliseconds / 1000 + (milliseconds % 1000 == 0 ? 0 : 1)
        case .reported(let name): reported[name] ?? 0
        }
    }
}

/// What a call costs, or may cost, and how that came about ([PRC-4], [PRC-5]).
public struct PriceQuote: Sendable, Equatable {
    /// One part of the price, for people.
    public struct Line: Sendable, Equatable {
        /// `fixed`, `free quota`, or a measure.
        public var label: String
        /// How much of it; nil where it is not known yet.
        public var quantity: UInt64?
        /// What it comes to; nil where it is not known yet.
        public var amount: UInt64?
        /// How it is worked out, such as `1 sat per 1024`.
        public var rule: String
    }

    public var unit: String
    /// Charged beforehand; after the call, what it cost.
    public var amount: UInt64
    /// Whether it may turn out less after the call.
    public var isMaximum: Bool
    /// Whether the call is one of the free ones of the day, to be counted as such.
    public var isFreeByQuota: Bool
    /// Whether the parts came to more than the maximum.
    public var isCapped: Bool
    public var lines: [Line]

    public var price: Price { Price(amount: amount, unit: unit) }

    /// Lines such as `responseBytes: 2048 at 1 sat per 1024 = 2 sat`, then the sum.
    public var explanation: [String] {
        lines.map { line in
            let quantity = line.quantity.map { "\($0) " } ?? ""
            let amount = line.amount.map { " = \($0) \(unit)" } ?? ", known after the call"
            return line.rule.isEmpty ? "\(line.label)\(amount)" : "\(line.label): \(quantity)at \(line.rule)\(amount)"
        } + [isMaximum ? "at most \(price), charged beforehand" : "\(price)\(isCapped ? ", the maximum" : "")"]
    }
}

extension PriceRule {
    /// What the call costs as far as that is known before it: exact where everything is, else the maximum.
    public func quote(_ facts: QuoteFacts = QuoteFacts()) -> PriceQuote {
        if let freeCallsPerDay, let made = facts.freeCallsToday, made < freeCallsPerDay {
            return PriceQuote(
                unit: price.unit,
                amount: 0,
                isMaximum: false,
                isFreeByQuota: true,
                isCapped: false,
                lines: [.init(label: "free quota", quantity: nil, amount: 0, rule: "\(freeCallsPerDay) calls a day")]
            )
        }
        return quote(used: facts.used) { measure in
            switch measure {
            case .calls: 1
            case .requestBytes: facts.requestBytes
            case .responseBytes, .seconds, .reported: nil
            }
        }
    }

    /// What the call cost in the end: never more than was quoted, and nothing where it was one of the free ones.
    /// - Parameters:
    ///   - quote: what was quoted before it; it decides the most, also where the rule was changed meanwhile.
    ///   - used: as it was when it was quoted.
    public func charge(_ quote: PriceQuote, measured: MeasuredCall, used: [PriceMeasure: UInt64] = [:]) -> PriceQuote {
        guard quote.isMaximum, quote.unit == price.unit else { return quote }
        var charge = self.quote(used: used) { measured.quantity($0) }
        if charge.amount > quote.amount {
            charge.amount = quote.amount
            charge.isCapped = true
        }
        return charge
    }

    /// The same where of the quote only its amount is at hand, as after a restart.
    /// - Parameter quoted: the maximum that was quoted; the charge is never above it.
    public func charge(
        quoted: UInt64,
        measured: MeasuredCall,
        used: [PriceMeasure: UInt64] = [:]
    ) -> PriceQuote {
        let quote = PriceQuote(
            unit: price.unit,
            amount: quoted,
            isMaximum: true,
            isFreeByQuota: false,
            isCapped: false,
            lines: []
        )
        return charge(quote, measured: measured, used: used)
    }

    /// How many whole seconds of a call an amount pays for, beside the fixed part and the call itself: what a WebSocket that is
    /// sold by the second may be open for.
    /// - Returns: 0 where it does not pay for one; nil where seconds cost nothing, or are priced by tiers.
    public func secondsPaid(by amount: UInt64) -> UInt64? {
        guard let meter = metering?.meters.first(where: { $0.measure == .seconds }), meter.tiers.count == 1,
            meter.tiers[0].amount > 0
        else { return nil }
        var left = amount
        let calls = metering?.meters.first { $0.measure == .calls }?.cost(1) ?? 0
        for part in [price.amount, calls] {
            guard left >= part else { return 0 }
            left -= part
        }
        return UInt64(clamping: UInt128(left) * UInt128(meter.per) / UInt128(meter.tiers[0].amount))
    }

    /// Whether a quote depends on who asks: free calls, or tiers by what was used in a period.
    public var dependsOnCaller: Bool {
        freeCallsPerDay != nil || metering?.meters.contains { $0.period != nil } == true
    }

    private func quote(
        used: [PriceMeasure: UInt64],
        quantity known: (PriceMeasure) -> UInt64?
    ) -> PriceQuote {
        var lines: [PriceQuote.Line] = []
        if price.amount > 0 || metering == nil {
            lines.append(.init(label: "fixed", quantity: nil, amount: price.amount, rule: ""))
        }
        var sum = price.amount
        var isKnown = true
        for meter in metering?.meters ?? [] {
            let before = meter.period == nil ? 0 : used[meter.measure] ?? 0
            let quantity = known(meter.measure)
            let cost = quantity.map { meter.cost($0, used: before) }
            lines.append(
                .init(label: "\(meter.measure)", quantity: quantity, amount: cost, rule: meter.rule(unit: price.unit))
            )
            if let cost {
                let (total, overflow) = sum.addingReportingOverflow(cost)
                sum = overflow ? .max : total
            } else {
                isKnown = false
            }
        }
        let maximum = metering?.maximum ?? price.amount
        return PriceQuote(
            unit: price.unit,
            amount: isKnown ? min(sum, maximum) : maximum,
            isMaximum: !isKnown,
            isFreeByQuota: false,
            isCapped: isKnown && sum > maximum,
            lines: lines
        )
    }
}

extension PriceMeter {
    fileprivate func rule(unit: String) -> String {
        let each = per == 1 ? "each" : "per \(per)"
        guard let period else { return "\(tiers[0].amount) \(unit) \(each)" }
        let steps = tiers.map { "\($0.amount) \(unit) from \($0.from)" }.joined(separator: ", ")
        return "\(steps) \(each), by the \(period.rawValue)"
    }
}
