internal import CanonicalJSON
internal import Encodings
internal import Market
internal import SignedDocuments

/// Jobs that are over, as calls that reputation and promises count ([REP-1]).
extension BuyerDesk {
    /// Those of a side that ended after a sequence, in that order. One whose money came back without a ruling, or never was locked, has
    /// nothing to count.
    public func ended(_ side: TradedCall.Side, after sequence: Int64, limit: Int) async throws -> [TradedCall] {
        switch side {
        case .buyer:
            try await book.ended(after: sequence, limit: limit).map { place, job in
                Self.call(.buyer, place, job, breach: Self.breach(of: job))
            }
        case .seller:
            try await sold.ended(after: sequence, limit: limit).map { place, job in
                Self.call(.seller, place, job) { _ in nil }
            }
        }
    }

    private static func call<Engine: JobEngine>(
        _ side: TradedCall.Side,
        _ sequence: Int64,
        _ job: StoredJob<Engine>,
        breach: @escaping @Sendable (Listing?) -> SLABreach.Rule?
    ) -> TradedCall {
        let terms = job.engine.terms
        var call = TradedCall(side: side, kind: .job, sequence: sequence, reference: terms.job, deed: nil)
        let delivery = job.engine.ending?.kind == .claimed ? job.delivery : nil
        let ruling = side == .buyer ? rulingAgainstSeller(job) : nil
        guard let evidence = ruling?.document ?? delivery?.document, let document = try? evidence.canonicalized(),
            let time = ruling?.content.time ?? delivery?.content.time
        else { return call }
        call.deed = Deed(
            seller: job.quote.content.provider,
            buyer: job.quote.content.buyer,
            service: terms.service,
            requestedAt: Timestamp(secondsSince1970: Int64(clamping: job.acceptance.content.time)),
            respondedAt: Timestamp(secondsSince1970: Int64(clamping: time)),
            amount: terms.price,
            unit: terms.unit,
            isPaid: true,
            refunded: ruling?.content.buyer ?? 0,
            document: document,
            breach: breach
        )
        return call
    }

    /// The arbiter's word that the seller did not do what it was to be paid for.
    private static func rulingAgainstSeller<Engine: JobEngine>(_ job: StoredJob<Engine>) -> Signed<Ruling>? {
        job.ruling.flatMap { $0.content.buyer > 0 && job.engine.ending?.kind != .claimed ? $0 : nil }
    }

    /// What the buyer sees of the answer that it paid for: another one than was signed, or one against the listing's schema.
    private static func breach(of job: Bought) -> @Sendable (Listing?) -> SLABreach.Rule? {
        if job.engine.isFraud { return { _ in .hash } }
        if rulingAgainstSeller(job) != nil { return { _ in .failed } }
        guard let sealed = job.sealed, let bytes = job.engine.answer(sealed),
            let answer = try? JobResponse(bytes: bytes), (200...299).contains(answer.status)
        else { return { _ in nil } }
        // What was promised for this very job, before what is promised now.
        let promised = job.promisedListing
        return { listing in
            guard let output = (promised ?? listing)?.output, let schema = try? JSONSchema(.object(output)) else {
                return nil
            }
            return SLARules.breaks(answer.body, schema) ? .schema : nil
        }
    }
}
