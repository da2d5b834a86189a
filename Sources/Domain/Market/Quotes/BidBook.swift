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

    /// The bids that were shown, best first; of equal ones that with the lower name of its bidder. Whoever has no trust is left out.
    public func ranked(trustPPM: (DIDKey) -> UInt64) -> [Signed<Bid>] {
        let scored = bids.values.compactMap { bid in
            BidScore(price: bid.content.price, trustPPM: trustPPM(bid.content.bidder)).map { (bid, $0) }
        }
        return scored.sorted { left, right in
            left.1 != right.1 ? left.1 < right.1 : left.0.content.bidder.string < right.0.content.bidder.string
        }.map(\.0)
    }

    /// Who committed and did not show its bid: it loses reputation. Nobody before the time to show is over.
    public func withheld(now: UInt64) -> [DIDKey] {
        guard now > call.content.revealUntil else { return [] }
        return commitments.keys.filter { bids[$0] == nil }.sorted { $0.string < $1.string }
    }
}
