internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings

/// What the mint checks of a transaction before the store sees it: the protocol's rules (`TransactionRules`), this
/// mint's own limits, and the spending conditions. The signatures come last, as they cost most: see `Signatory`.
struct TransactionCheck: Sendable {
    var ring: KeysetRing
    var limits: MintConfiguration.Limits
    var now: Timestamp

    private var seconds: UInt64 { UInt64(clamping: now.secondsSince1970) }

    /// Reads a request's body.
    /// - Throws: `MintError`: its own code where the decoder names one, else 10000.
    static func decode<T>(_ body: [UInt8], _ make: (JSONValue) throws -> T) throws(MintError) -> T {
        do {
            var limits = JSONLimits()
            limits.maximumBytes = body.count
            limits.maximumDepth = 16
            limits.maximumValues = 32_768
            limits.acceptsUInt64 = true
            return try make(JSONValue.parse(body, limits: limits))
        } catch {
            throw MintError(decoding: error)
        }
    }

    /// A swap's sums, before any signature is looked at.
    func swap(_ request: SwapRequest) throws(MintError) -> TransactionRules.Totals {
        try requireWithinLimits(inputs: request.inputs.count, outputs: request.outputs.count)
        let totals = try TransactionRules.checkSwap(request, now: seconds) { ring[$0]?.info }
        try requireStorable(totals.inputs)
        return totals
    }

    /// A melt's sums: inputs, and blank outputs of the same unit.
    func melt(_ inputs: [Proof], blanks: [BlindedMessage]) throws(MintError) -> TransactionRules.Totals {
        try requireWithinLimits(inputs: inputs.count, outputs: blanks.count)
        let totals = try TransactionRules.checkInputs(inputs, now: seconds) { ring[$0]?.info }
        try requireStorable(totals.inputs)
        let outputs = try TransactionRules.checkOutputs(blanks, areBlank: true, now: seconds) { ring[$0]?.info }
        if let outputs, outputs.unit != totals.unit {
            throw MintError(.unitMismatch, "the inputs are \(totals.unit), the outputs \(outputs.unit)")
        }
        return totals
    }

    /// The unit and sum of a mint request's outputs.
    func mint(_ outputs: [BlindedMessage]) throws(MintError) -> (unit: CurrencyUnit, sum: UInt64) {
        try requireWithinLimits(inputs: 0, outputs: outputs.count)
        guard let side = try TransactionRules.checkOutputs(outputs, now: seconds, keyset: { ring[$0]?.info }) else {
            throw MintError(.malformedRequest, "a mint request needs at least one output")
        }
        try requireStorable(side.sum)
        return side
    }

    /// What the store remembers of inputs whose signatures the signatory has verified.
    /// - Parameter hashedSecrets: the inputs' `Y`, in their order.
    func spent(_ proofs: [Proof], hashedSecrets: [[UInt8]]) -> [SpentProof] {
        zip(proofs, hashedSecrets).map { proof, y in
            // Only a spending condition's witness is worth keeping (NUT-07).
            let witness = proof.secret.utf8.first == 0x5B ? proof.witness : nil
            return SpentProof(y: y, keyset: proof.keysetID, amount: proof.amount, witness: witness)
        }
    }

    /// The inputs' spending conditions (NUT-10); the signatory checks the signatures after them.
    func requireUnlocked(
        _ proofs: [Proof],
        outputs: [BlindedMessage],
        quote: String? = nil
    ) throws(MintError) {
        try SpendingCheck.verify(inputs: proofs, outputs: outputs, quote: quote, now: seconds)
    }

    private func requireWithinLimits(inputs: Int, outputs: Int) throws(MintError) {
        guard inputs <= limits.inputs else {
            throw MintError(.maximumInputsExceeded, "at most \(limits.inputs) inputs are taken at once")
        }
        guard outputs <= limits.outputs else {
            throw MintError(.maximumOutputsExceeded, "at most \(limits.outputs) outputs are taken at once")
        }
    }

    /// The ledger holds 63 bits; no mint has that much outstanding.
    private func requireStorable(_ total: UInt64) throws(MintError) {
        guard total <= UInt64(Int64.max) else {
            throw MintError(.amountOutsideLimits, "a transaction of \(total) is beyond what this mint can hold")
        }
    }
}
