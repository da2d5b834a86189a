public import Encodings
public import Receipts
public import SignedDocuments

/// In which role somebody is judged ([REP-2]).
public enum ReputationRole: String, Sendable, CaseIterable {
    /// As a seller, by those who bought.
    case selling
    /// As a buyer, by those who sold.
    case buying
}

/// How a call went, as its judge says.
public enum CallOutcome: String, Sendable, CaseIterable {
    /// As it should.
    case good = "ok"
    /// Without an answer, or with an error of the server's.
    case failed
    /// After the deadline.
    case late
    /// Against the schema, or with another body than the receipt names.
    case wrong

    public var isGood: Bool { self == .good }
}

/// Why something does not count.
public struct ReputationRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// An extensible set of reasons.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// The receipt is not valid, or does not name who judges.
        public static let badReceipt = Code(rawValue: "bad-receipt")
        /// Nothing was paid.
        public static let notPaid = Code(rawValue: "not-paid")
        /// Both sides are of one operator.
        public static let sameOperator = Code(rawValue: "same-operator")
        /// It can't be told who stands behind a side.
        public static let unknownOperator = Code(rawValue: "unknown-operator")
        /// A rating is malformed, signed by another than the buyer, or of another receipt or passport ([RCPT-13]).
        public static let badRating = Code(rawValue: "bad-rating")
        /// The passport does not hold for the buyer at the time of the call, or is not of the one who publishes.
        public static let badPassport = Code(rawValue: "bad-passport")
        /// The receipt was counted before.
        public static let repeated = Code(rawValue: "repeated")
        /// It is from further ahead than clocks may differ.
        public static let fromFuture = Code(rawValue: "from-future")
        /// As many nodes or pairs are known as may be, and some trust reaches each.
        public static let full = Code(rawValue: "full")
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) [\(code.rawValue)]" }
}

/// One paid call and how one side says it went. That there is a value means that a valid receipt of a payment stands behind it,
/// and that its two sides are not known to be one operator's ([REP-1], [REP-3]).
public struct SettledCall: Sendable, Hashable {
    /// In which role the other side is judged.
    public let role: ReputationRole
    public let judge: DIDKey
    public let judged: DIDKey
    public let outcome: CallOutcome
    /// When the call was answered.
    public let at: Timestamp

    /// For calls whose receipts were checked before they were stored.
    package init(role: ReputationRole, judge: DIDKey, judged: DIDKey, outcome: CallOutcome, at: Timestamp) {
        self.role = role
        self.judge = judge
        self.judged = judged
        self.outcome = outcome
        self.at = at
    }

    /// Who stands behind a side, as far as is known: the keys of its issuers and of its node.
    public struct Operators: Sendable, Hashable {
        public var seller: Set<DIDKey>
        public var buyer: Set<DIDKey>

        public init(seller: Set<DIDKey> = [], buyer: Set<DIDKey> = []) {
            self.seller = seller
            self.buyer = buyer
        }
    }

    /// A call by its receipt.
    ///
    /// - Parameters:
    ///   - isChecked: whether the receipt's signature was checked already.
    ///   - operators: what is known of who stands behind the sides.
    /// - Throws: ``ReputationRefusal``.
    public init(
        _ receipt: Receipt,
        judging role: ReputationRole = .selling,
        outcome: CallOutcome,
        operators: Operators = Operators(),
        now: Timestamp,
        isChecked: Bool = false
    ) throws(ReputationRefusal) {
        let claims = receipt.claims
        if !isChecked, let reason = receipt.verdict(now: now).reasons.first {
            throw ReputationRefusal(.badReceipt, "The receipt does not hold: \(reason.code.rawValue).")
        }
        guard let buyer = claims.buyer else {
            throw ReputationRefusal(.badReceipt, "The receipt does not name its buyer, so nobody can judge by it.")
        }
        guard claims.isPaid else {
            throw ReputationRefusal(.notPaid, "Nothing was paid for the call.")
        }
        guard claims.isEarned || !outcome.isGood || role == .buying else {
            throw ReputationRefusal(.badReceipt, "A call that was refunded did not go as it should.")
        }
        guard claims.respondedAt <= now.adding(seconds: 60) else {
            throw ReputationRefusal(.fromFuture, "The receipt is from ahead.")
        }
        let sides = (
            seller: operators.seller.union([claims.seller.did]), buyer: operators.buyer.union([buyer.did])
        )
        let isOneAgent = buyer.agentID != nil && buyer.agentID == claims.seller.agentID
        guard sides.seller.isDisjoint(with: sides.buyer), !isOneAgent else {
            throw ReputationRefusal(.sameOperator, "Both sides of the call are of one operator.")
        }
        self.init(
            role: role,
            judge: role == .selling ? buyer.did : claims.seller.did,
            judged: role == .selling ? claims.seller.did : buyer.did,
            outcome: outcome,
            at: claims.respondedAt
        )
    }
}

extension ReceiptClaims {
    /// Whether money moved for the call ([REP-1]), if only to come back.
    package var isPaid: Bool { amount > 0 || outcome == .refunded || settlement?.breach != nil }

    /// Whether the seller gave nothing back of the price for how it served the call.
    var isEarned: Bool { outcome == .served && settlement?.breach == nil }
}
