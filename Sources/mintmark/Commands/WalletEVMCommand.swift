import ArgumentParser
import CanonicalJSON

extension WalletCommand {
    struct EVM: NodeCommand {
        static let configuration = CommandConfiguration(
            commandName: "evm",
            abstract: "The wallet's account on EVM chains, from which calls over x402 are paid.",
            discussion: """
                Send tokens such as USDC to this address. The tokens that may be paid with stand in wallet.evmAssets, what \
                a unit is worth in wallet.rates, and whom to ask for balances in wallet.evmRPC. The account is the first \
                of any Ethereum wallet with the same recovery words (m/44'/60'/0'/0/0), so what it holds can be moved with one.
                  mintmark wallet evm
                  mintmark serve --set wallet.evmAssets=eip155:8453/0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913=usd:6 \\
                    --set wallet.evmRPC=eip155:8453=https://node.example --set wallet.rates=usd=10400
                """
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/wallet/evm")
            if options.json { return Output.json(answer) }
            Output.line(answer.shown("address"))
            let assets = try answer.array("assets")
            if assets.isEmpty { return Output.line("No token may be paid with: set wallet.evmAssets.") }
            Output.table(
                ["NETWORK", "TOKEN", "UNIT", "DECIMALS", "BALANCE", "AUTHORISED", "NOTE"],
                assets.map { asset in
                    ["network", "asset", "unit", "decimals", "balance", "outstanding"].map(asset.shown)
                        + [asset["error"]?.stringValue ?? ""]
                }
            )
        }
    }
}
