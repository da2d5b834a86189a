public import Storage

/// The transparency log's tables.
public enum AuditLogTables {
    public static let migrations: [Migration] = [
        Migration(
            id: "audit-1",
            sql: """
                CREATE TABLE audit_entries (
                    position INTEGER PRIMARY KEY,
                    entry BLOB NOT NULL CHECK (length(entry) = 32),
                    salt BLOB NOT NULL CHECK (length(salt) = 16),
                    kind TEXT NOT NULL,
                    reference TEXT NOT NULL,
                    document BLOB
                ) STRICT;
                CREATE INDEX audit_entries_reference ON audit_entries (reference);

                CREATE TABLE audit_tiles (
                    level INTEGER NOT NULL,
                    number INTEGER NOT NULL,
                    hashes BLOB NOT NULL,
                    PRIMARY KEY (level, number)
                ) WITHOUT ROWID, STRICT;

                CREATE TABLE audit_head (
                    id INTEGER PRIMARY KEY CHECK (id = 1),
                    origin TEXT NOT NULL,
                    size INTEGER NOT NULL CHECK (size >= 0),
                    note TEXT NOT NULL,
                    at INTEGER NOT NULL
                ) STRICT;
                """
        ),
        Migration(
            id: "audit-2",
            sql: """
                CREATE TABLE audit_witnesses (
                    key TEXT PRIMARY KEY,
                    size INTEGER NOT NULL CHECK (size >= 0),
                    at INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;

                CREATE TABLE audit_witnessed (
                    id INTEGER PRIMARY KEY CHECK (id = 1),
                    note TEXT NOT NULL
                ) STRICT;

                CREATE TABLE audit_halt (
                    id INTEGER PRIMARY KEY CHECK (id = 1),
                    reason TEXT NOT NULL,
                    evidence TEXT,
                    at INTEGER NOT NULL
                ) STRICT;
                """
        ),
    ]
}
