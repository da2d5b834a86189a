public import Encodings
public import Logging
public import Storage

/// All of identity, put together: what Node composes and mounts.
public struct IdentityService: Sendable {
    public let nodeKeys: NodeKeys
    public let office: PassportOffice
    public let registry: AgentRegistry
    public let registration: RegistrationDesk
    public let cache: StatusListCache
    public let gate: PassportGate
    /// Resolves the DIDs of others.
    public let didResolver: DIDResolver
    /// The node's own did:webvh.
    public let operatorDID: OperatorDID
    /// The DID documents this node serves.
    public let documents: DIDDocuments
    /// The keys that the node's agents sign requests with, as it publishes them.
    public let keys: KeyBoard
    /// Passports offered to outside wallets.
    public let offers: PassportOffers
    private let logger: Logger

    /// - Parameters:
    ///   - database: with ``IdentitySchema/migrations``.
    ///   - fetcher: how others' lists are fetched; `nil`: over HTTP.
    ///   - didFetcher: how others' DID documents are fetched; `nil`: over HTTPS.
    ///   - keyFetcher: how others' key sets are fetched; `nil`: over HTTPS.
    public init(
        database: Database,
        nodeKeys: NodeKeys,
        configuration: IdentityConfiguration,
        clock: WallClock,
        logger: Logger,
        fetcher: (any StatusListFetching)? = nil,
        didFetcher: (any DIDFetching)? = nil,
        keyFetcher: (any KeySetFetching)? = nil
    ) async throws {
        self.nodeKeys = nodeKeys
        self.logger = logger
        let office = try await PassportOffice(
            database: database,
            signer: nodeKeys.node,
            p256: nodeKeys.p256,
            configuration: configuration,
            clock: clock
        )
        let cache = StatusListCache(
            database: database,
            fetcher: fetcher ?? HTTPStatusListFetcher(allowsLocalLists: configuration.allowsLocalLists),
            clock: clock,
            logger: logger
        )
        self.office = office
        self.cache = cache
        didResolver = DIDResolver(
            fetcher: didFetcher ?? HTTPDIDFetcher(allowsLocal: configuration.allowsLocalLists),
            clock: clock
        )
        documents = DIDDocuments(office)
        offers = PassportOffers(office: office)
        operatorDID = OperatorDID(database: database, vault: nodeKeys.vault, office: office)
        registry = AgentRegistry(database: database, nodeKeys: nodeKeys, office: office)
        registration = RegistrationDesk(database: database, registry: registry, policy: configuration.registration)
        keys = KeyBoard(database: database, nodeKeys: nodeKeys, office: office)
        gate = PassportGate(
            resolver: StatusResolver(office: office, cache: cache),
            clock: clock,
            directories: KeyDirectories(
                own: keys,
                policy: configuration.signatureAgents,
                fetcher: keyFetcher ?? HTTPKeySetFetcher(allowsLocal: configuration.allowsLocalLists),
                clock: clock,
                logger: logger
            )
        )
    }

    /// One round of housekeeping: renews passports that are due and forgets those that lapsed long ago. Failures are
    /// logged and tried again in the next round.
    public func maintain() async {
        do {
            let (renewed, failures) = try await registry.renewDue()
            if !renewed.isEmpty { logger.info("passports renewed", metadata: ["count": "\(renewed.count)"]) }
            for failure in failures {
                logger.error(
                    "passport not renewed",
                    metadata: ["agent": "\(failure.agent)", "error": "\(failure.error)"]
                )
            }
            let purged = try await office.purgeLapsed()
            try await registration.purge()
            try await offers.purge()
            if purged > 0 { logger.info("lapsed passports forgotten", metadata: ["count": "\(purged)"]) }
        } catch {
            logger.error("identity housekeeping failed", metadata: ["error": "\(error)"])
        }
    }

    /// Does ``maintain()`` at once and then every so often, until its task is cancelled.
    public func run(everySeconds interval: Int64 = 30) async {
        while !Task.isCancelled {
            await maintain()
            do {
                try await Task.sleep(for: .seconds(interval))
            } catch {
                return
            }
        }
    }
}
