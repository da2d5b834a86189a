public import Cashu
public import Storage

/// The node's own mint, on the gateway's database. Its ecash is held for a call in the claim's own transaction: nobody can
/// spend it elsewhere from then on, so that it need neither be locked nor redeemed before the call ([CALL-24]).
public protocol HouseMint: Sendable {
    var url: MintURL { get }

    /// Whether the mint signed the proofs.
    /// - Throws: `CallRefusal` `invalid-proof`, or `key-unavailable` where it can't be told now.
    func recognise(_ proofs: [Proof]) async throws
    /// Holds proofs for a claim.
    /// - Throws: `CallRefusal` `already-spent`.
    func hold(_ proofs: [Proof], ys: [[UInt8]], in connection: Connection) throws
    /// Lets the proofs of a refunded claim go, unspent.
    func release(_ ys: [[UInt8]], in connection: Connection) throws
    /// Spends the proofs of a batch, and pays a quote with them that the seller's wallet mints with. Idempotent by batch.
    func redeem(_ batch: RedemptionBatch) async throws -> MintQuote
}
