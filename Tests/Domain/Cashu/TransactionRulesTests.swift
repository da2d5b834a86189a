import Cashu
import Cryptography
import TestSupport
import Testing

@Suite("Rules of a transaction (NUT-02, NUT-03)")
struct TransactionRulesTests {
    /// The code with which a swap is refused; nil where it is fine.
    private func code(
        _ inputs: [Proof],
        _ outputs: [BlindedMessage],
        now: UInt64 = 1000,
        _ keysets: [KeysetInfo]
    ) -> MintErrorCode? {
        do {
            _ = try TransactionRules.checkSwap(SwapRequest(inputs: inputs, outputs: outputs), now: now) { id in
                keysets.first { $0.id == id }
            }
            return nil
        } catch {
            return error.code
        }
    }

    @Test("inputs minus fee equal outputs, exactly")
    func balance() throws {
        var mint = try TestMint(feePPK: 500)
        let inputs = [try mint.proof(8), try mint.proof(4), try mint.proof(2)]
        let known = [mint.keyset.info]
        func outputs(_ amounts: [UInt64]) throws -> [BlindedMessage] {
            try amounts.map { try mint.output($0).output() }
        }
        // Three inputs at 0.5: a fee of 2.
        #expect(code(inputs, try outputs([8, 4]), known) == nil)
        #expect(code(inputs, try outputs([4, 4, 4]), known) == nil)
        #expect(code(inputs, try outputs([8, 4, 1]), known) == .transactionNotBalanced)
        #expect(code(inputs, try outputs([8, 2, 1]), known) == .transactionNotBalanced)
        #expect(code(inputs, try outputs([8, 4, 2]), known) == .transactionNotBalanced)
        let totals = try TransactionRules.checkSwap(SwapRequest(inputs: inputs, outputs: outputs([8, 4])), now: 0) {
            _ in
            mint.keyset.info
        }
        #expect(totals.inputs == 14 && totals.fee == 2 && totals.outputs == 12 && totals.unit == .sat)
    }

    @Test("a fee above the inputs is unbalanced, not a wrap-around")
    func feeAboveInputs() throws {
        var mint = try TestMint(feePPK: 3000)
        let outputs = [try mint.output(1).output()]
        #expect(code([try mint.proof(1)], outputs, [mint.keyset.info]) == .transactionNotBalanced)
    }

    @Test("sums beyond 2^64 are refused on either side")
    func overflow() throws {
        var mint = try TestMint()
        let half: UInt64 = 1 << 63
        let inputs = [try mint.proof(half), try mint.proof(half)]
        let outputs = [try mint.output(half).output(), try mint.output(half).output()]
        #expect(code(inputs, outputs, [mint.keyset.info]) == .amountOutsideLimits)
        #expect(code([try mint.proof(1)], outputs, [mint.keyset.info]) == .amountOutsideLimits)
    }

    @Test("duplicates, nothing at all, and odd amounts")
    func shape() throws {
        var mint = try TestMint()
        let known = [mint.keyset.info]
        let input = try mint.proof(2)
        var again = input
        again.amount = 4
        let output = try mint.output(2).output()
        #expect(code([input, input], [output], known) == .duplicateInputs)
        #expect(code([input, again], [output], known) == .duplicateInputs)
        #expect(code([input], [output, output], known) == .duplicateOutputs)
        #expect(code([], [output], known) == .malformedRequest)
        #expect(code([input], [], known) == .malformedRequest)
        let odd = try [mint.output(3).output(), mint.output(0).output()]
        #expect(code([input], [odd[0]], known) == .amountOutsideLimits)
        #expect(code([input], [odd[1]], known) == .amountOutsideLimits)
        var same = input
        same.secret += "x"
        #expect(code(Array(repeating: same, count: 1001), [output], known) == .maximumInputsExceeded)
        #expect(code([input], Array(repeating: output, count: 1001), known) == .maximumOutputsExceeded)
    }

    @Test("keysets: unknown, resting, expired, of another unit")
    func keysets() throws {
        var mint = try TestMint(seed: 1, finalExpiry: 2000)
        var dollars = try TestMint(seed: 2, unit: .usd)
        let info = mint.keyset.info
        let input = try mint.proof(2)
        let output = try mint.output(2).output()
        #expect(code([input], [output], []) == .keysetUnknown)
        #expect(code([input], [output], now: 2000, [info]) == .keysetExpired)
        #expect(code([input], [output], now: 1999, [info]) == nil)
        var resting = info
        resting.isActive = false
        #expect(code([input], [output], [resting]) == .keysetInactive)
        let both = [info, dollars.keyset.info]
        let dollar = try dollars.proof(2)
        let dollarOutput = try dollars.output(2).output()
        #expect(code([input], [dollarOutput], both) == .unitMismatch)
        #expect(code([input, dollar], [output], both) == .multipleUnits)
        #expect(code([input], [output, dollarOutput], both) == .multipleUnits)
    }

    @Test("blank outputs of a melt may have any amount, or be none")
    func blankOutputs() throws {
        var mint = try TestMint()
        let info = mint.keyset.info
        let blank = [try mint.output(0).output(), try mint.output(3).output()]
        let result = try TransactionRules.checkOutputs(blank, areBlank: true, now: 0) { _ in info }
        #expect(result?.unit == .sat && result?.sum == 0)
        #expect(try TransactionRules.checkOutputs([], areBlank: true, now: 0) { _ in info } == nil)
        #expect(throws: MintError.self) {
            try TransactionRules.checkOutputs([blank[0], blank[0]], areBlank: true, now: 0) { _ in info }
        }
    }

    @Test("a whole swap: the mint's answer to the wallet's outputs becomes spendable proofs", arguments: 1...5)
    func wholeSwap(seed: UInt64) throws {
        var mint = try TestMint(seed: seed, feePPK: 100)
        let inputs = try Amounts.split(UInt64.random(in: 10...5000, using: &mint.random)).map { try mint.proof($0) }
        let sum = try Amounts.sum(inputs.map(\.amount))
        let fee = try Fees.total(inputs: inputs.count, feePPK: 100)
        let secrets = Amounts.split(sum - fee).map { mint.output($0) }
        let request = SwapRequest(inputs: inputs, outputs: try secrets.map { try $0.output() })
        let info = mint.keyset.info
        #expect(try TransactionRules.checkSwap(request, now: 0) { _ in info }.outputs == sum - fee)
        for input in inputs { _ = try mint.keyset.verify(input) }
        let answer = SignaturesResponse(signatures: try request.outputs.map { try mint.keyset.sign($0) })
        let proofs = try answer.proofs(for: secrets) { _ in mint.keyset.keyset }
        for proof in proofs { _ = try mint.keyset.verify(proof) }
        #expect(throws: CashuError.self) {
            try SignaturesResponse(signatures: answer.signatures.dropLast()).proofs(for: secrets) { _ in
                mint.keyset.keyset
            }
        }
    }
}
