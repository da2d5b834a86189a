internal import CanonicalJSON
internal import Encodings
public import SignedDocuments

/// Whether a receipt of an invocation holds ([DLG-16]).
extension InvocationReceipt {
    /// Everything that does not hold, with nobody to ask: the executor's signature, that it speaks of this invocation and of this
    /// receipt, that the call was within the invocation, who acted, and the chain where it is there.
    ///
    /// - Parameters:
    ///   - trustedRoots: whose roots count; nil: any.
    ///   - checksChain: whether the links count too, by the dates of when the call was made.
    public func problems(trustedRoots: Set<DIDKey>? = nil, checksChain: Bool = true) -> [DelegationError] {
        var found: [DelegationError] = []
        func check(_ work: () throws(DelegationError) -> Void) {
            do throws(DelegationError) { try work() } catch { found.append(error) }
        }
        check { () throws(DelegationError) in
            do throws(DelegationError) {
                try assertion.verifySignature()
            } catch {
                throw DelegationError(.receiptForged, "the assertion: \(error.message)", key: assertion.issuer)
            }
        }
        let executor = assertion.issuer
        if assertion.subject != executor || assertion.recipient != executor {
            found.append(
                DelegationError(.receiptForged, "the assertion is not on its maker's own authority", key: executor)
            )
        }
        found += mismatches()
        check { () throws(DelegationError) in try invocation.verifySignature() }
        guard checksChain else { return found }
        guard let chain else {
            if trustedRoots != nil {
                found.append(
                    DelegationError(
                        .proofUnavailable,
                        "the links are not there, so nobody knows whose authority it was"
                    )
                )
            }
            return found
        }
        guard chain.cids == invocation.proofs else {
            found.append(mismatch("the links are not those that the invocation names", key: invocation.issuer))
            return found
        }
        guard let asked = receipt["requestedAt"]?.stringValue, let at = try? Timestamp(rfc3339: asked) else {
            found.append(mismatch("the receipt does not say when the call was made", key: executor))
            return found
        }
        let rules = ChainRules(now: at, trustedRoots: trustedRoots, recipient: executor)
        found += chain.problems(invocation, rules).filter { $0.code != .forged || $0.link != nil }
        return found
    }

    private func mismatch(_ message: String, key: DIDKey) -> DelegationError {
        DelegationError(.receiptMismatch, message, key: key)
    }

    /// Where assertion, invocation and receipt do not speak of one call.
    private func mismatches() -> [DelegationError] {
        var found: [DelegationError] = []
        let executor = assertion.issuer
        if says.about != invocation.cid {
            found.append(mismatch("the assertion is of the invocation \(says.about), not of this one", key: executor))
        }
        guard let told = try? Self.statement(about: says.about, of: receipt), told == says else {
            found.append(mismatch("the assertion and the receipt of the call do not say the same", key: executor))
            return found
        }
        if receipt["seller"]?["id"]?.stringValue != executor.string {
            found.append(mismatch("the receipt is another seller's", key: executor))
        }
        if let recipient = invocation.recipient, recipient != executor {
            found.append(mismatch("the invocation was meant for \(recipient)", key: executor))
        }
        if receipt["buyer"]?["id"]?.stringValue != invocation.issuer.string {
            found.append(mismatch("the receipt is of another buyer than the one who invoked", key: executor))
        }
        let named = receipt["delegation"]?["chain"]?.arrayValue?.map { $0.stringValue ?? "" } ?? []
        if named != invocation.proofs.map(\.description) {
            found.append(mismatch("the receipt names another chain than the invocation", key: executor))
        }
        found += beyond()
        return found
    }

    /// What was done that the invocation does not allow.
    private func beyond() -> [DelegationError] {
        let executor = assertion.issuer
        guard invocation.command == .paidCall, let call = try? CallArguments(invocation.arguments) else {
            return [mismatch("the invocation is of no paid call", key: invocation.issuer)]
        }
        var other: [String] = []
        if receipt["request"]?["method"]?.stringValue != call.method { other.append("method") }
        if receipt["request"]?["digest"]?.stringValue != MultihashDigest.encode(call.digest) { other.append("body") }
        // A receipt names the path below its service, the invocation the whole address.
        let target = receipt["request"]?["target"]?.stringValue ?? ""
        if target.isEmpty || !call.target.utf8.reversed().starts(with: target.utf8.reversed()) {
            other.append("target")
        }
        var found: [DelegationError] = []
        if !other.isEmpty {
            found.append(
                mismatch("the receipt is of a call of another \(other.joined(separator: " and "))", key: executor)
            )
        }
        if says.unit != call.unit || says.amount > call.amount {
            found.append(
                DelegationError(
                    .amountTooLow,
                    "the call cost \(says.amount)\(says.unit), the invocation allows \(call.amount)\(call.unit)",
                    key: executor
                )
            )
        }
        return found
    }
}
