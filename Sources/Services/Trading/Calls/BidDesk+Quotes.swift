public import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Market
internal import SignedDocuments
internal import Storage

/// Bids that are honoured ([QUO-14]).
extension BidDesk {
    /// Answers a buyer that awards its call: `{"ask": QuoteRequest, "call", "method", "target"}` → `{"quote": Quote}`, at the bid's price,
    /// once. The same is told again while it can be accepted.
    ///
    /// - Throws: ``CallError`` `unknown-bid`, `bid-over`, `not-sold-by-escrow`; ``JobError`` `invalid-job`.
    public func quote(_ body: JSONObject) async throws -> JSONObject {
        let ask: Signed<QuoteRequest> = try JobWire.signed(body["ask"], "ask")
        let request = try JobWire.request(
            .object(["method": body["method"] ?? .null, "target": body["target"] ?? .null])
        )
        let now = seconds()
        do { try ask.content.check(now: now) } catch { throw JobError(.invalid, "`ask`: \(error.message).") }
        let made = try await made(for: ask.content, request, named: body["call"]?.stringValue ?? "")
        if let quote = made.quote {
            guard now <= quote.content.validUntil else {
                throw CallError(.bidOver, "The bid was honoured already, and its quote is over.")
            }
            return ["quote": .object(quote.document)]
        }
        guard now <= made.call.content.holdsUntil else { throw CallError(.bidOver, "The bid holds no longer.") }
        let said = made.bid.content
        guard await services.offer(said.service, method: request.method, target: request.target) != nil else {
            throw CallError(.notSold, "This call of \(said.service) is no longer sold by escrow here.")
        }
        let quote = try signed(made, for: ask.content, now)
        guard try await database.write({ try BidStore.keep(quote, of: made.call.digest, in: $0) }) else {
            throw CallError(.bidOver, "The bid was honoured or dropped just now.")
        }
        return ["quote": .object(quote.document)]
    }

    /// The bid that was shown to this very buyer for this very request.
    private func made(for ask: QuoteRequest, _ request: JobRequest, named name: String) async throws -> MadeBid {
        let digest = name.utf8.count == 64 ? try? Hex.decode(name) : nil
        let made = try await database.read { connection in try digest.flatMap { try BidStore.find($0, in: connection) }
        }
        guard let made, made.state == .shown, made.call.content.buyer == ask.buyer,
            made.call.content.request == ask.request, made.call.content.unit == ask.unit,
            made.call.content.method == request.method, made.call.content.target == request.target,
            made.bid.content.service == ask.service
        else { throw CallError(.unknownBid, "This node showed no bid on that call for this buyer and request.") }
        guard ask.maximumPrice >= made.bid.content.price, ask.mints.contains(made.bid.content.mint),
            ask.escrow.contains(made.bid.content.mode),
            ask.deadline > ask.time + made.bid.content.deliverWithinSeconds
        else { throw CallError(.unknownBid, "The bid was of another price, mint, mode or time.") }
        return made
    }

    private func signed(_ made: MadeBid, for ask: QuoteRequest, _ now: UInt64) throws -> Signed<Quote> {
        let said = made.bid.content
        var quote = Quote(
            provider: signer.did,
            buyer: ask.buyer,
            service: said.service,
            price: said.price,
            unit: ask.unit,
            mint: said.mint,
            mode: said.mode,
            deliverWithinSeconds: said.deliverWithinSeconds,
            lockSeconds: said.deliverWithinSeconds + SellerDesk.lockMarginSeconds,
            lockKey: try Secp256k1.Point(compressed: lockKey()),
            validUntil: now + SellerDesk.quoteSeconds,
            nonce: SecureRandom.bytes(16),
            time: now
        )
        quote.request = ask.request
        return try Signed<Quote>.sign(quote, by: signer, now: clock.now())
    }

    /// Whether a quote, by its digest, is one that a bid was honoured by.
    public func isQuote(_ digest: [UInt8]) async throws -> Bool {
        try await database.read { try BidStore.isQuote(digest, in: $0) }
    }

    // MARK: Showing

    /// The rules, with what is open by each.
    public func rules() async throws -> [JSONObject] {
        let now = seconds()
        return try await database.read { connection in
            try BidStore.rules(in: connection).map { rule in
                let used = try BidStore.used(rule.service, now: now, in: connection)
                return [
                    "service": .string(rule.service), "floor": .string(String(rule.floor)), "unit": .string(rule.unit),
                    "capacity": JSONValue(rule.capacity), "reputation": JSONValue(rule.reputation),
                    "openBids": JSONValue(used.bids), "openJobs": JSONValue(used.jobs),
                ]
            }
        }
    }

    /// The latest bids, newest first.
    public func bids(limit: Int) async throws -> [JSONObject] {
        try await database.read { try BidStore.recent(limit: min(max(1, limit), 1_000), in: $0) }.map { made in
            let said = made.bid.content
            return [
                "call": .string(made.call.name), "buyer": .string(made.call.content.buyer.string),
                "words": .string(made.call.content.words.joined(separator: " ")), "service": .string(said.service),
                "price": .string(String(said.price)), "unit": .string(made.call.content.unit.name),
                "state": .string(made.quote == nil ? made.state.rawValue : "honoured"),
                "created": .string(made.createdAt.rfc3339),
            ]
        }
    }
}
