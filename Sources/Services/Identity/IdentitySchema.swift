public import Storage

/// The identity service's tables. Times are milliseconds since 1970 UTC.
public enum IdentitySchema {
    public static let migrations: [Migration] = [
        Migration(
            id: "identity-1",
            sql: """
                CREATE TABLE identity_agents (
                    id TEXT PRIMARY KEY,
                    name TEXT NOT NULL UNIQUE,
                    operator TEXT,
                    capabilities TEXT NOT NULL,
                    spend_currency TEXT,
                    spend_amount TEXT,
                    spend_period TEXT,
                    lifetime_seconds INTEGER NOT NULL,
                    did TEXT NOT NULL UNIQUE,
                    sealed_key BLOB,
                    next_digest TEXT,
                    next_did TEXT,
                    sealed_next_key BLOB,
                    state TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'revoked')),
                    created_at INTEGER NOT NULL,
                    changed_at INTEGER NOT NULL
                ) STRICT;
                CREATE TABLE identity_status_lists (
                    number INTEGER PRIMARY KEY,
                    purpose TEXT NOT NULL CHECK (purpose IN ('revocation', 'suspension')),
                    sequence INTEGER NOT NULL
                ) STRICT;
                CREATE TABLE identity_passports (
                    id TEXT PRIMARY KEY,
                    agent TEXT NOT NULL REFERENCES identity_agents (id),
                    did TEXT NOT NULL,
                    document BLOB NOT NULL,
                    base_url TEXT NOT NULL,
                    valid_from INTEGER NOT NULL,
                    valid_until INTEGER NOT NULL,
                    revocation_list INTEGER NOT NULL REFERENCES identity_status_lists (number),
                    revocation_index INTEGER NOT NULL,
                    suspension_list INTEGER NOT NULL REFERENCES identity_status_lists (number),
                    suspension_index INTEGER NOT NULL,
                    state TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'revoked')),
                    reason TEXT,
                    changed_at INTEGER NOT NULL,
                    UNIQUE (revocation_list, revocation_index),
                    UNIQUE (suspension_list, suspension_index)
                ) STRICT;
                CREATE INDEX identity_passports_by_agent ON identity_passports (agent, valid_until);
                CREATE INDEX identity_passports_by_did ON identity_passports (did, valid_until);
                CREATE INDEX identity_passports_by_end ON identity_passports (valid_until);
                CREATE TABLE identity_revoked_keys (
                    did TEXT PRIMARY KEY,
                    reason TEXT NOT NULL,
                    revoked_at INTEGER NOT NULL
                ) STRICT, WITHOUT ROWID;
                CREATE TABLE identity_lists_seen (
                    url TEXT PRIMARY KEY,
                    sequence INTEGER NOT NULL,
                    content_digest BLOB NOT NULL,
                    seen_at INTEGER NOT NULL
                ) STRICT, WITHOUT ROWID;
                """
        ),
        lifecycle,
        Migration(
            id: "identity-did-log",
            sql: """
                CREATE TABLE identity_did_log (
                    number INTEGER PRIMARY KEY,
                    line BLOB NOT NULL
                ) STRICT;
                """
        ),
        offers,
        evidence,
        agentDIDs,
    ]
}
