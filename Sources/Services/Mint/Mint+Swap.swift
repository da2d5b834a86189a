internal import Cashu

extension Mint {
    /// `POST /v1/swap` (NUT-03): the body of the request to the body of the answer.
    ///
    /// All computing is one piece of work where the signatory does it, all writing one transaction; the inputs' uniqueness
    /// is decided by the insert that spends them, so there is no read before it.
    package func swap(_ body: [UInt8]) async throws -> [UInt8] {
        let check = check
        let (answer, (request, unit)) = try await signatory.answer {
            let request = try TransactionCheck.decode(body, SwapRequest.init(json:))
            let totals = try check.swap(request)
            try check.requireUnlocked(request.inputs, outputs: request.outputs)
            return (SignatoryBatch(proofs: request.inputs, outputs: request.outputs), (request, totals.unit))
        }
        let inputs = check.spent(request.inputs, hashedSecrets: answer.hashedSecrets)
        try await store.spend(inputs, issuing: answer.promises, unit: unit, at: check.now)
        announce(spent: inputs)
        metrics.swapped(inputs: inputs.count, outputs: answer.promises.count)
        return ResponseWriter.signatures(answer.promises)
    }
}
