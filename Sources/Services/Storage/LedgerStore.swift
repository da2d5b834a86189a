internal import Encodings
public import Ledger

/// The double-entry ledger's tables. Its functions run inside the transaction of whatever moved the value, so a
/// movement and its booking are one.
public enum LedgerStore {
    static let migrations = [
        Migration(
            id: "ledger-1",
            sql: """
                CREATE TABLE ledger_accounts (
                    name TEXT NOT NULL,
                    unit TEXT NOT NULL,
                    kind INTEGER NOT NULL CHECK (kind IN (0, 1, 2)),
                    debits INTEGER NOT NULL CHECK (debits >= 0),
                    credits INTEGER NOT NULL CHECK (credits >= 0),
                    PRIMARY KEY (name, unit),
                    CHECK (kind <> 0 OR debits >= credits),
                    CHECK (kind <> 1 OR credits >= debits)
                ) WITHOUT ROWID, STRICT;
                CREATE TABLE ledger_transfers (
                    sequence INTEGER PRIMARY KEY,
                    id TEXT NOT NULL UNIQUE,
                    debit TEXT NOT NULL,
                    credit TEXT NOT NULL,
                    amount INTEGER NOT NULL CHECK (amount > 0),
                    unit TEXT NOT NULL,
                    kind TEXT NOT NULL,
                    reference TEXT NOT NULL,
                    at INTEGER NOT NULL
                ) STRICT;
                """
        )
    ]

    /// Posts the transfers, all or none. One whose id is there already, with the same content, is passed over.
    /// - Returns: how many were new.
    /// - Throws: `LedgerError` (`insufficient`, `conflict`, …); the caller's transaction must then end.
    @discardableResult
    public static func post(_ transfers: [Transfer], in connection: Connection) throws -> Int {
        var posted = 0
        for transfer in transfers where try post(transfer, in: connection) { posted += 1 }
        return posted
    }

    private static func post(_ transfer: Transfer, in connection: Connection) throws -> Bool {
        try transfer.validate()
        let amount = try SQLValue.amount(transfer.amount)
        try connection.execute(
            """
            INSERT INTO ledger_transfers (id, debit, credit, amount, unit, kind, reference, at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
            """,
            .text(transfer.id),
            .text(transfer.debit.name),
            .text(transfer.credit.name),
            amount,
            .text(transfer.unit),
            .text(transfer.kind),
            .text(transfer.reference),
            .integer(transfer.at.millisecondsSince1970)
        )
        guard connection.changes == 1 else {
            try requireSame(transfer, in: connection)
            return false
        }
        try apply(transfer.debit, unit: transfer.unit, debit: transfer.amount, credit: 0, in: connection)
        try apply(transfer.credit, unit: transfer.unit, debit: 0, credit: transfer.amount, in: connection)
        return true
    }

    private static func requireSame(_ transfer: Transfer, in connection: Connection) throws {
        let sql = "SELECT debit, credit, amount, unit, kind FROM ledger_transfers WHERE id = ?"
        guard let row = try connection.first(sql, .text(transfer.id)),
            try row.text(0) == transfer.debit.name, try row.text(1) == transfer.credit.name,
            try row.uint64(2) == transfer.amount, try row.text(3) == transfer.unit, try row.text(4) == transfer.kind
        else {
            throw LedgerError(.conflict, "transfer \(transfer.id) is in the ledger with other contents")
        }
    }

    private static func apply(
        _ account: Account,
        unit: String,
        debit: UInt64,
        credit: UInt64,
        in connection: Connection
    ) throws {
        if try applyAtOnce(account, unit: unit, debit: debit, credit: credit, in: connection) { return }
        let found = try sides(of: account, unit: unit, in: connection)
        let next = try found.balance.adding(debit: debit, credit: credit)
        let sql =
            found.exists
            ? "UPDATE ledger_accounts SET debits = ?, credits = ? WHERE name = ? AND unit = ?"
            : "INSERT INTO ledger_accounts (debits, credits, name, unit, kind) VALUES (?, ?, ?, ?, ?)"
        var arguments: [SQLValue] = [
            try .amount(next.debits), try .amount(next.credits), .text(account.name), .text(unit),
        ]
        if !found.exists { arguments.append(.integer(account.kind.rawValue)) }
        try connection.execute(sql, arguments: arguments)
    }

