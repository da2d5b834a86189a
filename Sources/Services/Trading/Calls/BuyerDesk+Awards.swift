internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
public import Market
internal import SignedDocuments
internal import Storage

/// The award of a call, bought as any other job ([QUO-15]).
extension BuyerDesk: CallMarket {
    public func quote(for bid: Bid, on call: Signed<OpenCall>) async throws -> Signed<Quote> {
        let now = book.seconds()
        let wanted = Wanted(
            buyer: signer.did,
            service: bid.service,
            request: call.content.request,
            maximumPrice: bid.price,
            unit: call.content.unit,
            mints: [bid.mint],
            escrow: [bid.mode],
            nonce: SecureRandom.bytes(16),
            time: now
        )
        let asked = QuoteRequest(wanted, deadline: now + bid.deliverWithinSeconds + 2 * TradeBounds.skewSeconds)
        let ask = try Signed<QuoteRequest>.sign(asked, by: signer, now: clock.now())
        let answer = try await line.call(
            bid.node.text + "/market/quotes",
            [
                "ask": .object(ask.document), "call": .string(call.name),
                "method": .string(call.content.method), "target": .string(call.content.target),
            ]
        )
        guard answer.status == 200 else { throw answer.error }
        let quote: Signed<Quote> = try JobWire.signed(answer.json["quote"], "quote")
        do {
            try quote.content.check(answering: asked, from: bid.bidder, now: book.seconds())
        } catch {
            throw JobError(.sellerFailed, "The quote is not what was bid: \(error.message).")
        }
        guard quote.content.deliverWithinSeconds <= bid.deliverWithinSeconds else {
            throw JobError(.sellerFailed, "The quote promises the delivery later than was bid.")
        }
        return quote
    }

    /// A bid names no promise.
    public func begin(_ order: JobOrder, _ quote: Signed<Quote>) async throws -> String {
        try await begin(order, quote, promise: nil)
    }

    public func job(of quote: Signed<Quote>) async throws -> String? {
        try await book.made(of: quote.digest).map { Hex.encode($0) }
    }

    public func pursue(_ job: String) async throws -> AwardedJob {
        let until = try await book.named(job).engine.terms.deliverBy + 2 * TradeBounds.skewSeconds
        let now = book.seconds()
        try await pursue(job, milliseconds: until > now ? Int64(until - now) * 1_000 : 0)
        let stored = try await book.named(job)
        guard stored.engine.endedUnfunded else { return .bound }
        return .deliveredNothing(why: stored.note ?? "it delivered nothing")
    }
}
