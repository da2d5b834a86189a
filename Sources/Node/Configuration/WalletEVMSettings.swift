internal import Ethereum
internal import Paywall
internal import Wallet

/// What the wallet may pay with on EVM chains (`wallet.evmAssets`), whom it asks about them (`wallet.evmRPC`), and what units are
/// worth to it (`wallet.rates`).
struct WalletEVMSettings: Sendable {
    var assets: [EVMAsset]
    /// JSON-RPC nodes by chain. An address may hold an access key, so it is never shown.
    var chains: [(chainID: UInt256, url: String)]
    /// With the mint's own.
    var rates: PriceRates

    /// - Parameter settlement: its chain is asked too, where the wallet names none for it.
    /// - Throws: naming the setting that is wrong.
    init(
        _ values: ConfigurationValues,
        mintRates: [String: UInt64],
        settlement: SettlementSettings?
    ) throws(ConfigurationError) {
        assets = try Self.assets(values.list(.walletEVMAssets))
        chains = try Self.chains(values.list(.walletEVMRPC))
        if let settlement, !chains.contains(where: { $0.chainID == settlement.chainID }) {
            chains.append((settlement.chainID, settlement.chainURL))
        }
        let own = values.list(.walletRates)
        let named = own.map { $0.prefix { $0 != "=" } }
        let others = mintRates.filter { rate in !named.contains(rate.key[...]) }.map { "\($0.key)=\($0.value)" }
        do {
            rates = try PriceRates(own + others)
        } catch {
            throw ConfigurationError("wallet.rates: \(error.message)")
        }
    }

    private static func assets(_ entries: [String]) throws(ConfigurationError) -> [EVMAsset] {
        var assets: [EVMAsset] = []
        for entry in entries {
            let asset: EVMAsset
            do {
                asset = try EVMAsset(entry)
            } catch {
                throw ConfigurationError("wallet.evmAssets: \(error.message)")
            }
            guard !assets.contains(where: { $0.chainID == asset.chainID && $0.contract == asset.contract }) else {
                throw ConfigurationError("wallet.evmAssets: \(asset.network)/\(asset.contract) stands twice")
            }
            assets.append(asset)
        }
        return assets
    }

    private static func chains(_ entries: [String]) throws(ConfigurationError) -> [(chainID: UInt256, url: String)] {
        var chains: [(chainID: UInt256, url: String)] = []
        for (place, entry) in entries.enumerated() {
            let parts = entry.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, let chainID = X402.Network.chainID(of: parts[0], version: .v2),
                parts[1].hasPrefix("http://") || parts[1].hasPrefix("https://"),
                !chains.contains(where: { $0.chainID == chainID })
            else {
                // Not the entry itself: an address may hold an access key.
                throw ConfigurationError(
                    "wallet.evmRPC: entry \(place + 1) must be a chain and a JSON-RPC node's address, once, such as"
                        + " eip155:8453=https://node.example"
                )
            }
            chains.append((chainID, parts[1]))
        }
        return chains
    }
}
