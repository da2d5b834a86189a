public import Cashu
public import Encodings
public import Paywall

/// Who called, where somebody signed.
public struct CallerIdentity: Sendable, Equatable {
    /// The `did:key` that signed the request.
    public var did: String
    /// The agent's stable id, from its passport.
    public var agentID: String?
    /// The id of the passport shown.
    public var passportID: String?

    /// Who issued that passport; known while the call is made, and not kept.
    public var passportIssuer: String?
    /// On whose authority it acts, where it showed that.
    public var delegation: CallerDelegation?
    /// Where its key is published, where it is known by that (Web Bot Auth); told to the upstream, and not kept.
    public var keysURL: String?

    public init(
        did: String,
        agentID: String? = nil,
        passportID: String? = nil,
        passportIssuer: String? = nil,
        delegation: CallerDelegation? = nil
    ) {
        self.did = did
        self.agentID = agentID
        self.passportID = passportID
        self.passportIssuer = passportIssuer
        self.delegation = delegation
    }
}

/// A payment about to be claimed for one call.
public struct NewClaim: Sendable {
    /// A fresh UUID version 7, lower case; later the receipt's id. Its random part is what makes the receipt's address
    /// unguessable, its time part what keeps the store's pages together.
    public var id: String
    public var scope: IdempotencyScope
    public var payment: ClaimedPayment
    /// How it was paid; receipts name it.
    public var dialect: PaymentDialect
    public var service: String
    public var method: String
    /// Path and query below the service.
    public var target: String
    /// SHA-256 of the request's body; nil where it was too long to read before the claim.
    public var bodyDigest: [UInt8]?
    public var caller: CallerIdentity?
    public var price: UInt64
    /// Whether the proofs must be redeemed at the mint before the call. False for a grant's call.
    public var isOnline: Bool
    /// Whether the node's own mint holds the proofs from the claim on.
    public var isHeldAtMint = false
    /// nil where the price is fixed and exactly paid.
    public var quote: ClaimQuote?
    public var at: Timestamp
    /// The client's own name for the payment (x402's `payment-identifier`), if any.
    public var paymentIdentifier: String?

    public init(
        id: String,
        scope: IdempotencyScope,
        payment: ClaimedPayment,
        dialect: PaymentDialect = .cashu,
        service: String,
        method: String,
        target: String,
        bodyDigest: [UInt8]?,
        caller: CallerIdentity?,
        price: UInt64,
        isOnline: Bool,
        quote: ClaimQuote? = nil,
        at: Timestamp
    ) {
        self.id = id
        self.scope = scope
        self.payment = payment
        self.dialect = dialect
        self.service = service
        self.method = method
        self.target = target
        self.bodyDigest = bodyDigest
        self.caller = caller
        self.price = price
        self.isOnline = isOnline
        self.quote = quote
        self.at = at
    }
}

/// A claim as the store holds it.
public struct ClaimRecord: Sendable {
    public var call: StoredCall
    public var service: String
    public var method: String
    public var target: String
    public var bodyDigest: [UInt8]?
    public var caller: CallerIdentity?
    public var source: PaymentSource
    public var dialect: PaymentDialect
    public var unit: CurrencyUnit
    public var total: UInt64
    public var fee: UInt64
    public var price: UInt64
    public var isOnline: Bool
    public var at: Timestamp
    public var settledAt: Timestamp?

    /// How it goes back where it is not charged ([CALL-14]).
    public var refundForm: RefundTable.Form { source.refundForm(redeemedOnline: isOnline) }
}

/// How a claim went.
public enum ClaimOutcome: Sendable {
    /// The payment is ours for this call, on disk.
    case claimed
    /// An earlier claim stands; the decision says what to do, never `proceed`.
    case existing(CallDecision)
    /// Nothing was claimed: the unredeemed total at the mint would pass the cap. Redeem first.
    case overCap
}

/// An answer kept to be given again.
public struct StoredAnswer: Sendable, Equatable {
    public var status: Int
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]

    public init(status: Int, headers: [(name: String, value: String)], body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    public static func == (first: StoredAnswer, second: StoredAnswer) -> Bool {
        first.status == second.status && first.body == second.body
            && first.headers.elementsEqual(second.headers) { $0.name == $1.name && $0.value == $1.value }
    }
}

