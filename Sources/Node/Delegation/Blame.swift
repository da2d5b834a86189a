internal import Budgets
internal import CanonicalJSON
internal import Delegation
internal import Encodings
internal import Receipts
internal import SignedDocuments

/// Who acted, on whose authority, link by link, and which key failed: of one receipt, in one answer.
struct Blame: Sendable {
    let office: BudgetOffice
    let json: DelegationJSON
    let invocationReceipt: @Sendable (String) async throws -> InvocationReceipt?
    let witnesses: CallWitnesses

    /// - Parameters:
    ///   - document: a receipt of a paid call, or of its invocation.
    ///   - proof: that the seller's log held it when a witness cosigned; nil: this node's own log is asked.
    func answer(_ document: JSONObject, proof: String?) async throws -> JSONValue {
        guard InvocationReceipt.isOne(document) else { return try await answer(document, proof, shown: nil) }
        let word = try InvocationReceipt(document: document)
        return try await answer(word.receipt, proof, shown: word)
    }

    private func answer(
        _ document: JSONObject,
        _ proof: String?,
        shown: InvocationReceipt?
    ) async throws -> JSONValue {
        let receipt: Receipt
        do {
            receipt = try Receipt(document: document)
        } catch {
            throw BudgetError(.invalidRequest, "this is no receipt: \(error.message)")
        }
        var failures: [JSONValue] = receipt.verdict().reasons.map {
            [
                "code": .string($0.code.rawValue), "message": .string($0.message),
                "key": .string(receipt.claims.seller.did.string),
            ]
        }
        var answer: JSONObject = [
            "receipt": .string(receipt.id), "service": .string(receipt.claims.service),
            "amount": .string("\(receipt.claims.amount)\(receipt.claims.unit)"),
            "outcome": .string(receipt.claims.outcome.rawValue), "at": .string(receipt.claims.requestedAt.rfc3339),
        ]
        var word = shown
        // Without it the chain and the receipt say what they say.
        if word == nil, receipt.claims.delegation != nil { word = try? await invocationReceipt(receipt.id) }
        let taken = try await takenBack(receipt, word?.chain, proof)
        answer["witnessedAt"] = taken.witnessed.map { .string($0.rfc3339) }
        answer["seller"] = await party(receipt.claims.seller.did, taken)
        if let buyer = receipt.claims.buyer { answer["actor"] = await party(buyer.did, taken) }
        // The keys that signed the call itself; those of the chain stand with their links.
        for (did, role) in [(receipt.claims.seller.did, "seller"), (receipt.claims.buyer?.did, "actor")] {
            guard let did, taken.counts(did.string) == false else { continue }
            let message = "the key \(did) of the \(role) was taken back\(taken.why(did.string))"
            failures.append(await failure(DelegationError(.keyRevoked, message, key: did)))
        }
        if let delegation = receipt.claims.delegation {
            answer["checked"] = .string(delegation.checked)
            answer["ticket"] = delegation.ticket.map { .string($0) }
            if let word {
                answer["invocation"] = Self.invocation(word)
                for problem in word.problems(checksChain: false) { failures.append(await failure(problem)) }
            }
            let (links, found) = try await links(delegation.chain, receipt, word?.chain, taken)
            answer["links"] = .array(links)
            failures += found
        }
        let root = answer["links"]?.arrayValue?.first?["from"]
        answer["authority"] = root ?? answer["actor"]
        answer["failures"] = .array(failures)
        answer["isSound"] = .bool(failures.isEmpty)
        return .object(answer)
    }

    private static func invocation(_ word: InvocationReceipt) -> JSONValue {
        var object: JSONObject = [
            "cid": .string("\(word.invocation.cid)"), "assertion": .string("\(word.assertion.cid)"),
            "says": .string(word.says.outcome == .served ? "served" : "refunded"),
            "cost": .string("\(word.says.amount)\(word.says.unit)"),
        ]
        if let call = try? CallArguments(word.invocation.arguments) {
            object["allowed"] = .string("\(call.amount)\(call.unit)")
            object["target"] = .string(call.target)
        }
        return .object(object)
    }

    /// What was taken back of a call's chain and keys by now, and which of it the call outlives.
    private struct TakenBack {
        var revocations: [String: Revocation]
        var dated: Timestamp
        var witnessed: Timestamp?

        /// Whether the call counts although a delegation or a key was taken back; nil where it was not.
        func counts(_ target: String) -> Bool? {
            revocations[target].map { $0.spares(dated: dated, witnessed: witnessed) }
        }

