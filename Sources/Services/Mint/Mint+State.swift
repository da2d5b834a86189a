internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Workers

/// State check (NUT-07) and restore (NUT-09).
extension Mint {
    /// `POST /v1/checkstate`: where each proof stands, in the order asked.
    package func checkState(_ body: [UInt8]) async throws -> [UInt8] {
        let request = try await workers.run { try TransactionCheck.decode(body, CheckStateRequest.init(json:)) }
        let ys = request.hashedSecrets
        guard ys.count <= configuration.limits.inputs else {
            throw MintError(.maximumInputsExceeded, "at most \(configuration.limits.inputs) states are told at once")
        }
        let states = zip(ys, try await store.states(of: ys)).map { y, found in
            ProofState(hashedSecret: y, state: found.state, witness: found.witness)
        }
        return CheckStateResponse(states: states).json.serialized()
    }

    /// `POST /v1/restore`: the signatures on those of the outputs that were signed. Pending blank outputs are not.
    package func restore(_ body: [UInt8]) async throws -> [UInt8] {
        let request = try await workers.run { try TransactionCheck.decode(body, RestoreRequest.init(json:)) }
        guard request.outputs.count <= configuration.limits.outputs else {
            throw MintError(
                .maximumOutputsExceeded,
                "at most \(configuration.limits.outputs) outputs are restored at once"
            )
        }
        let promises = try await store.promises(on: request.outputs.map(\.blindedSecret.compressed))
        return ResponseWriter.restored(promises.compactMap { $0 })
    }
}
