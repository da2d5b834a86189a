internal import Ethereum
internal import Settlement

/// The chain on which the node settles x402 payments for sellers, and what it may spend on that.
struct SettlementSettings: Sendable {
    /// A JSON-RPC node's address. May hold an access key, so it is never shown.
    var chainURL: String
    var chainID: UInt256
    var limits: SettlerConfiguration

    private static let weiInGwei: UInt64 = 1_000_000_000

    /// - Returns: nil where no chain is named.
    /// - Throws: naming the setting that is missing or wrong.
    init?(_ values: ConfigurationValues) throws(ConfigurationError) {
        let others: [ConfigurationKey] = [
            .x402ChainID, .x402Tokens, .x402Payees, .x402MaximumFeeGwei, .x402Confirmations,
        ]
        guard let chainURL = values.text(.x402ChainURL) else {
            for key in others where values.text(key) != nil {
                throw ConfigurationError(
                    "\(key.rawValue) is set, but no chain: set x402.chainURL to a JSON-RPC node's address"
                )
            }
            return nil
        }
        guard let chainID = try values.number(.x402ChainID, in: 1...Int64.max) else {
            throw ConfigurationError(
                "x402.chainURL is set, so x402.chainID must say which chain that is, such as 84532"
            )
        }
        let tokens = try Self.addresses(values, .x402Tokens)
        guard !tokens.isEmpty else {
            throw ConfigurationError(
                "x402.chainURL is set, so x402.tokens must name the contracts of the tokens that are settled"
            )
        }
        guard values.text(.x402Payees) != nil else {
            throw ConfigurationError(
                "x402.chainURL is set, so x402.payees must name whom payments may go to, or * for anybody: each"
                    + " settlement costs this node gas"
            )
        }
        let gwei = UInt64(try values.number(.x402MaximumFeeGwei, in: 1...100_000) ?? 5)
        self.chainURL = chainURL
        self.chainID = UInt256(UInt64(chainID))
        limits = SettlerConfiguration(
            tokens: tokens,
            payees: values.text(.x402Payees) == "*" ? nil : try Self.addresses(values, .x402Payees),
            maximumFeePerGas: UInt256(gwei * Self.weiInGwei),
            confirmations: UInt64(try values.number(.x402Confirmations, in: 1...1000) ?? 1)
        )
    }

    private static func addresses(
        _ values: ConfigurationValues,
        _ key: ConfigurationKey
    ) throws(ConfigurationError) -> Set<Address> {
        var found: Set<Address> = []
        for text in values.list(key) {
            do {
                found.insert(try Address(text))
            } catch {
                throw ConfigurationError("\(key.rawValue): \(text) is no address of an account or contract: \(error)")
            }
        }
        return found
    }
}
