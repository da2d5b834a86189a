// Getting signatures again that the mint has given before (NUT-09).
public import CanonicalJSON
import Cryptography

/// `POST /v1/restore`.
public struct RestoreRequest: Hashable, Sendable {
    public var outputs: [BlindedMessage]

    public init(outputs: [BlindedMessage]) {
        self.outputs = outputs
    }

    public init(json: JSONValue) throws {
        outputs = try json.outputs()
    }

    public var json: JSONValue { .object(["outputs": .array(outputs.map(\.json))]) }
}

/// The outputs that the mint once signed, each with its signature at the same place.
public struct RestoreResponse: Hashable, Sendable {
    public var outputs: [BlindedMessage]
    public var signatures: [BlindSignature]

    public init(outputs: [BlindedMessage], signatures: [BlindSignature]) {
        self.outputs = outputs
        self.signatures = signatures
    }

    public init(json: JSONValue) throws {
        outputs = try json.boundedArray("outputs", maximum: CashuLimits.arrayLength).map(BlindedMessage.init(json:))
        signatures = try json.signatures("signatures")
        guard outputs.count == signatures.count else {
            throw CashuError(
                .malformed,
                "the mint restored \(signatures.count) signatures for \(outputs.count) outputs"
            )
        }
    }

    public var json: JSONValue {
        .object(["outputs": .array(outputs.map(\.json)), "signatures": .array(signatures.map(\.json))])
    }

    /// The proofs of those of `secrets` that the mint had signed, in the order of `secrets`, each with its place there.
    /// They may be spent: ask for their state (NUT-13 "Check Proofs states").
    ///
    /// - Throws: ``CashuError/Code/answerMismatch`` for an output that wasn't asked for.
    public func proofs(
        for secrets: [BlindingSecret],
        requiresDLEQ: Bool = true,
        keyset: (KeysetID) -> Keyset?
    ) throws(CashuError) -> [(index: Int, proof: Proof)] {
        var places: [[UInt8]: Int] = [:]
        for (index, secret) in secrets.enumerated() {
            places[try secret.output().blindedSecret.compressed] = index
        }
        var restored: [(index: Int, proof: Proof)] = []
        for (output, signature) in zip(outputs, signatures) {
            guard let index = places.removeValue(forKey: output.blindedSecret.compressed) else {
                throw CashuError(.answerMismatch, "the mint restored an output that wasn't asked for, or one twice")
            }
            guard let keyset = keyset(secrets[index].keysetID) else {
                throw CashuError(.keysetUnknown, "the keys of keyset \(secrets[index].keysetID) aren't known")
            }
            let proof = try secrets[index].proof(
                from: signature,
                keyset: keyset,
                requiresDLEQ: requiresDLEQ,
                acceptsOtherAmount: true
            )
            restored.append((index, proof))
        }
        return restored.sorted { $0.index < $1.index }
    }
}