    /// The everyday case in one statement; the table's own rules refuse what the account may not hold.
    /// - Returns: whether it is done. Where not, nothing has changed, and the long way finds out why.
    private static func applyAtOnce(
        _ account: Account,
        unit: String,
        debit: UInt64,
        credit: UInt64,
        in connection: Connection
    ) throws -> Bool {
        do {
            try connection.execute(
                """
                UPDATE ledger_accounts SET debits = debits + ?, credits = credits + ?
                WHERE name = ? AND unit = ? AND kind = ?
                """,
                .amount(debit),
                .amount(credit),
                .text(account.name),
                .text(unit),
                .integer(account.kind.rawValue)
            )
        } catch let error as StorageError where error.code == .constraint {
            return false
        }
        return connection.changes == 1
    }

    private static func sides(
        of account: Account,
        unit: String,
        in connection: Connection
    ) throws -> (balance: AccountBalance, exists: Bool) {
        let sql = "SELECT kind, debits, credits FROM ledger_accounts WHERE name = ? AND unit = ?"
        guard let row = try connection.first(sql, .text(account.name), .text(unit)) else {
            return (AccountBalance(account: account, unit: unit, debits: 0, credits: 0), false)
        }
        guard try row.int64(0) == account.kind.rawValue else {
            throw LedgerError(.kindMismatch, "\(account.name) exists as an account of another kind")
        }
        let balance = AccountBalance(
            account: account,
            unit: unit,
            debits: try row.uint64(1),
            credits: try row.uint64(2)
        )
        return (balance, true)
    }

    /// What the account holds; zero where nothing was ever posted to it.
    public static func balance(of account: Account, unit: String, in connection: Connection) throws -> UInt64 {
        try sides(of: account, unit: unit, in: connection).balance.balance
    }

    /// Every account whose name begins with `prefix`, by name.
    public static func accounts(prefix: String = "", in connection: Connection) throws -> [AccountBalance] {
        try connection.rows(
            """
            SELECT name, unit, kind, debits, credits FROM ledger_accounts
            WHERE substr(name, 1, length(?1)) = ?1 ORDER BY name, unit
            """,
            .text(prefix)
        ).map { row in
            guard let kind = AccountKind(rawValue: try row.int64(2)) else {
                throw StorageError(.corrupt, "an account has an unknown kind")
            }
            return AccountBalance(
                account: Account(try row.text(0), kind),
                unit: try row.text(1),
                debits: try row.uint64(3),
                credits: try row.uint64(4)
            )
        }
    }

    /// Recomputes every account from the transfers and holds it against what is booked.
    /// - Returns: the sentences that say what does not add up; empty where all is well.
    public static func audit(in connection: Connection) throws -> [String] {
        var findings: [String] = []
        let rows = try connection.rows(
            """
            WITH sides AS (
                SELECT debit AS name, unit, amount AS debits, 0 AS credits FROM ledger_transfers
                UNION ALL SELECT credit, unit, 0, amount FROM ledger_transfers
            ), sums AS (SELECT name, unit, sum(debits) AS debits, sum(credits) AS credits FROM sides GROUP BY name, unit)
            SELECT a.name, a.unit, a.debits, a.credits, coalesce(s.debits, 0), coalesce(s.credits, 0)
            FROM ledger_accounts a LEFT JOIN sums s USING (name, unit)
            WHERE a.debits <> coalesce(s.debits, 0) OR a.credits <> coalesce(s.credits, 0)
            """
        )
        for row in rows {
            findings.append(
                "\(try row.text(0)) is booked as \(try row.int64(2))/\(try row.int64(3)) \(try row.text(1)),"
                    + " its transfers say \(try row.int64(4))/\(try row.int64(5))"
            )
        }
        for row in try connection.rows(
            "SELECT unit, sum(debits), sum(credits) FROM ledger_accounts GROUP BY unit HAVING sum(debits) <> sum(credits)"
        ) {
            findings.append("in \(try row.text(0)) the debits are \(try row.int64(1)), the credits \(try row.int64(2))")
        }
        return findings
    }
}
