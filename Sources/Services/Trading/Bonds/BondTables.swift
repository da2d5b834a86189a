internal import CanonicalJSON
internal import Encodings
internal import Market
internal import SignedDocuments
public import Storage

/// The tables of bonds in `node.sqlite`: those that are kept for others, those that this node has left with others, and what it claims out
/// of bonds.
public enum BondTables {
    public static let migrations: [Migration] = [
        Migration(
            id: "bonds-1",
            sql: """
                CREATE TABLE bonds_kept (
                    bond BLOB PRIMARY KEY CHECK (length(bond) = 32),
                    -- The signed statement of it.
                    statement TEXT NOT NULL,
                    -- Its coins now, NULL where all is paid out, and what they are worth.
                    token TEXT,
                    remaining INTEGER NOT NULL CHECK (remaining >= 0),
                    locktime INTEGER NOT NULL,
                    created_at INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                CREATE TABLE bond_rulings (
                    bond BLOB NOT NULL REFERENCES bonds_kept (bond) ON DELETE CASCADE,
                    subject BLOB NOT NULL CHECK (length(subject) = 32),
                    ruling TEXT NOT NULL,
                    -- Whom it is paid to, 33 bytes.
                    key BLOB NOT NULL,
                    -- What was paid, as a token; NULL while it is on its way.
                    token TEXT,
                    created_at INTEGER NOT NULL,
                    PRIMARY KEY (bond, subject)
                ) WITHOUT ROWID, STRICT;
                -- One on its way for a bond at a time: the next is paid out of what it leaves.
                CREATE UNIQUE INDEX bond_rulings_open ON bond_rulings (bond) WHERE token IS NULL;
                CREATE TABLE bonds_left (
                    id TEXT PRIMARY KEY,
                    -- Scheme, host and port of the keeper's node, who it is, and the key that it is locked to.
                    keeper_at TEXT NOT NULL,
                    keeper TEXT NOT NULL,
                    key BLOB NOT NULL,
                    mint TEXT NOT NULL,
                    unit TEXT NOT NULL,
                    amount INTEGER NOT NULL CHECK (amount > 0),
                    backed_until INTEGER NOT NULL,
                    state TEXT NOT NULL CHECK (state IN ('making', 'placing', 'held', 'back', 'refused', 'spent')),
                    name BLOB,
                    token TEXT,
                    statement TEXT,
                    remaining INTEGER NOT NULL DEFAULT 0 CHECK (remaining >= 0),
                    returned INTEGER NOT NULL DEFAULT 0 CHECK (returned >= 0),
                    rulings TEXT,
                    note TEXT,
                    created_at INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                CREATE TABLE bond_claims (
                    job BLOB PRIMARY KEY CHECK (length(job) = 32),
                    -- Scheme, host and port of the keeper's node, and who it is.
                    keeper_at TEXT NOT NULL,
                    keeper TEXT NOT NULL,
                    bond BLOB NOT NULL,
                    rule TEXT NOT NULL,
                    -- What is sent, signed.
                    body TEXT NOT NULL,
                    state TEXT NOT NULL CHECK (state IN ('open', 'paid', 'refused')),
                    ruling TEXT,
                    token TEXT,
                    received INTEGER NOT NULL DEFAULT 0 CHECK (received >= 0),
                    note TEXT,
                    tries INTEGER NOT NULL DEFAULT 0,
                    due_at INTEGER NOT NULL,
                    created_at INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX bond_claims_open ON bond_claims (due_at) WHERE state = 'open';
                CREATE TABLE bond_cursor (
                    one INTEGER PRIMARY KEY CHECK (one = 1),
                    sequence INTEGER NOT NULL
                ) STRICT;
                """
        )
    ]
}

/// A bond as its keeper has it.
struct KeptBond: Sendable {
    var statement: Signed<Bond>
    var token: String?
    /// What the coins are worth after the mint's fee.
    var remaining: UInt64
    var locktime: Int64
    var createdAt: Timestamp

    var bond: [UInt8] { statement.content.bond }
}

/// What was ruled on a bond.
struct KeptRuling: Sendable {
    var ruling: Signed<BondRuling>
    var key: [UInt8]
    var token: String?
}

/// The tables `bonds_kept` and `bond_rulings`.
enum KeptBonds {
    private static let bondColumns = "statement, token, remaining, locktime, created_at"

