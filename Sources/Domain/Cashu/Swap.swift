// Swap (NUT-03), and the rules that every transaction of inputs and outputs obeys (NUT-02, NUT-03, NUT-05).
public import CanonicalJSON

/// `POST /v1/swap`.
public struct SwapRequest: Hashable, Sendable {
    public var inputs: [Proof]
    public var outputs: [BlindedMessage]

    public init(inputs: [Proof], outputs: [BlindedMessage]) {
        self.inputs = inputs
        self.outputs = outputs
    }

    /// - Throws: 11014 or 11015 beyond ``CashuLimits/arrayLength`` entries; anything else is malformed.
    public init(json: JSONValue) throws {
        inputs = try json.inputs()
        outputs = try json.outputs()
    }

    /// As it goes to the mint, without any DLEQ's `r`.
    public var json: JSONValue {
        .object(["inputs": .array(inputs.map(\.jsonForMint)), "outputs": .array(outputs.map(\.json))])
    }
}

/// The answer to a swap or a mint request: one signature for each output, in order (NUT-03, NUT-04).
public struct SignaturesResponse: Hashable, Sendable {
    public var signatures: [BlindSignature]

    public init(signatures: [BlindSignature]) {
        self.signatures = signatures
    }

    public init(json: JSONValue) throws {
        signatures = try json.signatures("signatures")
    }

    public var json: JSONValue { .object(["signatures": .array(signatures.map(\.json))]) }

    /// Unblinds the answer to `outputs`, in order.
    ///
    /// - Parameter keyset: gives the keyset of an id.
    /// - Throws: ``CashuError/Code/answerMismatch`` where the mint answered fewer or more, or other amounts.
    public func proofs(
        for outputs: [BlindingSecret],
        requiresDLEQ: Bool = true,
        keyset: (KeysetID) -> Keyset?
    ) throws(CashuError) -> [Proof] {
        guard signatures.count == outputs.count else {
            throw CashuError(
                .answerMismatch,
                "the mint gave \(signatures.count) signatures for \(outputs.count) outputs"
            )
        }
        var proofs: [Proof] = []
        for (output, signature) in zip(outputs, signatures) {
            guard let keyset = keyset(output.keysetID) else {
                throw CashuError(.keysetUnknown, "the keys of keyset \(output.keysetID) aren't known")
            }
            proofs.append(try output.proof(from: signature, keyset: keyset, requiresDLEQ: requiresDLEQ))
        }
        return proofs
    }
}

/// What can be checked of a transaction without the mint's private keys and without its database.
public enum TransactionRules {
    /// What came of the check.
    public struct Totals: Hashable, Sendable {
        public var unit: CurrencyUnit
        public var inputs: UInt64
        public var fee: UInt64
        public var outputs: UInt64
    }

    /// Inputs: at least one, none twice, of known and unexpired keysets, all of one unit.
    ///
    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - keyset: what the mint knows of a keyset id.
    /// - Throws: 11007, 11009, 11014, 12001, 12003, or 10000 for none at all.
    /// - Returns: sum and fee; `outputs` is 0.
    public static func checkInputs(
        _ inputs: [Proof],
        now: UInt64,
        keyset: (KeysetID) -> KeysetInfo?
    ) throws(MintError) -> Totals {
        guard !inputs.isEmpty else {
            throw MintError(.malformedRequest, "a transaction needs at least one input")
        }
        guard inputs.count <= CashuLimits.arrayLength else {
            throw MintError(.maximumInputsExceeded, "at most \(CashuLimits.arrayLength) inputs are taken at once")
        }
        guard Set(inputs.map { Array($0.secret.utf8) }).count == inputs.count else {
            throw MintError(.duplicateInputs, "an input stands twice in the request")
        }
        var unit: CurrencyUnit?
        var fees: [UInt64] = []
        for input in inputs {
            let info = try known(input.keysetID, now: now, keyset)
            guard unit ?? info.unit == info.unit else {
                throw MintError(.multipleUnits, "the inputs are of several units")
            }
            unit = info.unit
            fees.append(info.inputFeePPK)
        }
        guard let unit else { throw MintError(.malformedRequest, "a transaction needs at least one input") }
        let sum = try total(inputs.map(\.amount))
        do {
            return Totals(unit: unit, inputs: sum, fee: try Fees.total(inputFeesPPK: fees), outputs: 0)
        } catch {
            throw MintError(.amountOutsideLimits, error.message)
        }
    }

