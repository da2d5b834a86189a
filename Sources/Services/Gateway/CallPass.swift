public import Paywall

/// What one payment over L402 buys where that is more than one call ([GRA-1]).
public enum CallPass: Sendable, Equatable {
    /// So many calls, at so many times the price of one: 2 to ``maximumCalls``.
    case calls(UInt64)
    /// Every call for so many seconds from the payment, at the price of one: 60 to ``maximumSeconds``.
    case seconds(Int64)
    /// A credit that each call takes its price from, in the unit of the price list: for prices by measure, whose calls differ.
    case credit(Price)

    public static let maximumCalls: UInt64 = 1_000_000
    /// 31 days.
    public static let maximumSeconds: Int64 = 31 * 86_400
    /// The most calls of a pass for a time: no pass is without a bound.
    public static let maximumCallsInTime: UInt64 = 10_000

    func validate() throws(GatewayError) {
        switch self {
        case .calls(let calls):
            guard (2...Self.maximumCalls).contains(calls) else {
                throw GatewayError(.invalidService, "A pass is for 2 to \(Self.maximumCalls) calls.")
            }
        case .seconds(let seconds):
            guard (60...Self.maximumSeconds).contains(seconds) else {
                throw GatewayError(.invalidService, "A pass is for a minute to 31 days.")
            }
        case .credit(let credit):
            guard (2...Price.maximumAmount).contains(credit.amount) else {
                throw GatewayError(.invalidService, "A credit is 2 to \(Price.maximumAmount) of the price's unit.")
            }
        }
    }
}

extension ServiceDefinition {
    /// Whether L402 sells a credit, to which a part of a price can go back.
    var hasCredit: Bool {
        if case .credit = pass { return true }
        return false
    }
}

/// What is sold for one invoice, worked out from the price of one call.
struct PassTerms: Sendable, Equatable {
    /// What the invoice is for.
    var msat: UInt64
    var calls: UInt64
    /// What one call counts: what is left of the sum after all of them is earned when the grant ends.
    var callMsat: UInt64
    /// Whether `calls` are units of a credit, of which a call takes as many as its price has.
    var isCredit = false
    /// Whether it is for every call within `seconds` ([GRA-10]).
    var isTimed = false
    /// How long after the invoice's end the calls can be made.
    var seconds: Int64

    /// How long after its invoice's end one call, or several, can be made.
    static let callSeconds: Int64 = 3600
    static let callsSeconds: Int64 = 30 * 86_400

    /// - Parameter msat: the price of one call, at least 1.
    /// - Returns: nil where the sum is more than an invoice can be for.
    init?(_ pass: CallPass?, msat price: UInt64) {
        switch pass {
        case nil:
            (msat, calls, callMsat, seconds) = (price, 1, price, Self.callSeconds)
        case .calls(let count):
            let (sum, overflow) = price.multipliedReportingOverflow(by: count)
            guard !overflow else { return nil }
            (msat, calls, callMsat, seconds) = (sum, count, price, Self.callsSeconds)
        case .seconds(let length):
            let count = min(price, CallPass.maximumCallsInTime)
            (msat, calls, callMsat, seconds, isTimed) = (price, count, price / max(count, 1), length, true)
        case .credit:
            return nil
        }
        guard msat > 0, callMsat > 0, msat <= Price.maximumAmount else { return nil }
    }

    /// A credit of so many units of the price.
    /// - Parameters:
    ///   - units: what it buys.
    ///   - unitMsat: what one of them is worth, at least 1.
    ///   - price: what one call costs at most, in units; a credit that is not enough for one is none.
    init?(units: UInt64, unitMsat: UInt64, price: UInt64) {
        let (sum, overflow) = units.multipliedReportingOverflow(by: unitMsat)
        guard !overflow, sum > 0, sum <= Price.maximumAmount, price <= units else { return nil }
        (msat, calls, callMsat, seconds, isCredit) = (sum, units, unitMsat, Self.callsSeconds, true)
    }
}
