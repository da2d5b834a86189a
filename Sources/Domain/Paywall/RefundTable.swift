/// How an uncharged payment goes back, by dialect ([CALL-14]); the same table stands in `Specs/paid-call.md`.
public enum RefundTable {
    /// What the buyer gets.
    public enum Form: String, Sendable, CaseIterable {
        /// The same proofs, each with the seller's P2PK signature as witness: the buyer swaps them at the mint at once.
        /// Nothing was redeemed, and after the refund is decided nothing will be.
        case sameProofsSigned = "same-proofs-signed"
        /// A new token of the same value from the seller's own wallet, locked to nobody.
        case freshToken = "fresh-token"
        /// The call is counted back: what was shown as payment is good for it once more. Nothing moves over Lightning.
        case callRestored = "call-restored"
        /// What a call did not use of a credit is there for the next.
        case creditKept = "credit-kept"
        /// The signed authorisation is dropped: it was not settled and will not be, so that nothing moves.
        case authorizationDropped = "authorization-dropped"

        /// The state of the claim once the refund is decided: a fresh token has yet to be made.
        public var startState: CallState {
            switch self {
            case .sameProofsSigned, .callRestored, .creditKept, .authorizationDropped: .refunded
            case .freshToken: .refunding
            }
        }
    }

    /// One line of the table.
    public struct Rule: Sendable, Equatable {
        public var dialect: String
        public var form: Form
        /// What the buyer shows to fetch it.
        public var claimKey: String
        /// How long it can be fetched, in seconds from the refund.
        public var lifetimeSeconds: Int64
    }

    /// Refunds stay fetchable for 30 days; later ones are the operator's to give.
    public static let lifetimeSeconds: Int64 = 30 * 24 * 3600

    /// Change of a payment that was more than the call cost comes as a new token, whichever way it was taken ([CHG-1]).
    public static let change = Form.freshToken

    public static let rules: [Rule] = [
        Rule(
            dialect: "cashu-offline",
            form: .sameProofsSigned,
            claimKey: "the Idempotency-Key with the same signer, or the payment itself",
            lifetimeSeconds: lifetimeSeconds
        ),
        Rule(
            dialect: "cashu-online",
            form: .freshToken,
            claimKey: "the Idempotency-Key with the same signer, or the payment itself",
            lifetimeSeconds: lifetimeSeconds
        ),
        Rule(
            dialect: "ecash-change",
            form: .freshToken,
            claimKey: "the Idempotency-Key with the same signer, or the payment itself",
            lifetimeSeconds: lifetimeSeconds
        ),
        Rule(
            dialect: "l402-credit",
            form: .creditKept,
            claimKey: "the same credential",
            lifetimeSeconds: lifetimeSeconds
        ),
        Rule(
            dialect: "lightning",
            form: .callRestored,
            claimKey: "the same credential, over L402, Payment or x402",
            lifetimeSeconds: lifetimeSeconds
        ),
        Rule(
            dialect: "x402-exact-settled",
            form: .callRestored,
            claimKey: "the same payment for the same service, method and target",
            lifetimeSeconds: lifetimeSeconds
        ),
        Rule(
            dialect: "x402-exact-reserved",
            form: .authorizationDropped,
            claimKey: "nothing to fetch: nothing moved",
            lifetimeSeconds: lifetimeSeconds
        ),
    ]

    /// The form of a refund in ecash.
    /// - Parameter redeemedOnline: whether the proofs were redeemed at the mint before the call.
    public static func form(redeemedOnline: Bool) -> Form {
        redeemedOnline ? .freshToken : .sameProofsSigned
    }
}
