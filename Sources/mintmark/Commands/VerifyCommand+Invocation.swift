import CanonicalJSON
import Delegation
import Encodings
import Receipts
import SignedDocuments

extension VerifyCommand {
    /// A seller's word on a delegated call, with the receipt, the invocation and perhaps its chain.
    func invocation(_ document: JSONObject, now: Timestamp) throws -> Finding {
        let word: InvocationReceipt
        do {
            word = try InvocationReceipt(document: document)
        } catch {
            return Finding(kind: "invocation", facts: [], reasons: [(error.code.rawValue, error.message)])
        }
        let roots = root.isEmpty ? nil : Set(try root.map { try DIDKey(parsing: $0) })
        var reasons = word.problems(trustedRoots: roots).map { error in
            (error.code.rawValue, (error.link.map { "link \($0): " } ?? "") + error.message)
        }
        let paid = Receipt.verify(
            document: word.receipt,
            now: now,
            expecting: Receipt.Expectation(seller: try seller.map { try DIDKey(parsing: $0) })
        )
        reasons += paid.reasons.map { ($0.code.rawValue, $0.message) }
        var facts = [
            ("receipt", word.says.receiptID), ("invocation", "\(word.invocation.cid)"),
            ("seller", word.assertion.issuer.string), ("actor", word.invocation.issuer.string),
            ("authority", word.invocation.subject.string),
            ("outcome", word.says.outcome == .served ? "served" : "refunded"),
            ("paid", "\(word.says.amount) \(word.says.unit)"),
        ]
        if let call = try? CallArguments(word.invocation.arguments) {
            facts.append(("allowed", "\(call.amount) \(call.unit)"))
            facts.append(("call", "\(call.method) \(call.target)"))
        }
        facts.append(("links", word.chain.map { String($0.links.count) } ?? "not there"))
        var unchecked: [String] = []
        if word.chain == nil { unchecked.append("the chain, which the file does not have") }
        if root.isEmpty { unchecked.append("whose root it is (give --root)") }
        unchecked.append("what was taken back since, and what is spent")
        var finding = Finding(kind: "invocation", facts: facts, reasons: reasons)
        finding.unchecked = unchecked.joined(separator: "; ")
        return finding
    }
}
