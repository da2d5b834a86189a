public import CanonicalJSON
internal import Encodings
internal import Market
public import SignedDocuments

/// What a purchase came to.
public struct JobPurchase: Sendable {
    /// One seller that was asked.
    public struct Tried: Sendable {
        public var offer: QuoteOffer
        /// The name of the job that was made of its quote; nil where none was.
        public var job: String?
        /// Why it came to nothing.
        public var why: String?
    }

    /// The best first.
    public var tried: [Tried]
    /// The last job, as ``BuyerDesk/shown(_:)`` shows it.
    public var job: JSONObject
}

extension BuyerDesk {
    /// Asks all sellers at once, takes the best quote, and of the next best where one delivers nothing ([JOB-9]). Once money is locked for
    /// one, no other is accepted.
    ///
    /// - Parameter milliseconds: how long the job's end is waited for, of all together.
    /// - Throws: ``JobError``, `WalletError` where no quote could be taken; nothing was paid.
    public func buy(
        _ orders: [JobOrder],
        milliseconds: Int64,
        trustPPM: @Sendable ([DIDKey]) async throws -> [DIDKey: UInt64]
    ) async throws -> JobPurchase {
        let until = clock.now().adding(milliseconds: milliseconds)
        var tried = try await quotes(for: orders, trustPPM: trustPPM).map { JobPurchase.Tried(offer: $0) }
        var last: String?
        var refusal: (any Error)?
        for place in tried.indices {
            do {
                let offer = tried[place].offer
                let job = try await begin(offer.order, offer.outcome.get(), promise: offer.promise)
                tried[place].job = job
                last = job
                try await pursue(job, milliseconds: max(0, until.milliseconds(since: clock.now())))
                let stored = try await book.named(job)
                guard stored.engine.endedUnfunded else { break }
                tried[place].why = stored.note ?? "it delivered nothing"
            } catch {
                tried[place].why = "\(error)"
                // A job that is on disk goes on: no other is begun beside it.
                if tried[place].job != nil { break }
                refusal = refusal ?? error
            }
        }
        guard let last else { throw refusal ?? JobError(.noOffer, "Nobody offers it.") }
        var shown = try await shown(last)
        if shown["note"] == nil { shown["note"] = tried.last { $0.job == last }?.why.map { .string($0) } }
        return JobPurchase(tried: tried, job: shown)
    }
}
