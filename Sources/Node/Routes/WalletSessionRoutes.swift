internal import CanonicalJSON
internal import Encodings
internal import Hummingbird
internal import Identity
internal import Wallet

/// `/api/sessions`: deposits that calls are paid from. What opens anything is never shown.
extension PayRoutes {
    func addSessions<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("sessions") { _, _ in
            await OperatorResponses.answering {
                var lines: [JSONValue] = []
                let names = try await agentNames()
                for session in try await buyer.sessions() { lines.append(Self.shown(session, names)) }
                return ["sessions": .array(lines)]
            }
        }
        group.post("sessions/close") { request, _ in
            await OperatorResponses.answering {
                let id = try await OperatorResponses.object(request).string("id")
                let known = try await buyer.sessions().first { $0.id == id }
                guard let known else { throw WalletError(.notFound, "there is no session \(id.prefix(80))") }
                let signer =
                    known.agent.isEmpty
                    ? nil : try await AgentRequestSigner(agent: known.agent, registry: registry, clock: clock)
                return Self.shown(try await buyer.closeSession(id, signer: signer), try await agentNames())
            }
        }
    }

    private func agentNames() async throws -> [String: String] {
        var names: [String: String] = [:]
        for agent in try await registry.agents() { names[agent.id] = agent.name }
        return names
    }

    private static func shown(_ session: SessionSummary, _ names: [String: String]) -> JSONValue {
        var line: JSONObject = [
            "id": .string(session.id), "seller": .string(session.origin), "path": .string(session.path),
            "state": .string(session.state), "depositSats": .string(String(session.depositSats)),
            "spentSats": .string(String(session.spentSats)), "uses": .string(String(session.uses)),
            "returned": .bool(session.isReturned), "createdAt": .string(session.createdAt.rfc3339),
        ]
        line["refundSats"] = session.refundSats.map { .string(String($0)) }
        line["refundStatus"] = session.refundStatus.map { .string($0) }
        line["usedAt"] = session.usedAt.map { .string($0.rfc3339) }
        line["closedAt"] = session.closedAt.map { .string($0.rfc3339) }
        if !session.agent.isEmpty { line["agent"] = .string(names[session.agent] ?? session.agent) }
        return .object(line)
    }
}
