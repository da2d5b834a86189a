/// Where in a payment's way a process is killed.
enum KillMoment: String, CaseIterable, Sendable {
    /// The buyer, with its intent on disk and the request about to leave.
    case buyerBeforeSend
    /// The seller, between its claim and the upstream.
    case sellerAfterClaim
    case sellerDuringUpstream
    /// The seller, between the upstream's answer and the settlement.
    case sellerBeforeSettle
    /// The seller, between the settlement and the answer's arrival.
    case sellerAfterSettle
    /// The seller, in the middle of a streamed answer.
    case sellerDuringAnswer
    case sellerDuringRedemption
    case sellerDuringRefund
    case buyerDuringUpstream
    case buyerDuringAnswer
    case buyerDuringRefund
    case buyerDuringFunding
    /// The seller's mint, while it is paid for ecash.
    case mintDuringFunding
    case buyerDuringRefill
    /// The seller's mint, while it changes the buyer's coins for locked ones.
    case mintDuringRefill
    /// Both at once, with the call at the upstream.
    case powerCut
    /// The seller, and once more while it recovers.
    case sellerTwice

    enum Victim: Sendable { case buyer, seller, both }

    var victim: Victim {
        switch self {
        case .buyerBeforeSend, .buyerDuringUpstream, .buyerDuringAnswer, .buyerDuringRefund, .buyerDuringFunding,
            .buyerDuringRefill:
            .buyer
        case .powerCut: .both
        default: .seller
        }
    }

    /// What sets it off.
    enum Trigger: Sendable {
        case buyerRow(String)
        case sellerRow(String)
        case upstreamHasCall
        case upstreamHasAnswered
    }

    /// In the queries `?` stands for the call's idempotency key, which the call's target holds too.
    var trigger: Trigger {
        let claim = "SELECT 1 FROM gateway_claims WHERE instr(target, ?) > 0"
        let operation = "SELECT 1 FROM wallet_operations WHERE state = 'planned' AND ? <> ''"
        let funding = "SELECT 1 FROM wallet_fundings WHERE state IN ('open', 'paying') AND ? <> ''"
        return switch self {
        case .buyerBeforeSend: .buyerRow("SELECT 1 FROM wallet_payments WHERE idempotency_key = ?")
        case .sellerAfterClaim: .sellerRow(claim)
        case .sellerBeforeSettle, .sellerDuringRefund: .upstreamHasAnswered
        case .sellerAfterSettle: .sellerRow(claim + " AND state = 'served'")
        case .sellerDuringRedemption:
            .sellerRow("SELECT 1 FROM gateway_batches WHERE finished_at IS NULL AND ? <> ''")
        case .buyerDuringRefund:
            .buyerRow("SELECT 1 FROM wallet_payments WHERE idempotency_key = ? AND state = 'refunding'")
        case .buyerDuringFunding, .mintDuringFunding: .buyerRow(funding)
        case .buyerDuringRefill, .mintDuringRefill: .buyerRow(operation)
        case .sellerDuringUpstream, .sellerDuringAnswer, .buyerDuringUpstream, .buyerDuringAnswer, .powerCut,
            .sellerTwice:
            .upstreamHasCall
        }
    }

    /// How long after its trigger at most, in microseconds; the run's seed chooses.
    var maximumDelay: Int {
        switch self {
        case .sellerAfterClaim, .sellerAfterSettle: 1_500
        case .buyerBeforeSend, .sellerBeforeSettle, .sellerDuringRefund, .buyerDuringRefund: 4_000
        case .sellerDuringRedemption, .buyerDuringRefill, .mintDuringRefill: 10_000
        case .buyerDuringFunding, .mintDuringFunding, .sellerDuringUpstream, .buyerDuringUpstream, .powerCut,
            .sellerTwice:
            30_000
        case .sellerDuringAnswer, .buyerDuringAnswer: 90_000
        }
    }

    /// The path below the service: how its upstream answers, and what the call costs.
    var path: String {
        switch self {
        case .sellerDuringUpstream, .buyerDuringUpstream, .powerCut, .sellerTwice: "/held/call"
        case .sellerDuringAnswer, .buyerDuringAnswer: "/long/call"
        case .sellerDuringRefund, .buyerDuringRefund: "/late-fail/call"
        default: "/now/call"
        }
    }

    /// The run chooses a path then whose price the pool cannot pay.
    var isRefill: Bool { self == .buyerDuringRefill || self == .mintDuringRefill }

    var isFunding: Bool { self == .buyerDuringFunding || self == .mintDuringFunding }
}
