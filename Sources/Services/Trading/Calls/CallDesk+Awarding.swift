internal import Cashu
internal import Encodings
internal import Market
internal import SignedDocuments
internal import Storage
internal import Wallet

/// The award of a call ([QUO-15]).
extension CallDesk {
    /// Takes the best bid, and of the next best where one is not kept or comes to nothing. Once money may be locked for one, no
    /// other is taken.
    ///
    /// - Parameter live: what was heard of the call; nil after a restart.
    /// - Throws: what this node's own failure is: it goes on later.
    func award(_ digest: [UInt8], withheldIn live: Live?) async throws {
        let stored = try await database.read { try CallStore.find(digest, in: $0) }
        guard let stored, !stored.state.isOver else { return }
        if stored.state == .open { try await close(stored, live) }
        let (state, bids) = try await database.read { connection in
            (try CallStore.find(digest, in: connection)?.state, try CallStore.bids(on: digest, in: connection))
        }
        // It was cancelled meanwhile.
        guard state == .awarding else { return }
        let ranked = try await ranked(bids)
        var why = bids.isEmpty ? "nobody bid" : "nobody who is trusted showed a bid"
        for bid in ranked {
            if let past = bid.why {
                why = past
                continue
            }
            switch try await attempt(bid, on: stored) {
            case .success(let job): return try await finish(stored, .awarded, job: job)
            case .failure(let reason): why = reason.text
            }
        }
        try await finish(stored, .failed, note: why)
    }

    /// No bid is taken any more: who is silent is told, before the state says that it was.
    private func close(_ stored: StoredCall, _ live: Live?) async throws {
        let call = stored.call
        var bids = try await database.read { try CallStore.bids(on: call.digest, in: $0) }
        let silent = Set(live?.isWhole == true ? live?.book.withheld(now: seconds()) ?? [] : [])
        bids = bids.filter { silent.contains($0.bidder) && $0.bid == nil }
        for place in bids.indices { bids[place].isWithheld = true }
        let at = Timestamp(secondsSince1970: Int64(clamping: call.content.revealUntil))
        if !bids.isEmpty { try await blame(bids.map { WithheldBid(commitment: $0.commitment, at: at) }) }
        let withheld = bids
        _ = try await database.write { connection in
            for bid in withheld { try CallStore.update(bid, in: connection) }
            return try CallStore.move(call.digest, from: [.open], to: .awarding, in: connection)
        }
        try await forgetOld()
    }

    /// Best first; one that was begun with before the others.
    private func ranked(_ bids: [StoredBid]) async throws -> [StoredBid] {
        let shown = bids.filter { $0.bid != nil }
        let trust = try await trustPPM(shown.map(\.bidder))
        let order = BidScore.ranked(shown, trustPPM: { trust[$0] ?? 0 }) { ($0.bid?.content.price ?? 0, $0.bidder) }
        let rated = order.prefix(Self.maximumTried).map { bid in
            var bid = bid
            bid.trustPPM = bid.trustPPM ?? trust[bid.bidder]
            return bid
        }
        return rated.filter { $0.quote != nil } + rated.filter { $0.quote == nil }
    }

    private struct Reason: Error {
        var text: String
    }

    /// - Returns: the name of the job that the call came to; or why there is none.
    private func attempt(_ bid: StoredBid, on stored: StoredCall) async throws -> Result<String, Reason> {
        var bid = bid
        do {
            let job = try await job(of: &bid, on: stored)
            switch try await market.pursue(job) {
            case .bound: return .success(job)
            case .deliveredNothing(let why): return .failure(try await pass(bid, why))
            }
        } catch {
            try Task.checkCancellation()
            // A job that is on disk goes on, and what this node's own database says is no fault of a bidder's.
            guard bid.job == nil, let why = Self.fault(error) else { throw error }
            return .failure(try await pass(bid, why))
        }
    }

    /// Why a bid comes to nothing; nil where that is not to be said.
    private static func fault(_ error: any Error) -> String? {
        switch error {
        case let error as JobError where error.code != .corrupt: error.message
        case let error as WalletError: error.message
        case let error as TradeRefusal: error.message
        case let error as CallError where error.code == .bidOver: error.message
        default: nil
        }
    }

    /// The quote is on disk before it is accepted: after a crash its job is found by it, and no second one is made.
    private func job(of bid: inout StoredBid, on stored: StoredCall) async throws -> String {
        guard let said = bid.bid?.content else { throw CallError(.corrupt, "a bid is gone") }
        let quote: Signed<Quote>
        if let kept = bid.quote {
            quote = kept
        } else {
            guard seconds() <= stored.call.content.holdsUntil else {
                throw CallError(.bidOver, "its bid holds no longer")
            }
            quote = try await market.quote(for: said, on: stored.call)
            bid.quote = quote
            try await keep(bid)
        }
        let job: String
        if let made = try await market.job(of: quote) {
            job = made
        } else {
            var order = JobOrder(
                origin: said.node.text,
                service: said.service,
                request: stored.request,
                budget: stored.call.content.maximumPrice,
                unit: stored.call.content.unit
            )
            order.provider = said.bidder
            job = try await market.begin(order, quote)
        }
        bid.job = job
        try await keep(bid)
        return job
    }

    private func pass(_ bid: StoredBid, _ why: String) async throws -> Reason {
        var bid = bid
        bid.why = String(why.prefix(500))
        try await keep(bid)
        return Reason(text: "\(bid.bidder): \(why)")
    }

    private func keep(_ bid: StoredBid) async throws {
        try await database.write { try CallStore.update(bid, in: $0) }
    }

    private func finish(
        _ stored: StoredCall,
        _ state: StoredCall.State,
        job: String? = nil,
        note: String? = nil
    ) async throws {
        _ = try await database.write { connection in
            try CallStore.move(stored.call.digest, from: [.awarding], to: state, job: job, note: note, in: connection)
        }
        await takeBack(stored.call)
    }
}
