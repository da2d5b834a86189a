public import Encodings
public import Market
internal import SignedDocuments
internal import Storage

/// A bidder that bound itself to a bid on a call of this node's, and did not show it.
public struct WithheldBid: Sendable {
    public var commitment: Signed<BidCommitment>
    /// When the time to show it was over.
    public var at: Timestamp

    public init(commitment: Signed<BidCommitment>, at: Timestamp) {
        self.commitment = commitment
        self.at = at
    }
}

/// Bids that were not shown ([REP-16]).
extension CallBook {
    /// Of them that are kept, the latest.
    static let maximumWithheld = 10_000

    static let withheldMigration = Migration(
        id: "trading-withheld-1",
        sql: """
            CREATE TABLE trading_withheld (
                sequence INTEGER PRIMARY KEY AUTOINCREMENT,
                bidder TEXT NOT NULL,
                -- The call's digest.
                call BLOB NOT NULL CHECK (length(call) = 32),
                -- Milliseconds since 1970.
                at INTEGER NOT NULL,
                -- What the bidder signed.
                commitment TEXT NOT NULL,
                UNIQUE (bidder, call)
            ) STRICT;
            """
    )

    /// Counts each as a call that failed. One that was counted before, or is of a key of this node's operator, does nothing.
    public func count(_ withheld: [WithheldBid]) async throws {
        // What is counted already is in the engine before, so that nothing of it is counted twice.
        try await follow()
        try await alone { book in
            var strangers: [WithheldBid] = []
            for bid in withheld where bid.commitment.content.bidder != book.viewer {
                if try await !book.sources.isOwn(bid.commitment.content.bidder) { strangers.append(bid) }
            }
            let (found, most) = (strangers, CallBook.maximumWithheld)
            let counted = try await book.database.write { connection in
                let new = try found.filter { try CallBook.insert($0, connection) }
                try connection.execute(
                    """
                    DELETE FROM trading_withheld WHERE sequence <= (
                        SELECT sequence FROM trading_withheld ORDER BY sequence DESC LIMIT 1 OFFSET ?)
                    """,
                    .int(most)
                )
                return new
            }
            book.reputation?.record(counted.map { book.failed($0.commitment.content.bidder, at: $0.at) })
        }
    }

    /// - Returns: whether it was not there before.
    private static func insert(_ bid: WithheldBid, _ connection: Connection) throws -> Bool {
        try connection.execute(
            "INSERT INTO trading_withheld (bidder, call, at, commitment) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            .text(bid.commitment.content.bidder.string),
            .blob(bid.commitment.content.call),
            .integer(bid.at.millisecondsSince1970),
            .text(String(decoding: bid.commitment.bytes, as: UTF8.self))
        )
        return connection.changes == 1
    }

    /// All that are kept, as the engine counts them.
    func withheldBids() async throws -> [SettledCall] {
        let rows = try await database.read { connection in
            try connection.rows("SELECT bidder, at FROM trading_withheld ORDER BY sequence")
        }
        return try rows.compactMap { row in
            guard let bidder = try? DIDKey(parsing: row.text(0)) else { return nil }
            return failed(bidder, at: Timestamp(millisecondsSince1970: try row.int64(1)))
        }
    }

    private func failed(_ bidder: DIDKey, at: Timestamp) -> SettledCall {
        SettledCall(role: .selling, judge: viewer, judged: bidder, outcome: .failed, at: at)
    }
}
