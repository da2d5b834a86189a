/// Why a document of a trade was refused, or a step of it.
///
/// `code` is stable and meant for programs; `message` tells a person what is wrong, and nothing of what a stranger wrote.
public struct TradeRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// An extensible set of reasons.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// A member is missing, unknown or of another form.
        public static let malformed = Code(rawValue: "malformed")
        public static let tooLarge = Code(rawValue: "too-large")
        public static let badSignature = Code(rawValue: "bad-signature")
        /// Signed by another than the one that it names.
        public static let wrongSigner = Code(rawValue: "wrong-signer")
        /// It belongs to another quote, request, job or party than the one at hand.
        public static let mismatch = Code(rawValue: "mismatch")
        /// A quote or a time to act is over.
        public static let expired = Code(rawValue: "expired")
        public static let fromFuture = Code(rawValue: "from-future")
        /// A quote is good for fewer acceptances.
        public static let overCalls = Code(rawValue: "over-calls")
        /// The quote's place with this number was taken by another acceptance.
        public static let sequenceUsed = Code(rawValue: "sequence-used")
        /// The times of a quote leave too little room between them.
        public static let margin = Code(rawValue: "margin")
        /// The clock here and the mint's are too far apart.
        public static let clockSkew = Code(rawValue: "clock-skew")
        /// The price is above what the buyer pays, or the mint, unit or mode is none that it takes.
        public static let unsuitable = Code(rawValue: "unsuitable")
        /// What was delivered is not what was signed.
        public static let wrongDelivery = Code(rawValue: "wrong-delivery")
        /// A claim of fraud, or against a ruling, that the evidence does not bear out.
        public static let unproven = Code(rawValue: "unproven")
        /// The outputs do not pay what was ruled.
        public static let wrongOutputs = Code(rawValue: "wrong-outputs")
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) (\(code.rawValue))" }
}
