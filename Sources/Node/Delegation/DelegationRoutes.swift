internal import Budgets
internal import CanonicalJSON
internal import Delegation
internal import Encodings
internal import Hummingbird
internal import Identity
internal import SignedDocuments

/// The operator's delegations: `/api/delegations/…`.
struct DelegationRoutes: Sendable {
    /// The longest that a delegation is made for, in seconds: a year.
    static let maximumSeconds: Int64 = 366 * 86_400

    let office: BudgetOffice
    let registry: AgentRegistry
    let signer: DocumentSigner
    let publicURL: String
    let clock: WallClock
    /// The seller's word on the invocation of a call, by the id of its receipt.
    let invocationReceipt: @Sendable (String) async throws -> InvocationReceipt?
    let witnesses: CallWitnesses

    private var json: DelegationJSON { DelegationJSON(node: signer.did, registry: registry, clock: clock) }

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("delegations") { _, _ in
            await OperatorResponses.answering {
                var shown: [JSONValue] = []
                for kept in try await office.delegations() { shown.append(await json.kept(kept)) }
                return ["delegations": .array(shown)]
            }
        }
        group.post("delegations") { request, _ in
            await OperatorResponses.answering { try await issue(try await OperatorResponses.object(request)) }
        }
        group.get("delegations/{cid}/file") { _, context in
            await OperatorResponses.answering {
                let cid = try await resolve(context.parameters.require("cid"))
                return .object(DelegationFile(try await office.chain(to: cid)).document)
            }
        }
        group.post("delegations/import") { request, _ in
            await OperatorResponses.answering {
                let file = try DelegationFile(document: try await OperatorResponses.object(request))
                guard let leaf = file.chain.leaf else { throw BudgetError(.invalidRequest, "the file holds no links") }
                try await office.keep(file.chain, as: .imported)
                var object = await json.link(leaf)
                object["links"] = JSONValue(file.chain.links.count)
                return .object(object)
            }
        }
        group.post("delegations/revoke") { request, _ in
            await OperatorResponses.answering { try await revoke(try await OperatorResponses.object(request)) }
        }
        group.post("delegations/debits/{id}/release") { _, context in
            await OperatorResponses.answering {
                let charged = try await office.settle(debit: context.parameters.require("id"), charged: 0)
                return ["charged": .string(String(charged))]
            }
        }
        group.post("delegations/blame") { request, _ in
            await OperatorResponses.answering {
                let body = try await OperatorResponses.object(request)
                guard let receipt = body["receipt"]?.objectValue else {
                    throw BudgetError(.invalidRequest, "`receipt` is the receipt's JSON")
                }
                let blame = Blame(
                    office: office,
                    json: json,
                    invocationReceipt: invocationReceipt,
                    witnesses: witnesses
                )
                return try await blame.answer(receipt, proof: try body.optionalString("proof"))
            }
        }
    }

    // MARK: Issuing

    private func issue(_ body: JSONObject) async throws -> JSONValue {
        let to = try await key(try body.string("to"))
        var parents = DelegationChain([])
        if let under = try body.optionalString("under") { parents = try await office.chain(to: resolve(under)) }
        let issuer = try await issuer(named: body.optionalString("as"), under: parents)
        let now = clock.now()
        let seconds = try body.optionalInt64("seconds") ?? 86_400
        guard (1...Self.maximumSeconds).contains(seconds) else {
            throw BudgetError(.invalidRequest, "a delegation is made for a second to a year")
        }
        let budget = try Self.amount(body, "budget")
        let perCall = try Self.amount(body, "perCall")
        guard budget == nil || perCall == nil || budget?.unit == perCall?.unit else {
            throw BudgetError(.invalidRequest, "the budget and the limit of a call are in one unit")
        }
        let link = try Delegation.issue(
            by: issuer.key,
            to: to,
            subject: parents.root?.issuer ?? issuer.did,
            command: Command(try body.optionalString("can") ?? "/pay"),
            policy: PaymentLimits(
                perCall: perCall?.amount,
                unit: perCall?.unit ?? budget?.unit,
                depth: try body.optionalInt64("depth").map { Int(clamping: $0) },
                target: try body.optionalString("only")
            ).policy(),
            expires: now.adding(seconds: seconds),
            terms: ProfileTerms(
                budget: try budget.map {
                    try Budget($0.amount, unit: $0.unit, periodSeconds: try body.optionalInt64("periodSeconds"))
                },
                accounting: parents.links.isEmpty ? try AccountingNode(did: signer.did, url: publicURL) : nil,
                label: try body.optionalString("label")
            )
        )
        let chain = DelegationChain(parents.links + [link])
        try await office.keep(chain, as: .issued)
        var answer = await json.link(link)
        answer["file"] = .object(DelegationFile(chain).document)
        return .object(answer)
    }

    /// Who issues: the node, an agent whose key is kept here, or whoever the chain was given to.
    private func issuer(named name: String?, under parents: DelegationChain) async throws -> DocumentSigner {
        guard let leaf = parents.leaf else {
            guard let name else { return signer }
            return try await registry.credentials(name).signer
        }
        let issuer =
            leaf.audience == signer.did && name == nil
            ? signer : try await registry.credentials(name ?? leaf.audience.string).signer
        guard issuer.did == leaf.audience else {
            throw DelegationError(
                .brokenChain,
                "that delegation was given to \(leaf.audience), not to \(issuer.did)",
                key: issuer.did
            )
        }
        return issuer
    }

    private static func amount(_ body: JSONObject, _ name: String) throws -> (amount: UInt64, unit: String)? {
        guard let object = try body.optionalObject(name) else { return nil }
        guard let amount = UInt64(try object.string("amount")) else {
            throw BudgetError(.invalidRequest, "`\(name).amount` is a decimal")
        }
        return (amount, try object.string("unit"))
    }

    /// A did:key, or the key of an agent of this node.
    private func key(_ text: String) async throws -> DIDKey {
        if let did = try? DIDKey(parsing: text) { return did }
        return try await registry.agent(text).did
    }

    /// A CID, or the beginning of one that is kept here and no other has.
    private func resolve(_ text: String) async throws -> CID {
        if let cid = try? CID(parsing: text) { return cid }
        let found = try await office.delegations().map(\.delegation.cid).filter { "\($0)".hasPrefix(text) }
        guard text.utf8.count >= 12, found.count == 1 else {
            throw BudgetError(.unknown, "no delegation is kept here as \(text.prefix(80)), or more than one is")
        }
        return found[0]
    }

    // MARK: Revoking

    private func revoke(_ body: JSONObject) async throws -> JSONValue {
        let target = try body.string("target")
        let reason = try body.optionalString("reason")
        let since = try body.optionalString("since").map { text in
            guard let instant = try? Timestamp(rfc3339: text) else {
                throw BudgetError(.invalidRequest, "`since` is an instant (RFC 3339)")
            }
            return instant
        }
        if let cid = try? await resolve(target) {
            guard since == nil else {
                throw BudgetError(.invalidRequest, "`since` tells when a key was stolen, and \(cid) is a delegation")
            }
            try await office.revoke(cid, by: "operator", reason: reason)
            return ["revoked": .string("\(cid)"), "kind": "delegation"]
        }
        let did = try await key(target)
        try await office.revoke(key: did, by: "operator", reason: reason, since: since)
        return ["revoked": .string(did.string), "kind": "key"]
    }
}
