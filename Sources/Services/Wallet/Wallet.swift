public import Cashu
internal import Cryptography
public import Encodings
internal import Ledger
public import Lightning
public import Logging
public import Paywall
public import Storage
internal import Synchronization

/// How a wallet behaves.
public struct WalletConfiguration: Sendable {
    /// Hosts besides loopback that may be reached over plain http.
    public var plainHTTPHosts: Set<String>
    /// How often an operation is sent in one go while no answer comes.
    public var attempts: Int
    /// The most coins that go into one exchange with a mint.
    public var maximumInputs: Int
    /// Waits so many milliseconds; tests put something quicker here.
    public var pause: @Sendable (Int) async -> Void

    public init(
        plainHTTPHosts: Set<String> = [],
        attempts: Int = 3,
        maximumInputs: Int = 100,
        pause: @escaping @Sendable (Int) async -> Void = { try? await Task.sleep(for: .milliseconds($0)) }
    ) {
        self.plainHTTPHosts = plainHTTPHosts
        self.attempts = max(1, attempts)
        self.maximumInputs = min(max(1, maximumInputs), 500)
        self.pause = pause
    }
}

/// Ecash of many mints, in one database. Before anything leaves, what will be sent is on disk; what was sent and not
/// answered is sent again, unchanged, until the outcome is known.
public final class Wallet: Sendable {
    public let configuration: WalletConfiguration
    let database: Database
    let book: MintBook
    let runner: OperationRunner
    let keys: WalletKeys
    let lightning: (any LightningBackend)?
    let clock: WallClock
    let logger: Logger
    let connector: any MintConnector
    let pace: WatchPace
    /// Rings when something that is waited for came, or there is something new to wait for.
    let bell = Bell()
    let watches = Mutex(Watches())
    /// Tokens of the inbox that are being claimed right now.
    let claiming = Mutex<[String: Task<InboxEntry, any Error>]>([:])
    /// Tokens of the inbox whose value is being sent on right now.
    let sendingOn = Mutex<[String: Task<MintSwap, any Error>]>([:])

    /// Every table this room needs, for `Database(migrations:)`.
    public static let migrations = WalletTables.migrations

    /// - Parameters:
    ///   - seed: the 64 bytes that BIP-39 makes of the recovery words.
    ///   - lightning: pays the invoices of `fund`; without one, the invoice is for the user to pay.
    /// - Throws: `seedMismatch` where the database was used with other words.
    public convenience init(
        database: Database,
        seed: [UInt8],
        mints: any MintConnector,
        lightning: (any LightningBackend)? = nil,
        clock: WallClock,
        configuration: WalletConfiguration = WalletConfiguration(),
        logger: Logger
    ) async throws {
        try await self.init(
            database: database,
            seed: seed,
            mints: mints,
            lightning: lightning,
            clock: clock,
            configuration: configuration,
            pace: WatchPace(),
            logger: logger
        )
    }

    init(
        database: Database,
        seed: [UInt8],
        mints: any MintConnector,
        lightning: (any LightningBackend)?,
        clock: WallClock,
        configuration: WalletConfiguration,
        pace: WatchPace,
        logger: Logger
    ) async throws {
        self.configuration = configuration
        self.pace = pace
        connector = mints
        self.database = database
        self.lightning = lightning
        self.clock = clock
        self.logger = logger
        keys = WalletKeys(seed: seed)
        book = MintBook(database: database, connector: mints, clock: clock, logger: logger)
        runner = OperationRunner(
            database: database,
            book: book,
            maker: try OutputMaker(seed: seed),
            keys: keys,
            clock: clock,
            logger: logger,
            attempts: configuration.attempts,
            pause: configuration.pause
        )
        try await Self.bind(database, to: keys.fingerprint)
    }

    /// Ties the database to its seed: counters of one seed mean nothing to another.
    private static func bind(_ database: Database, to fingerprint: [UInt8]) async throws {
        try await database.write { connection in
            try connection.execute(
                "INSERT INTO wallet_meta (name, value) VALUES ('seed', ?) ON CONFLICT (name) DO NOTHING",
                .blob(fingerprint)
            )
            let stored = try connection.first("SELECT value FROM wallet_meta WHERE name = 'seed'")?.blob(0)
            guard stored == fingerprint else {
                throw WalletError(
                    .seedMismatch,
                    "this wallet was made with other recovery words: use those, or an empty data directory"
                )
            }
        }
    }

