public import Cashu
public import Storage

/// The node's own mint, on the gateway's database. Its ecash is held for a call in the claim's own transaction: nobody can
/// spend it elsewhere from then on, so that it need neither be locked nor redeemed before the call ([CALL-24]).
public protocol HouseMint: Sendable {
    /// nil while the mint is turned off: then nothing is held anew, and what is held waits or is let go.
    var url: MintURL? { get }

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

/// Of a node without one. It holds nothing, and fails where it is told that it does.
public struct NoHouseMint: HouseMint {
    public let url: MintURL? = nil

    public init() {}

    private static let missing = GatewayError(.purseFailed, "this node has no mint to hold ecash at")

    public func recognise(_ proofs: [Proof]) async throws { throw Self.missing }
    public func hold(_ proofs: [Proof], ys: [[UInt8]], in connection: Connection) throws { throw Self.missing }
    public func release(_ ys: [[UInt8]], in connection: Connection) throws { throw Self.missing }
    public func redeem(_ batch: RedemptionBatch) async throws -> MintQuote { throw Self.missing }
}
