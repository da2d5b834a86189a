internal import Cashu
public import Ethereum
internal import Storage

/// What the wallet's account on EVM chains holds of a token.
public struct EVMBalance: Sendable {
    public var asset: EVMAsset
    /// In the token's smallest unit; nil where no chain can be asked, or it did not answer.
    public var balance: UInt256?
    /// Authorised and not known to be used or lapsed, in the token's smallest unit.
    public var outstanding: UInt256
    /// Why there is no balance.
    public var error: String?
}

extension Wallet {
    /// The wallet's account on every EVM chain: the one that any Ethereum wallet with the same recovery words has first
    /// (BIP-44, m/44'/60'/0'/0/0).
    public func evmAddress() throws -> Address { try keys.evmAccount().address }
}

extension Buyer {
    /// What the account holds of each token that may be paid with.
    public func evmBalances() async throws -> [EVMBalance] {
        let account = try wallet.evmAddress()
        var balances: [EVMBalance] = []
        for asset in configuration.assets {
            let outstanding = try await wallet.database.read { connection in
                try AuthorizationStore.outstanding(asset, in: connection)
            }
            var line = EVMBalance(asset: asset, balance: nil, outstanding: outstanding, error: nil)
            if let chain = chains[asset.chainID] {
                do {
                    line.balance = try await chain.balance(of: account, token: asset.contract)
                } catch {
                    line.error = "\(error)"
                }
            } else {
                line.error = "wallet.evmRPC names no node of \(asset.network)"
            }
            balances.append(line)
        }
        return balances
    }

    /// The authorisation that a payment was made with; nil where it was made in another way.
    public func authorizationSummary(_ payment: String) async throws -> AuthorizationSummary? {
        let found = try await wallet.database.read { connection in
            try AuthorizationStore.find(payment, in: connection)
        }
        return found.map {
            AuthorizationSummary(
                network: "eip155:\($0.chainID)",
                asset: $0.contract,
                value: $0.value,
                payee: $0.payee,
                validBefore: $0.validBefore,
                state: $0.state.rawValue
            )
        }
    }
}

/// A signed authorisation, without what would let somebody carry it out.
public struct AuthorizationSummary: Sendable {
    /// CAIP-2.
    public var network: String
    public var asset: Address
    /// In the token's smallest unit.
    public var value: UInt256
    public var payee: Address
    /// Seconds since 1970.
    public var validBefore: Int64
    /// `open`, `used`, `lapsed`, `unsent` or `unknown`.
    public var state: String
}
