/// Why an invoice was refused, or why a Lightning backend did not do what was asked.
///
/// Where a backend's `pay` throws this, that call has certainly not started a payment; an outcome that is not
/// known is never an error but `PaymentOutcome.pending`.
public struct LightningError: Error, Sendable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        // What is wrong with an invoice.
        /// Not a BOLT 11 string: too long, too short, not bech32, or a field that runs past its end.
        public static let malformedInvoice = Code(rawValue: "malformed-invoice")
        /// The prefix is not `ln` with a currency that is known.
        public static let unknownCurrency = Code(rawValue: "unknown-currency")
        /// The amount is no positive number of millisatoshis, or more than there will ever be.
        public static let invalidAmount = Code(rawValue: "invalid-amount")
        public static let missingField = Code(rawValue: "missing-field")
        /// A field that may stand once stands twice, so that two readers could disagree.
        public static let repeatedField = Code(rawValue: "repeated-field")
        public static let malformedField = Code(rawValue: "malformed-field")
        /// The invoice requires a feature that is not known here.
        public static let unknownFeature = Code(rawValue: "unknown-feature")
        public static let invalidSignature = Code(rawValue: "invalid-signature")

        // What a payer or payee refuses.
        /// Past its timestamp plus expiry.
        public static let expired = Code(rawValue: "invoice-expired")
        /// The invoice names no amount; this program pays only invoices that do.
        public static let amountRequired = Code(rawValue: "amount-required")
        /// The invoice or the backend belongs to another network.
        public static let networkMismatch = Code(rawValue: "network-mismatch")
        public static let invoiceNotFound = Code(rawValue: "invoice-not-found")
        /// A parameter is out of its bounds.
        public static let invalidRequest = Code(rawValue: "invalid-request")
        /// This backend cannot do it at all.
        public static let unsupported = Code(rawValue: "unsupported")

        // What went wrong on the way to the backend.
        /// No connection; nothing was sent.
        public static let unreachable = Code(rawValue: "backend-unreachable")
        /// Sent, but no answer in time. By `pay` only where the backend says that the call came too late to start.
        public static let timedOut = Code(rawValue: "backend-timed-out")
        public static let unauthorized = Code(rawValue: "backend-unauthorized")
        /// The backend is full (accounts, open invoices) or overloaded; try again later.
        public static let limitReached = Code(rawValue: "backend-limit-reached")
        /// The backend failed by its own account.
        public static let backendFailure = Code(rawValue: "backend-failure")
        /// The backend's answer is not one that the protocol allows, such as a preimage that does not fit.
        public static let invalidAnswer = Code(rawValue: "backend-invalid-answer")
        public static let cancelled = Code(rawValue: "cancelled")
    }

    public let code: Code
    /// A sentence a user can act on.
    public let message: String
    public let cause: (any Error)?
    public var description: String { message }

    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }
}
