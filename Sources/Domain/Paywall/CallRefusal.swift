/// Why a call at the paywall was not let through, in a form a program can branch on and a person can act on.
///
/// Travels as an RFC 9457 problem: `type` is ``typeURN``, `code` the last part of it ([CALL-3]).
public struct CallRefusal: Error, Sendable, Equatable, CustomStringConvertible {
    /// The stable name of a refusal; new ones may appear, so treat an unknown code by its HTTP status.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public var rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        // 402: nothing was paid.
        public static let paymentRequired = Code(rawValue: "payment-required")
        // 402 with a fresh challenge: what was shown as payment (L402, Payment) does not count for this call.
        public static let credentialMalformed = Code(rawValue: "credential-malformed")
        public static let challengeUnknown = Code(rawValue: "challenge-unknown")
        public static let credentialInvalid = Code(rawValue: "credential-invalid")
        public static let credentialExpired = Code(rawValue: "credential-expired")
        public static let credentialInsufficient = Code(rawValue: "credential-insufficient")
        public static let credentialUsedUp = Code(rawValue: "credential-used-up")
        public static let sessionUnknown = Code(rawValue: "session-unknown")
        public static let sessionClosed = Code(rawValue: "session-closed")
        public static let returnInvoiceInvalid = Code(rawValue: "return-invoice-invalid")
        // 400: the payment can't be taken; the buyer's proofs are untouched.
        public static let paymentMalformed = Code(rawValue: "payment-malformed")
        public static let mintNotAccepted = Code(rawValue: "mint-not-accepted")
        public static let wrongUnit = Code(rawValue: "wrong-unit")
        public static let amountTooLow = Code(rawValue: "amount-too-low")
        public static let amountTooHigh = Code(rawValue: "amount-too-high")
        public static let wrongLock = Code(rawValue: "wrong-lock")
        public static let unknownKeyset = Code(rawValue: "unknown-keyset")
        public static let invalidProof = Code(rawValue: "invalid-proof")
        public static let alreadySpent = Code(rawValue: "already-spent")
        public static let paymentReused = Code(rawValue: "payment-reused")
        public static let severalPayments = Code(rawValue: "several-payments")
        public static let methodUnsupported = Code(rawValue: "method-unsupported")
        // 400: the request itself.
        public static let ambiguousPath = Code(rawValue: "ambiguous-path")
        public static let malformedRequest = Code(rawValue: "malformed-request")
        public static let contentDigestRequired = Code(rawValue: "content-digest-required")
        public static let contentDigestMismatch = Code(rawValue: "content-digest-mismatch")
        // 404 and 405
        public static let unknownService = Code(rawValue: "unknown-service")
        public static let notForSale = Code(rawValue: "not-for-sale")
        public static let unknownReceipt = Code(rawValue: "unknown-receipt")
        // 409: the same call was made before.
        public static let callRunning = Code(rawValue: "call-running")
        public static let alreadyServed = Code(rawValue: "already-served")
        /// The payment's identifier names another payment or request.
        public static let identifierReused = Code(rawValue: "payment-identifier-reused")
        // 413, 422, 429
        public static let bodyTooLarge = Code(rawValue: "body-too-large")
        public static let keyReused = Code(rawValue: "idempotency-key-reused")
        public static let tooManyRequests = Code(rawValue: "too-many-requests")
        // 5xx: ours or the upstream's.
        public static let upstreamFailed = Code(rawValue: "upstream-failed")
        public static let upstreamTimeout = Code(rawValue: "upstream-timeout")
        public static let paymentPending = Code(rawValue: "payment-pending")
        public static let overloaded = Code(rawValue: "overloaded")
        public static let mintUnavailable = Code(rawValue: "mint-unavailable")
        public static let storageFailed = Code(rawValue: "storage-failed")
        /// The key that receipts are signed with cannot be reached now; nothing was taken.
        public static let keyUnavailable = Code(rawValue: "key-unavailable")
        /// The price is in a unit whose rate is too old.
        public static let rateStale = Code(rawValue: "rate-stale")
    }

    public var code: Code
    /// The HTTP status it is answered with.
    public var status: Int
    /// What happened and what the caller can do about it. Never holds a secret of a proof or a key.
    public var message: String
    /// Seconds after which a retry makes sense (`Retry-After`); nil where a retry of the same request won't help.
    public var retryAfterSeconds: Int?
    /// The receipt of the earlier call, where there is one.
    public var receiptID: String?
    /// What an x402 payment was refused for, in that protocol's words.
    public var x402: X402Refusal?

    public init(
        _ code: Code,
        status: Int? = nil,
        _ message: String,
        retryAfterSeconds: Int? = nil,
        receiptID: String? = nil
    ) {
        self.code = code
        self.status = status ?? Self.usualStatus(of: code)
        self.message = message
        self.retryAfterSeconds = retryAfterSeconds
        self.receiptID = receiptID
    }

    /// `urn:mintmark:problem:<code>`
    public var typeURN: String { "urn:mintmark:problem:\(code.rawValue)" }

    public var description: String { "\(status) \(code.rawValue): \(message)" }

    /// A short sentence for RFC 9457's `title`: the code in words.
    public var title: String {
        let words = code.rawValue.split(separator: "-").joined(separator: " ")
        return words.prefix(1).uppercased() + words.dropFirst()
    }

    private static func usualStatus(of code: Code) -> Int {
        switch code {
        case .paymentRequired, .credentialMalformed, .challengeUnknown, .credentialInvalid, .credentialExpired,
            .credentialInsufficient, .credentialUsedUp, .sessionUnknown, .sessionClosed, .returnInvoiceInvalid:
            402
        case .unknownService, .notForSale, .unknownReceipt: 404
        case .callRunning, .alreadyServed, .identifierReused: 409
        case .bodyTooLarge: 413
        case .keyReused: 422
        case .tooManyRequests: 429
        case .upstreamFailed: 502
        case .upstreamTimeout: 504
        case .paymentPending, .overloaded, .mintUnavailable, .storageFailed, .keyUnavailable, .rateStale: 503
        default: 400
        }
    }
}

extension CallRefusal {
    public static let keyUnavailable = CallRefusal(
        .keyUnavailable,
        "The seller's keys cannot be reached now. Nothing was taken; try again shortly.",
        retryAfterSeconds: 2
    )

    /// The refusal of an x402 payment ([XEX-5]): 400 where it can't be read, else 402 with a fresh challenge. Nothing was taken.
    public init(_ refusal: X402Refusal) {
        switch refusal.code {
        case .invalidVersion, .invalidPayload, .identifierRequired:
            self.init(.paymentMalformed, "\(refusal.message) Nothing was taken.")
        case .unsupportedScheme:
            self.init(.methodUnsupported, "\(refusal.message) Nothing was taken.")
        case .identifierConflict:
            self.init(.identifierReused, refusal.message)
        default:
            self.init(.credentialInvalid, "The payment does not count: \(refusal.message)")
        }
        x402 = refusal
    }
}
