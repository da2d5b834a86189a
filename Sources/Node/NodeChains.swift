internal import AsyncHTTPClient
internal import Ethereum
internal import Settlement
internal import Wallet

/// The EVM chains that the wallet asks, over JSON-RPC.
struct NodeChains: Sendable {
    let chains: [any TokenChain]
    private let client: HTTPClient?

    /// - Throws: where an address is none.
    init(_ settings: WalletEVMSettings) throws {
        guard !settings.chains.isEmpty else {
            (chains, client) = ([], nil)
            return
        }
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: SettlementHTTP.configuration)
        do {
            chains = try settings.chains.map { chain in
                JSONRPCTokenChain(try JSONRPCChain(url: chain.url, chainID: chain.chainID, client: client))
            }
        } catch {
            try? client.syncShutdown()
            throw ConfigurationError("wallet.evmRPC: \(error)")
        }
        self.client = client
    }

    func shutdown() async {
        try? await client?.shutdown()
    }
}

/// A chain as a payer asks it, behind a JSON-RPC node.
struct JSONRPCTokenChain: TokenChain {
    private let chain: JSONRPCChain

    var chainID: UInt256 { chain.chainID }

    init(_ chain: JSONRPCChain) { self.chain = chain }

    func balance(of holder: Address, token: Address) async throws -> UInt256 {
        try await chain.checkChain()
        return try await word(TokenCalls.balance(of: holder), of: token, for: holder)
    }

    /// The block first: what is not used at a later state was not used at it either.
    func authorization(_ nonce: [UInt8], of payer: Address, token: Address) async throws -> AuthorizationState {
        try await chain.checkChain()
        let seconds = try await chain.blockSeconds()
        let used = try await word(
            TokenCalls.authorizationState(authorizer: payer, nonce: nonce),
            of: token,
            for: payer
        )
        return AuthorizationState(isUsed: used != .zero, blockSeconds: seconds)
    }

    private func word(_ data: [UInt8], of contract: Address, for account: Address) async throws -> UInt256 {
        let answer = try await chain.call(EVMCall(from: account, to: contract, data: data))
        guard answer.count == 32 else {
            throw SettlementError(.invalidAnswer, "\(contract) does not answer as a token with EIP-3009 does")
        }
        return try UInt256(bigEndian: answer)
    }
}
