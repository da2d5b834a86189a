public import Storage

/// The tables of open calls and bids in `node.sqlite`.
public enum CallTables {
    public static let migrations: [Migration] = [
        Migration(
            id: "open-calls-1",
            sql: """
                -- Calls of this node's own.
                CREATE TABLE open_calls (
                    call BLOB NOT NULL PRIMARY KEY CHECK (length(call) = 32),
                    -- The signed call, and what is asked.
                    document TEXT NOT NULL,
                    request TEXT NOT NULL,
                    state TEXT NOT NULL CHECK (state IN ('open', 'awarding', 'awarded', 'failed', 'cancelled')),
                    -- The job that it came to.
                    job TEXT,
                    note TEXT,
                    created_at INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX open_calls_created ON open_calls (created_at);
                CREATE TABLE open_call_bids (
                    call BLOB NOT NULL REFERENCES open_calls ON DELETE CASCADE,
                    bidder TEXT NOT NULL,
                    commitment TEXT NOT NULL,
                    bid TEXT,
                    is_withheld INTEGER NOT NULL DEFAULT 0 CHECK (is_withheld IN (0, 1)),
                    -- In millionths, when it was awarded.
                    trust INTEGER,
                    -- The firm quote, before it is accepted.
                    quote TEXT,
                    job TEXT,
                    -- Why it came to nothing.
                    why TEXT,
                    PRIMARY KEY (call, bidder)
                ) WITHOUT ROWID, STRICT;
                -- What this node bids by, and what it bid.
                CREATE TABLE bid_rules (
                    service TEXT NOT NULL PRIMARY KEY,
                    floor INTEGER NOT NULL CHECK (floor > 0),
                    unit TEXT NOT NULL,
                    capacity INTEGER NOT NULL,
                    reputation INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                CREATE TABLE bids_made (
                    call BLOB NOT NULL PRIMARY KEY CHECK (length(call) = 32),
                    buyer TEXT NOT NULL,
                    service TEXT NOT NULL,
                    -- The signed documents.
                    call_document TEXT NOT NULL,
                    bid TEXT NOT NULL,
                    -- made: nobody knows of it yet; committed; shown; dropped: it is not shown, or binds no longer.
                    state TEXT NOT NULL CHECK (state IN ('made', 'committed', 'shown', 'dropped')),
                    -- Seconds since 1970.
                    holds_until INTEGER NOT NULL,
                    -- The one quote that it was honoured by.
                    quote TEXT,
                    quote_digest BLOB UNIQUE,
                    quoted_until INTEGER,
                    created_at INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX bids_made_service ON bids_made (service, holds_until);
                CREATE INDEX bids_made_created ON bids_made (created_at);
                """
        )
    ]
}
