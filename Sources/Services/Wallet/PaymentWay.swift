/// How a call was paid.
public enum PaymentWay: String, Sendable {
    /// Ecash in `X-Cashu` (NUT-24).
    case cashu
    /// Ecash in a credential of the `Payment` scheme.
    case paymentCashu = "payment-cashu"
    /// A Lightning invoice, proven in a credential of the `Payment` scheme.
    case paymentLightning = "payment-lightning"
    /// A Lightning invoice, and a token that may be good for more calls.
    case l402

    var via: PaymentVia {
        switch self {
        case .cashu: .cashu
        case .paymentCashu, .paymentLightning: .payment
        case .l402: .l402
        }
    }

    /// Whether its proof travels in `Authorization`.
    var usesAuthorization: Bool { self != .cashu }
}

/// The one dialect that a caller wants a call paid in.
public enum PaymentVia: String, Sendable, CaseIterable {
    case cashu
    case l402
    case payment
}
