internal import Cashu
internal import Workers

extension Mint {
    private struct PreparedSwap: Sendable {
        var unit: CurrencyUnit
        var inputs: [SpentProof]
        var promises: [IssuedPromise]
        var answer: [UInt8]
    }

    /// `POST /v1/swap` (NUT-03): the body of the request to the body of the answer.
    ///
    /// All computing is one hop to the workers, all writing one transaction; the inputs' uniqueness is decided by
    /// the insert that spends them, so there is no read before it.
    package func swap(_ body: [UInt8]) async throws -> [UInt8] {
        let check = check
        let prepared = try await workers.run {
            let request = try TransactionCheck.decode(body, SwapRequest.init(json:))
            let totals = try check.swap(request)
            let inputs = try check.verified(request.inputs, outputs: request.outputs)
            let promises = try check.signed(request.outputs)
            return PreparedSwap(
                unit: totals.unit,
                inputs: inputs,
                promises: promises,
                answer: ResponseWriter.signatures(promises)
            )
        }
        try await store.spend(prepared.inputs, issuing: prepared.promises, unit: prepared.unit, at: check.now)
        metrics.swapped(inputs: prepared.inputs.count, outputs: prepared.promises.count)
        return prepared.answer
    }
}
