/// How a call was paid.
public enum PaymentWay: String, Sendable {
    /// Ecash in `X-Cashu` (NUT-24).
    case cashu
    /// Ecash in a credential of the `Payment` scheme.
    case paymentCashu = "payment-cashu"
    /// A Lightning invoice, proven in a credential of the `Payment` scheme.
    case paymentLightning = "payment-lightning"
    /// A session that a Lightning deposit opened, under the `Payment` scheme.
    case paymentSession = "payment-session"
    /// A Lightning invoice, and a token that may be good for more calls.
    case l402
    /// A token on an EVM chain, by signed authorisation (x402, `exact`).
    case x402Exact = "x402-exact"
    /// Ecash over x402 (`Specs/x402-cashu.md`).
    case x402Cashu = "x402-cashu"
    /// A Lightning invoice over x402 (`Specs/x402-lightning.md`).
    case x402Lightning = "x402-lightning"

    var via: PaymentVia {
        switch self {
        case .cashu: .cashu
        case .paymentCashu, .paymentLightning, .paymentSession: .payment
        case .l402: .l402
        case .x402Exact, .x402Cashu, .x402Lightning: .x402
        }
    }

    public var isX402: Bool { via == .x402 }

    /// Whether its proof travels in `Authorization`.
    var usesAuthorization: Bool {
        switch self {
        case .paymentCashu, .paymentLightning, .paymentSession, .l402: true
        case .cashu, .x402Exact, .x402Cashu, .x402Lightning: false
        }
    }
}

/// The one dialect that a caller wants a call paid in.
public enum PaymentVia: String, Sendable, CaseIterable {
    case cashu
    case l402
    case payment
    case x402
}
