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
        Migration(
            id: "audit-3",
            sql: """
                CREATE TABLE audit_past_logs (
                    origin TEXT PRIMARY KEY,
                    note TEXT NOT NULL,
                    reason TEXT NOT NULL,
                    evidence TEXT,
                    at INTEGER NOT NULL
                ) STRICT;

                CREATE TABLE audit_past_entries (
                    origin TEXT NOT NULL,
                    position INTEGER NOT NULL,
                    entry BLOB NOT NULL,
                    salt BLOB NOT NULL,
                    kind TEXT NOT NULL,
                    reference TEXT NOT NULL,
                    document BLOB,
                    PRIMARY KEY (origin, position)
                ) WITHOUT ROWID, STRICT;
                """
        ),
        // Every cosigned checkpoint that is worth keeping, where before there was the latest alone.
        Migration(
            id: "audit-4",
            sql: """
                CREATE TABLE audit_cosigned (
                    size INTEGER PRIMARY KEY CHECK (size >= 0),
                    note TEXT NOT NULL,
                    at INTEGER NOT NULL
                ) STRICT;
                CREATE INDEX audit_cosigned_at ON audit_cosigned (at);
                INSERT INTO audit_cosigned (size, note, at)
                    SELECT CAST(substr(note, instr(note, char(10)) + 1) AS INTEGER), note,
                        coalesce((SELECT max(at) FROM audit_witnesses), 0)
                    FROM audit_witnessed;
                DROP TABLE audit_witnessed;
                """
        ),
    ]
}
