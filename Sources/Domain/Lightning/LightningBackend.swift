public import Encodings

/// A Lightning node, or an account at one, that this program receives and pays through.
///
/// All amounts are in millisatoshis. The rules that money rests on, held against every adapter by one conformance
/// suite:
/// - Unknown is not failed. `failed` means that no money has moved and none will move by any attempt made so far;
///   a time-out, a lost answer or a crash is `pending`.
/// - `pay` is idempotent by payment hash. While a payment is pending or after it settled, another call moves no
///   money and answers with that payment. After `failed`, another call is a new attempt.
/// - What `pay` throws, that call has not started. It says nothing of earlier calls: ask `paymentStatus`.
/// - No backend starts to pay an expired invoice. So where `pay` throws `expired` and `paymentStatus`, asked after that,
///   answers nil, no earlier call can start any more either: then, and only then, nothing stands for `failed`.
/// - `settled` comes with the preimage, checked against the payment hash.
public protocol LightningBackend: Sendable {
    /// The network whose money this is.
    var network: LightningNetwork { get }

    /// The public key of the node that receives here, 33 bytes, compressed.
    func nodeID() async throws(LightningError) -> [UInt8]

    /// What can be spent now, in msat; what is held by pending payments is not in it.
    func balanceMsat() async throws(LightningError) -> UInt64

    /// Makes an invoice and remembers it.
    /// - Parameters:
    ///   - amountMsat: 1 to `LightningLimits.maximumAmountMsat`; nil where the payer chooses it.
    ///   - description: what the payer sees, at most `LightningLimits.maximumDescriptionBytes` of UTF-8.
    ///   - expirySeconds: 1 to `LightningLimits.maximumExpirySeconds`.
    /// - Throws: `unsupported` without an amount where `abilities.takesOpenInvoices` is false.
    func createInvoice(
        amountMsat: UInt64?,
        description: String,
        expirySeconds: UInt32
    ) async throws(LightningError) -> BOLT11Invoice

    /// How an invoice made here stands.
    /// - Throws: `invoiceNotFound` where no such invoice was made here.
    func invoiceStatus(paymentHash: [UInt8]) async throws(LightningError) -> InvoiceStatus

