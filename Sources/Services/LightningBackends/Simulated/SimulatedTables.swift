public import Storage

extension SimulatedNetwork {
    /// The tables of a simulated network, in a database of its own beside the ledger's.
    public static let migrations = [
        Migration(
            id: "simulated-1",
            sql: """
                CREATE TABLE simulated_accounts (
                    id TEXT PRIMARY KEY,
                    token_digest BLOB NOT NULL UNIQUE CHECK (length(token_digest) = 32),
                    name TEXT NOT NULL,
                    node_key BLOB NOT NULL CHECK (length(node_key) = 32),
                    node_id BLOB NOT NULL UNIQUE CHECK (length(node_id) = 33),
                    unpaid_invoices INTEGER NOT NULL DEFAULT 0 CHECK (unpaid_invoices >= 0),
                    fault TEXT NOT NULL DEFAULT 'none',
                    fault_milliseconds INTEGER NOT NULL DEFAULT 0 CHECK (fault_milliseconds >= 0),
                    created_at INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                CREATE TABLE simulated_invoices (
                    payment_hash BLOB PRIMARY KEY CHECK (length(payment_hash) = 32),
                    account TEXT NOT NULL REFERENCES simulated_accounts (id),
                    preimage BLOB NOT NULL CHECK (length(preimage) = 32),
                    text TEXT NOT NULL,
                    amount_msat INTEGER NOT NULL CHECK (amount_msat > 0),
                    expires_at INTEGER NOT NULL,
                    paid_at INTEGER
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX simulated_invoices_unpaid ON simulated_invoices (account, expires_at)
                    WHERE paid_at IS NULL;
                CREATE TABLE simulated_payments (
                    account TEXT NOT NULL REFERENCES simulated_accounts (id),
                    payment_hash BLOB NOT NULL CHECK (length(payment_hash) = 32),
                    attempt INTEGER NOT NULL CHECK (attempt > 0),
                    state INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
                    amount_msat INTEGER NOT NULL CHECK (amount_msat > 0),
                    fee_msat INTEGER NOT NULL CHECK (fee_msat >= 0),
                    settle_at INTEGER,
                    preimage BLOB,
                    failure_code TEXT,
                    failure_message TEXT,
                    updated_at INTEGER NOT NULL,
                    PRIMARY KEY (account, payment_hash),
                    CHECK ((state = 1) = (preimage IS NOT NULL)),
                    CHECK ((state = 2) = (failure_code IS NOT NULL AND failure_message IS NOT NULL))
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX simulated_payments_due ON simulated_payments (settle_at)
                    WHERE state = 0 AND settle_at IS NOT NULL;
                CREATE INDEX simulated_payments_failed ON simulated_payments (account, updated_at) WHERE state = 2;
                """
        )
    ]
}
