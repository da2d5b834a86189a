public import SignedDocuments

/// Price ÷ trust as an exact fraction: the lower, the better ([QUO-9]).
public struct BidScore: Sendable, Comparable {
    public let price: UInt64
    /// What the buyer trusts the bidder, in millionths; nothing is taken from whoever has none.
    public let trustPPM: UInt64

    /// - Returns: nil where there is no trust at all, or more than all.
    public init?(price: UInt64, trustPPM: UInt64) {
        guard (1...1_000_000).contains(trustPPM) else { return nil }
        self.price = price
        self.trustPPM = trustPPM
    }

    public static func < (left: BidScore, right: BidScore) -> Bool {
        let first = left.price.multipliedFullWidth(by: right.trustPPM)
        let second = right.price.multipliedFullWidth(by: left.trustPPM)
        return (first.high, first.low) < (second.high, second.low)
    }

    /// Equal as fractions.
    public static func == (left: BidScore, right: BidScore) -> Bool { !(left < right) && !(right < left) }

    /// Best first; of equal ones that with the lower name of its bidder. Whoever has no trust is left out.
    public static func ranked<Offer>(
        _ offers: some Sequence<Offer>,
        trustPPM: (DIDKey) -> UInt64,
        reading read: (Offer) -> (price: UInt64, bidder: DIDKey)
    ) -> [Offer] {
        let scored = offers.compactMap { offer in
            let (price, bidder) = read(offer)
            return BidScore(price: price, trustPPM: trustPPM(bidder)).map { (offer, $0, bidder.string) }
        }
        return scored.sorted { $0.1 != $1.1 ? $0.1 < $1.1 : $0.2 < $1.2 }.map(\.0)
    }
}

/// What came in for one open call: a value without I/O that the caller of the call keeps ([QUO-8], [QUO-9]).
public struct BidBook: Sendable {
    /// The most bidders of a call.
    public static let maximumBidders = 256

    public let call: Signed<OpenCall>
    private var commitments: [DIDKey: [UInt8]] = [:]
    private var bids: [DIDKey: Signed<Bid>] = [:]

    public init(_ call: Signed<OpenCall>) {
        self.call = call
    }

    /// A bidder's first commitment holds; the same again does nothing.
    /// - Throws: `TradeRefusal` with `.mismatch`, `.expired`, `.sequenceUsed`, `.tooLarge`.
    public mutating func commit(_ commitment: Signed<BidCommitment>, now: UInt64) throws(TradeRefusal) {
        let said = commitment.content
        guard said.call == call.digest else { throw TradeRefusal(.mismatch, "the commitment is for another call") }
        guard now <= call.content.commitUntil else { throw TradeRefusal(.expired, "commitments are no longer taken") }
        guard said.bidder != call.content.buyer else { throw TradeRefusal(.mismatch, "nobody bids on its own call") }
        if let held = commitments[said.bidder] {
            guard held == said.commitment else {
                throw TradeRefusal(.sequenceUsed, "the bidder is bound to another bid")
            }
            return
        }
        guard !commitments.values.contains(said.commitment) else {
            throw TradeRefusal(.mismatch, "the commitment is another bidder's")
        }
        guard commitments.count < Self.maximumBidders else { throw TradeRefusal(.tooLarge, "the call has its bidders") }
        commitments[said.bidder] = said.commitment
    }

    /// - Throws: `TradeRefusal` with `.mismatch` for another call, or a bid that its bidder is not bound to; `.fromFuture`
    ///   before all commitments are in, `.expired` after the time to reveal; `.unsuitable` outside of what was called for.
    public mutating func reveal(_ bid: Signed<Bid>, now: UInt64) throws(TradeRefusal) {
        let said = bid.content
        guard said.call == call.digest else { throw TradeRefusal(.mismatch, "the bid is for another call") }
        guard now > call.content.commitUntil else { throw TradeRefusal(.fromFuture, "bids are not shown yet") }
        guard now <= call.content.revealUntil else { throw TradeRefusal(.expired, "bids are no longer taken") }
        guard commitments[said.bidder] == said.commitment else {
            throw TradeRefusal(.mismatch, "the bidder is bound to another bid, or to none")
        }
        let asked = call.content
        guard said.price <= asked.maximumPrice, said.deliverWithinSeconds <= asked.deliverWithinSeconds,
            asked.mints.contains(said.mint), asked.escrow.contains(said.mode)
        else { throw TradeRefusal(.unsuitable, "the bid is not within what was called for") }
        bids[said.bidder] = bid
    }

    /// Whether a bid is the one that its bidder is bound to.
    public func isBound(_ bid: Signed<Bid>) -> Bool {
        bid.content.call == call.digest && commitments[bid.content.bidder] == bid.content.commitment
    }

    /// The bids that were shown, best first; of equal ones that with the lower name of its bidder. Whoever has no trust is left out.
    public func ranked(trustPPM: (DIDKey) -> UInt64) -> [Signed<Bid>] {
        BidScore.ranked(bids.values, trustPPM: trustPPM) { ($0.content.price, $0.content.bidder) }
    }

    /// Who committed and did not show its bid: it loses reputation. Nobody before the time to show is over.
    public func withheld(now: UInt64) -> [DIDKey] {
        guard now > call.content.revealUntil else { return [] }
        return commitments.keys.filter { bids[$0] == nil }.sorted { $0.string < $1.string }
    }
}
