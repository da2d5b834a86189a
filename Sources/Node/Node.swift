internal import AsyncHTTPClient
internal import AuditLog
internal import Budgets
internal import Cashu
internal import CoreMetrics
internal import Cryptography
internal import Encodings
internal import Foundation
internal import Gateway
internal import Hummingbird
internal import Identity
internal import Lightning
internal import LightningBackends
internal import Logging
internal import Market
internal import Mint
internal import NIOCore
internal import NIOPosix
internal import Settlement
internal import SignedDocuments
internal import Storage
internal import Trading
internal import Wallet
internal import Workers

/// One node: its data directory, keys, databases and services, put together.
///
/// Opening it takes the directory's lock; `run` listens until it is told to stop, and closes everything in the
/// order that loses nothing.
public final class Node: Sendable {
    /// Where a running node can be reached.
    public enum Doors: Sendable {
        /// The public address and the operator's socket.
        case everything
        /// The operator's socket alone, for the length of one command.
        case operatorSocket
    }

    let configuration: NodeConfiguration
    let directory: DataDirectory
    let database: Database
    /// Up where the database may be an older copy; no money moves then.
    let fence: EpochFence
    /// Whether the store answers.
    let probe: HealthProbe
    let backups: BackupMaker
    let http: HTTPClient
    let workers: WorkerPool
    let metrics: PrometheusMetrics
    let lightning: NodeLightning?
    let identity: IdentityService
    let mint: Mint?
    let wallet: Wallet
    let buyer: Buyer
    let chains: NodeChains
    let gateway: Gateway
    let settlement: NodeSettlement?
    let anchor: NodeAnchor?
    let log: AuditLog
    let budgets: BudgetOffice
    let delegatedPurse: DelegatedPurse
    let cosigning: Cosigning?
    /// Nil where it is turned off.
    let gossip: GossipNode?
    /// What is sold here and elsewhere; nil where gossip is turned off.
    let market: MarketPart?
    /// Whether what is sold elsewhere is there; nil where gossip is turned off.
    let liveness: LivenessPart?
    /// What is published of own calls and gathered of others'; nil where gossip is turned off.
    let ratings: RatingsPart?
    /// Jobs by escrow, sold and bought.
    let sellerDesk: SellerDesk
    let buyerDesk: BuyerDesk
    /// Jobs of others that this node decides.
    let arbiterDesk: ArbiterDesk
    let arbiters: ArbiterLookup
    /// Bonds that back promises: this node's, and those that it keeps for others.
    let bonds: NodeBonds
    /// Calls for bids of this node's own, and bids on others'.
    let callDesk: CallDesk
    let bidDesk: BidDesk
    /// How calls with others went, and what is thought of them for it.
    let calls: CallBook
    /// What a seller promises of a service, where that is known.
    let promises: @Sendable (DIDKey, String) async -> Listing?
    let logger: Logger

    private init(
        configuration: NodeConfiguration,
        directory: DataDirectory,
        database: Database,
        fence: EpochFence,
        http: HTTPClient,
        workers: WorkerPool,
        metrics: PrometheusMetrics,
        services: NodeServices,
        gossip: GossipNode?,
        market: MarketPart?,
        liveness: LivenessPart?,
        ratings: RatingsPart?,
        calls: CallBook,
        callDesk: CallDesk,
        promises: @escaping @Sendable (DIDKey, String) async -> Listing?,
        logger: Logger
    ) {
        self.configuration = configuration
        self.directory = directory
        self.database = database
        self.fence = fence
        probe = HealthProbe { _ = try await database.fact("node.did") }
        backups = BackupMaker(
            directory: directory,
            database: database,
            nodeKeys: services.identity.nodeKeys,
            clock: .system
        )
        self.http = http
        self.workers = workers
        self.metrics = metrics
        lightning = services.lightning
        identity = services.identity
        mint = services.mint
        wallet = services.wallet
        buyer = services.buyer
        chains = services.chains
        gateway = services.gateway
        settlement = services.settlement
        anchor = services.anchor
        log = services.log
        budgets = services.budgets
        delegatedPurse = services.delegatedPurse
        cosigning = services.cosigning
        sellerDesk = services.sellerDesk
        buyerDesk = services.buyerDesk
        arbiterDesk = services.arbiterDesk
        arbiters = services.arbiters
        bonds = services.bonds
        bidDesk = services.bidDesk
        self.callDesk = callDesk
        self.gossip = gossip
        self.market = market
        self.liveness = liveness
        self.ratings = ratings
        self.calls = calls
        self.promises = promises
        self.logger = logger
    }