    /// Takes up what a crash or a lost answer left open: operations, fundings, and coins that came free. Call it at
    /// start, and again from time to time.
    @discardableResult
    public func recover() async throws -> RecoveryReport {
        let operations = try await runner.resume()
        let fundings = try await collectFundings()
        let tokens = try await claimInbox()
        let returned = try await returnLapsedCoins()
        let moved = try await moveRetiringCoins()
        let now = clock.now()
        try await database.write { connection in try SpendingLimits.prune(at: now, in: connection) }
        return RecoveryReport(
            endedOperations: operations.ended,
            unknownOperations: operations.unknown,
            collectedFundings: fundings,
            claimedTokens: tokens,
            returnedCoins: returned,
            movedCoins: moved
        )
    }

    // MARK: Mints

    /// Adds a mint that the user trusts, or trusts one that is in the book, and fetches its terms anew.
    /// - Throws: `invalidArgument`, `mintUnreachable`, `mintUnsuitable` (no proofs of its signatures), `mintDishonest`.
    @discardableResult
    public func addMint(_ address: String) async throws -> MintTerms {
        let url = try MintURL(checking: address, plainHTTPHosts: configuration.plainHTTPHosts)
        let terms = try await book.refresh(url)
        try await database.write { connection in
            try connection.execute("UPDATE wallet_mints SET trusted = 1 WHERE url = ?", .text(url.string))
        }
        return terms
    }

    /// The mints that were added, by address.
    public func mints() async throws -> [MintURL] { try await book.mints() }

    /// What is known of a mint, not older than `maximumAgeSeconds`.
    /// - Throws: `mintUnknown`; `mintUnreachable` where it is older and cannot be fetched.
    public func terms(of mint: MintURL, maximumAgeSeconds: Int64 = 3600) async throws -> MintTerms {
        try await book.terms(mint, maximumAgeSeconds: maximumAgeSeconds, acceptsStale: false)
    }

    /// The key to lock tokens for this wallet to, 33 bytes (NUT-11).
    public func receivingKey() throws -> [UInt8] {
        Secp256k1.Point(multiplyingGeneratorBy: try keys.receiving()).compressed
    }

    // MARK: What there is

    /// What the wallet holds, by mint and unit.
    public func balances() async throws -> [WalletBalance] {
        try await database.read { connection in
            let rows = try connection.rows(
                """
                SELECT mint, unit,
                    sum(CASE WHEN state = 'unspent' AND seller IS NULL THEN amount ELSE 0 END),
                    sum(CASE WHEN state = 'unspent' AND seller IS NOT NULL THEN amount ELSE 0 END),
                    sum(CASE WHEN state = 'reserved' THEN amount ELSE 0 END),
                    sum(CASE WHEN state = 'sent' THEN amount ELSE 0 END)
                FROM wallet_proofs INDEXED BY wallet_proofs_owned
                WHERE state <> 'spent' GROUP BY mint, unit ORDER BY mint, unit
                """
            )
            return try rows.map { row in
                WalletBalance(
                    mint: try MintURL(stored: row.text(0)),
                    unit: try CurrencyUnit(row.text(1)),
                    available: try row.uint64(2),
                    locked: try row.uint64(3),
                    inFlight: try row.uint64(4),
                    sentUnclaimed: try row.uint64(5)
                )
            }
        }
    }

    /// What happened, newest first.
    /// - Parameters:
    ///   - limit: 1 to 1,000.
    ///   - before: the `sequence` of the last entry of the page before.
    public func history(limit: Int = 50, before: Int64? = nil) async throws -> [HistoryEntry] {
        let bounded = min(max(1, limit), 1000)
        return try await database.read { connection in
            try History.entries(limit: bounded, before: before, in: connection)
        }
    }
}

/// What `recover` did.
public struct RecoveryReport: Sendable, Equatable {
    /// Operations whose outcome is known now.
    public var endedOperations: Int
    /// Operations that the mint still does not answer for.
    public var unknownOperations: Int
    public var collectedFundings: Int
    /// Tokens of the inbox that were claimed.
    public var claimedTokens = 0
    /// What came back from sellers' pools, in coins.
    public var returnedCoins: Int
    /// Coins of retiring keysets that were exchanged for new ones.
    public var movedCoins = 0
}

/// What the wallet holds at one mint in one unit.
public struct WalletBalance: Sendable, Equatable {
    public var mint: MintURL
    public var unit: CurrencyUnit
    /// Can be spent on anything now.
    public var available: UInt64
    /// Waits in sellers' pools; what is not used comes back after the locktime.
    public var locked: UInt64
    /// Held by operations and calls under way.
    public var inFlight: UInt64
    /// In tokens that were sent and that nobody claimed yet. No longer counted as ours.
    public var sentUnclaimed: UInt64

    public init(
        mint: MintURL,
        unit: CurrencyUnit,
        available: UInt64,
        locked: UInt64,
        inFlight: UInt64,
        sentUnclaimed: UInt64
    ) {
        self.mint = mint
        self.unit = unit
        self.available = available
        self.locked = locked
        self.inFlight = inFlight
        self.sentUnclaimed = sentUnclaimed
    }
}
