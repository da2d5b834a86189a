public import Storage

/// The gateway's tables.
///
/// Ids are UUIDs version 7, so that rows of one time share pages; only Ys and scopes land at random, in narrow indexes.
public enum GatewayTables {
    public static let migrations: [Migration] =
        [
            Migration(
                id: "gateway-1",
                sql: """
                    CREATE TABLE gateway_services (
                        name TEXT NOT NULL PRIMARY KEY,
                        definition TEXT NOT NULL,
                        added_at INTEGER NOT NULL
                    ) WITHOUT ROWID, STRICT;

                    CREATE TABLE gateway_claims (
                        id TEXT NOT NULL PRIMARY KEY,
                        scope BLOB NOT NULL UNIQUE CHECK (length(scope) = 32),
                        request BLOB NOT NULL CHECK (length(request) = 32),
                        payment BLOB NOT NULL CHECK (length(payment) = 32),
                        service TEXT NOT NULL,
                        method TEXT NOT NULL,
                        target TEXT NOT NULL,
                        body BLOB,
                        caller TEXT,
                        agent TEXT,
                        passport TEXT,
                        mint TEXT NOT NULL,
                        unit TEXT NOT NULL,
                        total INTEGER NOT NULL CHECK (total > 0),
                        fee INTEGER NOT NULL CHECK (fee >= 0),
                        price INTEGER NOT NULL CHECK (price > 0),
                        online INTEGER NOT NULL CHECK (online IN (0, 1)),
                        state TEXT NOT NULL CHECK (
                            state IN ('redeeming', 'running', 'interrupted', 'served', 'refunding', 'refunded')
                        ),
                        at INTEGER NOT NULL,
                        settled_at INTEGER,
                        refund TEXT,
                        refund_reason TEXT,
                        kept_until INTEGER
                    ) WITHOUT ROWID, STRICT;
                    CREATE INDEX gateway_claims_open ON gateway_claims (state, at) WHERE state NOT IN ('served', 'refunded');

                    CREATE TABLE gateway_proofs (
                        sequence INTEGER PRIMARY KEY,
                        y BLOB NOT NULL UNIQUE CHECK (length(y) = 33),
                        claim TEXT NOT NULL,
                        mint TEXT NOT NULL,
                        unit TEXT NOT NULL,
                        keyset BLOB NOT NULL,
                        amount INTEGER NOT NULL CHECK (amount > 0),
                        secret TEXT NOT NULL,
                        signature BLOB NOT NULL CHECK (length(signature) = 33),
                        dleq BLOB,
                        state TEXT NOT NULL CHECK (
                            state IN ('held', 'due', 'sent', 'redeemed', 'failed', 'returned', 'online')
                        ),
                        batch TEXT
                    ) STRICT;
                    CREATE INDEX gateway_proofs_claim ON gateway_proofs (claim);
                    CREATE INDEX gateway_proofs_due ON gateway_proofs (mint, unit, sequence) WHERE state = 'due';
                    CREATE INDEX gateway_proofs_batch ON gateway_proofs (batch) WHERE state = 'sent';

                    CREATE TABLE gateway_batches (
                        id TEXT NOT NULL PRIMARY KEY,
                        mint TEXT NOT NULL,
                        unit TEXT NOT NULL,
                        at INTEGER NOT NULL,
                        finished_at INTEGER
                    ) WITHOUT ROWID, STRICT;

                    CREATE TABLE gateway_answers (
                        claim TEXT NOT NULL PRIMARY KEY,
                        status INTEGER NOT NULL,
                        headers BLOB NOT NULL,
                        body BLOB NOT NULL,
                        kept_until INTEGER NOT NULL
                    ) STRICT;
                    CREATE INDEX gateway_answers_end ON gateway_answers (kept_until);

                    CREATE TABLE gateway_receipts (
                        id TEXT NOT NULL PRIMARY KEY,
                        document BLOB NOT NULL
                    ) WITHOUT ROWID, STRICT;

                    CREATE TABLE gateway_outbox (
                        sequence INTEGER PRIMARY KEY,
                        kind TEXT NOT NULL,
                        reference TEXT NOT NULL,
                        at INTEGER NOT NULL
                    ) STRICT;

                    CREATE TABLE gateway_settings (
                        key TEXT NOT NULL PRIMARY KEY,
                        value TEXT NOT NULL
                    ) WITHOUT ROWID, STRICT;
                    """
            ),
            // Claims that were served and whose proofs wait for a batch. Each is a short row at the table's end: turning the
            // proofs' own, long and spread over several pages, is left to the batch, which turns many together.
            Migration(
                id: "gateway-2",
                sql: "CREATE TABLE gateway_served (claim TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID, STRICT"
            ),
            // What is sold over Lightning, and the secrets that credentials are made with. A claim of ecash has no grant: it is
            // in neither of the new indexes, and costs what it did. `online` is 1 in a grant's claim, as there are no proofs.
            Migration(
                id: "gateway-3",
                sql: """
                    ALTER TABLE gateway_claims ADD COLUMN dialect TEXT;
                    ALTER TABLE gateway_claims ADD COLUMN grant_hash BLOB;
                    CREATE INDEX gateway_claims_grant ON gateway_claims (grant_hash) WHERE grant_hash IS NOT NULL;

                    CREATE TABLE gateway_grants (
                        payment_hash BLOB NOT NULL PRIMARY KEY CHECK (length(payment_hash) = 32),
                        asker BLOB NOT NULL CHECK (length(asker) = 32),
                        invoice TEXT NOT NULL,
                        service TEXT NOT NULL,
                        tier INTEGER NOT NULL,
                        methods TEXT NOT NULL,
                        path TEXT NOT NULL,
                        price INTEGER NOT NULL CHECK (price > 0),
                        unit TEXT NOT NULL,
                        calls INTEGER NOT NULL CHECK (calls > 0),
                        msat INTEGER NOT NULL CHECK (msat > 0),
                        call_msat INTEGER NOT NULL CHECK (call_msat > 0 AND call_msat * calls <= msat),
                        used INTEGER NOT NULL DEFAULT 0 CHECK (used BETWEEN 0 AND calls),
                        prepaid INTEGER NOT NULL DEFAULT 0 CHECK (prepaid >= 0),
                        made_at INTEGER NOT NULL,
                        invoice_until INTEGER NOT NULL,
                        valid_until INTEGER NOT NULL,
                        restored INTEGER NOT NULL DEFAULT 0 CHECK (restored >= 0),
                        restored_until INTEGER,
                        paid_at INTEGER
                    ) WITHOUT ROWID, STRICT;
                    CREATE INDEX gateway_grants_asker ON gateway_grants (asker) WHERE paid_at IS NULL;
                    CREATE INDEX gateway_grants_open ON gateway_grants (valid_until) WHERE paid_at IS NULL OR prepaid > 0;
                    CREATE INDEX gateway_grants_end ON gateway_grants (valid_until);

                    CREATE TABLE gateway_keys (
                        sequence INTEGER PRIMARY KEY,
                        id BLOB NOT NULL UNIQUE CHECK (length(id) = 8),
                        sealed BLOB NOT NULL,
                        state TEXT NOT NULL CHECK (state IN ('active', 'retired', 'revoked')),
                        made_at INTEGER NOT NULL,
                        changed_at INTEGER NOT NULL
                    ) STRICT;
                    """
            ),
        ] + x402Migrations + quoteMigrations + sessionMigrations + delegationMigrations + [
            // Proofs that the node's own mint holds from the claim on ([CALL-24]).
            Migration(
                id: "gateway-house-1",
                sql: """
                    ALTER TABLE gateway_proofs ADD COLUMN is_held_at_mint INTEGER NOT NULL DEFAULT 0
                        CHECK (is_held_at_mint IN (0, 1));
                    ALTER TABLE gateway_batches ADD COLUMN is_held_at_mint INTEGER NOT NULL DEFAULT 0
                        CHECK (is_held_at_mint IN (0, 1));
                    """
            ),
            // The receipts in the order in which they were given: a short row at a table's end for each, and none ever goes.
            Migration(
                id: "gateway-receipts-1",
                sql: """
                    CREATE TABLE gateway_receipts_told (
                        sequence INTEGER PRIMARY KEY,
                        receipt TEXT NOT NULL
                    ) STRICT;
                    INSERT INTO gateway_receipts_told (receipt) SELECT id FROM gateway_receipts ORDER BY id;
                    CREATE TRIGGER gateway_receipts_given AFTER INSERT ON gateway_receipts BEGIN
                        INSERT INTO gateway_receipts_told (receipt) VALUES (NEW.id);
                    END;
                    """
            ),
        ]
}
