internal import AsyncHTTPClient
internal import AuditLog
internal import Budgets
internal import Cashu
internal import Cryptography
internal import Delegation
internal import Encodings
internal import Foundation
internal import Gateway
internal import Identity
internal import Lightning
internal import LightningBackends
internal import Logging
internal import Mint
internal import NIOCore
internal import NIOPosix
internal import Passports
internal import Paywall
internal import SignedDocuments
internal import Storage
internal import Trading
internal import Wallet
internal import WebClient
internal import Workers

/// The node's services, each made from those before it.
struct NodeServices: Sendable {
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
    let sellerDesk: SellerDesk
    let bidDesk: BidDesk
    let buyerDesk: BuyerDesk
    let arbiterDesk: ArbiterDesk
    let arbiters: ArbiterLookup
    let bonds: NodeBonds

    static func compose(
        configuration: NodeConfiguration,
        nodeKeys: NodeKeys,
        database: Database,
        http: HTTPClient,
        workers: WorkerPool,
        logger: Logger
    ) async throws -> NodeServices {
        let lightning = try await NodeLightning(
            configuration,
            nodeKeys: nodeKeys,
            database: database,
            logger: logger
        )
        do {
            return try await compose(
                lightning,
                configuration: configuration,
                nodeKeys: nodeKeys,
                database: database,
                http: http,
                workers: workers,
                logger: logger
            )
        } catch {
            await lightning?.shutdown()
            throw error
        }
    }

