public import CanonicalJSON
public import Encodings
public import Market
public import Records
public import SignedDocuments
internal import Storage
internal import TransparencyLog

/// What a node thinks of somebody, beside the best that it knows.
public struct Standing: Sendable {
    public var did: DIDKey
    public var score: Reputation.Score
    /// Of a hundred: how the value stands to that of the best in the role; 0 where nothing is known.
    public var percent: Int

    /// What whoever nobody has dealt with yet is trusted, beside the best that is known: enough to be tried for a good price.
    public static let strangerPPM: UInt64 = 100_000

    /// By what a price is divided where sellers are compared ([QUO-10]), in millionths. Who did ill by this node alone has none.
    public var trustPPM: UInt64 {
        let known = UInt64(percent) * 10_000
        return score.good + score.bad > 0 ? known : max(known, Self.strangerPPM)
    }
}

extension CallBook {
    /// All that something is known of, the best first.
    public func standings(as role: ReputationRole = .selling, most: Int = 100) async throws -> [Standing] {
        let ranking = try await current().ranking(as: role, at: clock.now(), most: most)
        let best = ranking.first?.score.value ?? 0
        return ranking.map { Standing(did: $0.did, score: $0.score, percent: Self.percent($0.score.value, best)) }
    }

    /// What is thought of some, in their order.
    public func standings(of dids: [DIDKey], as role: ReputationRole = .selling) async throws -> [Standing] {
        let (reputation, now) = (try await current(), clock.now())
        let best = reputation.ranking(as: role, at: now, most: 1).first?.score.value ?? 0
        return dids.map { did in
            let score = reputation.score(of: did, as: role, at: now)
            return Standing(did: did, score: score, percent: did == viewer ? 0 : Self.percent(score.value, best))
        }
    }

    /// Why it is thought of somebody as it is.
    public func why(_ did: DIDKey, as role: ReputationRole = .selling) async throws -> ReputationWhy {
        try await current().why(did, as: role, at: clock.now())
    }

    /// Rounded up, so that who has any value has some.
    private static func percent(_ value: Double, _ best: Double) -> Int {
        guard value > 0, best > 0 else { return 0 }
        return min(100, Int((value * 100 / best).rounded(.up)))
    }

    // MARK: Promises

    /// The calls of a service in windows, in order of time, those without calls left out.
    ///
    /// - Parameters:
    ///   - side: on which this node stood.
    ///   - seconds: of each window; all are together at most ``SLAChart/maximumWindows``, until now.
    public func windows(
        side: TradedCall.Side,
        seller: DIDKey,
        service: String,
        seconds: Int64 = 3_600
    ) async throws -> [SLAWindow] {
        try await follow()
        let seconds = min(max(SLAWindow.slots, seconds), 31 * 86_400)
        let length = seconds * 1_000
        let last = clock.now().millisecondsSince1970 / length
        let first = (last - Int64(SLAChart.maximumWindows) + 1) * length
        return try await database.read { connection in
            var windows: [SLAWindow] = []
            try connection.each(
                """
                SELECT requested, responded, outcome FROM trading_calls
                WHERE side = ? AND kind = 'call' AND seller = ? AND service = ? AND requested >= ? ORDER BY requested
                """,
                .text(side.rawValue),
                .text(seller.string),
                .text(service),
                .integer(first)
            ) { row in
                let requested = Timestamp(millisecondsSince1970: try row.int64(0))
                guard let outcome = CallOutcome(rawValue: try row.text(2)) else { return }
                let measure = CallMeasure(
                    side: .seller,
                    requestedAt: requested,
                    respondedAt: Timestamp(millisecondsSince1970: try row.int64(1)),
                    outcome: outcome
                )
                if windows.last.map({ requested < $0.end }) != true {
                    let start = requested.millisecondsSince1970 / length * length
                    windows.append(SLAWindow(start: Timestamp(millisecondsSince1970: start), lengthSeconds: seconds))
                }
                windows[windows.count - 1].add(measure)
            }
            return windows.suffix(SLAChart.maximumWindows)
        }
    }

