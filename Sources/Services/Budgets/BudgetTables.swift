public import Storage

/// The tables of the accounting node, of the delegations that are kept here, and of what was asked of other nodes.
public enum BudgetTables {
    /// For `Database.init`; the identity service's tables stand in the same database.
    public static let migrations: [Migration] = [
        Migration(
            id: "budgets-1",
            sql: """
                CREATE TABLE budget_links (
                    link BLOB NOT NULL PRIMARY KEY CHECK (length(link) = 32),
                    unit TEXT NOT NULL,
                    cap INTEGER,
                    period INTEGER,
                    window INTEGER NOT NULL,
                    spent INTEGER NOT NULL CHECK (spent >= 0),
                    CHECK (cap IS NULL OR spent <= cap)
                ) WITHOUT ROWID, STRICT;

                CREATE TABLE budget_debits (
                    sequence INTEGER PRIMARY KEY,
                    id TEXT NOT NULL UNIQUE,
                    key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
                    request BLOB NOT NULL CHECK (length(request) = 32),
                    agent TEXT NOT NULL,
                    seller TEXT,
                    chain BLOB NOT NULL,
                    links TEXT NOT NULL,
                    amount INTEGER NOT NULL CHECK (amount >= 0),
                    unit TEXT NOT NULL,
                    charged INTEGER CHECK (charged IS NULL OR charged BETWEEN 0 AND amount),
                    at INTEGER NOT NULL,
                    settled_at INTEGER
                ) STRICT;
                CREATE INDEX budget_debits_at ON budget_debits (at);

                CREATE TABLE budget_revocations (
                    sequence INTEGER PRIMARY KEY,
                    target TEXT NOT NULL UNIQUE,
                    kind TEXT NOT NULL CHECK (kind IN ('delegation', 'key')),
                    by TEXT NOT NULL,
                    reason TEXT,
                    at INTEGER NOT NULL
                ) STRICT;

                CREATE TABLE budget_delegations (
                    sequence INTEGER PRIMARY KEY,
                    cid BLOB NOT NULL UNIQUE CHECK (length(cid) = 32),
                    parent BLOB,
                    issuer TEXT NOT NULL,
                    audience TEXT NOT NULL,
                    envelope BLOB NOT NULL,
                    origin TEXT NOT NULL CHECK (origin IN ('issued', 'imported', 'seen')),
                    at INTEGER NOT NULL
                ) STRICT;
                CREATE INDEX budget_delegations_parent ON budget_delegations (parent);

                CREATE TABLE budget_uses (
                    payment TEXT NOT NULL PRIMARY KEY,
                    leaf BLOB,
                    agent TEXT NOT NULL,
                    call BLOB NOT NULL,
                    node TEXT NOT NULL,
                    debit TEXT,
                    amount INTEGER NOT NULL,
                    unit TEXT NOT NULL,
                    state TEXT NOT NULL CHECK (state IN ('open', 'charged', 'released', 'kept')),
                    at INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX budget_uses_open ON budget_uses (at) WHERE state = 'open';
                """
        ),
        // Keys that were revoked as agents' before: from now on the room of identity tells of each.
        Migration(
            id: "budgets-2",
            sql: """
                INSERT INTO budget_revocations (target, kind, by, reason, at)
                SELECT did, 'key', 'identity', reason, revoked_at FROM identity_revoked_keys WHERE true
                ON CONFLICT (target) DO NOTHING
                """
        ),
        // What was folded of debits that are no longer kept; when a link can't be spent under any more; when an open use is
        // looked at again.
        Migration(
            id: "budgets-3",
            sql: """
                ALTER TABLE budget_links ADD COLUMN folded INTEGER NOT NULL DEFAULT 0 CHECK (folded >= 0);
                ALTER TABLE budget_links ADD COLUMN expires INTEGER;
                CREATE INDEX budget_links_expires ON budget_links (expires) WHERE expires IS NOT NULL;
                CREATE INDEX budget_debits_settled ON budget_debits (settled_at) WHERE settled_at IS NOT NULL;

                ALTER TABLE budget_uses ADD COLUMN look_at INTEGER NOT NULL DEFAULT 0;
                DROP INDEX budget_uses_open;
                CREATE INDEX budget_uses_due ON budget_uses (look_at) WHERE state = 'open';
                CREATE INDEX budget_uses_past ON budget_uses (at) WHERE state <> 'open';
                """
        ),
        // Sellers' words on our invocations, by the receipt's id.
        Migration(
            id: "budgets-4",
            sql: """
                CREATE TABLE budget_invocation_receipts (
                    sequence INTEGER PRIMARY KEY,
                    receipt TEXT NOT NULL UNIQUE,
                    document BLOB NOT NULL CHECK (length(document) <= 131072)
                ) STRICT
                """
        ),
        // So that the oldest of what was only seen is found at once.
        Migration(
            id: "budgets-5",
            sql: "CREATE INDEX budget_delegations_seen ON budget_delegations (sequence) WHERE origin = 'seen'"
        ),
        // When a key was stolen at the earliest; null where that is not known, and of what was not stolen.
        Migration(id: "budgets-6", sql: "ALTER TABLE budget_revocations ADD COLUMN since INTEGER"),
    ]
}
