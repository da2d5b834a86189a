/// What a test or a drill makes go wrong with the payments that one account makes. Kept until set anew.
public enum SimulatedFault: Hashable, Sendable {
    case none
    /// The payer is debited at once; the payee is paid, and the answer comes, this much later.
    case delay(milliseconds: Int64)
    /// The payer is debited and nothing further happens until somebody resolves the payment.
    case hang
    /// No route: nothing moves, and the payer is told so.
    case fail
    /// The payer's call ends in an error that says nothing, and the payment settles this much later.
    case settleAfterFailure(milliseconds: Int64)

    /// Ten minutes.
    public static let maximumMilliseconds: Int64 = 600_000

    /// How it stands in the database and in JSON.
    public var name: String {
        switch self {
        case .none: "none"
        case .delay: "delay"
        case .hang: "hang"
        case .fail: "fail"
        case .settleAfterFailure: "settle-after-failure"
        }
    }

    /// 0 for a fault without a time.
    public var milliseconds: Int64 {
        switch self {
        case .delay(let milliseconds), .settleAfterFailure(let milliseconds): milliseconds
        case .none, .hang, .fail: 0
        }
    }

    /// Nil for an unknown name or a time that is not 0 to ten minutes.
    public init?(name: String, milliseconds: Int64 = 0) {
        guard (0...Self.maximumMilliseconds).contains(milliseconds) else { return nil }
        switch name {
        case "none": self = .none
        case "delay": self = .delay(milliseconds: milliseconds)
        case "hang": self = .hang
        case "fail": self = .fail
        case "settle-after-failure": self = .settleAfterFailure(milliseconds: milliseconds)
        default: return nil
        }
    }
}
