public import Paywall

/// Who checks and carries out payments of x402: this node on a chain, or another by HTTP.
public protocol Facilitator: Sendable {
    /// Whether a payment could be carried out now. Nothing is reserved: what counts is `settle`.
    /// - Throws: `SettlementError` where that could not be found out.
    func verify(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.VerifyResponse

    /// Carries a payment out, once, however often it is asked for: the same request gets the same outcome. An answer with
    /// `settlement_pending` means that the outcome is not known yet: ask again with the same request, and never take another
    /// payment for it meanwhile.
    /// - Throws: `SettlementError` only where this call has sent nothing. It says nothing of earlier calls.
    func settle(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.SettleResponse

    /// What kinds of payment are taken.
    func supported() async throws(SettlementError) -> X402.Supported
}
