public import Storage

/// The wallet's tables, all prefixed with `wallet_`. Secrets of coins stand here as they are: the file's mode and the
/// data directory's are what guards them, as with cash in a till.
public enum WalletTables {
    public static let migrations = [
        Migration(id: "wallet-1", sql: coins),
        Migration(id: "wallet-2", sql: movements),
        Migration(id: "wallet-3", sql: payments),
        Migration(id: "wallet-4", sql: limits),
        Migration(id: "wallet-5", sql: arrivals),
        Migration(id: "wallet-6", sql: "ALTER TABLE wallet_fundings ADD COLUMN key_nonce BLOB;"),
        Migration(id: "wallet-liabilities-1", sql: liabilities),
        Migration(id: "wallet-7", sql: "ALTER TABLE wallet_operations ADD COLUMN batch TEXT;"),
        Migration(id: "wallet-8", sql: invoiceParts),
        Migration(id: "wallet-invoices-1", sql: invoices),
        // Change that is written down and not claimed yet; most payments have none.
        Migration(
            id: "wallet-change-1",
            sql: """
                CREATE INDEX wallet_payments_change ON wallet_payments (id)
                    WHERE state = 'served' AND refund IS NOT NULL AND returned = 0;
                """
        ),
        Migration(id: "wallet-authorizations-1", sql: authorizations),
        Migration(id: "wallet-sessions-1", sql: sessions),
        Migration(id: "wallet-receipts-1", sql: SettledPayments.tables),
        Migration(id: "wallet-change-2", sql: OwedChange.tables),
        Migration(id: "wallet-shares-1", sql: ShareStore.tables),
        // What the wallet has, without all that it ever spent.
        Migration(
            id: "wallet-9",
            sql: """
                CREATE INDEX wallet_proofs_owned ON wallet_proofs (mint, unit, state, seller, amount) WHERE state <> 'spent';
                """
        ),
    ]

    /// The last statement of liabilities that was found right, per mint.
    private static let liabilities = """
        CREATE TABLE wallet_liabilities (
            mint TEXT PRIMARY KEY,
            statement TEXT NOT NULL,
            signer TEXT NOT NULL,
            seen_at INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        """

    /// Melts that pay one invoice together (NUT-15).
    private static let invoiceParts = """
        CREATE TABLE wallet_invoice_parts (
            operation TEXT PRIMARY KEY,
            payment TEXT NOT NULL,
            payment_hash BLOB NOT NULL,
            place INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_invoice_parts_payment ON wallet_invoice_parts (payment, place);
        CREATE INDEX wallet_invoice_parts_hash ON wallet_invoice_parts (payment_hash);
        """

    private static let coins = """
        CREATE TABLE wallet_meta (
            name TEXT PRIMARY KEY,
            value BLOB NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE TABLE wallet_mints (
            url TEXT PRIMARY KEY,
            info TEXT NOT NULL,
            fetched_at INTEGER NOT NULL,
            clock_skew INTEGER,
            added_at INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE TABLE wallet_keysets (
            mint TEXT NOT NULL REFERENCES wallet_mints (url),
            id BLOB NOT NULL,
            unit TEXT NOT NULL,
            active INTEGER NOT NULL,
            json TEXT NOT NULL,
            PRIMARY KEY (mint, id)
        ) WITHOUT ROWID, STRICT;
        CREATE TABLE wallet_counters (
            keyset BLOB PRIMARY KEY,
            next INTEGER NOT NULL CHECK (next >= 0)
        ) WITHOUT ROWID, STRICT;
        CREATE TABLE wallet_proofs (
            y BLOB PRIMARY KEY,
            mint TEXT NOT NULL,
            unit TEXT NOT NULL,
            keyset BLOB NOT NULL,
            amount INTEGER NOT NULL CHECK (amount > 0),
            fee_ppk INTEGER NOT NULL,
            secret TEXT NOT NULL,
            c BLOB NOT NULL,
            dleq BLOB,
            seller BLOB,
            locktime INTEGER,
            state TEXT NOT NULL CHECK (state IN ('unspent', 'reserved', 'sent', 'spent')),
            holder TEXT,
            made_by TEXT NOT NULL,
            changed_at INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_proofs_available ON wallet_proofs (mint, unit, seller, amount) WHERE state = 'unspent';
        CREATE INDEX wallet_proofs_held ON wallet_proofs (holder) WHERE holder IS NOT NULL;
        """

