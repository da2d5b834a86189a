internal import CanonicalJSON
public import Encodings
internal import Market
public import Receipts
public import SignedDocuments

/// A call that this node made or served, by what was signed of it.
public struct TradedCall: Sendable {
    /// On which side of it this node stood.
    public enum Side: String, Sendable, CaseIterable {
        case buyer
        case seller
    }

    /// How it was agreed on and paid; each has its own order.
    public enum Kind: String, Sendable, CaseIterable {
        /// Through the paywall, with a receipt.
        case call
        /// By escrow, with a quote, an acceptance and a delivery.
        case job
    }

    public var side: Side
    public var kind: Kind
    /// Rises with the calls of a side and kind; of one that is told again it is another.
    public var sequence: Int64
    /// The payment's id on the buyer's side, the receipt's on the seller's; a job's name on both.
    public var reference: String
    /// nil where there is nothing to count: it is passed over.
    public var deed: Deed?
    /// How long it took by this node's clock, with paying; nil where that was not looked at.
    public var ownMilliseconds: Int64?

    public init(
        side: Side,
        kind: Kind = .call,
        sequence: Int64,
        reference: String,
        deed: Deed?,
        ownMilliseconds: Int64? = nil
    ) {
        self.side = side
        self.kind = kind
        self.sequence = sequence
        self.reference = reference
        self.deed = deed
        self.ownMilliseconds = ownMilliseconds
    }
}

/// What is known of a call for certain: what its seller signed.
public struct Deed: Sendable {
    public var seller: DIDKey
    /// nil where the buyer did not say who it is.
    public var buyer: DIDKey?
    public var service: String
    public var requestedAt: Timestamp
    public var respondedAt: Timestamp
    public var amount: UInt64
    public var unit: String
    /// Whether money moved for it, if only to come back.
    public var isPaid: Bool
    /// What went back of the price because of how it was served.
    public var refunded: UInt64
    /// The signed document, canonical.
    public var document: [UInt8]
    /// What was not kept of the listing; nil: it went as it should.
    let breach: @Sendable (Listing?) -> SLABreach.Rule?
}

extension Deed {
    /// - Returns: nil for a receipt that has no canonical form.
    public init?(_ receipt: Receipt) {
        let claims = receipt.claims
        guard let document = try? receipt.document.canonicalized() else { return nil }
        self.init(
            seller: claims.seller.did,
            buyer: claims.buyer?.did,
            service: claims.service,
            requestedAt: claims.requestedAt,
            respondedAt: claims.respondedAt,
            amount: claims.amount,
            unit: claims.unit,
            isPaid: claims.isPaid,
            refunded: claims.refunded,
            document: document
        ) { listing in
            let breaches = SLARules.breaches(of: .init(receipt: receipt), promise: listing?.promise)
            // What failed is not late besides; of several, the one counts that something went back for.
            let own = claims.settlement?.breach?.rule
            let chosen = breaches.last { $0.rule == .failed } ?? breaches.first { $0.rule.rawValue == own }
            return (chosen ?? breaches.first)?.rule
        }
    }
}

extension ReceiptClaims {
    /// What went back of the price because of how the call was served.
    fileprivate var refunded: UInt64 {
        guard outcome == .served else { return settlement?.returned ?? 0 }
        return settlement?.breach?.refund ?? 0
    }
}
