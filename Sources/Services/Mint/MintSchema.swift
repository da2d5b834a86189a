internal import Cashu
package import Storage

extension SQLiteMintStore {
    /// The mint's tables. `y` and `b` are compressed points (33 bytes); amounts are whole units; times are
    /// milliseconds since 1970, a keyset's final expiry seconds.
    ///
    /// A proof is in `mint_proofs` from the moment it is spent or held by a melt, and its primary key is what
    /// makes a second spend impossible. An output is in `mint_promises` from the moment it is signed or held as a
    /// melt's blank output; its primary key makes a second signature impossible.
    package static let migrations = [
        Migration(
            id: "mint-1",
            sql: """
                CREATE TABLE mint_keysets (
                    number INTEGER PRIMARY KEY,
                    id BLOB NOT NULL UNIQUE,
                    unit TEXT NOT NULL,
                    counter INTEGER NOT NULL CHECK (counter >= 0),
                    active INTEGER NOT NULL CHECK (active IN (0, 1)),
                    input_fee_ppk INTEGER NOT NULL CHECK (input_fee_ppk >= 0),
                    final_expiry INTEGER,
                    UNIQUE (unit, counter)
                ) STRICT;
                CREATE UNIQUE INDEX mint_keysets_active ON mint_keysets (unit) WHERE active = 1;

                CREATE TABLE mint_mint_quotes (
                    id TEXT PRIMARY KEY,
                    unit TEXT NOT NULL,
                    amount INTEGER NOT NULL CHECK (amount > 0),
                    request TEXT NOT NULL,
                    payment_hash BLOB NOT NULL UNIQUE CHECK (length(payment_hash) = 32),
                    state INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
                    expiry INTEGER NOT NULL,
                    updated_at INTEGER NOT NULL
                ) STRICT;
                CREATE INDEX mint_mint_quotes_unpaid ON mint_mint_quotes (expiry) WHERE state = 0;

                CREATE TABLE mint_melt_quotes (
                    number INTEGER PRIMARY KEY,
                    id TEXT NOT NULL UNIQUE,
                    unit TEXT NOT NULL,
                    amount INTEGER NOT NULL CHECK (amount > 0),
                    fee_reserve INTEGER NOT NULL CHECK (fee_reserve >= 0),
                    request TEXT NOT NULL,
                    payment_hash BLOB NOT NULL CHECK (length(payment_hash) = 32),
                    state INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
                    expiry INTEGER NOT NULL,
                    updated_at INTEGER NOT NULL,
                    started_at INTEGER,
                    input_total INTEGER NOT NULL DEFAULT 0,
                    input_fee INTEGER NOT NULL DEFAULT 0,
                    preimage BLOB
                ) STRICT;
                CREATE UNIQUE INDEX mint_melt_quotes_one_payment ON mint_melt_quotes (payment_hash) WHERE state > 0;
                CREATE INDEX mint_melt_quotes_unpaid ON mint_melt_quotes (expiry) WHERE state = 0;
                CREATE INDEX mint_melt_quotes_pending ON mint_melt_quotes (id) WHERE state = 1;

                CREATE TABLE mint_proofs (
                    y BLOB PRIMARY KEY CHECK (length(y) = 33),
                    keyset INTEGER NOT NULL REFERENCES mint_keysets (number),
                    amount INTEGER NOT NULL CHECK (amount > 0),
                    pending INTEGER NOT NULL CHECK (pending IN (0, 1)),
                    melt INTEGER REFERENCES mint_melt_quotes (number),
                    witness TEXT
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX mint_proofs_melt ON mint_proofs (melt) WHERE melt IS NOT NULL;

                CREATE TABLE mint_promises (
                    b BLOB PRIMARY KEY CHECK (length(b) = 33),
                    keyset INTEGER NOT NULL REFERENCES mint_keysets (number),
                    amount INTEGER NOT NULL CHECK (amount >= 0),
                    c BLOB,
                    e BLOB,
                    s BLOB,
                    melt INTEGER REFERENCES mint_melt_quotes (number),
                    position INTEGER
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX mint_promises_melt ON mint_promises (melt, position) WHERE melt IS NOT NULL;
                """
        ),
        // Rotation by age; the rate that a quote in a unit without a fixed worth was made at.
        Migration(
            id: "mint-keysets-1",
            sql: """
                ALTER TABLE mint_keysets ADD COLUMN created_at INTEGER;
                UPDATE mint_keysets SET created_at = CAST(strftime('%s', 'now') AS INTEGER) * 1000;
                ALTER TABLE mint_melt_quotes ADD COLUMN msat_per_unit INTEGER;
                """
        ),
        // NUT-20's key of a quote; NUT-19's digests of the requests that were answered.
        Migration(
            id: "mint-conditions-1",
            sql: """
                ALTER TABLE mint_mint_quotes ADD COLUMN public_key BLOB CHECK (length(public_key) = 33);
                ALTER TABLE mint_mint_quotes ADD COLUMN answered BLOB;
                ALTER TABLE mint_melt_quotes ADD COLUMN answered BLOB;
                CREATE TABLE mint_answers (
                    period INTEGER NOT NULL,
                    digest BLOB NOT NULL CHECK (length(digest) = 16),
                    PRIMARY KEY (period, digest)
                ) WITHOUT ROWID, STRICT;
                """
        ),
        // Parts of an invoice (NUT-15).
        Migration(id: "mint-parts-1", sql: "ALTER TABLE mint_melt_quotes ADD COLUMN part_msat INTEGER;"),
        // Blind authentication tokens that were used (NUT-22); they belong to no keyset of the ledger.
        Migration(
            id: "mint-auth-1",
            sql: """
                CREATE TABLE mint_auth_tokens (
                    y BLOB PRIMARY KEY CHECK (length(y) = 33),
                    used_at INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT
                """
        ),
        // Evidence on payments, and freed melts that are looked at again.
        Migration(
            id: "mint-evidence-1",
            sql: """
                CREATE TABLE mint_melt_notes (
                    number INTEGER PRIMARY KEY,
                    quote TEXT NOT NULL,
                    at INTEGER NOT NULL,
                    kind TEXT NOT NULL,
                    text TEXT NOT NULL
                ) STRICT;
                CREATE INDEX mint_melt_notes_quote ON mint_melt_notes (quote, number);
                CREATE TABLE mint_melt_watch (
                    quote TEXT PRIMARY KEY,
                    next_at INTEGER NOT NULL,
                    wait_seconds INTEGER NOT NULL,
                    until INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                CREATE INDEX mint_melt_watch_next ON mint_melt_watch (next_at);
                """
        ),
        // Proof of liabilities: in which epoch a proof was spent and an output signed; the pages of each closed epoch.
        Migration(
            id: "mint-liabilities-1",
            sql: """
                ALTER TABLE mint_proofs ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
                ALTER TABLE mint_promises ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
                CREATE TABLE mint_epochs (
                    epoch INTEGER PRIMARY KEY,
                    closed_at INTEGER NOT NULL,
                    statement TEXT
                ) STRICT;
                CREATE TABLE mint_liability_pages (
                    epoch INTEGER NOT NULL REFERENCES mint_epochs (epoch),
                    keyset INTEGER NOT NULL REFERENCES mint_keysets (number),
                    side INTEGER NOT NULL CHECK (side IN (0, 1)),
                    page INTEGER NOT NULL,
                    first BLOB NOT NULL,
                    hash BLOB NOT NULL,
                    sum INTEGER NOT NULL,
                    count INTEGER NOT NULL,
                    PRIMARY KEY (epoch, keyset, side, page)
                ) WITHOUT ROWID, STRICT;
                """
        ),
    ]
}

