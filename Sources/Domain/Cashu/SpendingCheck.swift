// Whether a transaction satisfies the conditions of all its inputs (NUT-10, NUT-11, NUT-14): the mint's side.
import Cryptography

/// The check that a mint makes before it takes inputs.
public enum SpendingCheck {
    /// Checks every input's secret and witness.
    ///
    /// Plain secrets pass, with or without a witness. A secret that attempts NUT-10 and fails, a P2PK or HTLC secret that
    /// NUT-11 or NUT-14 calls malformed, and a kind this mint doesn't know are **refused**: NUT-10 warns that a
    /// mint may take an unknown kind as spendable by anyone, and that would hand a locked proof to whoever is first.
    ///
    /// - Parameters:
    ///   - outputs: the outputs of the swap, or the blank outputs of the melt.
    ///   - quote: the quote id of a melt; nil for a swap.
    ///   - now: the mint's clock, in seconds since 1970.
    /// - Throws: ``MintError`` with code 10001.
    public static func verify(
        inputs: [Proof],
        outputs: [BlindedMessage],
        quote: String? = nil,
        now: UInt64
    ) throws(MintError) {
        var conditions: [Locked?] = []
        conditions.reserveCapacity(inputs.count)
        for input in inputs {
            conditions.append(try locked(input))
        }
        if conditions.contains(where: { $0?.condition.flag == .all }) {
            try verifyTogether(conditions, inputs: inputs, outputs: outputs, quote: quote, now: now)
            return
        }
        var budget = CashuLimits.signatureChecks
        for (input, locked) in zip(inputs, conditions) {
            guard let locked else { continue }
            let message = SpendingMessage.inputs(input)
            try verify(locked.condition, witness: input.witness, message: message, now: now, budget: &budget)
        }
    }

    private struct Locked {
        var secret: SpendingSecret
        var condition: SpendingCondition
    }

    /// nil for a plain secret.
    private static func locked(_ input: Proof) throws(MintError) -> Locked? {
        switch SecretKind(of: input.secret) {
        case .plain:
            return nil
        case .malformed(let reason):
            throw refusal("a proof can't be spent: \(reason)")
        case .conditional(let secret):
            do {
                return Locked(secret: secret, condition: try SpendingCondition(secret: secret))
            } catch {
                throw refusal("a proof can't be spent here: \(error.message)")
            }
        }
    }

    /// SIG_ALL: all inputs share kind, data and tags; the first input's witness signs the whole transaction.
    private static func verifyTogether(
        _ conditions: [Locked?],
        inputs: [Proof],
        outputs: [BlindedMessage],
        quote: String?,
        now: UInt64
    ) throws(MintError) {
        guard let input = inputs.first, let first = conditions.first ?? nil else {
            throw refusal("with SIG_ALL all inputs must have the same condition; the first has none")
        }
        for other in conditions {
            guard let other, other.secret.hasSameCondition(as: first.secret) else {
                throw refusal("with SIG_ALL all inputs must have the same kind, data and tags")
            }
        }
        let message = SpendingMessage.all(inputs: inputs, outputs: outputs, quote: quote)
        var budget = CashuLimits.signatureChecks
        try verify(first.condition, witness: input.witness, message: message, now: now, budget: &budget)
    }

    /// The main path holds at all times; after the locktime the refund path is added, or, without a `refund` tag, nothing
    /// is needed. Signatures of the two paths can't be mixed. A hash lock is part of the main path only.
    private static func verify(
        _ condition: SpendingCondition,
        witness text: String?,
        message: [UInt8],
        now: UInt64,
        budget: inout Int
    ) throws(MintError) {
        let hasExpired = condition.hasExpired(now: now)
        if hasExpired, condition.refundKeys == nil { return }
        guard let text else {
            throw refusal("a locked proof needs a witness with \(needs(of: condition))")
        }
        let witness: P2PKWitness
        do {
            witness = try P2PKWitness(text)
        } catch {
            throw refusal("the witness of a locked proof can't be read: \(error)")
        }
        let needed = condition.requiredSignatures
        let isOpened = condition.isOpened(by: witness.preimage)
        var signers = 0
        if isOpened {
            signers = witness.signers(among: condition.keys, message: message, enough: needed, budget: &budget)
            if signers >= needed { return }
        }
        if hasExpired, let refundKeys = condition.refundKeys {
            let refundNeeded = condition.requiredRefundSignatures
            let refunders = witness.signers(
                among: refundKeys,
                message: message,
                enough: refundNeeded,
                budget: &budget
            )
            if refunders >= refundNeeded { return }
        }
        guard budget > 0 else {
            throw refusal("the conditions need too many signature checks; spend fewer locked proofs at once")
        }
        guard isOpened else {
            throw refusal(
                "a hash-locked proof needs \(needs(of: condition)); the witness has no preimage that opens it"
            )
        }
        throw refusal("a locked proof needs valid signatures of \(needed) different key(s); \(signers) found")
    }

    private static func needs(of condition: SpendingCondition) -> String {
        let count = condition.requiredSignatures
        let signatures = count == 0 ? [] : ["\(count) signature(s)"]
        return (signatures + (condition.hash == nil ? [] : ["the preimage of its hash"])).joined(separator: " and ")
    }

    private static func refusal(_ detail: String) -> MintError {
        MintError(.proofVerificationFailed, detail)
    }
}
