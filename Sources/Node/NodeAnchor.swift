internal import AsyncHTTPClient
internal import Ethereum
internal import Identity
internal import Logging
internal import Settlement
internal import Storage

/// The node's hand at an ERC-8004 identity registry.
struct NodeAnchor: Sendable {
    let anchor: ChainAnchor
    private let client: HTTPClient

    /// - Throws: where the chain's address is none.
    init?(_ configuration: NodeConfiguration, nodeKeys: NodeKeys, database: Database, logger: Logger) throws {
        guard let settings = configuration.anchor else { return nil }
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: SettlementHTTP.configuration)
        do {
            anchor = ChainAnchor(
                chain: try JSONRPCChain(url: settings.chainURL, chainID: settings.chainID, client: client),
                key: EthereumKey(nodeKeys.settlementKey),
                metadataKey: Showcase.anchorKey,
                configuration: settings.limits,
                database: database,
                clock: .system,
                logger: logger
            )
        } catch {
            try? client.syncShutdown()
            throw ConfigurationError("anchor.chainURL: \(error)")
        }
    }

    func shutdown() async {
        try? await client.shutdown()
    }
}
