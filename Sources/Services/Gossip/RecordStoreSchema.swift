public import Storage

extension RecordStore {
    /// The tables in `cache.sqlite`. Shares and totals follow the records by triggers, so that no quota needs a count.
    public static let migrations = [
        Migration(
            id: "gossip-1",
            sql: """
                CREATE TABLE gossip_authors (
                    id INTEGER PRIMARY KEY,
                    did TEXT NOT NULL UNIQUE,
                    passport BLOB,
                    issuer TEXT,
                    -- Milliseconds since 1970, as all times here; 0 where there is none.
                    passport_from INTEGER NOT NULL DEFAULT 0,
                    passport_until INTEGER NOT NULL DEFAULT 0,
                    counts_until INTEGER NOT NULL DEFAULT 0,
                    revoked_at INTEGER NOT NULL DEFAULT 0,
                    checked_at INTEGER NOT NULL DEFAULT 0
                ) STRICT;
                CREATE INDEX gossip_authors_checked ON gossip_authors (checked_at);
                CREATE TABLE gossip_records (
                    id BLOB NOT NULL PRIMARY KEY,
                    author INTEGER NOT NULL REFERENCES gossip_authors (id),
                    kind TEXT NOT NULL,
                    name TEXT NOT NULL,
                    sequence INTEGER NOT NULL,
                    created INTEGER NOT NULL,
                    expires INTEGER NOT NULL,
                    is_tombstone INTEGER NOT NULL,
                    stamp BLOB,
                    entry TEXT,
                    size INTEGER NOT NULL,
                    document BLOB NOT NULL,
                    UNIQUE (author, kind, name)
                ) STRICT;
                CREATE INDEX gossip_records_feed ON gossip_records (created, id, author, expires, entry);
                CREATE INDEX gossip_records_kind ON gossip_records (kind, is_tombstone, created, id);
                CREATE INDEX gossip_records_share ON gossip_records (author, kind, is_tombstone, created, id);
                CREATE INDEX gossip_records_expiry ON gossip_records (expires);
                CREATE TABLE gossip_shares (
                    kind TEXT NOT NULL,
                    author INTEGER NOT NULL,
                    records INTEGER NOT NULL,
                    tombstones INTEGER NOT NULL,
                    bytes INTEGER NOT NULL,
                    PRIMARY KEY (kind, author)
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX gossip_shares_bytes ON gossip_shares (kind, bytes);
                CREATE TABLE gossip_totals (
                    kind TEXT NOT NULL PRIMARY KEY,
                    records INTEGER NOT NULL,
                    bytes INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                CREATE TRIGGER gossip_records_added AFTER INSERT ON gossip_records BEGIN
                    INSERT INTO gossip_shares (kind, author, records, tombstones, bytes)
                    VALUES (NEW.kind, NEW.author, 1 - NEW.is_tombstone, NEW.is_tombstone, NEW.size)
                    ON CONFLICT (kind, author) DO UPDATE SET records = records + excluded.records,
                        tombstones = tombstones + excluded.tombstones, bytes = bytes + excluded.bytes;
                    INSERT INTO gossip_totals (kind, records, bytes) VALUES (NEW.kind, 1, NEW.size)
                    ON CONFLICT (kind) DO UPDATE SET records = records + 1, bytes = bytes + excluded.bytes;
                END;
                CREATE TRIGGER gossip_records_removed AFTER DELETE ON gossip_records BEGIN
                    UPDATE gossip_shares SET records = records - (1 - OLD.is_tombstone),
                        tombstones = tombstones - OLD.is_tombstone, bytes = bytes - OLD.size
                        WHERE kind = OLD.kind AND author = OLD.author;
                    DELETE FROM gossip_shares
                        WHERE kind = OLD.kind AND author = OLD.author AND records = 0 AND tombstones = 0;
                    UPDATE gossip_totals SET records = records - 1, bytes = bytes - OLD.size WHERE kind = OLD.kind;
                END;
                """
        )
    ]
}
