internal import Cashu
internal import Encodings
internal import Workers

extension Mint {
    /// `POST /v1/swap` (NUT-03): the body of the request to the body of the answer; the same body again gets the same answer.
    package func swap(_ body: [UInt8]) async throws -> [UInt8] {
        try await answering {
            try await swapOnce(body)
        } former: {
            let now = clock.now()
            let (request, digest) = try await workers.run {
                (try TransactionCheck.decode(body, SwapRequest.init(json:)), RequestDigest(.swap, body: body))
            }
            let start = now.adding(seconds: -configuration.answerLifetimeSeconds)
            guard try await store.hasAnswered(swap: digest, from: start, to: now) else { return nil }
            return try await formerSignatures(on: request.outputs)
        }
    }

    /// All computing is one piece of work where the signatory does it, all writing one transaction; the inputs' uniqueness
    /// is decided by the insert that spends them, so there is no read before it.
    private func swapOnce(_ body: [UInt8]) async throws -> [UInt8] {
        let check = check
        let (answer, (request, unit, digest)) = try await signatory.answer {
            let request = try TransactionCheck.decode(body, SwapRequest.init(json:))
            let totals = try check.swap(request)
            try check.requireUnlocked(request.inputs, outputs: request.outputs)
            let batch = SignatoryBatch(proofs: request.inputs, outputs: request.outputs)
            return (batch, (request, totals.unit, RequestDigest(.swap, body: body)))
        }
        let inputs = check.spent(request.inputs, hashedSecrets: answer.hashedSecrets)
        try await store.spend(inputs, issuing: answer.promises, unit: unit, answering: digest, at: check.now)
        announce(spent: inputs)
        metrics.swapped(inputs: inputs.count, outputs: answer.promises.count)
        return ResponseWriter.signatures(answer.promises)
    }
}