/// A call that was answered and is charged.
public struct Settlement: Sendable {
    public var claimID: String
    /// The signed receipt, as JSON; goes to the outbox in the same transaction ([CALL-15]).
    public var receipt: [UInt8]
    /// The answer to keep, and until when; nil where it is too long to keep.
    public var answer: StoredAnswer?
    public var answerKeptUntil: Timestamp?
    /// What it cost, of a claim with a quote; nil: all that was paid.
    public var charge: SettledCharge?
    public var at: Timestamp

    public init(
        claimID: String,
        receipt: [UInt8],
        answer: StoredAnswer?,
        answerKeptUntil: Timestamp?,
        charge: SettledCharge? = nil,
        at: Timestamp
    ) {
        self.claimID = claimID
        self.receipt = receipt
        self.answer = answer
        self.answerKeptUntil = answerKeptUntil
        self.charge = charge
        self.at = at
    }
}

/// A call that is not charged.
public struct Refund: Sendable {
    public var claimID: String
    public var receipt: [UInt8]
    /// Why, for the buyer.
    public var reason: CallRefusal.Code
    /// The token the buyer gets; nil where it has yet to be made (`refunding`), or there is none (``RefundTable/Form/callRestored``).
    public var token: String?
    /// Whether nobody waits for the answer: then a call that is restored is not made anew by the same request before its
    /// buyer was told once.
    public var isUnattended: Bool
    /// The state of the claim for which the refund was decided: one that is in another by then, as its buyer asked again
    /// and is being served, is not refunded.
    public var decidedIn: CallState
    public var at: Timestamp

    public init(
        claimID: String,
        receipt: [UInt8],
        reason: CallRefusal.Code,
        token: String?,
        isUnattended: Bool = false,
        decidedIn: CallState = .running,
        at: Timestamp
    ) {
        self.claimID = claimID
        self.receipt = receipt
        self.reason = reason
        self.token = token
        self.isUnattended = isUnattended
        self.decidedIn = decidedIn
        self.at = at
    }
}

/// A refund to be given.
public struct StoredRefund: Sendable, Equatable {
    /// nil where the call was given back instead of money.
    public var token: String?
    public var reason: CallRefusal.Code
    public var amount: UInt64
    public var unit: String

    public init(token: String?, reason: CallRefusal.Code, amount: UInt64, unit: String) {
        self.token = token
        self.reason = reason
        self.amount = amount
        self.unit = unit
    }
}

/// A claim with what was paid.
public struct OpenClaim: Sendable {
    public var record: ClaimRecord
    /// The proofs as they were paid, without witnesses.
    public var proofs: [Proof]
    public var quote: ClaimQuote?

    public init(record: ClaimRecord, proofs: [Proof], quote: ClaimQuote? = nil) {
        self.record = record
        self.proofs = proofs
        self.quote = quote
    }
}

/// Proofs on their way to the mint.
public struct RedemptionBatch: Sendable {
    /// A UUID.
    public var id: String
    public var mint: MintURL
    public var unit: CurrencyUnit
    public var proofs: [Proof]
    /// Y of each proof, in order.
    public var ys: [[UInt8]]
    /// Whether the node's own mint holds all of them.
    public var isHeldAtMint: Bool

    public init(
        id: String,
        mint: MintURL,
        unit: CurrencyUnit,
        proofs: [Proof],
        ys: [[UInt8]],
        isHeldAtMint: Bool = false
    ) {
        self.isHeldAtMint = isHeldAtMint
        self.id = id
        self.mint = mint
        self.unit = unit
        self.proofs = proofs
        self.ys = ys
    }
}

/// How one batch ended at the mint. A Y in neither list is not known yet, or not worth its fee alone: it goes back among
/// the due, and is handed to the purse again in a later batch.
public struct BatchReport: Sendable {
    public var redeemed: [[UInt8]]
    /// Proofs that the mint refused for good, such as spent ones.
    public var failed: [[UInt8]]
    public init(redeemed: [[UInt8]], failed: [[UInt8]]) {
        self.redeemed = redeemed
        self.failed = failed
    }
}

/// What stands open, for the operator.
public struct GatewayTotals: Sendable {
    public struct Held: Sendable {
        public var mint: String
        public var unit: String
        /// Taken and not yet redeemed.
        public var amount: UInt64
    }
    public var unredeemed: [Held]
    public var claimsByState: [CallState: Int]
    public var failedProofs: Int
    /// Paid over Lightning for calls that are not made yet, in msat.
    public var prepaidMsat: UInt64
}

