public import Cashu

/// The one payment that a request carries ([CHS-3]).
public enum IncomingPayment: Sendable, Equatable {
    case cashu(Token)
    case l402(L402Credential)
    /// Lightning or ecash under the `Payment` scheme, by its challenge's method and intent.
    case payment(PaymentCredential)
    /// The value of `PAYMENT-SIGNATURE` (version 2) or `X-PAYMENT` (version 1), not read yet.
    case x402(headerName: String, value: String)

    /// The names, in small letters, of the fields that carry payments beside `authorization`. None goes on to the upstream.
    public static let headerNames: Set<String> = ["x-cashu", "payment-signature", "x-payment"]
    /// The longest x402 payment read, in bytes.
    public static let maximumX402Bytes = 32_768

    /// Finds the payment of a request.
    /// - Parameter headers: every line, names in any case.
    /// - Returns: nil where it carries none. An `Authorization` of another scheme is the upstream's.
    /// - Throws: ``CallRefusal`` `several-payments` where it carries two, whatever they are worth; `payment-malformed` or
    ///   `credential-malformed` where the one can't be read. Nothing was taken then.
    public static func read(headers: [(name: String, value: String)]) throws(CallRefusal) -> IncomingPayment? {
        var cashu: [String] = []
        var signature: [String] = []
        var older: [String] = []
        var authorization: [String] = []
        for (name, value) in headers {
            switch name.lowercased() {
            case "x-cashu": cashu.append(value)
            case "payment-signature": signature.append(value)
            case "x-payment": older.append(value)
            case "authorization": authorization.append(value)
            default: break
            }
        }
        let hasL402 = authorization.contains(where: L402Credential.speaksL402)
        let hasPayment = authorization.contains(where: PaymentCredential.speaksPayment)
        let found = [!cashu.isEmpty, !signature.isEmpty, !older.isEmpty, hasL402, hasPayment].count { $0 }
        guard found <= 1 else {
            throw CallRefusal(
                .severalPayments,
                "The request pays in \(found) ways at once; send one payment. Nothing was taken."
            )
        }
        if !cashu.isEmpty { return try NUT24.payment(headerValues: cashu).map { .cashu($0) } }
        if !signature.isEmpty { return try x402("PAYMENT-SIGNATURE", signature) }
        if !older.isEmpty { return try x402("X-PAYMENT", older) }
        if hasL402 { return try L402Credential.read(authorization: authorization).map { .l402($0) } }
        if hasPayment { return try PaymentCredential.read(authorization: authorization).map { .payment($0) } }
        return nil
    }

    /// The dialect it is in; nil for a method or intent of the `Payment` scheme that nobody here knows.
    public var dialect: PaymentDialect? {
        switch self {
        case .cashu: .cashu
        case .l402: .l402
        case .x402: .x402
        case .payment(let credential):
            PaymentDialect.allCases.first {
                $0.methodAndIntent.map {
                    $0.method == credential.challenge.method && $0.intent == credential.challenge.intent
                } ?? false
            }
        }
    }

    /// Refuses what the service does not take.
    /// - Throws: ``CallRefusal`` `method-unsupported`. Nothing was taken then.
    public func require(among accepted: Set<PaymentDialect>) throws(CallRefusal) {
        guard let dialect, accepted.contains(dialect) else {
            throw CallRefusal(
                .methodUnsupported,
                "This service does not take \(dialect?.rawValue ?? "this method of payment"). Nothing was taken."
            )
        }
    }

    /// The values of `Authorization` that are the upstream's own: those in which no payment stands.
    public static func upstreamAuthorization(_ values: [String]) -> [String] {
        values.filter { !L402Credential.speaksL402($0) && !PaymentCredential.speaksPayment($0) }
    }

    private static func x402(_ name: String, _ values: [String]) throws(CallRefusal) -> IncomingPayment {
        guard values.count == 1, let value = values.first, !value.isEmpty, value.utf8.count <= maximumX402Bytes else {
            throw CallRefusal(
                .paymentMalformed,
                "The request has several \(name) headers, or one that is empty or longer than \(maximumX402Bytes) bytes."
            )
        }
        return .x402(headerName: name, value: value)
    }
}
