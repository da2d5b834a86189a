public import Storage

/// A witness's tables.
public enum WitnessTables {
    public static let migrations: [Migration] = [
        Migration(
            id: "witness-1",
            sql: """
                CREATE TABLE witness_logs (
                    origin TEXT PRIMARY KEY,
                    key TEXT NOT NULL,
                    url TEXT,
                    note TEXT,
                    cosigned TEXT,
                    changed_at INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;

                CREATE TABLE witness_alarms (
                    id INTEGER PRIMARY KEY,
                    origin TEXT NOT NULL,
                    kind TEXT NOT NULL CHECK (kind IN ('fork', 'rewind')),
                    message TEXT NOT NULL,
                    known TEXT NOT NULL,
                    shown TEXT NOT NULL,
                    at INTEGER NOT NULL,
                    UNIQUE (origin, kind, shown)
                ) STRICT;
                """
        )
    ]
}
