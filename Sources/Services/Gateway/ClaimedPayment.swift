public import Cashu
public import Paywall

/// What a claim takes.
public enum ClaimedPayment: Sendable {
    /// Every proof, once.
    case ecash(AssessedPayment)
    /// One call of what a Lightning payment bought.
    case grant(GrantUse)

    public var digest: PaymentDigest {
        switch self {
        case .ecash(let payment): payment.digest
        case .grant(let use): use.digest
        }
    }

    var source: PaymentSource {
        switch self {
        case .ecash(let payment): .ecash(payment.mint)
        case .grant(let use): .grant(paymentHash: use.allowed.identifier.paymentHash)
        }
    }

    /// A grant's calls are counted in msat.
    var unit: CurrencyUnit {
        switch self {
        case .ecash(let payment): payment.unit
        case .grant: .msat
        }
    }

    /// What stands in escrow for the call.
    var total: UInt64 {
        switch self {
        case .ecash(let payment): payment.total
        case .grant(let use): use.msat
        }
    }

    var fee: UInt64 {
        switch self {
        case .ecash(let payment): payment.fee
        case .grant: 0
        }
    }

    package var proofs: [Proof] {
        switch self {
        case .ecash(let payment): payment.proofs
        case .grant: []
        }
    }

    package var ys: [[UInt8]] {
        switch self {
        case .ecash(let payment): payment.ys
        case .grant: []
        }
    }
}

/// Where a claim's money came from.
public enum PaymentSource: Sendable, Equatable {
    case ecash(MintURL)
    case grant(paymentHash: [UInt8])

    func refundForm(redeemedOnline: Bool) -> RefundTable.Form {
        switch self {
        case .ecash: RefundTable.form(redeemedOnline: redeemedOnline)
        case .grant: .callRestored
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

    public init(
        allowed: L402Allowance,
        request: L402Request,
        callMsat: UInt64,
        units: UInt64 = 1,
        keepsPrice: Bool = false,
        lateness: CallRefusal? = nil
    ) {
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
