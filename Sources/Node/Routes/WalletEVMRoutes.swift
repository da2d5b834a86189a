internal import CanonicalJSON
internal import Cashu
internal import Ethereum
internal import Hummingbird
internal import Wallet

/// `/api/wallet/evm`: the wallet's account on EVM chains, and what it holds there.
struct WalletEVMRoutes: Sendable {
    let wallet: Wallet
    let buyer: Buyer

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("evm") { _, _ in await OperatorResponses.answering { try await account() } }
    }

    private func account() async throws -> JSONValue {
        let lines = try await buyer.evmBalances().map { line -> JSONValue in
            var object: JSONObject = [
                "network": .string(line.asset.network), "asset": .string(line.asset.contract.description),
                "unit": .string(line.asset.unit.name), "decimals": .integer(Int64(line.asset.decimals)),
                "outstanding": .string(line.outstanding.description),
            ]
            object["balance"] = line.balance.map { .string($0.description) }
            object["error"] = line.error.map { .string($0) }
            return .object(object)
        }
        return ["address": .string(try wallet.evmAddress().description), "assets": .array(lines)]
    }
}
