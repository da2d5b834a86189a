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

    /// What lists of others were seen to say, so that two contents of one sequence can be shown to anybody.
    static let evidence = Migration(
        id: "identity-evidence-1",
        sql: """
            ALTER TABLE identity_lists_seen ADD COLUMN issuer TEXT;
            ALTER TABLE identity_lists_seen ADD COLUMN document BLOB;
            CREATE TABLE identity_equivocations (
                url TEXT NOT NULL,
                sequence INTEGER NOT NULL,
                issuer TEXT NOT NULL,
                first BLOB,
                second BLOB NOT NULL,
                at INTEGER NOT NULL,
                PRIMARY KEY (url, sequence)
            ) STRICT, WITHOUT ROWID;
            """
    )

    /// The logs of agents' did:webvh.
    static let agentDIDs = Migration(
        id: "identity-agent-did-log-1",
        sql: """
            CREATE TABLE identity_agent_did_log (
                agent TEXT NOT NULL REFERENCES identity_agents (id),
                number INTEGER NOT NULL,
                line BLOB NOT NULL,
                PRIMARY KEY (agent, number)
            ) STRICT, WITHOUT ROWID;
            """
    )
}
