package import Cashu
internal import Cryptography
package import Mint
internal import NIOCore
internal import Synchronization
package import Workers

/// The mint's keys in a `mintmark vault` process. One transaction is one round trip; what it asks is worked out on this
/// process's workers.
package final class SocketSignatory: Signatory {
    private let line: VaultLine
    private let workers: WorkerPool
    /// What was added, in order: a vault that was started anew or unlocked has none of it.
    private let added = Mutex<[(plan: KeysetPlan, keyset: Keyset)]>([])

    package init(_ vault: SocketVault, workers: WorkerPool) {
        line = vault.line
        self.workers = workers
    }

    package func add(_ plan: KeysetPlan) async throws -> Keyset {
        let keyset = try await made(plan)
        added.withLock { added in
            if !added.contains(where: { $0.keyset.id == keyset.id }) { added.append((plan, keyset)) }
        }
        return keyset
    }

    private func made(_ plan: KeysetPlan) async throws -> Keyset {
        guard case .keyset(let id, let keys) = try await ask(.addKeyset(plan)), keys.count <= 64 else {
            throw VaultError(.malformed, "the vault answers something else than was asked")
        }
        var points: [UInt64: Secp256k1.Point] = [:]
        for (exponent, key) in keys.enumerated() {
            points[1 << UInt64(exponent)] = try Secp256k1.Point(compressed: key)
        }
        // The id is checked against the keys, so that a vault cannot give others than it says.
        return try Keyset(
            info: KeysetInfo(
                id: try KeysetID(bytes: id),
                unit: plan.unit,
                isActive: true,
                inputFeePPK: plan.inputFeePPK,
                finalExpiry: plan.finalExpiry
            ),
            keys: points
        )
    }

    package func keysets() async throws -> [Keyset] {
        added.withLock { $0.map(\.keyset) }.sorted { $0.id < $1.id }
    }

    package func answer<Context: Sendable>(
        _ prepare: @escaping @Sendable () throws -> (SignatoryBatch, Context)
    ) async throws -> (SignatoryAnswer, Context) {
        let (batch, context) = try await workers.run { try prepare() }
        guard !batch.proofs.isEmpty || !batch.outputs.isEmpty else {
            return (SignatoryAnswer(hashedSecrets: [], promises: []), context)
        }
        do {
            return (try await answer(batch), context)
        } catch let error as MintError where error.code == .keysetUnknown && isKnown(batch) {
            // The vault was started anew or unlocked since.
            for plan in added.withLock({ $0.map(\.plan) }) { _ = try await made(plan) }
            return (try await answer(batch), context)
        }
    }

    private func isKnown(_ batch: SignatoryBatch) -> Bool {
        let known = Set(added.withLock { $0.map(\.keyset.id) })
        return batch.proofs.allSatisfy { known.contains($0.keysetID) }
            && batch.outputs.allSatisfy { known.contains($0.keysetID) }
    }

    private func answer(_ batch: SignatoryBatch) async throws -> SignatoryAnswer {
        guard case .batch(let ys, let signatures) = try await ask(.batch(batch)),
            ys.count == batch.proofs.count, signatures.count == batch.outputs.count
        else { throw VaultError(.malformed, "the vault answers something else than was asked") }
        let promises = zip(signatures, batch.outputs).map { signature, output in
            IssuedPromise(
                blinded: output.blindedSecret.compressed,
                keyset: output.keysetID,
                amount: output.amount,
                signature: Array(signature[0..<33]),
                challenge: Array(signature[33..<65]),
                response: Array(signature[65..<97])
            )
        }
        return SignatoryAnswer(hashedSecrets: ys, promises: promises)
    }

    private func ask(_ request: VaultRequest) async throws -> VaultReply {
        do {
            return try await line.send(request).get()
        } catch let error as VaultError where error.code.mayPass {
            throw SignatoryUnavailable(error.message)
        }
    }
}
