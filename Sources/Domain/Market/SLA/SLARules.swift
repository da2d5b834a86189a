public import CanonicalJSON
internal import Cryptography
internal import Encodings
public import Receipts
public import SignedDocuments

/// Finds what was not kept ([SLA-4]).
public enum SLARules {
    /// Fewer calls show nothing of a share or a percentile.
    public static let leastCalls: Int64 = 20

    /// One call as its buyer has it.
    public struct Call: Sendable {
        /// nil where none came.
        public var receipt: Receipt?
        /// The whole body; nil where it did not come whole, or is no longer here.
        public var body: [UInt8]?
        /// What the buyer's clock says; nil where it was not looked at.
        public var measure: CallMeasure?

        public init(receipt: Receipt?, body: [UInt8]? = nil, measure: CallMeasure? = nil) {
            self.receipt = receipt
            self.body = body
            self.measure = measure
        }
    }

    /// The breaches of one call, in the order of the rules.
    ///
    /// - Parameter schema: what the listing says of answers; only bodies of calls with a status of 2xx are held against it.
    public static func breaches(
        of call: Call,
        promise: Listing.Promise?,
        schema: JSONObject? = nil
    ) -> [SLABreach] {
        guard let receipt = call.receipt else {
            let failed = call.measure?.outcome == .failed
            return failed ? [SLABreach(rule: .failed, evidence: .init())] : []
        }
        var evidence = SLABreach.Evidence()
        evidence.receipts = [receipt.document]
        var breaches: [SLABreach] = []
        if let deadline = promise?.deadlineMilliseconds {
            let signed = receipt.claims.milliseconds
            if signed > deadline {
                breaches.append(SLABreach(rule: .late, measured: signed, promised: deadline, evidence: evidence))
            } else if let own = call.measure?.latencyMilliseconds, own > deadline {
                // The seller's times say otherwise: nobody else can tell.
                breaches.append(SLABreach(rule: .late, measured: own, promised: deadline, evidence: .init()))
            }
        }
        if let own = receipt.claims.ownBreach(evidence), !breaches.contains(where: { $0.rule == own.rule }) {
            breaches.append(own)
        }
        if receipt.claims.isFailed {
            breaches.append(SLABreach(rule: .failed, evidence: evidence))
            return breaches
        }
        guard let body = call.body, body.count <= SLABreach.Evidence.maximumBodyBytes else { return breaches }
        evidence.body = body
        if let digest = receipt.claims.responseDigest, digest != Hashing.sha256(body) {
            breaches.append(SLABreach(rule: .hash, evidence: evidence))
        } else if let schema, (200...299).contains(receipt.claims.status), breaks(body, schema) {
            evidence.schema = schema
            // With the body and the schema others see it too.
            breaches.removeAll { $0.rule == .schema }
            breaches.append(SLABreach(rule: .schema, evidence: evidence))
        }
        return breaches
    }

    /// What a span of time shows; nobody signed it, so none is provable.
    public static func breaches(of figures: SLAFigures, promise: Listing.Promise) -> [SLABreach] {
        guard figures.calls >= leastCalls else { return [] }
        var breaches: [SLABreach] = []
        if let percentile = promise.percentile, let promised = promise.latencyMilliseconds,
            let measured = figures.latency.milliseconds(atPercentile: percentile), measured > promised,
            // A bucket's end is up to a sixteenth too high; only what lies in a bucket past the promised one is over.
            LatencyHistogram.bucket(of: measured) > LatencyHistogram.bucket(of: promised)
        {
            breaches.append(SLABreach(rule: .latency, measured: measured, promised: promised, evidence: .init()))
        }
        if let promised = promise.uptimePPM, let measured = figures.uptimePPM, measured < promised {
            breaches.append(SLABreach(rule: .uptime, measured: measured, promised: promised, evidence: .init()))
        }
        if let promised = promise.errorsPPM, let measured = figures.errorsPPM, measured > promised {
            breaches.append(SLABreach(rule: .errors, measured: measured, promised: promised, evidence: .init()))
        }
        return breaches
    }

    /// Whether the breach can be seen by its evidence alone, whoever shows it ([SLA-5]).
    ///
    /// - Parameters:
    ///   - listing: what was promised; that `seller` signed it is the caller's to check.
    ///   - seller: who must have signed the receipt.
    public static func isProven(_ breach: SLABreach, by listing: Listing, of seller: DIDKey) -> Bool {
        guard breach.isProvable, breach.evidence.receipts.count == 1, let document = breach.evidence.receipts.first
        else { return false }
        let verdict = Receipt.verify(document: document, expecting: .init(seller: seller))
        guard verdict.isValid, let receipt = verdict.receipt else { return false }
        // Nothing is taken from what the breach says of itself.
        let found = breaches(
            of: Call(receipt: receipt, body: breach.evidence.body),
            promise: listing.promise,
            schema: listing.output
        )
        return found.contains { $0.rule == breach.rule && $0.isProvable && $0.measured == breach.measured }
    }

    /// A body that is no JSON breaks any schema; a schema that can't be read, or one too much work, is broken by nothing.
    private static func breaks(_ body: [UInt8], _ schema: JSONObject) -> Bool {
        guard let schema = try? JSONSchema(.object(schema)) else { return false }
        return breaks(body, schema)
    }

    /// The same of a schema that was read before.
    public static func breaks(_ body: [UInt8], _ schema: JSONSchema) -> Bool {
        guard let value = try? JSONValue.parse(body) else { return true }
        return schema.check(value) == .invalid
    }
}

extension ReceiptClaims {
    /// From the request to the answer, by the seller's own clock.
    var milliseconds: Int64 { respondedAt.milliseconds(since: requestedAt) }

    /// What the seller itself says that was not kept, and gave something back for ([RCPT-12]).
    fileprivate func ownBreach(_ evidence: SLABreach.Evidence) -> SLABreach? {
        guard let said = settlement?.breach, let rule = SLABreach.Rule(rawValue: said.rule) else { return nil }
        switch rule {
        case .late:
            return SLABreach(
                rule: .late,
                measured: milliseconds,
                promised: said.promised.map { Int64(clamping: $0) },
                evidence: evidence
            )
        case .schema: return SLABreach(rule: .schema, evidence: evidence)
        case .failed, .hash, .latency, .uptime, .errors: return nil
        }
    }

    /// The seller itself says that the call failed.
    var isFailed: Bool { status >= 500 || responseDigest == nil || outcome == .refunded }
}
