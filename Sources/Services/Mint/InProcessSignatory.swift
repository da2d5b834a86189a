package import Cashu
internal import Cryptography
internal import Synchronization
package import Workers

/// The signatory with its keys in this process's memory, derived from the mint's seed. Its arithmetic runs on the workers.
package final class InProcessSignatory: Signatory {
    private let seed: [UInt8]
    private let workers: WorkerPool
    private let keys = Mutex<[KeysetID: MintKeyset]>([:])

    /// - Parameter seed: at least 32 secret bytes. Whoever has them can print money.
    package init(seed: [UInt8], workers: WorkerPool) {
        self.seed = seed
        self.workers = workers
    }

    package func add(_ plan: KeysetPlan) async throws -> Keyset {
        guard plan.version == .v2 else {
            throw CashuError(
                .unsupportedVersion,
                "this signatory makes keysets of version 1 (01…), not \(plan.version)"
            )
        }
        let keyset = try await workers.run { [seed] in
            try MintKeyset(
                seed: seed,
                unit: plan.unit,
                counter: plan.counter,
                inputFeePPK: plan.inputFeePPK,
                finalExpiry: plan.finalExpiry
            )
        }
        keys.withLock { $0[keyset.id] = keyset }
        return keyset.keyset
    }

    package func keysets() async throws -> [Keyset] {
        keys.withLock { $0.values.map(\.keyset) }.sorted { $0.id < $1.id }
    }

    package func answer<Context: Sendable>(
        _ prepare: @escaping @Sendable () throws -> (SignatoryBatch, Context)
    ) async throws -> (SignatoryAnswer, Context) {
        let keys = keys.withLock { $0 }
        return try await workers.run {
            let (batch, context) = try prepare()
            return (try Self.answer(batch, keys), context)
        }
    }

    private static func answer(
        _ batch: SignatoryBatch,
        _ keys: [KeysetID: MintKeyset]
    ) throws(MintError) -> SignatoryAnswer {
        var answer = SignatoryAnswer(hashedSecrets: [], promises: [])
        answer.hashedSecrets.reserveCapacity(batch.proofs.count)
        answer.promises.reserveCapacity(batch.outputs.count)
        for proof in batch.proofs {
            answer.hashedSecrets.append(try keyset(proof.keysetID, keys).verify(proof).compressed)
        }
        for output in batch.outputs {
            answer.promises.append(try IssuedPromise(keyset(output.keysetID, keys).sign(output), on: output))
        }
        return answer
    }

    private static func keyset(_ id: KeysetID, _ keys: [KeysetID: MintKeyset]) throws(MintError) -> MintKeyset {
        guard let keyset = keys[id] else { throw MintError(.keysetUnknown, "this mint has no keyset \(id)") }
        return keyset
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
