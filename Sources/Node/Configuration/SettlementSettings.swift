internal import Ethereum
internal import Paywall
internal import Settlement

/// The chain on which the node settles x402 payments for sellers, and what it may spend on that.
struct SettlementSettings: Sendable {
    /// A JSON-RPC node's address. May hold an access key, so it is never shown.
    var chainURL: String
    var chainID: UInt256
    var limits: SettlerConfiguration
    /// What the node's own services are sold for; nil where they are not sold over `exact`.
    var sale: Sale?

    /// What calls are sold for.
    struct Sale: Sendable {
        var assets: [X402.Asset]
        var payTo: Address
        /// Another's facilitator; nil where the node settles itself.
        var facilitatorURL: String?
        /// The most at risk, by asset.
        var reserveCaps: [String: UInt64]
    }

    private static let weiInGwei: UInt64 = 1_000_000_000

    /// - Returns: nil where no chain is named.
    /// - Throws: naming the setting that is missing or wrong.
    init?(_ values: ConfigurationValues) throws(ConfigurationError) {
        let others: [ConfigurationKey] = [
            .x402ChainID, .x402Tokens, .x402Payees, .x402MaximumFeeGwei, .x402Confirmations, .x402Assets,
            .x402PayTo, .x402Facilitator, .x402ReserveCaps,
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
        let sale = try Self.sale(values, chainID: UInt256(UInt64(chainID)))
        self.sale = sale
        let tokens = try Self.addresses(values, .x402Tokens).union(sale?.assets.map(\.token.contract) ?? [])
        guard !tokens.isEmpty else {
            throw ConfigurationError(
                "x402.chainURL is set, so x402.tokens must name the contracts of the tokens that are settled"
            )
        }
        guard values.text(.x402Payees) != nil || sale != nil else {
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
            payees: values.text(.x402Payees) == "*"
                ? nil : try Self.addresses(values, .x402Payees).union(sale.map { [$0.payTo] } ?? []),
            maximumFeePerGas: UInt256(gwei * Self.weiInGwei),
            confirmations: UInt64(try values.number(.x402Confirmations, in: 1...1000) ?? 1)
        )
    }

    /// - Returns: nil where no asset is named.
    private static func sale(_ values: ConfigurationValues, chainID: UInt256) throws(ConfigurationError) -> Sale? {
        var assets: [X402.Asset] = []
        for text in values.list(.x402Assets) {
            do {
                assets.append(try X402.Asset(text, chainID: chainID))
            } catch {
                throw ConfigurationError("x402.assets: \(error.message)")
            }
        }
        guard !assets.isEmpty else {
            for key in [ConfigurationKey.x402PayTo, .x402Facilitator, .x402ReserveCaps] where values.text(key) != nil {
                throw ConfigurationError(
                    "\(key.rawValue) is set, but x402.assets names nothing that calls are sold for"
                )
            }
            return nil
        }
        guard assets.count <= 4, Set(assets.map(\.unit)).count == assets.count,
            Set(assets.map(\.token.contract)).count == assets.count
        else { throw ConfigurationError("x402.assets names at most 4 tokens, each once") }
        guard let text = values.text(.x402PayTo) else {
            throw ConfigurationError("x402.assets is set, so x402.payTo must name the address that payments go to")
        }
        let payTo: Address
        do {
            payTo = try Address(text)
        } catch {
            throw ConfigurationError("x402.payTo: \(text) is no address: \(error)")
        }
        var caps: [String: UInt64] = [:]
        for entry in values.list(.x402ReserveCaps) {
            let sides = entry.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
            guard sides.count == 2, assets.contains(where: { $0.unit == sides[0] }), let cap = UInt64(sides[1]),
                (1...Price.maximumAmount).contains(cap), caps.updateValue(cap, forKey: sides[0]) == nil
            else {
                throw ConfigurationError(
                    "x402.reserveCaps: \(entry) must be a name of x402.assets and how much of it may be at risk, once, such as"
                        + " usdc=5000000"
                )
            }
        }
        return Sale(
            assets: assets,
            payTo: payTo,
            facilitatorURL: values.text(.x402Facilitator),
            reserveCaps: caps
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
