internal import Storage

extension WalletTables {
    /// Calls that are paid over Lightning. `wallet_payments` is built anew, since what bounds its columns cannot be
    /// altered: a call may now cost nothing (a pass was bought before), and may be paid for and not served.
    static let invoices = """
        CREATE TABLE wallet_payments_new (
            id TEXT PRIMARY KEY,
            idempotency_key TEXT NOT NULL,
            agent TEXT NOT NULL,
            method TEXT NOT NULL,
            url TEXT NOT NULL,
            headers TEXT NOT NULL,
            body BLOB,
            body_kind TEXT NOT NULL,
            body_digest BLOB,
            seller BLOB NOT NULL,
            mint TEXT NOT NULL,
            unit TEXT NOT NULL,
            amount INTEGER NOT NULL CHECK (amount >= 0),
            payment_digest BLOB NOT NULL,
            state TEXT NOT NULL CHECK (
                state IN ('sent', 'pending', 'served', 'refused', 'refunding', 'refunded', 'unserved')
            ),
            status INTEGER,
            code TEXT,
            receipt_id TEXT,
            receipt TEXT,
            receipt_state TEXT NOT NULL DEFAULT 'none',
            refund TEXT,
            returned INTEGER NOT NULL DEFAULT 0,
            created_at INTEGER NOT NULL,
            changed_at INTEGER NOT NULL,
            way TEXT NOT NULL DEFAULT 'cashu',
            fee INTEGER NOT NULL DEFAULT 0 CHECK (fee >= 0),
            challenge TEXT,
            invoice TEXT,
            payment_receipt TEXT
        ) WITHOUT ROWID, STRICT;
        INSERT INTO wallet_payments_new (
            id, idempotency_key, agent, method, url, headers, body, body_kind, body_digest, seller, mint, unit, amount,
            payment_digest, state, status, code, receipt_id, receipt, receipt_state, refund, returned, created_at,
            changed_at
        ) SELECT
            id, idempotency_key, agent, method, url, headers, body, body_kind, body_digest, seller, mint, unit, amount,
            payment_digest, state, status, code, receipt_id, receipt, receipt_state, refund, returned, created_at,
            changed_at
        FROM wallet_payments;
        DROP TABLE wallet_payments;
        ALTER TABLE wallet_payments_new RENAME TO wallet_payments;
        CREATE UNIQUE INDEX wallet_payments_key ON wallet_payments (idempotency_key) WHERE state <> 'refused';
        CREATE INDEX wallet_payments_open ON wallet_payments (created_at) WHERE state IN ('sent', 'pending', 'refunding');
        CREATE INDEX wallet_payments_agent ON wallet_payments (agent, unit, created_at);
        CREATE INDEX wallet_payments_day ON wallet_payments (unit, created_at);
        CREATE INDEX wallet_payments_invoice ON wallet_payments (invoice) WHERE invoice IS NOT NULL;
        CREATE TABLE wallet_invoices (
            id TEXT PRIMARY KEY,
            way TEXT NOT NULL,
            challenge TEXT NOT NULL,
            invoice TEXT NOT NULL,
            payment_hash BLOB NOT NULL,
            origin TEXT NOT NULL,
            scope TEXT NOT NULL,
            path TEXT NOT NULL,
            agent TEXT NOT NULL,
            mint TEXT,
            unit TEXT NOT NULL,
            amount INTEGER NOT NULL CHECK (amount > 0),
            fee INTEGER NOT NULL CHECK (fee >= 0),
            operation TEXT UNIQUE,
            state TEXT NOT NULL CHECK (state IN ('paying', 'paid', 'failed')),
            preimage BLOB,
            pass TEXT NOT NULL CHECK (pass IN ('none', 'good', 'refused', 'expired', 'used-up', 'forgotten')),
            uses INTEGER NOT NULL DEFAULT 0,
            used_at INTEGER,
            created_at INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE UNIQUE INDEX wallet_invoices_hash ON wallet_invoices (payment_hash) WHERE state <> 'failed';
        CREATE INDEX wallet_invoices_passes ON wallet_invoices (origin, scope, agent) WHERE pass = 'good';
        """
}
