internal import Budgets
internal import CanonicalJSON
internal import Delegation
internal import Encodings
internal import Identity
internal import SignedDocuments

/// How the operator's API shows delegations: with the names of agents that are known here.
struct DelegationJSON: Sendable {
    let node: DIDKey
    let registry: AgentRegistry
    let clock: WallClock

    /// What a key is called here; nil for a stranger.
    func name(_ did: DIDKey) async -> String? {
        if did == node { return "this node" }
        guard let agent = try? await registry.agent(did.string), agent.did == did else { return nil }
        return agent.name
    }

    func party(_ did: DIDKey) async -> JSONValue {
        var object: JSONObject = ["did": .string(did.string)]
        object["name"] = await name(did).map { .string($0) }
        return .object(object)
    }

    func link(_ link: Delegation) async -> JSONObject {
        let limits = PaymentLimits(of: link.policy)
        var object: JSONObject = ["cid": .string("\(link.cid)")]
        object["from"] = await party(link.issuer)
        object["to"] = await party(link.audience)
        object["can"] = .string(link.command.text)
        if let budget = link.terms.budget {
            object["budget"] = .string("\(budget.amount)\(budget.unit)")
            object["period"] = budget.periodSeconds.map { .integer($0) }
        }
        if let perCall = limits.perCall { object["perCall"] = .string("\(perCall)\(limits.unit ?? "")") }
        object["depth"] = limits.depth.map { JSONValue($0) }
        object["only"] = limits.target.map { .string($0) }
        object["notBefore"] = link.notBefore.map { .string($0.rfc3339) }
        object["expires"] = link.expires.map { .string($0.rfc3339) }
        object["label"] = link.terms.label.map { .string($0) }
        object["account"] = link.terms.accounting.map { .string($0.url) }
        return object
    }

    func kept(_ kept: KeptDelegation) async -> JSONValue {
        var object = await link(kept.delegation)
        object["parent"] = kept.parent.map { .string("\($0)") }
        object["origin"] = .string(kept.origin.rawValue)
        object["spent"] = .string(String(kept.spent))
        object["state"] = .string(state(kept))
        object["at"] = .string(kept.at.rfc3339)
        return .object(object)
    }

    private func state(_ kept: KeptDelegation) -> String {
        if kept.isRevoked { return "revoked" }
        if kept.isKeyRevoked { return "key-revoked" }
        if let end = kept.delegation.expires, clock.now() >= end { return "expired" }
        return "live"
    }

    static func problem(_ error: DelegationError) -> JSONObject {
        var object: JSONObject = ["code": .string(error.code.rawValue), "message": .string(error.message)]
        object["link"] = error.link.map { JSONValue($0) }
        object["key"] = error.key.map { .string($0.string) }
        return object
    }
}
