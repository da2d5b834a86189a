/// One reason why a receipt is not to be relied on.
public struct ReceiptReason: Error, Hashable, Sendable, CustomStringConvertible {
    /// An extensible set of reasons.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// The document does not have the shape of a receipt, or is too long.
        public static let malformed = Code(rawValue: "malformed")
        /// The proof is missing, of another kind, or does not verify.
        public static let badSignature = Code(rawValue: "bad-signature")
        /// The key that signed is not the seller the receipt names.
        public static let wrongSeller = Code(rawValue: "wrong-seller")
        /// The receipt does not name the seller that was expected.
        public static let unexpectedSeller = Code(rawValue: "unexpected-seller")
        /// The receipt is for another request, response or payment than the one at hand.
        public static let mismatch = Code(rawValue: "mismatch")
        /// The receipt says it was made in the future.
        public static let fromFuture = Code(rawValue: "from-future")
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) (\(code.rawValue))" }
}

/// What a check of a receipt found: the receipt where it could be read, and every reason against it.
public struct ReceiptVerdict: Equatable, Sendable {
    public var receipt: Receipt?
    public var reasons: [ReceiptReason]

    public init(receipt: Receipt?, reasons: [ReceiptReason]) {
        self.receipt = receipt
        self.reasons = reasons
    }

    public var isValid: Bool { receipt != nil && reasons.isEmpty }

    public func contains(_ code: ReceiptReason.Code) -> Bool {
        reasons.contains { $0.code == code }
    }
}
