internal import AsyncHTTPClient
internal import Ethereum
internal import Identity
internal import Logging
internal import Settlement
internal import Storage

/// The node as an x402 facilitator: it carries out payments on one EVM chain for sellers, from an account of its own.
struct NodeSettlement: Sendable {
    let settler: ChainSettler
    private let client: HTTPClient

    /// - Throws: where the address is none.
    init?(
        _ configuration: NodeConfiguration,
        vault: KeyVault,
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
        settler = ChainSettler(
            chain: chain,
            key: EthereumKey(vault.settlementKey),
            configuration: settings.limits,
            database: database,
            clock: .system,
            logger: logger
        )
    }

    func shutdown() async {
        try? await client.shutdown()
    }
}