        func why(_ target: String) -> String {
            guard let revocation = revocations[target] else { return "" }
            let end = " at \(revocation.at.rfc3339)"
            guard revocation.isTheft else { return end }
            guard let since = revocation.since else { return "\(end), and nobody has told since when it was stolen" }
            let seen =
                witnessed.map { "a witness saw this call at \($0.rfc3339)" }
                ?? "no witness is known to have seen this call"
            return "\(end) as stolen since \(since.rfc3339), and \(seen)"
        }

        func json(_ target: String) -> JSONValue? {
            guard let revocation = revocations[target] else { return nil }
            var object = revocation.json.objectValue ?? JSONObject()
            object["counts"] = counts(target).map { .bool($0) }
            return .object(object)
        }
    }

    private func takenBack(
        _ receipt: Receipt,
        _ brought: DelegationChain?,
        _ proof: String?
    ) async throws -> TakenBack {
        var keys = [receipt.claims.seller.did, receipt.claims.buyer?.did].compactMap { $0 }
        let links = receipt.claims.delegation?.chain ?? []
        keys += brought?.links.map(\.issuer) ?? []
        for name in links {
            guard let cid = try? CID(parsing: name), let kept = try await office.delegation(cid) else { continue }
            keys.append(kept.delegation.issuer)
        }
        let targets = links + keys.map(\.string)
        var taken = TakenBack(
            revocations: try await office.revocations(of: targets),
            dated: receipt.claims.requestedAt
        )
        if proof != nil || taken.revocations.values.contains(where: \.isTheft) {
            taken.witnessed = try await witnesses.instant(of: receipt, proof: proof)
        }
        return taken
    }

    private func party(_ did: DIDKey, _ taken: TakenBack) async -> JSONValue {
        var object = await json.party(did).objectValue ?? JSONObject()
        object["takenBack"] = taken.json(did.string)
        return .object(object)
    }

    private func failure(_ problem: DelegationError) async -> JSONValue {
        var object = DelegationJSON.problem(problem)
        if let key = problem.key { object["name"] = await json.name(key).map { .string($0) } }
        return .object(object)
    }

    /// - Parameter brought: the chain that came with what was shown: for links that are not kept here.
    private func links(
        _ names: [String],
        _ receipt: Receipt,
        _ brought: DelegationChain?,
        _ taken: TakenBack
    ) async throws -> ([JSONValue], [JSONValue]) {
        var chain: [Delegation] = []
        var shown: [JSONObject] = []
        var failures: [JSONValue] = []
        for (index, name) in names.enumerated() {
            let cid = try? CID(parsing: name)
            var kept: KeptDelegation?
            if let cid { kept = try await office.delegation(cid) }
            if kept == nil, let link = brought?.links.first(where: { $0.cid == cid }) {
                chain.append(link)
                var object = await json.link(link)
                object["state"] = "not-kept"
                object["takenBack"] = taken.json(name) ?? taken.json(link.issuer.string)
                shown.append(object)
                continue
            }
            guard let kept else {
                shown.append(["cid": .string(name), "state": "unknown"])
                failures.append([
                    "code": "proof-unavailable", "link": JSONValue(index),
                    "message": .string("link \(index), \(name), is not kept at this node"),
                ])
                continue
            }
            chain.append(kept.delegation)
            var object = await json.kept(kept).objectValue ?? JSONObject()
            object["takenBack"] = taken.json(name) ?? taken.json(kept.delegation.issuer.string)
            shown.append(object)
        }
        guard chain.count == names.count, !chain.isEmpty else { return (shown.map { .object($0) }, failures) }
        let whole = DelegationChain(chain)
        // The dates of when it was used; what was taken back since does not reach back to a call of before.
        let rules = ChainRules(
            now: receipt.claims.requestedAt,
            isRevoked: { taken.counts("\($0)") == false },
            isKeyRevoked: { taken.counts($0.string) == false }
        )
        var problems = whole.problems(nil, rules).map { problem in
            var problem = problem
            if problem.code == .keyRevoked, let key = problem.key { problem.message += taken.why(key.string) }
            return problem
        }
        if let buyer = receipt.claims.buyer?.did, buyer != chain[chain.count - 1].audience {
            problems.append(
                DelegationError(
                    .wrongAudience,
                    "the last link was given to \(chain[chain.count - 1].audience), and \(buyer) acted",
                    key: buyer
                )
            )
        }
        for problem in problems { failures.append(await failure(problem)) }
        for index in shown.indices {
            let own = problems.filter { $0.link == index }.map { JSONValue.string($0.code.rawValue) }
            if !own.isEmpty { shown[index]["failed"] = .array(own) }
        }
        return (shown.map { .object($0) }, failures)
    }
}
