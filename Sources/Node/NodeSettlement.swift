internal import AsyncHTTPClient
internal import Encodings
internal import Ethereum
internal import Gateway
internal import Identity
internal import Logging
internal import Settlement
internal import Storage

/// The node as an x402 facilitator: it carries out payments on one EVM chain for sellers, from an account of its own.
struct NodeSettlement: Sendable {
    let settler: ChainSettler
    /// What the node's own services are sold for over `exact`; nil where they are not.
    let sale: ExactSale?
    private let client: HTTPClient

    /// - Throws: where the address is none.
    init?(
        _ configuration: NodeConfiguration,
        nodeKeys: NodeKeys,
        database: Database,
        logger: Logger
    ) throws {
        guard let settings = configuration.settlement else { return nil }
        let chain: JSONRPCChain
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: SettlementHTTP.configuration)
        do {
            chain = try JSONRPCChain(url: settings.chainURL, chainID: settings.chainID, client: client)
        } catch {
            try? client.syncShutdown()
            throw ConfigurationError("x402.chainURL: \(error)")
        }
        let settler = ChainSettler(
            chain: chain,
            key: EthereumKey(nodeKeys.settlementKey),
            configuration: settings.limits,
            database: database,
            clock: .system,
            logger: logger
        )
        self.settler = settler
        guard let sold = settings.sale else {
            sale = nil
            return
        }
        var sale = ExactSale(
            assets: sold.assets,
            payTo: sold.payTo,
            facilitator: settler,
            reserveCaps: sold.reserveCaps
        )
        if let url = sold.facilitatorURL {
            do {
                sale.facilitator = WitnessedFacilitator(
                    try OutsideFacilitator(url: url, client: client),
                    chain: chain,
                    clock: .system,
                    logger: logger,
                    confirmations: settings.limits.confirmations
                )
            } catch {
                try? client.syncShutdown()
                throw ConfigurationError("x402.facilitator: \(error)")
            }
            sale.verifiesFirst = true
        }
        self.sale = sale
    }

    func shutdown() async {
        try? await client.shutdown()
    }
}
