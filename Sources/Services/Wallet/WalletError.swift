/// Why the wallet did not do what was asked. Money is where it was, unless the code is `outcomeUnknown`: then the
/// operation stands on disk and is finished by itself, at the latest at the next start.
public struct WalletError: Error, Sendable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        /// Something the caller passed is not usable: an address, an amount, a name.
        public static let invalidArgument = Code(rawValue: "invalid-argument")
        /// The mint was never added to this wallet.
        public static let mintUnknown = Code(rawValue: "mint-unknown")
        /// The wallet takes no ecash of this mint, unless it is swapped to another at once.
        public static let mintUntrusted = Code(rawValue: "mint-untrusted")
        /// No connection came about; nothing was sent.
        public static let mintUnreachable = Code(rawValue: "mint-unreachable")
        /// The mint answered with an error; `mintCode` has its number.
        public static let mintRefused = Code(rawValue: "mint-refused")
        /// The mint lacks something this needs (a unit, locks, proofs of its signatures).
        public static let mintUnsuitable = Code(rawValue: "mint-unsuitable")
        /// The mint's answer is provably wrong. What it took is kept as evidence, not counted as money.
        public static let mintDishonest = Code(rawValue: "mint-dishonest")
        /// Sent, and not known what became of it. Never try again by hand: the wallet does.
        public static let outcomeUnknown = Code(rawValue: "outcome-unknown")
        public static let insufficientFunds = Code(rawValue: "insufficient-funds")
        /// Not a token, or one that cannot be used here.
        public static let invalidToken = Code(rawValue: "invalid-token")
        /// Somebody spent it already.
        public static let tokenSpent = Code(rawValue: "token-spent")
        /// It is locked to a key this wallet does not have.
        public static let tokenLocked = Code(rawValue: "token-locked")
        /// The fee would eat all of it.
        public static let belowFee = Code(rawValue: "below-fee")
        /// Above what the caller or the agent's limit allows; nothing moved.
        public static let limitExceeded = Code(rawValue: "limit-exceeded")
        public static let invoiceUnpaid = Code(rawValue: "invoice-unpaid")
        public static let invoiceExpired = Code(rawValue: "invoice-expired")
        /// A seller's invoice asks for more than its challenge or its price says.
        public static let invoiceTooHigh = Code(rawValue: "invoice-too-high")
        /// A seller's invoice is of another network than this node's money.
        public static let invoiceWrongNetwork = Code(rawValue: "invoice-wrong-network")
        public static let invoiceWithoutAmount = Code(rawValue: "invoice-without-amount")
        /// A seller shows an invoice that was paid before, for another call.
        public static let invoiceReused = Code(rawValue: "invoice-reused")
        /// A token on an EVM chain that the operator does not let the wallet pay with.
        public static let assetUntrusted = Code(rawValue: "asset-untrusted")
        public static let paymentFailed = Code(rawValue: "payment-failed")
        /// As many tokens as may wait to be claimed.
        public static let inboxFull = Code(rawValue: "inbox-full")
        /// A single-use payment request that somebody paid.
        public static let requestPaid = Code(rawValue: "request-paid")
        /// A payment that is not what its request asks for.
        public static let wrongPayment = Code(rawValue: "wrong-payment")
        public static let notFound = Code(rawValue: "not-found")
        /// The database belongs to another recovery phrase.
        public static let seedMismatch = Code(rawValue: "seed-mismatch")
        /// The wallet's tables contradict each other.
        public static let corrupt = Code(rawValue: "corrupt")
        /// The seller's answer cannot be understood, or asks for what this wallet will not do.
        public static let challengeUnusable = Code(rawValue: "challenge-unusable")
        /// The service failed, the seller charged nothing, and what was paid is kept with it for the same call: nothing came back,
        /// and nothing is lost.
        public static let refundKept = Code(rawValue: "refund-kept")
        /// The seller did not take the payment; the proofs are back in the pool.
        public static let paymentRefused = Code(rawValue: "payment-refused")
        /// The service could not be reached; nothing was paid.
        public static let serviceUnreachable = Code(rawValue: "service-unreachable")
        /// The answer broke off or is larger than allowed.
        public static let answerUnusable = Code(rawValue: "answer-unusable")
    }

    public let code: Code
    /// What happened and what to do about it. Never holds a secret.
    public let message: String
    /// The mint's own number (error_codes.md of the NUTs), where it gave one.
    public let mintCode: Int?
    public let cause: (any Error)?
    public var description: String { message }

    public init(_ code: Code, _ message: String, mintCode: Int? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.mintCode = mintCode
        self.cause = cause
    }
}
