public import Encodings

/// Where a claimed call stands. Every change is one transaction of the claim store ([CALL-9]).
public enum CallState: String, Sendable, Hashable, CaseIterable {
    /// The proofs are being redeemed at the mint before the call; the outcome may be unknown.
    case redeeming
    /// Paid; the upstream has been or is about to be called.
    case running
    /// The node stopped while the call was running; the service is marked idempotent, so a retry calls the upstream again.
    case interrupted
    /// Answered and charged.
    case served
    /// Not charged: a refund is decided and being made at the mint.
    case refunding
    /// Not charged: the refund is there to be fetched.
    case refunded

    /// Whether money may still move for the call.
    public var isFinal: Bool { self == .served || self == .refunded }

    /// The states that may follow; the claim store refuses every other change.
    public var successors: Set<CallState> {
        switch self {
        case .redeeming: [.running]
        case .running: [.served, .refunding, .refunded, .interrupted]
        case .interrupted: [.running, .refunding, .refunded]
        case .refunding: [.refunded]
        case .served, .refunded: []
        }
    }
}

/// What the claim store remembers of an earlier call, as far as the decision needs it.
public struct StoredCall: Sendable, Equatable {
    public var id: String
    public var scopeID: [UInt8]
    public var requestDigest: [UInt8]
    public var payment: PaymentDigest
    public var state: CallState
    /// The receipt of the call; nil until it is settled.
    public var receiptID: String?
    /// Until when the answer can be given again; nil where it was not kept.
    public var responseKeptUntil: Timestamp?

    public init(
        id: String,
        scopeID: [UInt8],
        requestDigest: [UInt8],
        payment: PaymentDigest,
        state: CallState,
        receiptID: String? = nil,
        responseKeptUntil: Timestamp? = nil
    ) {
        self.id = id
        self.scopeID = scopeID
        self.requestDigest = requestDigest
        self.payment = payment
        self.state = state
        self.receiptID = receiptID
        self.responseKeptUntil = responseKeptUntil
    }
}

/// What to do with a call, given what was claimed before ([CALL-8]). Pure: the claim store asks it inside its transaction.
public enum CallDecision: Sendable, Equatable {
    /// Nothing like it was claimed: claim it.
    case proceed
    /// Paid before, cut short by a restart, and safe to call again.
    case callAgain(StoredCall)
    /// Give the stored answer.
    case serveStored(StoredCall)
    /// Give the refund that was decided.
    case giveRefund(StoredCall)
    /// Money is on its way at the mint: ask the purse, then decide again.
    case resolve(StoredCall)
    case refuse(CallRefusal)

    /// Seconds a client waits before it asks for a running call again.
    public static let runningRetrySeconds = 1
    /// Seconds a client waits before it asks for a pending payment again.
    public static let pendingRetrySeconds = 2

    /// - Parameters:
    ///   - asked: the identity of the call at hand.
    ///   - byScope: the claim with the same owner and key, if any.
    ///   - byPayment: a claim that took any of the same proofs, if any.
    public static func decide(
        asked: IdempotencyScope,
        byScope: StoredCall?,
        byPayment: StoredCall?,
        now: Timestamp
    ) -> CallDecision {
        if let stored = byScope {
            guard stored.requestDigest == asked.requestDigest else {
                // Without a key of the client's, it is the payment that was used again.
                guard asked.hasKey else { return .refuse(paymentReused(stored)) }
                return .refuse(
                    CallRefusal(
                        .keyReused,
                        "This Idempotency-Key was used for another request; use a new key for a new request.",
                        receiptID: stored.receiptID
                    )
                )
            }
            return again(stored, now: now)
        }
        if let stored = byPayment {
            return .refuse(paymentReused(stored))
        }
        return .proceed
    }

    private static func paymentReused(_ stored: StoredCall) -> CallRefusal {
        CallRefusal(
            .paymentReused,
            "This payment was already used for another call; pay with other proofs. Nothing was taken.",
            receiptID: stored.receiptID
        )
    }

    private static func again(_ stored: StoredCall, now: Timestamp) -> CallDecision {
        switch stored.state {
        case .running:
            return .refuse(
                CallRefusal(
                    .callRunning,
                    "This call is still running; ask again with the same key.",
                    retryAfterSeconds: runningRetrySeconds
                )
            )
        case .redeeming, .refunding:
            return .resolve(stored)
        case .interrupted:
            return .callAgain(stored)
        case .refunded:
            return .giveRefund(stored)
        case .served:
            if let kept = stored.responseKeptUntil, now < kept { return .serveStored(stored) }
            return .refuse(
                CallRefusal(
                    .alreadyServed,
                    "This call was served and paid; its answer is no longer kept. The receipt tells its digest.",
                    receiptID: stored.receiptID
                )
            )
        }
    }

    /// The answer to a caller whose payment's outcome is unknown: never a fresh 402 ([CALL-10]).
    public static func pending(_ message: String) -> CallRefusal {
        CallRefusal(.paymentPending, message, retryAfterSeconds: pendingRetrySeconds)
    }

    /// What becomes of a call found in `state` when the node starts ([CALL-9]); nil where it stays as it is.
    public static func afterRestart(state: CallState, serviceIsIdempotent: Bool, redeemedOnline: Bool) -> CallState? {
        afterRestart(
            state: state,
            serviceIsIdempotent: serviceIsIdempotent,
            refund: RefundTable.form(redeemedOnline: redeemedOnline)
        )
    }

    /// The same for any way of paying.
    /// - Parameter refund: how the payment goes back where it must.
    public static func afterRestart(
        state: CallState,
        serviceIsIdempotent: Bool,
        refund: RefundTable.Form
    ) -> CallState? {
        switch state {
        case .running:
            return serviceIsIdempotent ? .interrupted : refund.startState
        case .redeeming, .interrupted, .refunding, .served, .refunded:
            return nil
        }
    }
}
