internal import Encodings
internal import Storage
internal import Synchronization

/// How much of the past an accounting node keeps. [DLG-15]
public struct BudgetLimits: Sendable, Equatable {
    /// For how long a settled debit is known by its call's name, in seconds: a day, as long as a buyer asks again. Where there are
    /// too many, an open one is taken to be charged after as long.
    public var settledSeconds: Int64 = 86_400
    /// For how long at least, however many there are: longer than any invocation lives.
    public var leastSeconds: Int64 = 900
    /// After so many seconds an open debit is taken to be charged: longer than any refund waits for its buyer.
    public var openSeconds: Int64 = 32 * 86_400
    /// So many debits are kept; over it, settled ones go sooner, and then new debits are refused.
    public var maximumDebits = 4_000_000
    /// So many links have an account.
    public var maximumLinks = 1_000_000
    /// So many of the latest words of sellers on this node's invocations are kept.
    public var maximumInvocationReceipts = 100_000
    /// A delegation that was only seen at work stays no longer than until so many came after it: its blame then names the
    /// CID alone.
    public var maximumSeen: Int64 = 100_000
    /// What one transaction folds, so that debits need not wait.
    public var batch = 2000

    public init() {}
}

/// How full the accounts are: counted in each round, and by each debit since.
final class BudgetPast: Sendable {
    let limits: BudgetLimits
    private let counts = Mutex((debits: 0, links: 0))

    init(_ limits: BudgetLimits) {
        self.limits = limits
    }

    var isFull: Bool {
        counts.withLock { $0.debits >= limits.maximumDebits || $0.links >= limits.maximumLinks }
    }

    func counted() { counts.withLock { $0.debits += 1 } }
    func set(debits: Int, links: Int) { counts.withLock { $0 = (debits, links) } }
}

/// Forgetting what nobody asks for any more. Each debit that goes is folded into the accounts that it is part of, in the
/// transaction that takes it away: what is spent under a link stays what it was.
extension BudgetOffice {
    /// Folds debits that are over, and forgets links and uses that ended long ago: to be called now and then.
    /// - Returns: how many debits were folded.
    @discardableResult
    public func maintain() async throws -> Int {
        let limits = past.limits
        let now = now
        func ago(_ seconds: Int64) -> Timestamp { now.adding(seconds: -seconds) }
        var folded = try await fold(.settled, before: ago(limits.settledSeconds))
        folded += try await fold(.any, before: ago(limits.openSeconds))
        // Over the most that is kept: a tenth more goes, so that the next debits have room. An open one is then taken to be
        // charged once its buyer no longer asks again.
        let most = limits.maximumDebits - limits.maximumDebits / 10
        for (kind, age) in [(Past.settled, limits.leastSeconds), (.any, limits.settledSeconds)] {
            let kept = try await count("budget_debits")
            guard kept >= limits.maximumDebits else { break }
            folded += try await fold(kind, before: ago(age), atMost: kept - most)
        }
        try await forgetLinks(before: now.adding(seconds: -limits.openSeconds - 86_400))
        try await database.write { connection in
            try connection.execute(
                """
                DELETE FROM budget_uses WHERE payment IN
                    (SELECT payment FROM budget_uses WHERE state <> 'open' AND at <= ? ORDER BY at LIMIT 10000)
                """,
                .integer(now.adding(seconds: -limits.openSeconds).millisecondsSince1970)
            )
        }
        try await database.write { connection in
            try connection.execute(
                """
                DELETE FROM budget_invocation_receipts WHERE sequence <=
                    (SELECT max(sequence) FROM budget_invocation_receipts) - ?
                """,
                .int(limits.maximumInvocationReceipts)
            )
        }
        past.set(debits: try await count("budget_debits"), links: try await count("budget_links"))
        return folded
    }

    private func count(_ table: String) async throws -> Int {
        try await database.read { try $0.first("SELECT count(*) FROM \(table)")?.int(0) ?? 0 }
    }

    /// Which debits are folded.
    private enum Past {
        /// Those that were settled before a moment.
        case settled
        /// Those that were made before it, settled or not.
        case any

        var time: String { self == .settled ? "settled_at" : "at" }
    }

    /// Folds the oldest debits, a batch a transaction.
    private func fold(_ past: Past, before end: Timestamp, atMost: Int = .max) async throws -> Int {
        let batch = self.past.limits.batch
        var folded = 0
        while folded < atMost {
            let limit = min(batch, atMost - folded)
            let count = try await database.write { connection in
                let rows = try connection.rows(
                    """
                    SELECT sequence, links, coalesce(charged, amount) FROM budget_debits
                    WHERE \(past.time) <= ? ORDER BY \(past.time) LIMIT \(limit)
                    """,
                    .integer(end.millisecondsSince1970)
                )
                var sums: [String: UInt64] = [:]
                for row in rows {
                    for part in try row.text(1).split(separator: ",") {
                        sums[String(part), default: 0] += try row.uint64(2)
                    }
                }
                for (part, sum) in sums where sum > 0 {
                    let link = try BudgetAccounts.link(of: part)
                    // An account whose period is over counts none of it any more.
                    try connection.execute(
                        "UPDATE budget_links SET folded = folded + ? WHERE link = ? AND window = ?",
                        try .amount(sum),
                        .blob(link.key),
                        .integer(link.window)
                    )
                }
                for row in rows {
                    try connection.execute(
                        "DELETE FROM budget_debits WHERE sequence = ?",
                        .integer(try row.int64(0))
                    )
                }
                return rows.count
            }
            folded += count
            if count < limit { break }
        }
        return folded
    }

    /// Forgets accounts of links that ended so long ago that none of their debits is kept.
    private func forgetLinks(before end: Timestamp) async throws {
        while true {
            let count = try await database.write { connection in
                try connection.execute(
                    """
                    DELETE FROM budget_links WHERE link IN
                        (SELECT link FROM budget_links WHERE expires <= ? ORDER BY expires LIMIT 2000)
                    """,
                    .integer(end.millisecondsSince1970)
                )
                return connection.changes
            }
            if count < 2000 { return }
        }
    }
}
