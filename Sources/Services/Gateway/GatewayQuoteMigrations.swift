internal import Storage

extension GatewayTables {
    /// What was quoted for calls whose payment may come back in part: an ordinary call has no row. And what holders of
    /// passports used, with the free calls that run.
    static let quoteMigrations: [Migration] = [
        Migration(
            id: "gateway-quotes-1",
            sql: """
                CREATE TABLE gateway_quotes (
                    claim TEXT NOT NULL PRIMARY KEY,
                    quoted INTEGER NOT NULL CHECK (quoted >= 0),
                    is_maximum INTEGER NOT NULL CHECK (is_maximum IN (0, 1)),
                    overpaid INTEGER NOT NULL CHECK (overpaid >= 0),
                    making_fee INTEGER NOT NULL CHECK (making_fee >= 0),
                    per_unit INTEGER NOT NULL CHECK (per_unit > 0),
                    used TEXT NOT NULL,
                    holder TEXT,
                    charged INTEGER CHECK (charged >= 0),
                    change INTEGER NOT NULL DEFAULT 0 CHECK (change >= 0),
                    token TEXT,
                    state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'due', 'made')),
                    at INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX gateway_quotes_due ON gateway_quotes (at) WHERE state = 'due';

                CREATE TABLE gateway_usage (
                    service TEXT NOT NULL,
                    holder TEXT NOT NULL,
                    measure TEXT NOT NULL,
                    start INTEGER NOT NULL,
                    quantity INTEGER NOT NULL CHECK (quantity >= 0),
                    ends INTEGER NOT NULL,
                    PRIMARY KEY (service, holder, measure, start)
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX gateway_usage_end ON gateway_usage (ends);

                CREATE TABLE gateway_free (
                    id TEXT NOT NULL PRIMARY KEY,
                    service TEXT NOT NULL,
                    holder TEXT NOT NULL,
                    start INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;

                ALTER TABLE gateway_grants ADD COLUMN credit INTEGER NOT NULL DEFAULT 0 CHECK (credit IN (0, 1));
                """
        ),
        // Passes for a time: their calls are counted in memory, and written down by the housekeeping.
        Migration(
            id: "gateway-passes-1",
            sql: """
                ALTER TABLE gateway_grants ADD COLUMN timed INTEGER NOT NULL DEFAULT 0 CHECK (timed IN (0, 1));
                ALTER TABLE gateway_grants ADD COLUMN counted INTEGER NOT NULL DEFAULT 0 CHECK (counted >= 0);
                """
        ),
        // Whether a part of the price goes back where the call breaks its promise.
        Migration(
            id: "gateway-quotes-2",
            sql: """
                ALTER TABLE gateway_quotes ADD COLUMN gives_back INTEGER NOT NULL DEFAULT 0 CHECK (gives_back IN (0, 1));
                """
        ),
    ]
}
