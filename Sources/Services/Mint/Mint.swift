public import Cashu
public import Encodings
public import Lightning
public import Logging
public import Storage
internal import Synchronization
public import Workers

/// A Cashu mint: it issues ecash for Lightning payments, swaps it, and pays Lightning invoices for it (NUT-00 to 07,
/// 08 to 12 and 23).
///
/// What it promises, whatever happens to the process, the disk or the backend:
/// - A proof is spent once, an output signed once, a quote issued once, an invoice paid once: each is a unique key of
///   one table, written in the same transaction as what it pays for.
/// - A payment of unknown outcome holds its proofs until the outcome is known.
/// - Every movement is in the ledger; no keyset redeems more than it issued.
///
/// A swap whose answer was lost is not answered again: its inputs are spent, and a retry gets 11001. The wallet asks for
/// the signatures with NUT-09, which always answers.
public final class Mint: Sendable {
    /// The tables of the mint; the database must be opened with them.
    public static var migrations: [Migration] { SQLiteMintStore.migrations }

    package let configuration: MintConfiguration
    package let store: any MintStore
    let lightning: any LightningBackend
    let workers: WorkerPool
    let clock: WallClock
    let logger: Logger
    let metrics = MintMetrics()
    let backendGate: AdmissionGate
    let meltGate: AdmissionGate
    /// Melts that this process is paying right now; the recovery leaves them alone.
    let paying = Mutex<Set<String>>([])
    /// Quotes that are open, counted anew at every sweep.
    let openQuotes = Mutex(OpenQuotes())
    private let seed: [UInt8]
    private let ringBox: Mutex<KeysetRing>

    struct OpenQuotes {
        var mint = 0
        var melt = 0
    }

    /// Opens the mint over a database that has `Mint.migrations`, and makes the first keyset of each unit.
    ///
    /// - Parameters:
    ///   - seed: at least 32 secret bytes that all keys derive from. Whoever has them can print money; without them
    ///     the ecash in circulation is worthless.
    ///   - workers: where curve arithmetic runs.
    /// - Throws: `MintSetupError`, `StorageError`.
    public convenience init(
        database: Database,
        seed: [UInt8],
        lightning: any LightningBackend,
        workers: WorkerPool,
        clock: WallClock,
        configuration: MintConfiguration,
        logger: Logger
    ) async throws {
        try await self.init(
            store: SQLiteMintStore(database: database),
            seed: seed,
            lightning: lightning,
            workers: workers,
            clock: clock,
            configuration: configuration,
            logger: logger
        )
    }

    package init(
        store: any MintStore,
        seed: [UInt8],
        lightning: any LightningBackend,
        workers: WorkerPool,
        clock: WallClock,
        configuration: MintConfiguration,
        logger: Logger
    ) async throws {
        try configuration.validate()
        self.configuration = configuration
        self.store = store
        self.seed = seed
        self.lightning = lightning
        self.workers = workers
        self.clock = clock
        self.logger = logger
        backendGate = AdmissionGate(limit: configuration.limits.backendCallsAtOnce, name: "calls to the Lightning node")
        meltGate = AdmissionGate(limit: configuration.limits.meltsAtOnce, name: "payments")
        ringBox = Mutex(KeysetRing(try await Self.openKeysets(store: store, seed: seed, configuration: configuration)))
        let open = OpenQuotes(
            mint: try await store.unpaidMintQuoteCount(),
            melt: try await store.unpaidMeltQuoteCount()
        )
        openQuotes.withLock { $0 = open }
    }

    /// The keysets of this moment.
    var ring: KeysetRing { ringBox.withLock { $0 } }

    // MARK: Keysets

    /// Derives the stored keysets' keys anew and adds one for each configured unit that has none with its fee and expiry.
    private static func openKeysets(
        store: any MintStore,
        seed: [UInt8],
        configuration: MintConfiguration
    ) async throws -> [MintKeyset] {
        for unit in configuration.units {
            let records = try await store.keysets().filter { $0.info.unit == unit.unit }
            let isServed = records.contains { record in
                record.info.isActive && record.info.inputFeePPK == unit.inputFeePPK
                    && record.info.finalExpiry == unit.finalExpiry
            }
            if !isServed { try await addKeyset(unit, after: records, store: store, seed: seed) }
        }
        return try await store.keysets().map { record in
            let keyset = try MintKeyset(
                seed: seed,
                unit: record.info.unit,
                counter: record.counter,
                inputFeePPK: record.info.inputFeePPK,
                finalExpiry: record.info.finalExpiry,
                isActive: record.info.isActive
            )
            guard keyset.id == record.info.id else {
                throw MintSetupError(
                    .wrongSeed,
                    "the mint's seed does not make keyset \(record.info.id) of this database: use the data directory and"
                        + " recovery words that belong together"
                )
            }
            return keyset
        }
    }

    private static func addKeyset(
        _ unit: MintConfiguration.Unit,
        after records: [KeysetRecord],
        store: any MintStore,
        seed: [UInt8]
    ) async throws {
        let counter = (records.map(\.counter).max() ?? 0) + (records.isEmpty ? 0 : 1)
        let keyset = try MintKeyset(
            seed: seed,
            unit: unit.unit,
            counter: counter,
            inputFeePPK: unit.inputFeePPK,
            finalExpiry: unit.finalExpiry
        )
        try await store.add(KeysetRecord(info: keyset.info, counter: counter))
    }

    /// Puts a new keyset of the unit in the place of its active one, which stays redeemable.
    /// - Returns: the new keyset's id.
    /// - Throws: `MintSetupError` for a unit that is not configured; `StorageError`.
    @discardableResult
    public func rotate(_ unit: CurrencyUnit) async throws -> KeysetID {
        guard let settings = configuration.units.first(where: { $0.unit == unit }) else {
            throw MintSetupError(.configuration, "this mint does not deal in \(unit)")
        }
        let records = try await store.keysets().filter { $0.info.unit == unit }
        try await Self.addKeyset(settings, after: records, store: store, seed: seed)
        let keysets = try await Self.openKeysets(store: store, seed: seed, configuration: configuration)
        let ring = KeysetRing(keysets)
        ringBox.withLock { $0 = ring }
        guard let active = ring.active(unit) else {
            throw MintSetupError(.configuration, "the new keyset of \(unit) is not active")
        }
        logger.notice("keyset rotated", metadata: ["unit": "\(unit)", "keyset": "\(active.id)"])
        return active.id
    }

    func settings(_ unit: CurrencyUnit) throws(MintError) -> MintConfiguration.Unit {
        guard let settings = configuration.units.first(where: { $0.unit == unit }) else {
            throw MintError(.unitNotSupported, "this mint does not deal in \(unit)")
        }
        return settings
    }

    /// - Throws: 11006 for an amount outside the unit's limits, which `/v1/info` tells.
    func requireWithinLimits(_ amount: UInt64, _ settings: MintConfiguration.Unit) throws(MintError) {
        guard amount >= settings.minimumAmount, amount <= settings.maximumAmount else {
            throw MintError(
                .amountOutsideLimits,
                "one operation may be for \(settings.minimumAmount) to \(settings.maximumAmount) \(settings.unit),"
                    + " not \(amount)"
            )
        }
    }

    var check: TransactionCheck {
        TransactionCheck(ring: ring, limits: configuration.limits, now: clock.now())
    }
}