    /// Outputs: at least one, none twice, of known, active and unexpired keysets, all of one unit, each a power of two.
    ///
    /// - Parameter areBlank: blank outputs of a melt (NUT-08), whose amounts don't matter and which may be none.
    /// - Throws: 11006, 11008, 11009, 11015, 12001, 12002, 12003, or 10000 for none at all.
    /// - Returns: unit and sum; nil for no blank outputs.
    public static func checkOutputs(
        _ outputs: [BlindedMessage],
        areBlank: Bool = false,
        now: UInt64,
        keyset: (KeysetID) -> KeysetInfo?
    ) throws(MintError) -> (unit: CurrencyUnit, sum: UInt64)? {
        guard outputs.count <= CashuLimits.arrayLength else {
            throw MintError(.maximumOutputsExceeded, "at most \(CashuLimits.arrayLength) outputs are taken at once")
        }
        guard Set(outputs.map(\.blindedSecret)).count == outputs.count else {
            throw MintError(.duplicateOutputs, "an output stands twice in the request")
        }
        var unit: CurrencyUnit?
        for output in outputs {
            let info = try known(output.keysetID, now: now, keyset)
            guard info.isActive else {
                throw MintError(.keysetInactive, "keyset \(info.id) signs no new outputs; use an active one")
            }
            guard unit ?? info.unit == info.unit else {
                throw MintError(.multipleUnits, "the outputs are of several units")
            }
            guard areBlank || Amounts.isPowerOfTwo(output.amount) else {
                throw MintError(.amountOutsideLimits, "an output of \(output.amount) isn't possible: use powers of two")
            }
            unit = info.unit
        }
        guard let unit else {
            if areBlank { return nil }
            throw MintError(.malformedRequest, "a transaction needs at least one output")
        }
        return (unit, areBlank ? 0 : try total(outputs.map(\.amount)))
    }

    /// A swap: both sides, the same unit, and inputs − fee == outputs exactly.
    ///
    /// - Throws: what ``checkInputs(_:now:keyset:)`` and ``checkOutputs(_:areBlank:now:keyset:)`` do, 11005 and 11010.
    public static func checkSwap(
        _ request: SwapRequest,
        now: UInt64,
        keyset: (KeysetID) -> KeysetInfo?
    ) throws(MintError) -> Totals {
        var totals = try checkInputs(request.inputs, now: now, keyset: keyset)
        guard let outputs = try checkOutputs(request.outputs, now: now, keyset: keyset) else {
            throw MintError(.malformedRequest, "a transaction needs at least one output")
        }
        guard outputs.unit == totals.unit else {
            throw MintError(.unitMismatch, "the inputs are \(totals.unit), the outputs \(outputs.unit)")
        }
        let (spendable, underflow) = totals.inputs.subtractingReportingOverflow(totals.fee)
        guard !underflow, spendable == outputs.sum else {
            throw MintError(
                .transactionNotBalanced,
                "inputs of \(totals.inputs) minus the fee of \(totals.fee) must equal the outputs of \(outputs.sum)"
            )
        }
        totals.outputs = outputs.sum
        return totals
    }

    private static func known(
        _ id: KeysetID,
        now: UInt64,
        _ keyset: (KeysetID) -> KeysetInfo?
    ) throws(MintError) -> KeysetInfo {
        guard let info = keyset(id) else {
            throw MintError(.keysetUnknown, "keyset \(id) isn't of this mint")
        }
        guard !info.hasExpired(now: now) else {
            throw MintError(.keysetExpired, "keyset \(id) has expired")
        }
        return info
    }

    private static func total(_ amounts: [UInt64]) throws(MintError) -> UInt64 {
        do {
            return try Amounts.sum(amounts)
        } catch {
            throw MintError(.amountOutsideLimits, error.message)
        }
    }
}
