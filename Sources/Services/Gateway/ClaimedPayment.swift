public import Cashu
public import Paywall

/// What a claim takes.
public enum ClaimedPayment: Sendable {
    /// Every proof, once.
    case ecash(AssessedPayment)
    /// One call of what a Lightning payment bought.
    case grant(GrantUse)
    /// A signed token transfer over x402.
    case exact(ExactPayment)

    public var digest: PaymentDigest {
        switch self {
        case .ecash(let payment): payment.digest
        case .grant(let use): use.digest
        case .exact(let payment): payment.digest
        }
    }

    var source: PaymentSource {
        switch self {
        case .ecash(let payment): .ecash(payment.mint)
        case .grant(let use): .grant(paymentHash: use.allowed.identifier.paymentHash)
        case .exact(let payment): .exact(asset: payment.asset)
        }
    }

    /// A grant's calls are counted in msat.
    var unit: CurrencyUnit {
        switch self {
        case .ecash(let payment): payment.unit
        case .grant: .msat
        case .exact(let payment): payment.unit
        }
    }

    /// What stands in escrow for the call.
    var total: UInt64 {
        switch self {
        case .ecash(let payment): payment.total
        case .grant(let use): use.msat
        case .exact(let payment): payment.amount
        }
    }

    var fee: UInt64 {
        switch self {
        case .ecash(let payment): payment.fee
        case .grant, .exact: 0
        }
    }

    /// What a payment of x402's `exact` is known by in the store.
    var exactKey: [UInt8]? {
        if case .exact(let payment) = self { payment.key } else { nil }
    }

    /// Whether it was settled for an earlier call that was given back.
    var isCredit: Bool {
        if case .exact(let payment) = self { payment.way == .credit } else { false }
    }

    package var proofs: [Proof] {
        switch self {
        case .ecash(let payment): payment.proofs
        case .grant, .exact: []
        }
    }

    package var ys: [[UInt8]] {
        switch self {
        case .ecash(let payment): payment.ys
        case .grant, .exact: []
        }
    }
}

/// Where a claim's money came from.
public enum PaymentSource: Sendable, Equatable {
    case ecash(MintURL)
    case grant(paymentHash: [UInt8])
    /// A token over x402, such as `eip155:84532/0x…`.
    case exact(asset: String)

    func refundForm(redeemedOnline: Bool) -> RefundTable.Form {
        switch self {
        case .ecash: RefundTable.form(redeemedOnline: redeemedOnline)
        case .grant: .callRestored
        case .exact: redeemedOnline ? .callRestored : .authorizationDropped
        }
    }
}

/// A credential that was found good, about to be held against its grant in the claim's transaction.
public struct GrantUse: Sendable {
    /// What the credential allows; of a `Payment` charge only the payment hash counts.
    public var allowed: L402Allowance
    public var request: L402Request
    /// What one call of the grant counts, in msat; the store holds it against the grant's.
    public var callMsat: UInt64
    /// How many of them the call takes: of a bundle, as many units as it may cost.
    public var units: UInt64
    /// Whether the grant's price stands, whatever the call costs now: a `Payment` challenge keeps the price it was made with.
    public var keepsPrice: Bool
    /// Why the credential is not taken any more, save for a call that was restored after a refund ([GRA-5]).
    public var lateness: CallRefusal?
    /// Whether the grant is a session's money, which its calls alone may take.
    public var isSession: Bool

    public init(
        allowed: L402Allowance,
        request: L402Request,
        callMsat: UInt64,
        units: UInt64 = 1,
        keepsPrice: Bool = false,
        lateness: CallRefusal? = nil,
        isSession: Bool = false
    ) {
        self.isSession = isSession
        self.allowed = allowed
        self.request = request
        self.callMsat = callMsat
        self.units = units
        self.keepsPrice = keepsPrice
        self.lateness = lateness
    }

    /// What the call takes in all, at most `UInt64.max`, which no grant has.
    public var msat: UInt64 {
        let (msat, overflow) = callMsat.multipliedReportingOverflow(by: units)
        return overflow ? .max : msat
    }

    public var digest: PaymentDigest { PaymentDigest(paymentHash: allowed.identifier.paymentHash) }
}
