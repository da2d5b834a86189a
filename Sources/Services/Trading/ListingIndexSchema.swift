public import Storage

extension ListingIndex {
    /// The tables in `cache.sqlite`, beside those of the records (`RecordStore.migrations`, which come before). Triggers keep them
    /// even: what is stored waits in `listing_queue` until it is read, and what goes from the store goes from here in the same
    /// transaction. So there is nothing to miss, and nothing to build anew but what still waits.
    public static let migrations = [
        Migration(
            id: "listings-1",
            sql: """
                CREATE TABLE listing_queue (record BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID, STRICT;
                CREATE TABLE listings (
                    id INTEGER PRIMARY KEY,
                    -- The record's id, and the author's in gossip_authors.
                    record BLOB NOT NULL UNIQUE,
                    author INTEGER NOT NULL,
                    -- Milliseconds since 1970.
                    created INTEGER NOT NULL,
                    expires INTEGER NOT NULL,
                    -- Whether it counts by a stamp, whatever its author does.
                    is_stamped INTEGER NOT NULL,
                    -- Whether some URL of it leads to the internet.
                    is_global INTEGER NOT NULL,
                    has_schema INTEGER NOT NULL,
                    percentile INTEGER,
                    latency INTEGER,
                    uptime INTEGER,
                    name TEXT NOT NULL,
                    title TEXT NOT NULL,
                    tags TEXT NOT NULL,
                    description TEXT NOT NULL
                ) STRICT;
                CREATE TABLE listing_prices (
                    listing INTEGER NOT NULL,
                    unit TEXT NOT NULL,
                    -- The most that the cheapest call in that unit costs.
                    amount INTEGER NOT NULL,
                    PRIMARY KEY (listing, unit)
                ) WITHOUT ROWID, STRICT;
                CREATE TABLE listing_facets (
                    listing INTEGER NOT NULL,
                    -- Such as tag:weather; else dialect, mint, capability.
                    facet TEXT NOT NULL,
                    PRIMARY KEY (listing, facet)
                ) WITHOUT ROWID, STRICT;
                CREATE VIRTUAL TABLE listing_words USING fts5 (
                    name, title, tags, description,
                    content = 'listings', content_rowid = 'id', tokenize = 'porter unicode61 remove_diacritics 2'
                );
                CREATE TRIGGER listing_comes AFTER INSERT ON gossip_records
                WHEN NEW.kind = 'listing' AND NEW.is_tombstone = 0 BEGIN
                    INSERT OR IGNORE INTO listing_queue (record) VALUES (NEW.id);
                END;
                CREATE TRIGGER listing_goes AFTER DELETE ON gossip_records WHEN OLD.kind = 'listing' BEGIN
                    DELETE FROM listing_queue WHERE record = OLD.id;
                    DELETE FROM listings WHERE record = OLD.id;
                END;
                CREATE TRIGGER listing_added AFTER INSERT ON listings BEGIN
                    INSERT INTO listing_words (rowid, name, title, tags, description)
                    VALUES (NEW.id, NEW.name, NEW.title, NEW.tags, NEW.description);
                END;
                CREATE TRIGGER listing_removed AFTER DELETE ON listings BEGIN
                    INSERT INTO listing_words (listing_words, rowid, name, title, tags, description)
                    VALUES ('delete', OLD.id, OLD.name, OLD.title, OLD.tags, OLD.description);
                    DELETE FROM listing_prices WHERE listing = OLD.id;
                    DELETE FROM listing_facets WHERE listing = OLD.id;
                END;
                INSERT INTO listing_queue (record)
                    SELECT id FROM gossip_records WHERE kind = 'listing' AND is_tombstone = 0;
                """
        ),
        Migration(id: "listings-2", sql: "CREATE INDEX listings_author ON listings (author);"),
    ]
}
