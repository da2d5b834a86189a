internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings

/// What the mint checks of a transaction before the store sees it: the protocol's rules (`TransactionRules`), this
/// mint's own limits, the spending conditions, and last, as it costs most, each signature.
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

    /// The inputs' conditions and signatures; gives what the store needs.
    /// - Throws: 10001; 11007 where two secrets hash to one point.
    func verified(
        _ proofs: [Proof],
        outputs: [BlindedMessage],
        quote: String? = nil
    ) throws(MintError) -> [SpentProof] {
        try SpendingCheck.verify(inputs: proofs, outputs: outputs, quote: quote, now: seconds)
        var result: [SpentProof] = []
        result.reserveCapacity(proofs.count)
        for proof in proofs {
            let y = try keyset(proof.keysetID).verify(proof).compressed
            // Only a spending condition's witness is worth keeping (NUT-07).
            let witness = proof.secret.utf8.first == 0x5B ? proof.witness : nil
            result.append(SpentProof(y: y, keyset: proof.keysetID, amount: proof.amount, witness: witness))
        }
        return result
    }

    /// Signs each output with a DLEQ proof.
    func signed(_ messages: [BlindedMessage]) throws(MintError) -> [IssuedPromise] {
        var result: [IssuedPromise] = []
        result.reserveCapacity(messages.count)
        for message in messages {
            result.append(try IssuedPromise(keyset(message.keysetID).sign(message), on: message))
        }
        return result
    }

    private func keyset(_ id: KeysetID) throws(MintError) -> MintKeyset {
        guard let keyset = ring[id] else {
            throw MintError(.keysetUnknown, "this mint has no keyset \(id)")
        }
        return keyset
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

extension IssuedPromise {
    /// - Throws: `MintError` where the signature has no DLEQ proof; this mint never makes one without.
    init(_ signature: BlindSignature, on message: BlindedMessage) throws(MintError) {
        guard let dleq = signature.dleq else {
            throw MintError(.malformedRequest, "the output was signed without a DLEQ proof")
        }
        self.init(
            blinded: message.blindedSecret.compressed,
            keyset: signature.keysetID,
            amount: signature.amount,
            signature: signature.blindedSignature.compressed,
            challenge: dleq.challenge,
            response: dleq.response
        )
    }
}
