public import SignedDocuments

/// Why a delegation, an invocation or a ticket is not to be relied on: one code for each way in which it can fail.
///
/// `link` and `key` say who failed, so that whoever is asked for the blame has one answer.
public struct DelegationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// An extensible set of reasons; the raw values travel in problem documents and `--json` output.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// Not an envelope of UCAN 1.0, or a member is of the wrong kind.
        public static let malformed = Code(rawValue: "malformed")
        /// Not in the one form that DAG-CBOR allows.
        public static let notCanonical = Code(rawValue: "not-canonical")
        /// Longer, deeper or of more parts than is read here.
        public static let tooLarge = Code(rawValue: "too-large")
        /// A content identifier is not one of DAG-CBOR with SHA-256.
        public static let malformedCID = Code(rawValue: "malformed-cid")
        /// Signed in a way, or by a kind of key, that is not verified here.
        public static let unsupportedSignature = Code(rawValue: "unsupported-signature")
        /// The signature is not the issuer's.
        public static let forged = Code(rawValue: "forged")
        /// The issuer is not the subject, and nothing says that it may act.
        public static let proofMissing = Code(rawValue: "proof-missing")
        /// A proof is named and not there.
        public static let proofUnavailable = Code(rawValue: "proof-unavailable")
        /// Proofs are there that nothing names.
        public static let proofSurplus = Code(rawValue: "proof-surplus")
        /// The first delegation is not issued by the subject: whoever made it gave itself what it does not own.
        public static let selfIssued = Code(rawValue: "self-issued")
        /// The first delegation names no subject.
        public static let subjectMissing = Code(rawValue: "subject-missing")
        /// A link is about another subject than the call.
        public static let wrongSubject = Code(rawValue: "wrong-subject")
        /// The links are there, in another order than they were given.
        public static let reordered = Code(rawValue: "reordered")
        /// A link was issued by somebody else than the one whom the link before was given to.
        public static let brokenChain = Code(rawValue: "broken-chain")
        /// The last link was given to somebody else than the one who acts.
        public static let wrongAudience = Code(rawValue: "wrong-audience")
        /// The invocation is meant for another executor.
        public static let wrongRecipient = Code(rawValue: "wrong-recipient")
        /// A link gives a command that the link before does not.
        public static let commandWidened = Code(rawValue: "command-widened")
        /// The command is not among those that were given.
        public static let commandNotGiven = Code(rawValue: "command-not-given")
        /// A link gives a larger budget than the link before.
        public static let budgetWidened = Code(rawValue: "budget-widened")
        /// A link names another accounting node than the first.
        public static let accountingChanged = Code(rawValue: "accounting-changed")
        /// A budget, and no node that keeps its account.
        public static let accountingMissing = Code(rawValue: "accounting-missing")
        /// `exp` has passed.
        public static let expired = Code(rawValue: "expired")
        /// `nbf` lies ahead.
        public static let notYetValid = Code(rawValue: "not-yet-valid")
        /// The invocation lives longer than one of a paid call may.
        public static let expiryTooFar = Code(rawValue: "expiry-too-far")
        /// The link was taken back.
        public static let revoked = Code(rawValue: "revoked")
        /// The key that issued the link was taken back, and everything it issued with it.
        public static let keyRevoked = Code(rawValue: "key-revoked")
        /// The key that should sign is held elsewhere and cannot be reached now; nothing was signed.
        public static let keyUnavailable = Code(rawValue: "key-unavailable")
        /// The call was made before.
        public static let replayed = Code(rawValue: "replayed")
        /// The chain is longer than a link allows, or than is read here.
        public static let tooDeep = Code(rawValue: "too-deep")
        /// The invocation does not say how long its chain is.
        public static let wrongDepth = Code(rawValue: "wrong-depth")
        /// The amount is in another unit than a link's budget or policy counts.
        public static let wrongUnit = Code(rawValue: "wrong-unit")
        /// The amount is more than a link allows for one call.
        public static let overCallLimit = Code(rawValue: "over-call-limit")
        /// Another statement of a policy does not hold.
        public static let policyViolated = Code(rawValue: "policy-violated")
        /// The root is none that is trusted here.
        public static let untrustedRoot = Code(rawValue: "untrusted-root")
        /// The invocation is for another request than the one at hand.
        public static let wrongRequest = Code(rawValue: "wrong-request")
        /// The call costs more than the invocation says.
        public static let amountTooLow = Code(rawValue: "amount-too-low")
        /// No ticket, where one is needed.
        public static let ticketMissing = Code(rawValue: "ticket-missing")
        /// The ticket does not have the shape of one.
        public static let ticketMalformed = Code(rawValue: "ticket-malformed")
        /// The ticket's signature is not that of the node it names.
        public static let ticketForged = Code(rawValue: "ticket-forged")
        /// The ticket is of another node than the one that keeps the account.
        public static let ticketWrongNode = Code(rawValue: "ticket-wrong-node")
        /// The ticket is no longer good.
        public static let ticketExpired = Code(rawValue: "ticket-expired")
        /// The ticket is for another call.
        public static let ticketMismatch = Code(rawValue: "ticket-mismatch")
        /// No receipt of an invocation.
        public static let receiptMalformed = Code(rawValue: "receipt-malformed")
        /// The receipt of an invocation is not signed by its executor.
        public static let receiptForged = Code(rawValue: "receipt-forged")
        /// The receipt of an invocation, the invocation and the paid call are not of one another.
        public static let receiptMismatch = Code(rawValue: "receipt-mismatch")
        /// The node that keeps the account: the budget of a link is used up.
        public static let budgetExceeded = Code(rawValue: "budget-exceeded")
    }

    public var code: Code
    /// A sentence for a person; holds no secret.
    public var message: String
    /// The link that failed, counted from the root at 0; nil where it is none of the links.
    public var link: Int?
    /// The key that failed: who signed what does not hold.
    public var key: DIDKey?

    public init(_ code: Code, _ message: String, link: Int? = nil, key: DIDKey? = nil) {
        self.code = code
        self.message = message
        self.link = link
        self.key = key
    }

    public var description: String { "\(message) (\(code.rawValue))" }

    func at(_ link: Int?, _ key: DIDKey?) -> DelegationError {
        DelegationError(code, message, link: self.link ?? link, key: self.key ?? key)
    }
}