    static func insert(_ bond: KeptBond, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO bonds_kept (bond, statement, token, remaining, locktime, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            .blob(bond.bond),
            .text(String(decoding: bond.statement.bytes, as: UTF8.self)),
            .optional(bond.token),
            try .amount(bond.remaining),
            .integer(bond.locktime),
            .integer(bond.createdAt.millisecondsSince1970)
        )
    }

    static func find(_ bond: [UInt8], in connection: Connection) throws -> KeptBond? {
        try connection.first(
            "SELECT \(bondColumns) FROM bonds_kept WHERE bond = ?",
            .blob(bond)
        ).map(bond(row:))
    }

    /// Newest first.
    static func recent(limit: Int, in connection: Connection) throws -> [KeptBond] {
        try connection.rows(
            "SELECT \(bondColumns) FROM bonds_kept ORDER BY created_at DESC LIMIT ?",
            .int(limit)
        ).map(bond(row:))
    }

    static func count(in connection: Connection) throws -> Int {
        try connection.first("SELECT count(*) FROM bonds_kept")?.int(0) ?? 0
    }

    static func forget(lockedUntil before: Int64, in connection: Connection) throws {
        try connection.execute("DELETE FROM bonds_kept WHERE locktime < ?", .integer(before))
    }

    // MARK: Rulings

    static func insert(_ ruling: KeptRuling, at now: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO bond_rulings (bond, subject, ruling, key, created_at) VALUES (?, ?, ?, ?, ?)",
            .blob(ruling.ruling.content.bond),
            .blob(ruling.ruling.content.subject),
            .text(String(decoding: ruling.ruling.bytes, as: UTF8.self)),
            .blob(ruling.key),
            .integer(now.millisecondsSince1970)
        )
    }

    /// The part has gone out: what is left is the bond now.
    static func paid(
        _ ruling: KeptRuling,
        token: String,
        rest: (token: String, worth: UInt64)?,
        in connection: Connection
    ) throws {
        let content = ruling.ruling.content
        try connection.execute(
            "UPDATE bond_rulings SET token = ? WHERE bond = ? AND subject = ? AND token IS NULL",
            .text(token),
            .blob(content.bond),
            .blob(content.subject)
        )
        guard connection.changes == 1 else { return }
        try connection.execute(
            "UPDATE bonds_kept SET token = ?, remaining = ? WHERE bond = ?",
            .optional(rest?.token),
            try .amount(rest?.worth ?? 0),
            .blob(content.bond)
        )
    }

    static func ruling(_ bond: [UInt8], _ subject: [UInt8], in connection: Connection) throws -> KeptRuling? {
        try connection.first(
            "SELECT ruling, key, token FROM bond_rulings WHERE bond = ? AND subject = ?",
            .blob(bond),
            .blob(subject)
        ).map(ruling(row:))
    }

    /// The latest of a bond, newest first.
    static func rulings(_ bond: [UInt8], limit: Int, in connection: Connection) throws -> [KeptRuling] {
        try connection.rows(
            "SELECT ruling, key, token FROM bond_rulings WHERE bond = ? ORDER BY created_at DESC LIMIT ?",
            .blob(bond),
            .int(limit)
        ).map(ruling(row:))
    }

    /// Those that are on their way.
    static func open(in connection: Connection) throws -> [KeptRuling] {
        try connection.rows("SELECT ruling, key, token FROM bond_rulings WHERE token IS NULL").map(ruling(row:))
    }

    static func open(_ bond: [UInt8], in connection: Connection) throws -> KeptRuling? {
        try connection.first(
            "SELECT ruling, key, token FROM bond_rulings WHERE bond = ? AND token IS NULL",
            .blob(bond)
        ).map(ruling(row:))
    }

    private static func bond(row: Row) throws -> KeptBond {
        KeptBond(
            statement: try Signed(kept: Array(row.text(0).utf8)),
            token: try row.optionalText(1),
            remaining: try row.uint64(2),
            locktime: try row.int64(3),
            createdAt: Timestamp(millisecondsSince1970: try row.int64(4))
        )
    }

    private static func ruling(row: Row) throws -> KeptRuling {
        KeptRuling(
            ruling: try Signed(kept: Array(row.text(0).utf8)),
            key: try row.blob(1),
            token: try row.optionalText(2)
        )
    }
}
