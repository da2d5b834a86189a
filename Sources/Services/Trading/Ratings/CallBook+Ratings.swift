internal import Market
internal import Receipts
public import SignedDocuments
internal import Storage

/// A call that this node paid for, and how it went.
struct BoughtCall: Sendable {
    /// The payment's id.
    var reference: String
    var receipt: Receipt
    var outcome: CallOutcome
}

/// What the book has to do with ratings: own calls as they are told to others, and others' as they come.
extension CallBook {
    /// Calls that this node paid for and counts, in order.
    ///
    /// - Returns: at most so many, and the sequence to go on from; nil where nothing came.
    func bought(after sequence: Int64, limit: Int) async throws -> (calls: [BoughtCall], last: Int64?) {
        let calls = try await sources.calls(.buyer, .call, sequence, limit)
        guard let last = calls.last?.sequence else { return ([], nil) }
        // So that each of them was judged.
        try await follow()
        let found = try await database.read { connection in
            try calls.compactMap { call -> BoughtCall? in
                guard let deed = call.deed, let receipt = try? Receipt(bytes: deed.document),
                    let row = try connection.first(
                        """
                        SELECT outcome FROM trading_calls WHERE side = 'buyer' AND reference = ? AND counts = 1
                        """,
                        .text(call.reference)
                    ), let outcome = CallOutcome(rawValue: try row.text(0))
                else { return nil }
                return BoughtCall(reference: call.reference, receipt: receipt, outcome: outcome)
            }
        }
        return (found, last)
    }

    /// The sequence of the last call that this node paid for and that was judged; 0 where there is none.
    func lastBought() async throws -> Int64 {
        try await follow()
        return try await database.read { connection in
            try connection.first("SELECT sequence FROM trading_cursors WHERE side = 'buyer'")?.int64(0) ?? 0
        }
    }

    /// Whose word counts for something: all that some trust reaches as sellers, the most valued first ([REP-18]).
    public func judges(most: Int) async throws -> [DIDKey] {
        try await standings(as: .selling, most: most).map(\.did)
    }

    /// Counts calls of others.
    /// - Parameter keep: keeps them where the sources tell them from, and answers those that are new.
    func hear(_ keep: @escaping @Sendable () async throws -> [SettledCall]) async throws {
        try await alone { book in
            let new = try await keep()
            book.reputation?.record(new)
        }
    }
}