    private static let movements = """
        CREATE TABLE wallet_operations (
            id TEXT PRIMARY KEY,
            kind TEXT NOT NULL,
            mint TEXT NOT NULL,
            unit TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('planned', 'done', 'refused', 'disputed')),
            inputs TEXT NOT NULL,
            owns_inputs INTEGER NOT NULL,
            plan TEXT NOT NULL,
            quote TEXT,
            reference TEXT,
            input_sum INTEGER NOT NULL,
            melt_amount INTEGER NOT NULL DEFAULT 0,
            fee INTEGER NOT NULL,
            reason TEXT,
            planned_at INTEGER NOT NULL,
            ended_at INTEGER
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_operations_planned ON wallet_operations (planned_at) WHERE state = 'planned';
        CREATE INDEX wallet_operations_reference ON wallet_operations (reference) WHERE reference IS NOT NULL;
        CREATE TABLE wallet_fundings (
            quote TEXT NOT NULL,
            mint TEXT NOT NULL,
            unit TEXT NOT NULL,
            amount INTEGER NOT NULL CHECK (amount > 0),
            invoice TEXT NOT NULL,
            expiry INTEGER,
            state TEXT NOT NULL CHECK (state IN ('open', 'paying', 'issued', 'expired')),
            created_at INTEGER NOT NULL,
            PRIMARY KEY (mint, quote)
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_fundings_open ON wallet_fundings (created_at) WHERE state IN ('open', 'paying');
        CREATE TABLE wallet_tokens (
            id TEXT PRIMARY KEY,
            mint TEXT NOT NULL,
            unit TEXT NOT NULL,
            amount INTEGER NOT NULL,
            token TEXT NOT NULL,
            reference TEXT UNIQUE,
            state TEXT NOT NULL CHECK (state IN ('sent', 'claimed', 'reclaimed')),
            created_at INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_tokens_open ON wallet_tokens (created_at) WHERE state = 'sent';
        CREATE TABLE wallet_redemptions (
            y BLOB PRIMARY KEY,
            operation TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('pending', 'redeemed', 'failed')),
            reason TEXT
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_redemptions_operation ON wallet_redemptions (operation);
        CREATE TABLE wallet_history (
            sequence INTEGER PRIMARY KEY,
            at INTEGER NOT NULL,
            kind TEXT NOT NULL,
            mint TEXT NOT NULL,
            unit TEXT NOT NULL,
            change INTEGER NOT NULL,
            fee INTEGER NOT NULL,
            reference TEXT NOT NULL,
            UNIQUE (kind, reference)
        ) STRICT;
        """

    private static let payments = """
        CREATE TABLE wallet_payments (
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
            amount INTEGER NOT NULL CHECK (amount > 0),
            payment_digest BLOB NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('sent', 'pending', 'served', 'refused', 'refunding', 'refunded')),
            status INTEGER,
            code TEXT,
            receipt_id TEXT,
            receipt TEXT,
            receipt_state TEXT NOT NULL DEFAULT 'none',
            refund TEXT,
            returned INTEGER NOT NULL DEFAULT 0,
            created_at INTEGER NOT NULL,
            changed_at INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE UNIQUE INDEX wallet_payments_key ON wallet_payments (idempotency_key) WHERE state <> 'refused';
        CREATE INDEX wallet_payments_open ON wallet_payments (created_at) WHERE state IN ('sent', 'pending', 'refunding');
        CREATE INDEX wallet_payments_agent ON wallet_payments (agent, unit, created_at);
        CREATE TABLE wallet_prices (
            origin TEXT NOT NULL,
            method TEXT NOT NULL,
            path TEXT NOT NULL,
            request TEXT NOT NULL,
            learned_at INTEGER NOT NULL,
            PRIMARY KEY (origin, method, path)
        ) WITHOUT ROWID, STRICT;
        CREATE TABLE wallet_pools (
            seller BLOB NOT NULL,
            mint TEXT NOT NULL,
            unit TEXT NOT NULL,
            next_calls INTEGER NOT NULL CHECK (next_calls > 0),
            PRIMARY KEY (seller, mint, unit)
        ) WITHOUT ROWID, STRICT;
        """

