internal import CanonicalJSON
internal import Encodings
internal import Ethereum
internal import Hummingbird
internal import Identity
internal import Passports
internal import Settlement
internal import Storage

/// `/api/agents/<id>/anchor`: writes an agent's passport into the identity registry, and tells what stands there.
struct AnchorRoutes: Sendable {
    let anchor: ChainAnchor?
    let identity: IdentityService
    let showcase: Showcase

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.post("agents/{id}/anchor") { request, context in
            await OperatorResponses.answering {
                try await write(
                    try context.parameters.require("id"),
                    token: try await OperatorResponses.object(request).optionalString("agentId")
                )
            }
        }
        group.get("agents/{id}/anchor") { _, context in
            await OperatorResponses.answering {
                let agent = try await identity.registry.agent(try context.parameters.require("id"))
                let anchors = try await ready.confirmed(agent: agent.id)
                return ["anchors": .array(anchors.map(Self.shown))]
            }
        }
    }

    private var ready: ChainAnchor {
        get throws {
            guard let anchor else {
                throw ProblemDetails(
                    code: "anchor-off",
                    title: "No registry is set",
                    status: 409,
                    detail:
                        "Set anchor.registry to an ERC-8004 identity registry, and anchor.chainURL and anchor.chainID to its chain."
                )
            }
            return anchor
        }
    }

    private func write(_ id: String, token text: String?) async throws -> JSONValue {
        let anchor = try ready
        var token: UInt256?
        if let text {
            guard let number = try? UInt256(decimal: text) else {
                throw IdentityError(
                    .invalidRequest,
                    "an agent's number in a registry is a whole number, not \(text.prefix(80))"
                )
            }
            token = number
        }
        let agent = try await identity.registry.agent(id)
        guard agent.state == .active else {
            throw IdentityError(.agentNotActive, "agent `\(agent.name)` is \(agent.state.rawValue): it is not anchored")
        }
        let now = WallClock.system.now()
        let newest = try await identity.office.passports(agent: agent.id).first { $0.passport.subject == agent.did }
        guard let passport = newest?.passport, now < passport.validUntil else {
            throw IdentityError(.passportNotFound, "agent `\(agent.name)` has no passport in force: renew it")
        }
        do {
            let done = try await anchor.anchor(
                agent.id,
                uri: showcase.registrationURL(agent.id),
                digest: try Showcase.digest(of: passport),
                token: token
            )
            var shown = Self.shown(done).objectValue ?? JSONObject()
            shown["passport"] = .string(passport.id)
            shown["account"] = .string("\(anchor.account)")
            return .object(shown)
        } catch let error as SettlementError {
            throw ProblemDetails(
                code: "anchor-\(error.code.rawValue)",
                title: "The passport was not anchored",
                status: Self.status(error.code),
                detail: error.message
            )
        }
    }

    private static func status(_ code: SettlementError.Code) -> Int {
        switch code {
        case .unreachable, .noAnswer, .invalidAnswer: 502
        case .overloaded: 503
        case .tooExpensive: 402
        case .refused, .reverted: 403
        default: 409
        }
    }

    static func shown(_ anchor: Anchor) -> JSONValue {
        var json: JSONObject = [
            "state": .string(anchor.state.name), "agentRegistry": .string(anchor.registryName),
            "sha256": .string(Hex.encode(anchor.digest)), "at": .string(anchor.at.rfc3339),
        ]
        json["agentId"] = anchor.token.map { .string($0.description) }
        switch anchor.state {
        case .open: break
        case .confirmed(let hash), .failed(let hash): json["transaction"] = .string("0x" + Hex.encode(hash))
        }
        return .object(json)
    }
}