    /// Opens the data directory and everything in it.
    /// - Parameter passphrase: what the keys are sealed with.
    /// - Throws: an error whose text says what to do; nothing is left half-written.
    public static func open(_ configuration: NodeConfiguration, passphrase: [UInt8]) async throws -> Node {
        let directory = try DataDirectory(path: configuration.dataDirectory)
        let logger = Logger(label: "mintmark")
        let nodeKeys = try await keys(configuration, in: directory, passphrase: passphrase, logger: logger)
        do {
            return try await open(configuration, in: directory, nodeKeys: nodeKeys, logger: logger)
        } catch {
            await nodeKeys.close()
            throw error
        }
    }

    private static func open(
        _ given: NodeConfiguration,
        in directory: DataDirectory,
        nodeKeys: NodeKeys,
        logger: Logger
    ) async throws -> Node {
        var configuration = given
        try await configuration.settlePort()
        let database = try Database(
            path: directory.file(NodeFiles.database),
            migrations: IdentitySchema.migrations + Mint.migrations + Wallet.migrations + GatewayTables.migrations
                + SettlementTables.migrations + AuditLogTables.migrations + BudgetTables.migrations
                + JobTables.migrations + BondTables.migrations + CallTables.migrations + CallBook.migrations,
            logger: logger
        )
        let owner = try await database.keep(nodeKeys.node.did.string, forKey: "node.did")
        guard owner == nodeKeys.node.did.string else {
            await database.close()
            throw StorageError(
                .foreign,
                "\(database.path) belongs to the node \(owner), but the keys beside it are those of"
                    + " \(nodeKeys.node.did): put back the files that belong together"
            )
        }
        let metrics = PrometheusMetrics.shared
        let http = HTTPClient(
            eventLoopGroupProvider: .singleton,
            configuration: HTTPMint.clientConfiguration
        )
        let workers = WorkerPool(threads: max(System.coreCount - 1, 1))
        do {
            let services = try await NodeServices.compose(
                configuration: configuration,
                nodeKeys: nodeKeys,
                database: database,
                http: http,
                workers: workers,
                logger: logger
            )
            let fence: EpochFence
            let gossip: GossipNode?
            let market: MarketPart?
            do {
                try await services.bonds.desk.announce()
                fence = try await Self.fence(
                    in: directory,
                    database: database,
                    gateway: services.gateway,
                    logger: logger
                )
                gossip = try await GossipNode.open(configuration, in: directory, nodeKeys: nodeKeys, logger: logger)
                if let gossip, let settings = configuration.gossip {
                    market = Self.join(gossip, services, configuration, settings, fence: fence, logger: logger)
                } else {
                    market = nil
                }
            } catch {
                await services.lightning?.shutdown()
                throw error
            }
            let promises = Self.promises(services, market)
            let ratings = gossip.map { RatingStore(database: $0.cache) }
            let calls = Self.callBook(database, services, configuration, ratings, listing: promises, logger: logger)
            let callDesk = Self.callDesk(database, services, configuration, calls, logger: logger)
            Self.join(callDesk, gossip, market, services, calls, fence: fence, logger: logger)
            return Node(
                configuration: configuration,
                directory: directory,
                database: database,
                fence: fence,
                http: http,
                workers: workers,
                metrics: metrics,
                services: services,
                gossip: gossip,
                market: market,
                liveness: Self.liveness(
                    gossip,
                    market,
                    services,
                    configuration,
                    calls: calls,
                    fence: fence,
                    logger: logger
                ),
                ratings: Self.ratings(
                    gossip,
                    market,
                    ratings,
                    database,
                    services,
                    configuration,
                    calls,
                    fence: fence,
                    logger: logger
                ),
                calls: calls,
                callDesk: callDesk,
                promises: promises,
                logger: logger
            )
        } catch {
            try? await http.shutdown()
            await workers.stop()
            await database.close()
            throw error
        }
    }

