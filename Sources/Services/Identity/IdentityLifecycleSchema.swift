import Storage

extension IdentitySchema {
    /// Agents that move between nodes, and those that come by themselves.
    static let lifecycle = Migration(
        id: "identity-lifecycle-1",
        sql: """
            CREATE TABLE identity_moved (
                agent TEXT PRIMARY KEY REFERENCES identity_agents (id),
                destination TEXT NOT NULL,
                sealed TEXT NOT NULL,
                at INTEGER NOT NULL
            ) STRICT;
            CREATE TABLE identity_arrivals (
                export TEXT PRIMARY KEY,
                agent TEXT NOT NULL REFERENCES identity_agents (id),
                origin TEXT NOT NULL,
                history BLOB NOT NULL,
                at INTEGER NOT NULL
            ) STRICT;
            CREATE TABLE identity_requests (
                id TEXT PRIMARY KEY,
                state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied')),
                name TEXT NOT NULL,
                operator TEXT,
                capabilities TEXT NOT NULL,
                did TEXT NOT NULL,
                next_digest TEXT,
                agent TEXT,
                reason TEXT,
                at INTEGER NOT NULL
            ) STRICT;
            CREATE INDEX identity_requests_by_state ON identity_requests (state, at);
            CREATE UNIQUE INDEX identity_requests_pending_did ON identity_requests (did) WHERE state = 'pending';
            CREATE INDEX identity_passports_board ON identity_passports
                (revocation_list, revocation_index, suspension_list, suspension_index, state);
            """
    )
}
