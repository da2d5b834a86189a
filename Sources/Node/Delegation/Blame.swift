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

    /// - Parameter document: a receipt of a paid call, or of its invocation.
    func answer(_ document: JSONObject) async throws -> JSONValue {
        guard InvocationReceipt.isOne(document) else { return try await answer(document, shown: nil) }
        let word = try InvocationReceipt(document: document)
        return try await answer(word.receipt, shown: word)
    }

    private func answer(_ document: JSONObject, shown: InvocationReceipt?) async throws -> JSONValue {
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
        answer["seller"] = await json.party(receipt.claims.seller.did)
        if let buyer = receipt.claims.buyer { answer["actor"] = await json.party(buyer.did) }
        if let delegation = receipt.claims.delegation {
            answer["checked"] = .string(delegation.checked)
            answer["ticket"] = delegation.ticket.map { .string($0) }
            var word = shown
            // Without it the chain and the receipt say what they say.
            if word == nil { word = try? await invocationReceipt(receipt.id) }
            if let word {
                answer["invocation"] = Self.invocation(word)
                for problem in word.problems(checksChain: false) { failures.append(await failure(problem)) }
            }
            let (links, found) = try await links(delegation.chain, receipt, word?.chain)
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

    private func failure(_ problem: DelegationError) async -> JSONValue {
        var object = DelegationJSON.problem(problem)
        if let key = problem.key { object["name"] = await json.name(key).map { .string($0) } }
        return .object(object)
    }

    /// - Parameter brought: the chain that came with what was shown: for links that are not kept here.
    private func links(
        _ names: [String],
        _ receipt: Receipt,
        _ brought: DelegationChain?
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
            shown.append(await json.kept(kept).objectValue ?? JSONObject())
        }
        guard chain.count == names.count, !chain.isEmpty else { return (shown.map { .object($0) }, failures) }
        let whole = DelegationChain(chain)
        let revoked = try await office.revoked(in: whole)
        // The dates of when it was used; what was taken back, as it is known now.
        let rules = ChainRules(
            now: receipt.claims.requestedAt,
            isRevoked: { revoked.cids.contains($0) },
            isKeyRevoked: { revoked.keys.contains($0) }
        )
        var problems = whole.problems(nil, rules)
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