    private static func compose(
        _ lightning: NodeLightning?,
        configuration: NodeConfiguration,
        nodeKeys: NodeKeys,
        database: Database,
        http: HTTPClient,
        workers: WorkerPool,
        logger: Logger
    ) async throws -> NodeServices {
        let clock = WallClock.system
        let identity = try await IdentityService(
            database: database,
            nodeKeys: nodeKeys,
            configuration: identityConfiguration(configuration),
            clock: clock,
            logger: logger
        )
        let budgets = BudgetOffice(database: database, signer: nodeKeys.node, clock: clock) {
            [registry = identity.registry] in
            await Self.authority(of: $0, node: nodeKeys.node.did, registry)
        }
        identity.office.revocationHooks.add { try BudgetOffice.note($0, in: $1) }
        let mintStore = try await SQLiteMintStore(database: database)
        let mint = try await mint(
            configuration,
            nodeKeys: nodeKeys,
            store: mintStore,
            lightning: lightning?.mint,
            http: http,
            workers: workers,
            logger: logger
        )
        let plainHosts = configuration.plainHTTPHosts
        let wallet = try await Wallet(
            database: database,
            seed: nodeKeys.walletSeed,
            mints: HTTPMintConnector(client: http),
            lightning: lightning?.wallet,
            clock: clock,
            configuration: WalletConfiguration(plainHTTPHosts: plainHosts),
            logger: logger
        )
        let chains = try NodeChains(configuration.walletEVM)
        let buyer = Buyer(
            wallet: wallet,
            client: http,
            chains: chains.chains,
            configuration: BuyerConfiguration(
                plainHTTPHosts: plainHosts,
                lockSeconds: configuration.walletLockSeconds,
                network: LightningNetwork(rawValue: configuration.network.rawValue) ?? .mainnet,
                assets: configuration.walletEVM.assets,
                rates: configuration.walletEVM.rates
            )
        )
        let settlement = try NodeSettlement(configuration, nodeKeys: nodeKeys, database: database, logger: logger)
        let anchor = try NodeAnchor(configuration, nodeKeys: nodeKeys, database: database, logger: logger)
        let log = try await AuditLog(
            database: database,
            key: try CheckpointKey(nodeKeys.node),
            origin: Self.logOrigin(configuration.publicURL),
            sources: [ReceiptOutbox(), Outbox()],
            clock: clock,
            logger: logger
        )
        let house = NodeHouseMint(mintStore, mint: mint, url: try MintURL(configuration.ownMintURL))
        let gateway = Gateway(
            database: database,
            purse: WalletPurse(
                wallet: wallet,
                acceptedMints: try configuration.allAcceptedMints.map { try MintURL($0) },
                house: house,
                sellerSecret: nodeKeys.sellerKey
            ),
            house: house,
            callers: PassportCallerCheck(identity.gate),
            workers: workers,
            sellerSecret: nodeKeys.sellerKey,
            sealingKey: nodeKeys.paywallKey,
            invoices: sellerInvoices(configuration, lightning: lightning?.mint, logger: logger),
            signer: nodeKeys.node,
            group: MultiThreadedEventLoopGroup.singleton,
            clock: clock,
            configuration: try gatewayConfiguration(configuration, sale: settlement?.sale, logOrigin: { log.origin }),
            budgets: budgets,
            logger: logger
        )
        let buyerDesk = BuyerDesk(
            database: database,
            wallet: wallet,
            signer: nodeKeys.node,
            clock: clock,
            logger: logger,
            post: jobPost(http)
        )
        let bidDesk = try bidDesk(configuration, gateway, wallet, nodeKeys, database: database, logger: logger)
        return NodeServices(
            lightning: lightning,
            identity: identity,
            mint: mint,
            wallet: wallet,
            buyer: buyer,
            chains: chains,
            gateway: gateway,
            settlement: settlement,
            anchor: anchor,
            log: log,
            budgets: budgets,
            delegatedPurse: DelegatedPurse(
                office: budgets,
                line: HTTPAccountingLine(client: http, plainHTTPHosts: plainHosts),
                clock: clock,
                logger: logger
            ),
            cosigning: cosigning(log, witnesses: configuration.logWitnesses, http: http, logger: logger),
            sellerDesk: SellerDesk(
                database: database,
                wallet: wallet,
                services: GatewayJobs(gateway: gateway),
                signer: nodeKeys.node,
                keySecret: Sealing.deriveKey(from: nodeKeys.paywallKey, label: "mintmark/jobs/delivery-keys/1"),
                acceptedMints: try configuration.allAcceptedMints.map { try MintURL($0) },
                isBid: { try await bidDesk.isQuote($0) },
                clock: clock,
                logger: logger,
                post: jobPost(http)
            ),
            bidDesk: bidDesk,
            buyerDesk: buyerDesk,
            arbiterDesk: ArbiterDesk(
                database: database,
                wallet: wallet,
                signer: nodeKeys.node,
                withinSeconds: configuration.arbiterSeconds,
                mints: try configuration.allAcceptedMints.map { try MintURL($0) },
                clock: clock,
                logger: logger
            ),
            arbiters: ArbiterLookup(HTTPExchange(http)),
            bonds: NodeBonds(
                keeper: BondKeeper(
                    database: database,
                    wallet: wallet,
                    signer: nodeKeys.node,
                    isOpen: configuration.arbiterSeconds != nil,
                    mints: try configuration.allAcceptedMints.map { try MintURL($0) },
                    clock: clock,
                    logger: logger
                ),
                desk: BondDesk(
                    database: database,
                    wallet: wallet,
                    signer: nodeKeys.node,
                    clock: clock,
                    logger: logger,
                    post: jobPost(http),
                    onBacking: { await gateway.back(with: $0) }
                ),
                claims: BondClaims(
                    database: database,
                    wallet: wallet,
                    jobs: buyerDesk,
                    signer: nodeKeys.node,
                    clock: clock,
                    logger: logger,
                    post: jobPost(http)
                )
            )
        )
    }

    /// How jobs are spoken of with other nodes.
    private static func jobPost(_ http: HTTPClient) -> BuyerDesk.Post {
        // An answer in base64url, and the documents around it.
        let limit = 3 << 20
        let exchange = HTTPExchange(http, timeoutMilliseconds: 120_000)
        return { url, body in try await exchange.send(url, post: body, limit: limit) }
    }

    /// Whose chains have an account here: the node's own, and its active agents'. An agent whose spend limit cannot be
    /// counted has none.
    private static func authority(of did: DIDKey, node: DIDKey, _ registry: AgentRegistry) async -> RootAuthority? {
        if did == node { return RootAuthority() }
        guard let agent = try? await registry.agent(did.string), agent.did == did, agent.state == .active else {
            return nil
        }
        guard let limit = agent.spendLimit else { return RootAuthority(agentID: agent.id) }
        guard let unit = limit.unit,
            let budget = try? Budget(limit.amountMinor, unit: unit, periodSeconds: limit.periodSeconds)
        else { return nil }
        return RootAuthority(agentID: agent.id, limit: budget) { since, connection in
            try Wallet.spent(by: agent.id, unit: budget.unit, since: since, in: connection)
        }
    }

