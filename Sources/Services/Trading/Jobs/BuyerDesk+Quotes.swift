internal import AsyncHTTPClient
public import CanonicalJSON
public import Cashu
internal import Cryptography
internal import Encodings
public import Market
public import SignedDocuments
internal import Wallet
internal import WebClient

/// What a seller said to a request for a quote.
public struct QuoteOffer: Sendable {
    public var order: JobOrder
    public var outcome: Result<Signed<Quote>, JobError>
    /// The listing's body that the quote names.
    public var promise: JSONObject?
    /// How long it took, in milliseconds.
    public var milliseconds: Int64
    /// By what the price is divided ([QUO-10]).
    public var trustPPM: UInt64 = 0
}

/// Requests for quotes.
extension BuyerDesk {
    /// The most sellers that are asked at a time.
    public static let maximumSellers = 16
    /// Whoever has not answered by then is left out, where others have.
    static let answerMilliseconds: Int64 = 2_000

    /// Asks all sellers at once for a firm quote ([QUO-2], [QUO-4]).
    ///
    /// - Parameters:
    ///   - orders: one for each seller, alike but for the place and the target.
    ///   - trustPPM: what their providers are trusted, in millionths.
    /// - Returns: those that can be taken, the best first ([QUO-10]), then the others in their order.
    /// - Throws: ``JobError``, `WalletError` where nobody can be asked.
    public func quotes(
        for orders: [JobOrder],
        trustPPM: @Sendable ([DIDKey]) async throws -> [DIDKey: UInt64]
    ) async throws -> [QuoteOffer] {
        guard let first = orders.first, orders.count <= Self.maximumSellers else {
            throw JobError(.invalid, "1 to \(Self.maximumSellers) sellers can be asked at a time.")
        }
        let mints = try await mints(in: first.unit)
        var offers = await withTaskGroup(of: (Int, QuoteOffer).self) { group in
            for (place, order) in orders.enumerated() {
                group.addTask { [self] in (place, await offer(order, mints, isAlone: orders.count == 1)) }
            }
            var offers: [Int: QuoteOffer] = [:]
            for await (place, offer) in group { offers[place] = offer }
            return orders.indices.compactMap { offers[$0] }
        }
        let trust = try await trustPPM(offers.compactMap { try? $0.outcome.get().content.provider })
        for place in offers.indices {
            guard let provider = try? offers[place].outcome.get().content.provider else { continue }
            offers[place].trustPPM = trust[provider] ?? 0
            guard offers.count > 1, offers[place].trustPPM == 0 else { continue }
            offers[place].outcome = .failure(JobError(.untrusted, "This node has been ill served by it before."))
        }
        // A single seller was chosen by whoever asks, whatever is thought of it.
        guard offers.count > 1 else { return offers }
        let good = offers.compactMap { offer in
            (try? offer.outcome.get()).map { (offer: offer, quote: $0.content) }
        }
        let ranked = BidScore.ranked(good, trustPPM: { trust[$0] ?? 0 }) { ($0.quote.price, $0.quote.provider) }
        return ranked.map(\.offer) + offers.filter { (try? $0.outcome.get()) == nil }
    }

    /// Where the wallet has money in a unit, the most first.
    public func mints(in unit: CurrencyUnit) async throws -> [MintURL] {
        let trusted = try await wallet.mints()
        let funds = try await wallet.balances().filter { $0.unit == unit && $0.available > 0 }
            .sorted { ($1.available, $0.mint.string) < ($0.available, $1.mint.string) }
            .map(\.mint).filter { trusted.contains($0) && ListingURL($0.string) != nil }
        guard !funds.isEmpty else {
            throw WalletError(.insufficientFunds, "the wallet has no ecash in \(unit): see mintmark wallet fund")
        }
        return Array(funds.prefix(16))
    }

    private func offer(_ order: JobOrder, _ mints: [MintURL], isAlone: Bool) async -> QuoteOffer {
        let began = clock.now()
        let outcome: Result<(quote: Signed<Quote>, promise: JSONObject?), JobError>
        do {
            outcome = .success(
                isAlone
                    ? try await quote(order, mints)
                    : try await TimeLimit.within(milliseconds: Self.answerMilliseconds) { [self] _ in
                        try await quote(order, mints)
                    }
            )
        } catch let error as JobError {
            outcome = .failure(error)
        } catch let error as HTTPClientError where error == .deadlineExceeded {
            let late = "The seller gave no quote within \(Self.answerMilliseconds) ms."
            outcome = .failure(JobError(.sellerFailed, late))
        } catch {
            outcome = .failure(JobError(.sellerFailed, "\(error)"))
        }
        return QuoteOffer(
            order: order,
            outcome: outcome.map(\.quote),
            promise: (try? outcome.get())?.promise,
            milliseconds: max(0, clock.now().milliseconds(since: began))
        )
    }

    private func quote(
        _ order: JobOrder,
        _ mints: [MintURL]
    ) async throws -> (quote: Signed<Quote>, promise: JSONObject?) {
        let now = book.seconds()
        let wanted = Wanted(
            buyer: signer.did,
            service: order.service,
            request: order.request.digest,
            maximumPrice: order.budget,
            unit: order.unit,
            mints: mints,
            escrow: [order.mode],
            nonce: SecureRandom.bytes(16),
            time: now
        )
        let asked = QuoteRequest(wanted, deadline: now + order.deadlineSeconds)
        let ask = try Signed<QuoteRequest>.sign(asked, by: signer, now: clock.now())
        let answer = try await line.call(
            order.origin + "/market/quotes",
            [
                "ask": .object(ask.document), "method": .string(order.request.method),
                "target": .string(order.request.target),
            ]
        )
        guard answer.status == 200 else {
            // A price over the budget, or no mint in common, is an answer; the seller has not failed.
            guard answer.code == JobError.Code.noOffer.rawValue else { throw answer.error }
            throw JobError(.noOffer, "The seller does not sell it so: \(answer.said)")
        }
        let quote: Signed<Quote> = try JobWire.signed(answer.json["quote"], "quote")
        do {
            try quote.content.check(
                answering: asked,
                from: order.provider ?? quote.content.provider,
                now: book.seconds()
            )
        } catch {
            throw JobError(.sellerFailed, "The seller's quote can't be taken: \(error.message).")
        }
        guard quote.content.mode != .arbiter || order.arbiter(of: quote.content) != nil else {
            let names = quote.content.arbiters.map(\.did.string).joined(separator: ", ")
            throw JobError(.noOffer, "The seller takes other arbiters: \(names).")
        }
        guard let named = quote.content.sla else { return (quote, nil) }
        guard let promise = answer.json["promise"]?.objectValue, (try? JobEvidence.digest(of: promise)) == named else {
            throw JobError(.sellerFailed, "The seller's quote names a promise that it does not show.")
        }
        return (quote, promise)
    }
}
