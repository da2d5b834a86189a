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

    func answer(_ document: JSONObject) async throws -> JSONValue {
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
            let (links, found) = try await links(delegation.chain, receipt)
            answer["links"] = .array(links)
            failures += found
        }
        let root = answer["links"]?.arrayValue?.first?["from"]
        answer["authority"] = root ?? answer["actor"]
        answer["failures"] = .array(failures)
        answer["isSound"] = .bool(failures.isEmpty)
        return .object(answer)
    }

    private func links(_ names: [String], _ receipt: Receipt) async throws -> ([JSONValue], [JSONValue]) {
        var chain: [Delegation] = []
        var shown: [JSONObject] = []
        var failures: [JSONValue] = []
        for (index, name) in names.enumerated() {
            guard let cid = try? CID(parsing: name), let kept = try await office.delegation(cid) else {
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
        for problem in problems {
            var object = DelegationJSON.problem(problem)
            if let key = problem.key { object["name"] = await json.name(key).map { .string($0) } }
            failures.append(.object(object))
        }
        for index in shown.indices {
            let own = problems.filter { $0.link == index }.map { JSONValue.string($0.code.rawValue) }
            if !own.isEmpty { shown[index]["failed"] = .array(own) }
        }
        return (shown.map { .object($0) }, failures)
    }
}
