internal import Cryptography
internal import Delegation
internal import Encodings
internal import Identity
internal import SignedDocuments
internal import Storage

/// One account that a debit goes over: a link of the chain, or the spend limit of the agent at its root.
struct DebitLink: Sendable {
    var key: [UInt8]
    /// nil: counted, not limited.
    var cap: UInt64?
    var period: Int64?
    var window: Int64
    /// Its place in the chain; nil for the agent's own limit.
    var index: Int?
    /// From when on nothing can be spent under it; nil: never.
    var expires: Timestamp?
    /// What is spent of the cap beside this account.
    var elsewhere: RootAuthority.Elsewhere?

    /// When its period began.
    var start: Timestamp { Timestamp(secondsSince1970: (period ?? 0) * window) }

    /// The account of an agent's own limit.
    static func agentLimitKey(_ agentID: String) -> [UInt8] { Hashing.sha256(Array("spend-limit:\(agentID)".utf8)) }
}

/// A debit to be made, worked out before the transaction.
struct DebitPlan: Sendable {
    var id: String
    var key: [UInt8]
    var request: [UInt8]
    var agent: DIDKey
    var seller: DIDKey?
    var chain: [CID]
    var issuers: [DIDKey]
    var links: [DebitLink]
    var amount: UInt64
    var unit: String
    var at: Timestamp
}

/// A debit as it stands.
struct DebitRecord: Sendable {
    var id: String
    var request: [UInt8]
    var seller: DIDKey?
    var links: [(key: [UInt8], window: Int64)]
    var amount: UInt64
    var unit: String
    /// What it came to; nil while it is open.
    var charged: UInt64?
    var at: Timestamp
}

