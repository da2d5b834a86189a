internal import Ethereum
internal import Settlement

/// The ERC-8004 identity registry that the node's agents are registered in, and what that may cost.
struct AnchorSettings: Sendable {
    /// A JSON-RPC node's address. May hold an access key, so it is never shown.
    var chainURL: String
    var chainID: UInt256
    var limits: ChainAnchor.Configuration

    private static let weiInGwei: UInt64 = 1_000_000_000

    /// - Parameter settlement: its chain and limits hold where no other are named.
    /// - Returns: nil where no registry is named.
    /// - Throws: naming the setting that is missing or wrong.
    init?(_ values: ConfigurationValues, settlement: SettlementSettings?) throws(ConfigurationError) {
        let others: [ConfigurationKey] = [
            .anchorChainURL, .anchorChainID, .anchorMaximumFeeGwei, .anchorConfirmations,
        ]
        guard let text = values.text(.anchorRegistry) else {
            for key in others where values.text(key) != nil {
                throw ConfigurationError(
                    "\(key.rawValue) is set, but no registry: set anchor.registry to the contract's address"
                )
            }
            return nil
        }
        let registry: Address
        do {
            registry = try Address(text)
        } catch {
            throw ConfigurationError("anchor.registry: \(text) is no address of a contract: \(error)")
        }
        let ownID = try values.number(.anchorChainID, in: 1...Int64.max).map { UInt256(UInt64($0)) }
        guard let chainURL = values.text(.anchorChainURL) ?? settlement?.chainURL,
            let chainID = ownID ?? (values.text(.anchorChainURL) == nil ? settlement?.chainID : nil)
        else {
            throw ConfigurationError(
                "anchor.registry is set, so anchor.chainURL must name a JSON-RPC node and anchor.chainID its chain, such as 8453"
            )
        }
        guard values.text(.anchorChainURL) != nil || ownID == nil || ownID == settlement?.chainID else {
            throw ConfigurationError("anchor.chainID is another chain than x402.chainID: set anchor.chainURL too")
        }
        let gwei = try values.number(.anchorMaximumFeeGwei, in: 1...100_000).map {
            UInt256(UInt64($0) * Self.weiInGwei)
        }
        let confirmations = try values.number(.anchorConfirmations, in: 1...1000).map { UInt64($0) }
        self.chainURL = chainURL
        self.chainID = chainID
        limits = ChainAnchor.Configuration(
            registry: registry,
            maximumFeePerGas: gwei ?? settlement?.limits.maximumFeePerGas ?? UInt256(5 * Self.weiInGwei),
            confirmations: confirmations ?? settlement?.limits.confirmations ?? 1
        )
    }
}
