internal import Encodings
internal import Market
internal import SignedDocuments
internal import Storage

/// A bid of this node's, as it is stored.
struct MadeBid: Sendable {
    enum State: String, Sendable {
        /// Nobody knows of it yet.
        case made
        case committed
        case shown
        /// It was not shown, or binds no longer.
        case dropped
    }

    var call: Signed<OpenCall>
    var bid: Signed<Bid>
    var state: State
    var quote: Signed<Quote>?
    var createdAt: Timestamp
}

/// Reads and writes `bid_rules` and `bids_made`.
enum BidStore {
    // MARK: Rules

    /// - Returns: false where the service has one, and it is not to be replaced.
    static func insert(_ rule: BidRule, replaces: Bool, in connection: Connection) throws -> Bool {
        if replaces {
            try connection.execute("DELETE FROM bid_rules WHERE service = ?", .text(rule.service))
        }
        try connection.execute(
            """
            INSERT INTO bid_rules (service, floor, unit, capacity, reputation) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT DO NOTHING
            """,
            .text(rule.service),
            try .amount(rule.floor),
            .text(rule.unit),
            .int(rule.capacity),
            .int(rule.reputation)
        )
        return connection.changes == 1
    }

    /// - Returns: whether there was one.
    static func remove(_ service: String, in connection: Connection) throws -> Bool {
        try connection.execute("DELETE FROM bid_rules WHERE service = ?", .text(service))
        return connection.changes == 1
    }

    /// By the service's name.
    static func rules(in connection: Connection) throws -> [BidRule] {
        try connection.rows("SELECT service, floor, unit, capacity, reputation FROM bid_rules ORDER BY service").map {
            guard
                let rule = BidRule(
                    service: try $0.text(0),
                    floor: try $0.uint64(1),
                    unit: try $0.text(2),
                    capacity: try $0.int(3),
                    reputation: try $0.int(4)
                )
            else { throw CallError(.corrupt, "a stored rule can't be read") }
            return rule
        }
    }

    // MARK: Bids

    /// What binds this node now: bids that hold and were not taken, quotes that can be accepted still, and open jobs.
    struct Used: Sendable {
        var bids: Int
        var jobs: Int
        var total: Int { bids + jobs }
    }

    private static let binding = """
        b.state != 'dropped' AND (
            (b.quote IS NULL AND b.holds_until >= ?1) OR (b.quoted_until >= ?1 AND NOT EXISTS (
                SELECT 1 FROM jobs j WHERE j.side = 'sold' AND j.quote_digest = b.quote_digest AND j.sequence = 0)))
        """

    static func used(_ service: String, now: UInt64, in connection: Connection) throws -> Used {
        let bids = try connection.first(
            "SELECT count(*) FROM bids_made b WHERE \(binding) AND b.service = ?2",
            try .amount(now),
            .text(service)
        )
        let jobs = try connection.first(
            """
            SELECT count(*) FROM jobs WHERE side = 'sold' AND is_open = 1 AND json_extract(quote, '$.service') = ?
            """,
            .text(service)
        )
        return Used(bids: try bids?.int(0) ?? 0, jobs: try jobs?.int(0) ?? 0)
    }

    /// Of all services.
    static func countBinding(now: UInt64, in connection: Connection) throws -> Int {
        try connection.first("SELECT count(*) FROM bids_made b WHERE \(binding)", try .amount(now))?.int(0) ?? 0
    }

    static func countBinding(to buyer: DIDKey, for service: String, now: UInt64, in connection: Connection) throws
        -> Int
    {
        try connection.first(
            "SELECT count(*) FROM bids_made b WHERE \(binding) AND b.service = ?2 AND b.buyer = ?3",
            try .amount(now),
            .text(service),
            .text(buyer.string)
        )?.int(0) ?? 0
    }

    /// - Returns: false where there is a bid on the call.
    static func insert(_ made: MadeBid, in connection: Connection) throws -> Bool {
        try connection.execute(
            """
            INSERT INTO bids_made (call, buyer, service, call_document, bid, state, holds_until, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
            """,
            .blob(made.call.digest),
            .text(made.call.content.buyer.string),
            .text(made.bid.content.service),
            .text(CallStore.text(made.call)),
            .text(CallStore.text(made.bid)),
            .text(made.state.rawValue),
            try .amount(made.call.content.holdsUntil),
            .integer(made.createdAt.millisecondsSince1970)
        )
        return connection.changes == 1
    }

    /// - Returns: whether the bid was in that state.
    static func move(
        _ call: [UInt8],
        from: MadeBid.State,
        to state: MadeBid.State,
        in connection: Connection
    ) throws -> Bool {
        try connection.execute(
            "UPDATE bids_made SET state = ? WHERE call = ? AND state = ?",
            .text(state.rawValue),
            .blob(call),
            .text(from.rawValue)
        )
        return connection.changes == 1
    }

    /// The buyer took its call back: what was not quoted binds no longer.
    static func release(_ call: [UInt8], of buyer: DIDKey, in connection: Connection) throws {
        try connection.execute(
            "UPDATE bids_made SET state = 'dropped' WHERE call = ? AND buyer = ? AND quote IS NULL",
            .blob(call),
            .text(buyer.string)
        )
    }

    /// The one quote of a bid.
    /// - Returns: false where it has one.
    static func keep(_ quote: Signed<Quote>, of call: [UInt8], in connection: Connection) throws -> Bool {
        try connection.execute(
            """
            UPDATE bids_made SET quote = ?, quote_digest = ?, quoted_until = ?
            WHERE call = ? AND quote IS NULL AND state = 'shown'
            """,
            .text(CallStore.text(quote)),
            .blob(quote.digest),
            try .amount(quote.content.validUntil),
            .blob(call)
        )
        return connection.changes == 1
    }

    static func isQuote(_ digest: [UInt8], in connection: Connection) throws -> Bool {
        try connection.first("SELECT 1 FROM bids_made WHERE quote_digest = ?", .blob(digest)) != nil
    }

    private static let columns = "call_document, bid, state, quote, created_at"

    static func find(_ call: [UInt8], in connection: Connection) throws -> MadeBid? {
        try connection.first("SELECT \(columns) FROM bids_made WHERE call = ?", .blob(call)).map(Self.bid(row:))
    }

    /// Those that are to be told or shown.
    static func waiting(in connection: Connection) throws -> [MadeBid] {
        try connection.rows("SELECT \(columns) FROM bids_made WHERE state IN ('made', 'committed') ORDER BY created_at")
            .map(Self.bid(row:))
    }

    /// Newest first.
    static func recent(limit: Int, in connection: Connection) throws -> [MadeBid] {
        try connection.rows("SELECT \(columns) FROM bids_made ORDER BY created_at DESC LIMIT ?", .int(limit))
            .map(Self.bid(row:))
    }

    static func forget(before: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "DELETE FROM bids_made WHERE created_at < ? AND state NOT IN ('made', 'committed')",
            .integer(before.millisecondsSince1970)
        )
    }

    private static func bid(row: Row) throws -> MadeBid {
        do {
            guard let state = MadeBid.State(rawValue: try row.text(2)) else {
                throw CallError(.corrupt, "its state is none")
            }
            return MadeBid(
                call: try Signed(kept: Array(row.text(0).utf8)),
                bid: try Signed(kept: Array(row.text(1).utf8)),
                state: state,
                quote: try row.optionalText(3).map { try Signed(kept: Array($0.utf8)) },
                createdAt: Timestamp(millisecondsSince1970: try row.int64(4))
            )
        } catch {
            throw CallError(.corrupt, "a stored bid can't be read: \(error)")
        }
    }
}
