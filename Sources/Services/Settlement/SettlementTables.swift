public import Storage

/// The tables of settlements on a chain.
public enum SettlementTables {
    public static let migrations: [Migration] = [
        Migration(
            id: "settlement-1",
            sql: """
                CREATE TABLE settlement_intents (
                    id TEXT NOT NULL PRIMARY KEY,
                    request BLOB NOT NULL CHECK (length(request) = 32),
                    chain TEXT NOT NULL,
                    network TEXT NOT NULL,
                    contract BLOB NOT NULL CHECK (length(contract) = 20),
                    payer BLOB NOT NULL CHECK (length(payer) = 20),
                    authorization BLOB NOT NULL CHECK (length(authorization) = 32),
                    amount TEXT NOT NULL,
                    call BLOB NOT NULL,
                    since INTEGER NOT NULL,
                    nonce INTEGER NOT NULL CHECK (nonce >= 0),
                    state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'failed')),
                    reason TEXT,
                    outcome BLOB,
                    at INTEGER NOT NULL,
                    ended_at INTEGER
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX settlement_intents_open ON settlement_intents (chain, nonce) WHERE state = 'open';
                CREATE INDEX settlement_intents_ended ON settlement_intents (ended_at) WHERE ended_at IS NOT NULL;

                CREATE TABLE settlement_transactions (
                    sequence INTEGER PRIMARY KEY,
                    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
                    intent TEXT NOT NULL,
                    raw BLOB NOT NULL,
                    at INTEGER NOT NULL
                ) STRICT;
                CREATE INDEX settlement_transactions_intent ON settlement_transactions (intent);

                CREATE TABLE settlement_accounts (
                    chain TEXT NOT NULL,
                    address BLOB NOT NULL CHECK (length(address) = 20),
                    next INTEGER NOT NULL CHECK (next >= 0),
                    PRIMARY KEY (chain, address)
                ) WITHOUT ROWID, STRICT;
                """
        ),
        AnchorStore.migration,
    ]
}
