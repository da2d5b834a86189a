internal import CanonicalJSON
internal import Encodings
internal import Market
internal import SignedDocuments
internal import Storage

/// A call of this node's own, as it is stored.
struct StoredCall: Sendable {
    enum State: String, Sendable {
        /// Bids are taken.
        case open
        case awarding
        /// It came to a job.
        case awarded
        /// Nobody was found.
        case failed
        case cancelled

        var isOver: Bool { self != .open && self != .awarding }
    }

    var call: Signed<OpenCall>
    var request: JobRequest
    var state: State
    var job: String?
    var note: String?
    var createdAt: Timestamp
}

/// What one bidder said, and what became of it.
struct StoredBid: Sendable {
    var commitment: Signed<BidCommitment>
    var bid: Signed<Bid>?
    var isWithheld: Bool
    var trustPPM: UInt64?
    var quote: Signed<Quote>?
    var job: String?
    var why: String?

    var bidder: DIDKey { commitment.content.bidder }
}

/// Reads and writes `open_calls` and `open_call_bids`.
enum CallStore {
    private static let columns = "document, request, state, job, note, created_at"

    static func insert(_ call: StoredCall, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO open_calls (call, document, request, state, created_at) VALUES (?, ?, ?, ?, ?)",
            .blob(call.call.digest),
            .text(text(call.call)),
            .text(String(decoding: JobWire.json(call.request).serialized(), as: UTF8.self)),
            .text(call.state.rawValue),
            .integer(call.createdAt.millisecondsSince1970)
        )
    }

    static func countOpen(in connection: Connection) throws -> Int {
        try connection.first("SELECT count(*) FROM open_calls WHERE state IN ('open', 'awarding')")?.int(0) ?? 0
    }

    /// - Returns: false where the call is in none of those states.
    static func move(
        _ call: [UInt8],
        from states: [StoredCall.State],
        to state: StoredCall.State,
        job: String? = nil,
        note: String? = nil,
        in connection: Connection
    ) throws -> Bool {
        let places = states.map { _ in "?" }.joined(separator: ", ")
        try connection.execute(
            """
            UPDATE open_calls SET state = ?, job = coalesce(?, job), note = coalesce(?, note)
            WHERE call = ? AND state IN (\(places))
            """,
            arguments: [.text(state.rawValue), .optional(job), .optional(note), .blob(call)]
                + states.map { .text($0.rawValue) }
        )
        return connection.changes == 1
    }

    static func find(_ call: [UInt8], in connection: Connection) throws -> StoredCall? {
        try connection.first("SELECT \(columns) FROM open_calls WHERE call = ?", .blob(call)).map(Self.call(row:))
    }

    /// Oldest first.
    static func unfinished(in connection: Connection) throws -> [StoredCall] {
        try connection.rows(
            "SELECT \(columns) FROM open_calls WHERE state IN ('open', 'awarding') ORDER BY created_at"
        ).map(Self.call(row:))
    }

    /// Newest first.
    static func recent(limit: Int, in connection: Connection) throws -> [StoredCall] {
        try connection.rows("SELECT \(columns) FROM open_calls ORDER BY created_at DESC LIMIT ?", .int(limit))
            .map(Self.call(row:))
    }

    static func forget(before: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "DELETE FROM open_calls WHERE state NOT IN ('open', 'awarding') AND created_at < ?",
            .integer(before.millisecondsSince1970)
        )
    }

    // MARK: Bids

    static func commit(_ commitment: Signed<BidCommitment>, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO open_call_bids (call, bidder, commitment) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            .blob(commitment.content.call),
            .text(commitment.content.bidder.string),
            .text(text(commitment))
        )
    }

    static func show(_ bid: Signed<Bid>, in connection: Connection) throws {
        try connection.execute(
            "UPDATE open_call_bids SET bid = ? WHERE call = ? AND bidder = ?",
            .text(text(bid)),
            .blob(bid.content.call),
            .text(bid.content.bidder.string)
        )
    }

    /// Keeps what became of a bid.
    static func update(_ stored: StoredBid, in connection: Connection) throws {
        try connection.execute(
            """
            UPDATE open_call_bids SET is_withheld = ?, trust = ?, quote = ?, job = ?, why = ?
            WHERE call = ? AND bidder = ?
            """,
            .bool(stored.isWithheld),
            .optional(stored.trustPPM.map { Int64(clamping: $0) }),
            .optional(stored.quote.map(text)),
            .optional(stored.job),
            .optional(stored.why),
            .blob(stored.commitment.content.call),
            .text(stored.bidder.string)
        )
    }

    /// By the bidder's name.
    static func bids(on call: [UInt8], in connection: Connection) throws -> [StoredBid] {
        try connection.rows(
            """
            SELECT commitment, bid, is_withheld, trust, quote, job, why FROM open_call_bids WHERE call = ?
            ORDER BY bidder
            """,
            .blob(call)
        ).map { row in
            do {
                return StoredBid(
                    commitment: try Signed(kept: Array(row.text(0).utf8)),
                    bid: try row.optionalText(1).map { try Signed(kept: Array($0.utf8)) },
                    isWithheld: try row.bool(2),
                    trustPPM: try row.optionalUInt64(3),
                    quote: try row.optionalText(4).map { try Signed(kept: Array($0.utf8)) },
                    job: try row.optionalText(5),
                    why: try row.optionalText(6)
                )
            } catch {
                throw CallError(.corrupt, "a stored bid can't be read: \(error)")
            }
        }
    }

    static func text(_ document: Signed<some TradeContent>) -> String {
        String(decoding: document.bytes, as: UTF8.self)
    }

    private static func call(row: Row) throws -> StoredCall {
        do {
            guard let state = StoredCall.State(rawValue: try row.text(2)) else {
                throw CallError(.corrupt, "its state is none")
            }
            return StoredCall(
                call: try Signed(kept: Array(row.text(0).utf8)),
                request: try JobWire.request(
                    JSONValue.parse(
                        Array(row.text(1).utf8),
                        limits: JSONLimits(maximumBytes: 4 << 20, maximumDepth: 4, maximumValues: 16)
                    )
                ),
                state: state,
                job: try row.optionalText(3),
                note: try row.optionalText(4),
                createdAt: Timestamp(millisecondsSince1970: try row.int64(5))
            )
        } catch {
            throw CallError(.corrupt, "a stored call can't be read: \(error)")
        }
    }
}