    private static let limits = """
        CREATE TABLE wallet_limits (
            subject TEXT NOT NULL,
            unit TEXT NOT NULL,
            amount INTEGER NOT NULL CHECK (amount >= 0),
            set_at INTEGER NOT NULL,
            PRIMARY KEY (subject, unit)
        ) WITHOUT ROWID, STRICT;
        CREATE TABLE wallet_spent (
            subject TEXT NOT NULL,
            unit TEXT NOT NULL,
            day INTEGER NOT NULL,
            amount INTEGER NOT NULL CHECK (amount >= 0),
            PRIMARY KEY (subject, unit, day)
        ) WITHOUT ROWID, STRICT;
        CREATE TABLE wallet_spends (
            id TEXT PRIMARY KEY,
            day INTEGER NOT NULL,
            unit TEXT NOT NULL,
            amount INTEGER NOT NULL CHECK (amount >= 0),
            subjects TEXT NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_spends_day ON wallet_spends (day);
        CREATE INDEX wallet_payments_day ON wallet_payments (unit, created_at);
        """

    /// Whom the wallet trusts, what came in, what it asked for, and what moves between mints.
    private static let arrivals = """
        ALTER TABLE wallet_mints ADD COLUMN trusted INTEGER NOT NULL DEFAULT 1;
        ALTER TABLE wallet_mints ADD COLUMN name TEXT;
        CREATE UNIQUE INDEX wallet_mints_name ON wallet_mints (name) WHERE name IS NOT NULL;
        CREATE TABLE wallet_inbox (
            id TEXT PRIMARY KEY,
            mint TEXT NOT NULL,
            unit TEXT NOT NULL,
            amount INTEGER NOT NULL,
            coins INTEGER NOT NULL CHECK (coins > 0),
            token TEXT NOT NULL,
            preimage BLOB,
            request TEXT,
            swap_to TEXT,
            state TEXT NOT NULL CHECK (state IN ('waiting', 'claimed', 'failed')),
            received INTEGER NOT NULL DEFAULT 0,
            fee INTEGER NOT NULL DEFAULT 0,
            reason TEXT,
            attempts INTEGER NOT NULL DEFAULT 0,
            received_at INTEGER NOT NULL,
            changed_at INTEGER
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_inbox_waiting ON wallet_inbox (received_at) WHERE state = 'waiting';
        CREATE INDEX wallet_inbox_to_swap ON wallet_inbox (received_at) WHERE swap_to IS NOT NULL;
        CREATE TABLE wallet_inbox_coins (
            y BLOB PRIMARY KEY,
            inbox TEXT NOT NULL,
            operation TEXT NOT NULL,
            claimed INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_inbox_coins_inbox ON wallet_inbox_coins (inbox);
        CREATE INDEX wallet_inbox_coins_operation ON wallet_inbox_coins (operation);
        CREATE TABLE wallet_crossings (
            id TEXT PRIMARY KEY,
            source TEXT NOT NULL,
            target TEXT NOT NULL,
            unit TEXT NOT NULL,
            amount INTEGER NOT NULL CHECK (amount > 0),
            maximum_fee INTEGER NOT NULL,
            fee INTEGER,
            state TEXT NOT NULL CHECK (state IN ('quoted', 'paying', 'paid', 'done', 'dropped')),
            quote TEXT NOT NULL,
            funding TEXT NOT NULL,
            operation TEXT,
            created_at INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_crossings_operation ON wallet_crossings (operation) WHERE operation IS NOT NULL;
        CREATE INDEX wallet_crossings_funding ON wallet_crossings (target, funding);
        CREATE TABLE wallet_requests (
            id TEXT PRIMARY KEY,
            text TEXT NOT NULL,
            amount INTEGER,
            unit TEXT NOT NULL,
            memo TEXT,
            single_use INTEGER NOT NULL,
            locked INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'paid')),
            holder TEXT,
            received INTEGER NOT NULL,
            created_at INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_requests_holder ON wallet_requests (holder) WHERE holder IS NOT NULL;
        CREATE TABLE wallet_request_payments (
            id TEXT PRIMARY KEY,
            url TEXT NOT NULL,
            request_id TEXT,
            state TEXT NOT NULL CHECK (state IN ('sending', 'paid', 'refused', 'in-band')),
            reason TEXT,
            created_at INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_request_payments_open ON wallet_request_payments (created_at) WHERE state = 'sending';
        """
}