/// Where claims live: the one place where "was this payment used?" is answered ([CALL-7]).
///
/// Each function is one transaction, durable when it returns. Every adapter passes the conformance suite in the tests.
public protocol ClaimStore: Sendable {
    /// Takes the payment for the call: every Y is inserted as new (or the grant lets the call through and counts it), the
    /// claim is written, the unredeemed total stays under the cap and the ledger is booked, or nothing happens.
    /// - Parameter cap: the most that may be unredeemed at the payment's mint, in its unit.
    func claim(_ claim: NewClaim, cap: UInt64) async throws -> ClaimOutcome
    /// What to do with a call that looks like an earlier one; `proceed` where there is none.
    func decide(scope: IdempotencyScope, ys: [[UInt8]], now: Timestamp) async throws -> CallDecision
    /// `redeeming` → `running`: the mint has redeemed the proofs.
    /// - Parameter worth: what they brought after fees, in the claim's unit; at least 1.
    func redeemed(claimID: String, worth: UInt64, at: Timestamp) async throws
    /// Forgets a claim whose proofs the mint refused: the buyer may use them elsewhere.
    func release(claimID: String) async throws
    /// `interrupted` → `running`.
    /// - Returns: false where another retry came first.
    func resume(claimID: String) async throws -> Bool
    /// `running` → `served`.
    func settle(_ settlement: Settlement) async throws
    /// `running` or `interrupted` → `refunding` where a token has yet to be made, else `refunded`: the refund has its token, or
    /// the call is counted back to its grant.
    func refund(_ refund: Refund) async throws
    /// A restored call's buyer was told: the same request without a key is a new call from now on ([GRA-5]).
    func toldRestored(claimID: String) async throws
    /// `refunding` → `refunded`.
    func completeRefund(claimID: String, token: String, at: Timestamp) async throws
    /// The change that a served call leaves in ecash; nil where there is none.
    func change(claimID: String) async throws -> StoredChange?
    /// Change whose token is not made yet, oldest first.
    func dueChanges(limit: Int) async throws -> [StoredChange]
    /// The token of a call's change is made: it goes out of escrow.
    /// - Throws: ``GatewayError`` `state-changed` where that was done, or none is due.
    func changeMade(claimID: String, token: String, at: Timestamp) async throws
    /// `running` → `interrupted`, at start.
    func interrupt(claimID: String) async throws

    func record(claimID: String) async throws -> ClaimRecord?
    /// A claim with its proofs, whatever its state.
    func claim(id: String) async throws -> OpenClaim?
    func answer(claimID: String) async throws -> StoredAnswer?
    func refund(claimID: String) async throws -> StoredRefund?
    func receipt(id: String) async throws -> [UInt8]?
    /// The latest receipts, newest first, at most `limit`.
    func receipts(limit: Int) async throws -> [[UInt8]]
    /// Those that were given after the one of `sequence`, in the order in which they were, at most `limit`.
    func receipts(after sequence: Int64, limit: Int) async throws -> [(sequence: Int64, document: [UInt8])]
    /// The claims in `states`, oldest first, at most `limit`.
    func open(states: Set<CallState>, olderThan: Timestamp, limit: Int) async throws -> [OpenClaim]
    func claims(limit: Int, before: String?) async throws -> [ClaimRecord]

    /// Batches handed to the purse before, whose end is not known.
    func unfinishedBatches() async throws -> [RedemptionBatch]
    /// Puts up to `limit` proofs of served calls at one mint into a batch, on disk; nil where nothing is due.
    func nextBatch(id: String, limit: Int, at: Timestamp) async throws -> RedemptionBatch?
    /// Books the end of a batch; `failed` proofs turn offline acceptance off in the same transaction.
    func finish(batchID: String, report: BatchReport, at: Timestamp) async throws

    /// Why offline acceptance is off; nil where it is on. Durable.
    func offlineStop() async throws -> String?
    func setOfflineStop(_ reason: String?) async throws
    func totals() async throws -> GatewayTotals
    /// Bytes of answers kept.
    func keptAnswerBytes() async throws -> Int64
    /// Drops answers kept until before `now`.
    /// - Returns: the bytes dropped.
    func pruneAnswers(now: Timestamp, limit: Int) async throws -> Int64
}