    /// How long calls of a service took by this node's own clock, with paying.
    public func ownLatency(seller: DIDKey, service: String) async throws -> LatencyHistogram {
        try await database.read { connection in
            var histogram = LatencyHistogram()
            try connection.each(
                """
                SELECT own_milliseconds FROM trading_calls
                WHERE side = 'buyer' AND seller = ? AND service = ? AND own_milliseconds IS NOT NULL
                ORDER BY requested DESC LIMIT 1000
                """,
                .text(seller.string),
                .text(service)
            ) { row in histogram.add(try row.int64(0)) }
            return histogram
        }
    }

    /// How this node's own paid calls of some services went since then, the latest of each ([LIV-6]).
    public func liveness(
        of listings: [RecordKey],
        since from: Timestamp
    ) async throws -> [RecordKey: [LivenessResult]] {
        try await follow()
        return try await database.read { connection in
            var results: [RecordKey: [LivenessResult]] = [:]
            for listing in listings where results[listing] == nil {
                results[listing] = try connection.rows(
                    """
                    SELECT requested, responded, outcome FROM trading_calls
                    WHERE side = 'buyer' AND seller = ? AND service = ? AND requested > ?
                    ORDER BY requested DESC LIMIT ?
                    """,
                    .text(listing.author.string),
                    .text(listing.name),
                    .integer(from.millisecondsSince1970),
                    .int(LivenessVerdict.maximumResults)
                ).map { row in
                    let (requested, responded) = (try row.int64(0), try row.int64(1))
                    return LivenessResult(
                        at: Timestamp(millisecondsSince1970: responded),
                        outcome: CallOutcome(rawValue: try row.text(2))?.isGood == true ? .good : .failed,
                        source: .call,
                        milliseconds: max(0, responded.subtractingReportingOverflow(requested).partialValue)
                    )
                }
            }
            return results
        }
    }

    // MARK: Telling

    /// What this node has sold, as a statement that it signs ([REP-13]): counts, and the root of the Merkle tree over its
    /// receipts, so that any of them can be asked for and held against it.
    public func statement(by signer: DocumentSigner) async throws -> JSONObject {
        try await follow()
        let now = clock.now()
        let sold = try await database.read { connection in
            var sold = Sold()
            try connection.each(
                """
                SELECT outcome, buyer, amount, unit, responded, leaf FROM trading_calls
                WHERE side = 'seller' AND counts = 1 ORDER BY kind, sequence
                """
            ) { row in try sold.add(row) }
            return sold
        }
        var document: JSONObject = [
            "type": "MintmarkReputation", "subject": .string(signer.did.string), "role": "selling",
            "calls": .integer(sold.calls), "buyers": .integer(Int64(sold.buyers.count)),
            "receipts": ["count": .integer(sold.calls), "root": .string(Hex.encode(sold.tree.root))],
            "issued": .string(now.rfc3339),
        ]
        for outcome in CallOutcome.allCases { document[outcome.rawValue] = .integer(sold.outcomes[outcome] ?? 0) }
        document["amounts"] = .array(
            sold.amounts.sorted { $0.key < $1.key }.map {
                ["unit": .string($0.key), "amount": .string(String($0.value))]
            }
        )
        if let from = sold.from { document["from"] = .string(from.rfc3339) }
        if let until = sold.until { document["until"] = .string(until.rfc3339) }
        return try DataIntegrity.sign(document, by: signer, created: now)
    }

    private struct Sold {
        var calls: Int64 = 0
        var outcomes: [CallOutcome: Int64] = [:]
        var buyers: Set<String> = []
        var amounts: [String: UInt64] = [:]
        var from: Timestamp?
        var until: Timestamp?
        var tree = MerkleFrontier()

        mutating func add(_ row: Row) throws {
            guard let outcome = CallOutcome(rawValue: try row.text(0)) else { return }
            calls += 1
            outcomes[outcome, default: 0] += 1
            if let buyer = try row.optionalText(1) { buyers.insert(buyer) }
            let unit = try row.text(3)
            let (sum, isTooLarge) = (amounts[unit] ?? 0).addingReportingOverflow(try row.uint64(2))
            amounts[unit] = isTooLarge ? .max : sum
            let at = Timestamp(millisecondsSince1970: try row.int64(4))
            from = min(from ?? at, at)
            until = max(until ?? at, at)
            tree.append(leaf: try row.blob(5))
        }
    }
}