    /// Records, and by them the news of status lists and what is for sale, come from whom the node's services and its operator
    /// trust.
    private static func join(
        _ gossip: GossipNode,
        _ services: NodeServices,
        _ configuration: NodeConfiguration,
        _ settings: GossipSettings,
        fence: EpochFence,
        logger: Logger
    ) -> MarketPart {
        let (gateway, own) = (services.gateway, services.identity.office.issuer)
        let named = settings.trustedIssuers.union(configuration.reputationSeeds)
        let records = RecordsPart(
            cache: gossip.cache,
            identity: services.identity,
            trusted: {
                let sold = gateway.services.flatMap { $0.passport?.trustedIssuers ?? [] }
                return Set(sold.compactMap { try? DIDKey(parsing: $0) }).union(named).union([own])
            },
            settings: settings.postage,
            postage: settings.postage.entry.map {
                Postage(
                    buyer: services.buyer,
                    entry: $0,
                    maximum: settings.postage.maximum,
                    unit: settings.postage.unit
                )
            },
            clock: .system,
            logger: logger
        )
        gossip.join(records)
        gateway.onServicesChange { [weak records] in await records?.trustChanged() }
        let market = MarketPart(
            index: ListingIndex(database: gossip.cache, clock: .system, allowsLocal: configuration.isLoopback),
            records: records,
            author: services.identity.nodeKeys.node.did,
            // Behind the fence nothing is sold, and what was sold may be another list.
            listings: { fence.raised == nil ? gateway.listings() : nil },
            clock: .system,
            logger: logger
        )
        gossip.join(market)
        gateway.onServicesChange { [weak market] in market?.servicesChanged() }
        return market
    }

    /// Looks whether the database is the one that was last at work here. Where not, no money moves, and ecash is not
    /// taken offline even after the operator confirmed, until he resumes that too.
    private static func fence(
        in directory: DataDirectory,
        database: Database,
        gateway: Gateway,
        logger: Logger
    ) async throws -> EpochFence {
        let fence = try await EpochFence.open(in: directory, database: database, clock: .system)
        if let raised = fence.raised {
            try await gateway.stopOfflineAcceptance(reason: "The node was set back to an older copy of its database.")
            logger.warning(
                "no money moves until you look: `mintmark restore status`, then `mintmark restore confirm`",
                metadata: ["why": "\(raised.sentence)"]
            )
        }
        return fence
    }

    /// What the node shows of itself and its agents.
    var showcase: Showcase {
        Showcase(
            identity,
            store: NodeStorefront(
                gateway: gateway,
                anchor: anchor?.anchor,
                origin: configuration.publicURL,
                isOnMarket: market != nil
            )
        )
    }

    /// The same with what is known of the gossip network now.
    func currentFacts() async -> NodeFacts {
        var facts = facts
        facts.gossip = await gossip?.facts()
        return facts
    }

    public var facts: NodeFacts {
        NodeFacts(
            did: identity.office.issuer.string,
            publicURL: configuration.publicURL,
            dataDirectory: configuration.dataDirectory,
            mintURL: mint == nil ? nil : configuration.ownMintURL,
            lightning: lightning?.shown ?? "none",
            settlementAccount: settlement.map { "\($0.settler.account)" } ?? anchor.map { "\($0.anchor.account)" },
            isTestMoney: configuration.network != .mainnet,
            sellerKey: Hex.encode(
                Secp256k1.Point(multiplyingGeneratorBy: identity.nodeKeys.sellerKey).compressed
            )
        )
    }
}
