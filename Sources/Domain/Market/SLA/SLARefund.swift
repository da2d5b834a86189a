/// What of a price goes back for a breach, in whole parts of the price's unit: integers only, rounded up for the buyer, never
/// above what was paid ([SLA-7]).
public enum SLARefund {
    /// - Parameter paid: what the call cost, or all calls of the span where the breach is of a span.
    public static func amount(for breach: SLABreach, paid: UInt64) -> UInt64 {
        switch breach.rule {
        case .failed, .schema, .hash: return paid
        case .late, .latency:
            // By how much it was over, against what was promised: at twice the time all of it.
            guard let measured = breach.measured, let promised = breach.promised, promised > 0 else { return 0 }
            return share(paid, over(measured, promised), of: promised)
        case .uptime:
            guard let measured = breach.measured, let promised = breach.promised, promised > 0 else { return 0 }
            return share(paid, over(promised, measured), of: promised)
        case .errors:
            // Calls that failed beyond the promised share.
            guard let measured = breach.measured, let promised = breach.promised else { return 0 }
            return share(paid, over(measured, promised), of: 1_000_000)
        }
    }

    /// The most that one of several breaches of one call gives back: it is paid once.
    public static func amount(for breaches: [SLABreach], paid: UInt64) -> UInt64 {
        breaches.map { amount(for: $0, paid: paid) }.max() ?? 0
    }

    private static func over(_ measured: Int64, _ promised: Int64) -> Int64 {
        let (difference, isTooMuch) = measured.subtractingReportingOverflow(promised)
        return isTooMuch ? .max : max(0, difference)
    }

    /// ⌈paid · part ÷ whole⌉, at most `paid`.
    static func share(_ paid: UInt64, _ part: Int64, of whole: Int64) -> UInt64 {
        guard part > 0, whole > 0 else { return 0 }
        guard part < whole else { return paid }
        let divisor = UInt64(whole)
        let (high, low) = paid.multipliedFullWidth(by: UInt64(part))
        let (quotient, rest) = divisor.dividingFullWidth((high, low))
        return rest == 0 ? quotient : quotient + 1
    }
}
