internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Hummingbird
internal import Identity
internal import Wallet

/// `/api/wallet/limits`: what may be spent on a day.
extension WalletRoutes {
    func addLimits<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("limits") { _, _ in await OperatorResponses.answering { try await limits() } }
        group.post("limits") { request, _ in
            await OperatorResponses.answering { try await setLimit(OperatorResponses.object(request)) }
        }
        group.post("limits/remove") { request, _ in
            await OperatorResponses.answering { try await removeLimit(OperatorResponses.object(request)) }
        }
    }

    /// The one subject that a request names by `agent`, `host` or `key`; none: the whole wallet.
    private func subject(_ object: JSONObject) async throws -> LimitSubject {
        let agent = try object.optionalString("agent")
        let host = try object.optionalString("host")
        let key = try object.optionalString("key")
        guard [agent, host, key].count(where: { $0 != nil }) <= 1 else {
            throw WalletError(.invalidArgument, "a limit is on an agent, a host or a key, not on several at once")
        }
        if let agent { return .agent(try await registry.agent(agent).id) }
        if let host { return try LimitSubject(text: "host:" + host) }
        if let key { return try LimitSubject(text: "key:" + key) }
        return .wallet
    }

    private func setLimit(_ object: JSONObject) async throws -> JSONValue {
        let subject = try await subject(object)
        let unit = try Self.unit(object)
        try await wallet.setLimit(try Self.amount(object, "amount"), on: subject, unit: unit)
        return try await limits()
    }

    private func removeLimit(_ object: JSONObject) async throws -> JSONValue {
        try await wallet.removeLimit(on: try await subject(object), unit: try Self.unit(object))
        return try await limits()
    }

    private func limits() async throws -> JSONValue {
        var names: [String: String] = [:]
        for agent in try await registry.agents() { names[agent.id] = agent.name }
        let lines = try await wallet.limits().map { limit -> JSONValue in
            var line: JSONObject = [
                "subject": .string(limit.subject.text), "unit": .string(limit.unit.name),
                "amount": .string(String(limit.amount)), "spentToday": .string(String(limit.spentToday)),
                "leftToday": .string(String(limit.amount > limit.spentToday ? limit.amount - limit.spentToday : 0)),
            ]
            if case .agent(let id) = limit.subject { line["agent"] = .string(names[id] ?? id) }
            return .object(line)
        }
        return ["limits": .array(lines)]
    }
}
