internal import Cashu
public import Encodings
public import Lightning
public import Logging
public import SignedDocuments
public import Storage
internal import Synchronization
public import Workers

/// A Cashu mint: it issues ecash for Lightning payments, swaps it, and pays Lightning invoices for it (NUT-00 to 12, 14,
/// 19, 20, 23 and 29).
///
/// What it promises, whatever happens to the process, the disk or the backend:
/// - A proof is spent once, an output signed once, a quote issued once, an invoice paid once: each is a unique key of
///   one table, written in the same transaction as what it pays for.
/// - A payment of unknown outcome holds its proofs until the outcome is known.
/// - Every movement is in the ledger; no keyset redeems more than it issued.
///
/// A request whose answer was lost gets the same answer when it comes again, body for body, within the time that
/// `/v1/info` tells (NUT-19). After that its inputs are spent (11001), and the wallet asks for the signatures with NUT-09,
/// which always answers.
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
    /// Bytes of requests' bodies that are being read or worked on.
    let bodies: ByteBudget
    /// Who is let in; nil: everyone.
    let authenticator: MintAuthenticator?
    /// Who watches what (NUT-17).
    let feed: Mutex<MintFeed>
    /// Holds the private keys; nothing else of the mint does.
    let signatory: any Signatory
    /// Set while a keyset is being put in another's place.
    let isRotating = Mutex(false)
    /// Signs statements of liabilities; nil: the mint makes none.
    let statementSigner: DocumentSigner?
    /// Set while a statement is being made.
    let isProving = Mutex(false)
    let pageGate = AdmissionGate(limit: 4, name: "pages of liabilities")
    let ringBox: Mutex<KeysetRing>

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
    ///   - issuerDocuments: how the OpenID issuer of `configuration.authentication` is asked; needed where that is set.
    ///   - statementSigner: whose key signs the statements of liabilities.
    /// - Throws: `MintSetupError`, `StorageError`.
    public convenience init(
        database: Database,
        seed: [UInt8],
        lightning: any LightningBackend,
        workers: WorkerPool,
        clock: WallClock,
        configuration: MintConfiguration,
        issuerDocuments: (any IssuerDocuments)? = nil,
        statementSigner: DocumentSigner? = nil,
        logger: Logger
    ) async throws {
        try await self.init(
            store: SQLiteMintStore(database: database),
            signatory: InProcessSignatory(seed: seed, workers: workers),
            lightning: lightning,
            workers: workers,
            clock: clock,
            configuration: configuration,
            issuerDocuments: issuerDocuments,
            statementSigner: statementSigner,
            logger: logger
        )
    }

    /// With a store that the caller uses too, and keys that another may hold.
    package init(
        store: any MintStore,
        signatory: any Signatory,
        lightning: any LightningBackend,
        workers: WorkerPool,
        clock: WallClock,
        configuration: MintConfiguration,
        issuerDocuments: (any IssuerDocuments)? = nil,
        statementSigner: DocumentSigner? = nil,
        logger: Logger
    ) async throws {
        try configuration.validate()
        self.configuration = configuration
        self.store = store
        self.signatory = signatory
        self.lightning = lightning
        self.workers = workers
        self.clock = clock
        self.statementSigner = statementSigner
        self.logger = logger
        backendGate = AdmissionGate(limit: configuration.limits.backendCallsAtOnce, name: "calls to the Lightning node")
        bodies = ByteBudget(limit: configuration.limits.bodyBytesAtOnce)
        authenticator = try await Self.authenticator(
            configuration.authentication,
            signatory: signatory,
            documents: issuerDocuments,
            clock: clock,
            logger: logger
        )
        feed = Mutex(MintFeed(configuration.subscriptions))
        meltGate = AdmissionGate(limit: configuration.limits.meltsAtOnce, name: "payments")
        let keeper = KeysetKeeper(store: store, signatory: signatory, configuration: configuration)
        ringBox = Mutex(try await keeper.open(at: clock.now()))
        let open = OpenQuotes(
            mint: try await store.unpaidMintQuoteCount(),
            melt: try await store.unpaidMeltQuoteCount()
        )
        openQuotes.withLock { $0 = open }
    }

    /// Bytes of requests' bodies that are held now, for tests.
    package var bodyBytesHeld: Int { bodies.bytesHeld }

    /// The keysets of this moment.
    var ring: KeysetRing {
        let now = clock.now().unixSeconds
        return ringBox.withLock { ring in
            // Made anew where an active keyset has expired since; the ids were found right when the keysets were opened.
            if now >= ring.validBefore, let fresh = try? KeysetRing(ring.all, now: now) { ring = fresh }
            return ring
        }
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