    /// Calls are sold through the mint's account. Not where the backend shows preimages to whoever asks once an invoice is paid:
    /// there, paying for one call would let others have it too ([LSAT-8]).
    private static func sellerInvoices(
        _ configuration: NodeConfiguration,
        lightning: (any LightningBackend)?,
        logger: Logger
    ) -> (any SellerInvoices)? {
        guard let lightning else { return nil }
        guard configuration.lightning != .lnbits else {
            logger.notice("no calls are sold over Lightning: LNbits shows the preimages of paid invoices to anybody")
            return nil
        }
        return LightningInvoices(
            lightning,
            feePermille: configuration.feeReservePermille,
            leastFeeMsat: configuration.feeReserveSat * 1000
        )
    }

    private static func cosigning(
        _ log: AuditLog,
        witnesses: [LogWitness],
        http: HTTPClient,
        logger: Logger
    ) -> Cosigning? {
        guard !witnesses.isEmpty else { return nil }
        let exchange = HTTPExchange(http)
        return Cosigning(
            log: log,
            witnesses: witnesses,
            exchange: { url, body, limit in try await exchange.send(url, post: body, limit: limit) },
            logger: logger
        )
    }

    /// The log's address without its scheme (C2SP tlog-tiles, "Parameters").
    private static func logOrigin(_ publicURL: String) -> String {
        let start = publicURL.range(of: "://")?.upperBound ?? publicURL.startIndex
        return publicURL[start...] + "/log"
    }

    private static func identityConfiguration(_ configuration: NodeConfiguration) -> IdentityConfiguration {
        var identity = IdentityConfiguration(publicURL: configuration.publicURL)
        identity.registration = configuration.registration
        identity.signatureAgents = configuration.signatureAgents
        identity.allowsLocalLists = configuration.isLoopback
        // A verifier may ask for a list a second or two old; signing one anew costs microseconds.
        identity.listResignSeconds = 1
        return identity
    }

    private static func mint(
        _ configuration: NodeConfiguration,
        nodeKeys: NodeKeys,
        store: SQLiteMintStore,
        lightning: (any LightningBackend)?,
        http: HTTPClient,
        workers: WorkerPool,
        logger: Logger
    ) async throws -> Mint? {
        guard configuration.isMintEnabled, let lightning else { return nil }
        var settings = MintConfiguration(
            units: try configuration.mintUnitSettings(),
            rotationSeconds: configuration.mintRotateDays.map { $0 * 86_400 },
            epochSeconds: configuration.mintEpochHours.map { $0 * 3600 }
        )
        settings.name = configuration.mintName
        settings.urls = [configuration.ownMintURL]
        settings.feeReserve = .init(
            permille: configuration.feeReservePermille,
            minimumMsat: configuration.feeReserveSat * 1000
        )
        settings.subscriptions.areOn = true
        settings.authentication = try configuration.mintAuthentication?.settings()
        if configuration.network != .mainnet {
            settings.messageOfTheDay = "TEST MONEY: this mint's ecash is worth nothing."
        }
        return try await Mint(
            store: store,
            signatory: try nodeKeys.signatory(workers: workers),
            lightning: lightning,
            workers: workers,
            clock: .system,
            configuration: settings,
            issuerDocuments: HTTPIssuerDocuments(client: http),
            statementSigner: nodeKeys.node,
            logger: logger
        )
    }

    private static func gatewayConfiguration(
        _ configuration: NodeConfiguration,
        sale: ExactSale?,
        logOrigin: @escaping @Sendable () -> String
    ) throws -> GatewayConfiguration {
        var gateway = GatewayConfiguration()
        gateway.exact = sale
        gateway.logOrigin = logOrigin
        gateway.lightningNetwork = LightningNetwork(rawValue: configuration.network.rawValue) ?? .mainnet
        gateway.rates = try PriceRates(configuration.mintRates.map { "\($0.key)=\($0.value)" })
        gateway.rateSource = configuration.rates?.source
        gateway.rateBounds = configuration.rates?.bounds ?? RateBounds()
        gateway.publicOrigins = [configuration.publicURL]
        let networks = try configuration.upstreamNetworks.map { text throws(ConfigurationError) in
            guard let network = IPNetwork(text) else {
                throw ConfigurationError("gateway.upstreamNetworks lists networks such as 10.1.0.0/16, not \(text)")
            }
            return network
        }
        if !networks.isEmpty { gateway.upstreamPolicy = UpstreamPolicy(allowed: networks) }
        gateway.redeemWithinSeconds = configuration.redeemWithinSeconds
        gateway.unredeemedCap = configuration.offlineCap
        return gateway
    }
}
