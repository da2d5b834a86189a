internal import Storage

extension GatewayTables {
    /// Sessions of the `Payment` scheme: the money of each is a grant of the same payment hash, in single msat, so that calls
    /// are claimed, given back and audited as those of any credit.
    static let sessionMigrations: [Migration] = [
        Migration(
            id: "gateway-sessions-1",
            sql: """
                CREATE TABLE gateway_deposits (
                    payment_hash BLOB NOT NULL PRIMARY KEY CHECK (length(payment_hash) = 32),
                    asker BLOB NOT NULL CHECK (length(asker) = 32),
                    invoice TEXT NOT NULL,
                    service TEXT NOT NULL,
                    msat INTEGER NOT NULL CHECK (msat > 0),
                    made_at INTEGER NOT NULL,
                    invoice_until INTEGER NOT NULL,
                    session BLOB,
                    used_at INTEGER
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX gateway_deposits_asker ON gateway_deposits (asker) WHERE session IS NULL;
                CREATE INDEX gateway_deposits_end ON gateway_deposits (invoice_until);

                CREATE TABLE gateway_sessions (
                    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
                    service TEXT NOT NULL,
                    return_invoice TEXT NOT NULL,
                    return_hash BLOB NOT NULL UNIQUE CHECK (length(return_hash) = 32),
                    idle_seconds INTEGER NOT NULL CHECK (idle_seconds > 0),
                    state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
                    opened_at INTEGER NOT NULL,
                    used_at INTEGER NOT NULL,
                    closed_at INTEGER,
                    refund_msat INTEGER CHECK (refund_msat >= 0),
                    payout TEXT CHECK (payout IN ('due', 'sending', 'paid', 'failed', 'skipped')),
                    fee_msat INTEGER NOT NULL DEFAULT 0 CHECK (fee_msat >= 0),
                    attempts INTEGER NOT NULL DEFAULT 0,
                    CHECK ((payout IS NULL) = (refund_msat IS NULL))
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX gateway_sessions_open ON gateway_sessions (used_at) WHERE state = 'open';
                CREATE INDEX gateway_sessions_owed ON gateway_sessions (closed_at)
                    WHERE state = 'closed' AND (payout IS NULL OR payout IN ('due', 'sending'));
                CREATE INDEX gateway_sessions_done ON gateway_sessions (closed_at) WHERE payout IN ('paid', 'skipped');
                """
        )
    ]
}