    /// Pays an invoice, with at most this fee on top.
    /// - Parameter openAmountMsat: what one that names no amount is paid, 1 to `LightningLimits.maximumAmountMsat` and a multiple of
    ///   `abilities.amountStepMsat`; nil for one that names it.
    /// - Throws: `unsupported` for an open amount where `abilities.takesOpenInvoices` is false, `invalidRequest` for one beside the
    ///   invoice's own.
    func pay(
        invoice: BOLT11Invoice,
        openAmountMsat: UInt64?,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> PaymentOutcome

    /// How a payment made from here stands; nil where the backend has no record of one. Nil is not `failed`: a call
    /// of `pay` whose answer was lost may still be on its way. Calling `pay` again settles the question.
    func paymentStatus(paymentHash: [UInt8]) async throws(LightningError) -> PaymentOutcome?

    /// What this backend can do beyond the rules that all keep.
    var abilities: LightningAbilities { get }

    /// Pays a part of an invoice, while others pay the rest (BOLT 4, "Basic Multi-Part Payments"; NUT-15): the payee takes
    /// all the parts or none. One part of an invoice can be paid from here, as parts share the payment hash; everything
    /// said of `pay` holds for it.
    /// - Parameter amountMsat: less than the invoice's amount.
    /// - Throws: `unsupported` where `abilities.paysParts` is false.
    func payPart(
        of invoice: BOLT11Invoice,
        amountMsat: UInt64,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> PaymentOutcome

    /// The payment hashes of invoices made here, as they are paid. Hints: each may come twice, late or never, so
    /// `invoiceStatus` is the only word that counts. Goes on, over lost connections, until the reading task ends; ends at
    /// once where the backend tells nothing by itself.
    func settledInvoices() -> AsyncStream<[UInt8]>

    /// Asks the backend whether it is on `network`.
    /// - Throws: `networkMismatch`, which nothing heals but another configuration; others where it cannot be asked now.
    func checkNetwork() async throws(LightningError)
}

extension LightningBackend {
    public var abilities: LightningAbilities { LightningAbilities() }

    public func payPart(
        of invoice: BOLT11Invoice,
        amountMsat: UInt64,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> PaymentOutcome {
        throw LightningError(.unsupported, "this Lightning backend cannot pay a part of an invoice")
    }

    /// Pays an invoice that names its amount.
    public func pay(invoice: BOLT11Invoice, maximumFeeMsat: UInt64) async throws(LightningError) -> PaymentOutcome {
        try await pay(invoice: invoice, openAmountMsat: nil, maximumFeeMsat: maximumFeeMsat)
    }

    public func settledInvoices() -> AsyncStream<[UInt8]> { AsyncStream { $0.finish() } }

    public func checkNetwork() async throws(LightningError) {}
}

/// What a backend can do beyond the rules that all keep.
public struct LightningAbilities: Hashable, Sendable {
    /// Invoices are made for multiples of this: 1, or 1000 where the backend counts in sat; others are refused with
    /// `invalidRequest`.
    public var amountStepMsat: UInt64
    /// Whether `payPart` works (NUT-15).
    public var paysParts: Bool
    /// Whether invoices without an amount can be made and paid.
    public var takesOpenInvoices: Bool

    public init(amountStepMsat: UInt64 = 1, paysParts: Bool = false, takesOpenInvoices: Bool = false) {
        self.amountStepMsat = amountStepMsat
        self.paysParts = paysParts
        self.takesOpenInvoices = takesOpenInvoices
    }
}

/// What every adapter of `LightningBackend` keeps to.
public enum LightningLimits {
    /// 10 BTC. More in one invoice is refused as a mistake.
    public static let maximumAmountMsat: UInt64 = 1_000_000_000_000
    /// What a `d` field can hold is 639 bytes; adapters may put a notice before the text.
    public static let maximumDescriptionBytes = 500
    /// One week.
    public static let maximumExpirySeconds: UInt32 = 604_800

    /// The amount of an invoice that leaves it to the payer.
    /// - Throws: `invalidRequest` for one that names an amount, or an amount out of bounds.
    public static func checkOpen(_ invoice: BOLT11Invoice, amountMsat: UInt64) throws(LightningError) {
        guard (invoice.amountMsat ?? 0) == 0 else {
            throw LightningError(.invalidRequest, "the invoice names its amount")
        }
        guard (1...maximumAmountMsat).contains(amountMsat) else {
            throw LightningError(.invalidRequest, "a payment is for 1 to \(maximumAmountMsat) msat, not \(amountMsat)")
        }
    }

    /// Refuses the arguments of `createInvoice` that are out of bounds.
    /// - Throws: `invalidRequest`, naming the bound.
    public static func check(
        amountMsat: UInt64,
        description: String,
        expirySeconds: UInt32
    ) throws(LightningError) {
        guard amountMsat > 0, amountMsat <= maximumAmountMsat else {
            throw LightningError(
                .invalidRequest,
                "an invoice must be for 1 to \(maximumAmountMsat) msat, not \(amountMsat)"
            )
        }
        guard description.utf8.count <= maximumDescriptionBytes else {
            throw LightningError(
                .invalidRequest,
                "an invoice's description may have at most \(maximumDescriptionBytes) bytes, not"
                    + " \(description.utf8.count)"
            )
        }
        guard expirySeconds > 0, expirySeconds <= maximumExpirySeconds else {
            throw LightningError(
                .invalidRequest,
                "an invoice must expire after 1 to \(maximumExpirySeconds) seconds, not \(expirySeconds)"
            )
        }
    }
}

/// How an invoice that was made here stands.
public enum InvoiceStatus: Hashable, Sendable {
    case unpaid
    /// Paid, with at least the invoice's amount.
    case paid(amountMsat: UInt64, at: Timestamp)
    /// Past its expiry with no payment. On a real network a payment that was under way at that moment may still
    /// arrive; the simulated one settles nothing late.
    case expired
}

/// How a payment stands.
public enum PaymentOutcome: Hashable, Sendable {
    /// Paid; the preimage (32 bytes, SHA-256 of it is the payment hash) proves it.
    case settled(preimage: [UInt8], feeMsat: UInt64)
    /// Under way, or not known. Ask again.
    case pending
    /// No money has moved, and none will by the attempts made so far.
    case failed(PaymentFailure)
}

/// Why a payment failed for good.
public struct PaymentFailure: Hashable, Sendable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public static let insufficientBalance = Code(rawValue: "insufficient-balance")
        /// The route costs more than the caller's maximum.
        public static let feeTooHigh = Code(rawValue: "fee-too-high")
        public static let noRoute = Code(rawValue: "no-route")
        /// Past its expiry before the payment was started.
        public static let expired = Code(rawValue: "invoice-expired")
        /// Someone has paid this invoice already.
        public static let alreadyPaid = Code(rawValue: "already-paid")
        /// The payee does not know the payment hash, or asks another amount for it.
        public static let unknownInvoice = Code(rawValue: "unknown-invoice")
        /// Payer and payee are the same node.
        public static let selfPayment = Code(rawValue: "self-payment")
        /// The payee turned the payment down.
        public static let rejected = Code(rawValue: "rejected")
    }

    public let code: Code
    public let message: String
    public var description: String { message }

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
