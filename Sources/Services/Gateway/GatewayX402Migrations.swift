internal import Storage

extension GatewayTables {
    /// Payments of x402's `exact`, and the names that clients gave to payments.
    static let x402Migrations: [Migration] = [
        Migration(
            id: "gateway-x402-1",
            sql: """
                CREATE TABLE gateway_x402 (
                    sequence INTEGER PRIMARY KEY,
                    key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
                    claim TEXT NOT NULL,
                    payer TEXT NOT NULL,
                    unit TEXT NOT NULL,
                    amount INTEGER NOT NULL CHECK (amount > 0),
                    request BLOB NOT NULL,
                    valid_before INTEGER NOT NULL,
                    state TEXT NOT NULL CHECK (state IN ('settling', 'reserved', 'settled', 'dropped', 'lost')),
                    reserved INTEGER NOT NULL CHECK (reserved IN (0, 1)),
                    settlement TEXT,
                    credit_until INTEGER,
                    forgiven INTEGER NOT NULL DEFAULT 0
                ) STRICT;
                CREATE INDEX gateway_x402_claim ON gateway_x402 (claim);
                CREATE INDEX gateway_x402_reserved ON gateway_x402 (sequence) WHERE state = 'reserved';
                CREATE INDEX gateway_x402_lost ON gateway_x402 (payer) WHERE state = 'lost';
                CREATE INDEX gateway_x402_credit ON gateway_x402 (credit_until) WHERE credit_until IS NOT NULL;

                CREATE TABLE gateway_payment_names (
                    name BLOB NOT NULL PRIMARY KEY CHECK (length(name) = 32),
                    scope BLOB NOT NULL CHECK (length(scope) = 32),
                    kept_until INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX gateway_payment_names_scope ON gateway_payment_names (scope);
                CREATE INDEX gateway_payment_names_end ON gateway_payment_names (kept_until);
                """
        )
    ]
}
