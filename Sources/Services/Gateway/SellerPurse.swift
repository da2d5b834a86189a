public import Cashu
public import Paywall

/// How redeeming a whole payment at its mint went, before the call.
public enum OnlineOutcome: Sendable, Equatable {
    /// Every proof is in the seller's wallet.
    case redeemed
    /// Some proofs are in the seller's wallet, given by their Ys; the mint refused the others for good.
    case partly(redeemed: [[UInt8]], message: String)
    /// The mint took none of it.
    case refused(message: String)
    /// Not known yet.
    case unknown(message: String)
}

/// The seller's own wallet, as far as the gateway needs it. Adapters: `WalletPurse` in a node, a purse in memory in tests.
public protocol SellerPurse: Sendable {
    /// The mints whose ecash is taken, best first.
    var acceptedMints: [MintURL] { get }
    /// What is known of an accepted mint, fetched anew where it is older than `maximumAgeSeconds`.
    /// - Throws: where it can't be fetched.
    func terms(of mint: MintURL, maximumAgeSeconds: Int64) async throws -> MintTerms
    /// Redeems proofs locked to the seller's key, in as few swaps as it takes; a bad proof does not sink the others.
    ///
    /// Idempotent by proof: handed over again after a crash or a lost answer, a proof is found redeemed, not spent.
    func redeem(_ batch: RedemptionBatch) async throws -> BatchReport
    /// Redeems the payment of one call, locked or not, all at once where the mint lets it. Idempotent by proof.
    func redeemPayment(_ batch: RedemptionBatch) async -> OnlineOutcome
    /// A token of exactly `amount`, unlocked, for a refund. Asked again with the same `id`, it gives the same token.
    func refundToken(id: String, amount: UInt64, unit: CurrencyUnit, mint: MintURL) async throws -> String
}