/// The accounts in the database. Each function runs inside one transaction of its caller's.
enum BudgetAccounts {
    /// Debits every account of the plan, or none.
    ///
    /// A key that is there already, with the same request, is the same debit: nothing moves a second time.
    /// - Throws: `DelegationError` `.revoked`, `.keyRevoked`, `.budgetExceeded`, `.wrongUnit`; `BudgetError` `.conflict`,
    ///   `.settled`. The caller's transaction must then undo what this did.
    static func debit(_ plan: DebitPlan, in connection: Connection) throws -> DebitRecord {
        // What was taken back makes no ticket, not even for a debit of before.
        try requireLive(plan, in: connection)
        if let earlier = try find(key: plan.key, in: connection) {
            guard earlier.request == plan.request else {
                throw BudgetError(.conflict, "a call of this name was debited before, with other contents")
            }
            guard earlier.charged == nil else {
                throw BudgetError(.settled, "this call's debit was settled before; make a new call")
            }
            return earlier
        }
        // In the period that the account is in, which is a later one where the clock was set back.
        let links = try plan.links.map { (key: $0.key, window: try debit($0, plan, in: connection)) }
        let amount = try SQLValue.amount(plan.amount)
        try connection.execute(
            """
            INSERT INTO budget_debits (id, key, request, agent, seller, chain, links, amount, unit, at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            .text(plan.id),
            .blob(plan.key),
            .blob(plan.request),
            .text(plan.agent.string),
            .optional(plan.seller?.string),
            .blob(plan.chain.flatMap(\.digest)),
            .text(links.map { "\(Hex.encode($0.key)):\($0.window)" }.joined(separator: ",")),
            amount,
            .text(plan.unit),
            .integer(plan.at.millisecondsSince1970)
        )
        return DebitRecord(
            id: plan.id,
            request: plan.request,
            seller: plan.seller,
            links: links,
            amount: plan.amount,
            unit: plan.unit,
            at: plan.at
        )
    }

    private static func requireLive(_ plan: DebitPlan, in connection: Connection) throws {
        for (index, cid) in plan.chain.enumerated() {
            let issuer = plan.issuers[index]
            if try isRevoked("\(cid)", in: connection) {
                throw DelegationError(.revoked, "link \(index), \(cid), was taken back", link: index, key: issuer)
            }
            if try isKeyRevoked(issuer, in: connection) {
                throw DelegationError(
                    .keyRevoked,
                    "the key \(issuer) was taken back, and link \(index) with it",
                    link: index,
                    key: issuer
                )
            }
        }
        if try isKeyRevoked(plan.agent, in: connection) {
            throw DelegationError(.keyRevoked, "the key \(plan.agent) was taken back", key: plan.agent)
        }
    }

    static func isRevoked(_ target: String, in connection: Connection) throws -> Bool {
        try connection.first("SELECT 1 FROM budget_revocations WHERE target = ?", .text(target)) != nil
    }

    static func isKeyRevoked(_ key: DIDKey, in connection: Connection) throws -> Bool {
        try isRevoked(key.string, in: connection)
    }

    /// One account. The table's own rule refuses what is over the limit, whatever this code thinks.
    /// - Returns: the period that it was counted in.
    private static func debit(_ link: DebitLink, _ plan: DebitPlan, in connection: Connection) throws -> Int64 {
        if let unit = try connection.first("SELECT unit FROM budget_links WHERE link = ?", .blob(link.key))?.text(0),
            unit != plan.unit
        {
            throw DelegationError(.wrongUnit, "this account is kept in \(unit), not in \(plan.unit)", link: link.index)
        }
        let elsewhere = try link.elsewhere?(link.start, connection) ?? 0
        let cap = link.cap.map { $0 > elsewhere ? $0 - elsewhere : 0 }
        do {
            // A clock that was set back opens no new period.
            let row = try connection.first(
                """
                INSERT INTO budget_links (link, unit, cap, period, window, spent, expires) VALUES (?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (link) DO UPDATE SET
                    spent = CASE WHEN excluded.window > window THEN excluded.spent ELSE spent + excluded.spent END,
                    folded = CASE WHEN excluded.window > window THEN 0 ELSE folded END,
                    window = max(window, excluded.window), cap = excluded.cap, period = excluded.period,
                    expires = excluded.expires
                RETURNING window
                """,
                .blob(link.key),
                .text(plan.unit),
                try cap.map { try .amount($0) } ?? .null,
                .optional(link.period),
                .integer(link.window),
                try .amount(plan.amount),
                .optional(link.expires?.millisecondsSince1970)
            )
            return try row?.int64(0) ?? link.window
        } catch let error as StorageError where error.code == .constraint {
            let spent =
                try connection.first("SELECT spent FROM budget_links WHERE link = ?", .blob(link.key))?.uint64(0) ?? 0
            let place = link.index.map { "link \($0)" } ?? "the agent's spend limit"
            let beside = elsewhere > 0 ? " and \(elsewhere) beside delegations" : ""
            throw DelegationError(
                .budgetExceeded,
                "\(place) allows \(link.cap ?? 0)\(plan.unit), \(spent)\(beside) are spent, and \(plan.amount) are asked for",
                link: link.index
            )
        }
    }

    private static let columns = "id, request, seller, links, amount, unit, charged, at"

    /// An account that a debit went over, as the debit names it.
    static func link(of part: some StringProtocol) throws -> (key: [UInt8], window: Int64) {
        let halves = part.split(separator: ":")
        guard halves.count == 2, let window = Int64(halves[1]) else {
            throw StorageError(.corrupt, "a debit's links can't be read")
        }
        return (try Hex.decode(String(halves[0])), window)
    }

    private static func record(_ row: Row) throws -> DebitRecord {
        let links = try row.text(3).split(separator: ",").map { try link(of: $0) }
        return DebitRecord(
            id: try row.text(0),
            request: try row.blob(1),
            seller: try row.optionalText(2).map { try DIDKey(parsing: $0) },
            links: links,
            amount: try row.uint64(4),
            unit: try row.text(5),
            charged: try row.optionalUInt64(6),
            at: Timestamp(millisecondsSince1970: try row.int64(7))
        )
    }

    static func find(key: [UInt8], in connection: Connection) throws -> DebitRecord? {
        try connection.first("SELECT \(columns) FROM budget_debits WHERE key = ?", .blob(key)).map(record)
    }

    static func find(id: String, in connection: Connection) throws -> DebitRecord? {
        try connection.first("SELECT \(columns) FROM budget_debits WHERE id = ?", .text(id)).map(record)
    }

    /// Settles a debit at what the call came to; the rest goes back to every account whose period still runs. Settling
    /// again, at whatever amount, does nothing.
    /// - Returns: what it stands at.
    @discardableResult
    static func settle(_ debit: DebitRecord, charged: UInt64, at now: Timestamp, in connection: Connection) throws
        -> UInt64
    {
        if let earlier = try find(id: debit.id, in: connection)?.charged { return earlier }
        let kept = min(charged, debit.amount)
        let rest = debit.amount - kept
        if rest > 0 {
            for link in debit.links {
                try connection.execute(
                    "UPDATE budget_links SET spent = spent - ? WHERE link = ? AND window = ?",
                    try .amount(rest),
                    .blob(link.key),
                    .integer(link.window)
                )
            }
        }
        try connection.execute(
            "UPDATE budget_debits SET charged = ?, settled_at = ? WHERE id = ?",
            try .amount(kept),
            .integer(now.millisecondsSince1970),
            .text(debit.id)
        )
        return kept
    }

    /// What is spent under a link in the period that runs now.
    static func spent(_ link: [UInt8], at now: Timestamp, in connection: Connection) throws -> UInt64 {
        guard
            let row = try connection.first("SELECT spent, period, window FROM budget_links WHERE link = ?", .blob(link))
        else {
            return 0
        }
        if let period = try row.optionalInt64(1), period > 0, max(0, now.secondsSince1970) / period > (try row.int64(2))
        {
            return 0
        }
        return try row.uint64(0)
    }

    /// Recomputes every account from its debits, and from what was folded of those that are no longer kept.
    /// - Returns: sentences that say what does not add up.
    static func audit(in connection: Connection) throws -> [String] {
        var sums: [String: UInt64] = [:]
        for row in try connection.rows(
            "SELECT links, sum(coalesce(charged, amount)) FROM budget_debits GROUP BY links"
        ) {
            let amount = try row.uint64(1)
            for part in try row.text(0).split(separator: ",") { sums[String(part), default: 0] += amount }
        }
        return try connection.rows("SELECT link, window, spent, folded FROM budget_links").compactMap { row in
            let name = "\(Hex.encode(try row.blob(0))):\(try row.int64(1))"
            let spent = try row.uint64(2)
            let sum = (sums[name] ?? 0) + (try row.uint64(3))
            return spent == sum ? nil : "the budget account \(name) says \(spent), its debits \(sum)"
        }
    }
}
