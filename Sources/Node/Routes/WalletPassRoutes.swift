internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Hummingbird
internal import Identity
internal import Wallet

/// `/api/wallet/passes`: what was bought over L402 and is good for more calls. What opens anything is never shown.
extension WalletRoutes {
    func addPasses<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("passes") { _, _ in await OperatorResponses.answering { try await passes() } }
        group.post("passes/forget") { request, _ in
            await OperatorResponses.answering {
                try await wallet.forgetPass(OperatorResponses.object(request).string("id"))
                return try await passes()
            }
        }
    }

    private func passes() async throws -> JSONValue {
        var names: [String: String] = [:]
        for agent in try await registry.agents() { names[agent.id] = agent.name }
        let lines = try await wallet.passes().map { pass -> JSONValue in
            var line: JSONObject = [
                "id": .string(pass.id), "seller": .string(pass.origin), "path": .string(pass.path),
                "state": .string(pass.state.rawValue), "amount": .string(String(pass.amount)),
                "fee": .string(String(pass.fee)), "unit": .string(pass.unit.name),
                "uses": .string(String(pass.uses)), "createdAt": .string(pass.createdAt.rfc3339),
            ]
            line["calls"] = pass.calls.map { .string(String($0)) }
            line["validUntil"] = pass.validUntil.map { .string($0.rfc3339) }
            line["usedAt"] = pass.usedAt.map { .string($0.rfc3339) }
            if !pass.agent.isEmpty { line["agent"] = .string(names[pass.agent] ?? pass.agent) }
            return .object(line)
        }
        return ["passes": .array(lines)]
    }
}
