public import Receipts

/// A call that this node made or served, by its receipt.
public struct TradedCall: Sendable {
    /// On which side of it this node stood.
    public enum Side: String, Sendable, CaseIterable {
        case buyer
        case seller
    }

    public var side: Side
    /// Rises with the calls of a side; of one that is told again it is another.
    public var sequence: Int64
    /// The payment's id on the buyer's side, the receipt's on the seller's.
    public var reference: String
    /// nil where there is none to be read: it is passed over.
    public var receipt: Receipt?
    /// Whether the receipt is signed by whom it names, and of the call that was made and the answer that came; else it is passed
    /// over.
    public var isSound: Bool
    /// How long it took by this node's clock, with paying; nil where that was not looked at.
    public var ownMilliseconds: Int64?

    public init(
        side: Side,
        sequence: Int64,
        reference: String,
        receipt: Receipt?,
        isSound: Bool = true,
        ownMilliseconds: Int64? = nil
    ) {
        self.side = side
        self.sequence = sequence
        self.reference = reference
        self.receipt = receipt
        self.isSound = isSound
        self.ownMilliseconds = ownMilliseconds
    }
}
