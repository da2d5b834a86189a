public import Encodings
public import Market
public import SignedDocuments
internal import Storage

/// A call that did not go as was promised, and what went back for it.
public struct BrokenCall: Sendable {
    /// The payment's id on the buyer's side, the receipt's on the seller's: there the evidence is.
    public var reference: String
    public var rule: SLABreach.Rule
    /// When it was asked, and how long it took, by the times that the seller signed.
    public var requestedAt: Timestamp
    public var milliseconds: Int64
    /// What the call cost in the end.
    public var amount: UInt64
    /// What went back for it, as the receipt says; 0 for nothing.
    public var refund: UInt64
    public var unit: String
}

/// Calls that broke one rule, together.
public struct BrokenSum: Sendable {
    public var rule: SLABreach.Rule
    public var unit: String
    public var calls: Int64
    /// Those for which something went back, and how much.
    public var refunded: Int64
    public var refund: UInt64
}

/// What was not kept of a service's promise ([SLA-14]).
extension CallBook {
    /// The latest calls of a service that broke its promise, the latest first.
    ///
    /// - Parameters:
    ///   - since: calls asked before are left out.
    ///   - limit: 1 to 1,000.
    public func broken(
        side: TradedCall.Side,
        seller: DIDKey,
        service: String,
        since: Timestamp,
        limit: Int = 20
    ) async throws -> [BrokenCall] {
        try await follow()
        return try await database.read { connection in
            try connection.rows(
                """
                SELECT reference, rule, requested, responded, amount, refund, unit FROM trading_calls
                WHERE side = ? AND seller = ? AND service = ? AND rule IS NOT NULL AND requested >= ?
                ORDER BY requested DESC LIMIT ?
                """,
                .text(side.rawValue),
                .text(seller.string),
                .text(service),
                .integer(since.millisecondsSince1970),
                .int(min(max(1, limit), 1_000))
            ).compactMap { row in
                guard let rule = SLABreach.Rule(rawValue: try row.text(1)) else { return nil }
                let requested = try row.int64(2)
                return BrokenCall(
                    reference: try row.text(0),
                    rule: rule,
                    requestedAt: Timestamp(millisecondsSince1970: requested),
                    milliseconds: max(0, try row.int64(3).subtractingReportingOverflow(requested).partialValue),
                    amount: try row.uint64(4),
                    refund: try row.uint64(5),
                    unit: try row.text(6)
                )
            }
        }
    }

    /// The same, added up by rule and unit.
    public func brokenSums(
        side: TradedCall.Side,
        seller: DIDKey,
        service: String,
        since: Timestamp
    ) async throws -> [BrokenSum] {
        try await follow()
        return try await database.read { connection in
            var sums: [String: BrokenSum] = [:]
            try connection.each(
                """
                SELECT rule, unit, refund FROM trading_calls
                WHERE side = ? AND seller = ? AND service = ? AND rule IS NOT NULL AND requested >= ?
                """,
                .text(side.rawValue),
                .text(seller.string),
                .text(service),
                .integer(since.millisecondsSince1970)
            ) { row in
                let (name, unit, refund) = (try row.text(0), try row.text(1), try row.uint64(2))
                guard let rule = SLABreach.Rule(rawValue: name) else { return }
                let key = "\(name) \(unit)"
                var sum = sums[key] ?? BrokenSum(rule: rule, unit: unit, calls: 0, refunded: 0, refund: 0)
                sum.calls += 1
                if refund > 0 { sum.refunded += 1 }
                let (total, isTooLarge) = sum.refund.addingReportingOverflow(refund)
                sum.refund = isTooLarge ? .max : total
                sums[key] = sum
            }
            return sums.sorted { $0.key < $1.key }.map(\.value)
        }
    }
}