/// An input on its way into `mint_proofs`.
struct ProofRow: Sendable {
    private let y: [UInt8]
    private let arguments: [SQLValue]
    private let epoch: OpenEpoch

    /// - Parameter melt: the number of the melt quote that holds or spends it.
    init(_ proof: SpentProof, keyset: KeysetNumbers.Entry, melt: Int64?, isPending: Bool) throws {
        y = proof.y
        epoch = keyset.epoch
        arguments = [
            .blob(proof.y), .integer(keyset.number), try .amount(proof.amount), .bool(isPending), .optional(melt),
            .optional(proof.witness),
        ]
    }

    /// - Throws: `MintError` 11001 or 11002 where the proof is there already.
    func insert(in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO mint_proofs (y, keyset, amount, pending, melt, witness, epoch) VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (y) DO NOTHING
            """,
            arguments: arguments + [.integer(epoch.number)]
        )
        guard connection.changes == 0 else { return }
        let row = try connection.first("SELECT pending FROM mint_proofs WHERE y = ?", .blob(y))
        if try row?.bool(0) ?? false {
            throw MintError(
                .proofsPending,
                "a proof is held by a payment that is under way; try again once it has ended"
            )
        }
        throw MintError(.proofsAlreadySpent, "a proof is spent already")
    }
}

/// An output on its way into `mint_promises`.
struct PromiseRow: Sendable {
    static let columns = "b, keyset, amount, c, e, s"
    private let blinded: [UInt8]
    private let arguments: [SQLValue]
    private let epoch: OpenEpoch

    /// - Parameters:
    ///   - melt: the melt quote whose change it is; nil for every other promise.
    ///   - position: its place among the melt's change.
    init(_ promise: IssuedPromise, keyset: KeysetNumbers.Entry, melt: Int64? = nil, position: Int? = nil) throws {
        blinded = promise.blinded
        epoch = keyset.epoch
        arguments = [
            .blob(promise.blinded), .integer(keyset.number), try .amount(promise.amount), .blob(promise.signature),
            .blob(promise.challenge), .blob(promise.response), .optional(melt), .optional(position.map(Int64.init)),
        ]
    }

    /// A blank output that a melt holds, without a signature yet.
    init(_ blank: BlankOutput, keyset: KeysetNumbers.Entry, melt: Int64, position: Int) {
        blinded = blank.blinded
        epoch = keyset.epoch
        arguments = [
            .blob(blank.blinded), .integer(keyset.number), 0, .null, .null, .null, .integer(melt), .int(position),
        ]
    }

    /// - Throws: `MintError` 11003 or 11004 where the output is there already.
    func insert(in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO mint_promises (b, keyset, amount, c, e, s, melt, position, epoch)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (b) DO NOTHING
            """,
            arguments: arguments + [.integer(epoch.number)]
        )
        guard connection.changes == 0 else { return }
        let row = try connection.first("SELECT c IS NULL FROM mint_promises WHERE b = ?", .blob(blinded))
        if try row?.bool(0) ?? false {
            throw MintError(.outputsPending, "an output is held by a payment that is under way")
        }
        throw MintError(.outputsAlreadySigned, "an output was signed already; restore it (NUT-09) or make a new one")
    }
}
