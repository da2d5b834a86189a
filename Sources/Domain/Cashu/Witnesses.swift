// Witnesses of NUT-11 and NUT-14: what is signed, how a signer adds a signature, how signatures are counted.
import CanonicalJSON
public import Cryptography
import Encodings

/// The messages that NUT-11 signatures cover. Signatures are BIP-340 over their SHA-256.
public enum SpendingMessage {
    /// SIG_INPUTS: the unescaped secret.
    public static func inputs(_ proof: Proof) -> [UInt8] {
        Array(proof.secret.utf8)
    }

    /// SIG_ALL: `secret_0 ‖ C_0 ‖ … ‖ amount_0 ‖ B_0 ‖ …`, points in lower-case hex, amounts in decimal; for a melt,
    /// the quote id follows and `outputs` are its blank outputs.
    public static func all(inputs: [Proof], outputs: [BlindedMessage], quote: String? = nil) -> [UInt8] {
        var message: [UInt8] = []
        for input in inputs {
            message += Array(input.secret.utf8)
            message += Array(Hex.encode(input.signature.compressed).utf8)
        }
        for output in outputs {
            message += Array(String(output.amount).utf8)
            message += Array(Hex.encode(output.blindedSecret.compressed).utf8)
        }
        return message + Array((quote ?? "").utf8)
    }
}

/// `{"signatures": ["hex", …]}` (NUT-11 "Witness format"), with a `preimage` for a hash lock (NUT-14 "Witness format").
public struct P2PKWitness: Hashable, Sendable {
    /// 64-byte BIP-340 signatures.
    public var signatures: [[UInt8]]
    /// What opens a hash lock, 32 bytes.
    public var preimage: [UInt8]?

    public init(signatures: [[UInt8]] = [], preimage: [UInt8]? = nil) {
        self.signatures = signatures
        self.preimage = preimage
    }

    /// Reads a witness. Entries that aren't 64 bytes of hex are passed over, as a signature that can't verify counts
    /// for nothing (two forms of SIG_ALL signatures may stand side by side: cashubtc/nuts#404); so is a preimage that
    /// isn't 32 bytes of hex. `signatures` may be left out, or null (as nutshell writes it), where there is a `preimage`.
    /// - Throws: ``CashuError/Code/malformed`` where it isn't a JSON object with an array of strings.
    public init(_ text: String) throws {
        guard text.utf8.count <= CashuLimits.witnessBytes else {
            throw CashuError(.tooLarge, "a witness has at most \(CashuLimits.witnessBytes) bytes")
        }
        let limits = JSONLimits(
            maximumBytes: CashuLimits.witnessBytes,
            maximumDepth: 4,
            maximumValues: CashuLimits.witnessBytes
        )
        let json = try JSONValue.parse(Array(text.utf8), limits: limits)
        let given = try json.optionalString("preimage")
        preimage = given.flatMap { $0.utf8.count == 64 ? try? Hex.decode($0) : nil }
        guard given == nil || json["signatures"]?.isNull == false else {
            signatures = []
            return
        }
        signatures = try json.array("signatures").compactMap { entry in
            guard let hex = entry.stringValue else {
                throw CashuError(.malformed, "`signatures` of a witness must be strings")
            }
            guard hex.utf8.count == 128 else { return nil }
            return try? Hex.decode(hex)
        }
    }

    public func serialized() -> String {
        var object = JSONObject()
        object["preimage"] = preimage.map { .string(Hex.encode($0)) }
        object["signatures"] = .array(signatures.map { .string(Hex.encode($0)) })
        return String(decoding: JSONValue.object(object).serialized(), as: UTF8.self)
    }

    /// How many different keys (by x coordinate) among `keys` have a valid signature on `message`; stops at `enough`.
    ///
    /// - Parameter budget: how many checks may still be made; counts down, and at 0 no further signature counts.
    public func signers(
        among keys: [Secp256k1.Point],
        message: [UInt8],
        enough: Int,
        budget: inout Int
    ) -> Int {
        let digest = Hashing.sha256(message)
        var remaining = keys.map(\.xOnly)
        var count = 0
        for signature in Set(signatures) where count < enough {
            for (place, key) in remaining.enumerated() where budget > 0 {
                budget -= 1
                if Secp256k1.Schnorr.isValid(signature: signature, message: digest, publicKeyX: key) {
                    remaining.remove(at: place)
                    count += 1
                    break
                }
            }
        }
        return count
    }
}

extension Proof {
    /// This proof with one more signature by `key`, for SIG_INPUTS. Earlier signatures stay.
    ///
    /// - Parameter auxiliary: 32 random bytes for BIP-340; nil: drawn from the system.
    public func signed(by key: Secp256k1.Scalar, auxiliary: [UInt8]? = nil) throws -> Proof {
        try adding(signatureOver: SpendingMessage.inputs(self), by: key, auxiliary: auxiliary)
    }

    /// This proof with the preimage of its hash lock in the witness (NUT-14). Earlier signatures stay.
    public func revealing(preimage: [UInt8]) throws -> Proof {
        try withWitness { $0.preimage = preimage }
    }

    fileprivate func adding(
        signatureOver message: [UInt8],
        by key: Secp256k1.Scalar,
        auxiliary: [UInt8]?
    ) throws -> Proof {
        let digest = Hashing.sha256(message)
        let signature = try Secp256k1.Schnorr.sign(message: digest, key: key, auxiliary: auxiliary)
        return try withWitness { $0.signatures.append(signature) }
    }

    private func withWitness(_ change: (inout P2PKWitness) -> Void) throws -> Proof {
        var witness = try self.witness.map { try P2PKWitness($0) } ?? P2PKWitness()
        change(&witness)
        let text = witness.serialized()
        guard text.utf8.count <= CashuLimits.witnessBytes else {
            throw CashuError(.tooLarge, "the witness would have more than \(CashuLimits.witnessBytes) bytes")
        }
        var copy = self
        copy.witness = text
        return copy
    }
}

/// Signing for a whole transaction.
public enum SpendingSigner {
    /// `inputs` with the signatures by `key` that their conditions ask for: on each P2PK or HTLC input that names the key
    /// for SIG_INPUTS, on the first input alone where any input says SIG_ALL. Inputs of other secrets are left as they are.
    /// Where a proof has an ephemeral key (NUT-28), the key is looked for among the blinded ones.
    ///
    /// - Parameters:
    ///   - outputs: all outputs of the swap, or the blank outputs of the melt, in their final order.
    ///   - quote: the melt's quote id; nil for a swap.
    public static func sign(
        inputs: [Proof],
        outputs: [BlindedMessage],
        quote: String? = nil,
        key: Secp256k1.Scalar
    ) throws -> [Proof] {
        let conditions = inputs.map { SpendingCondition(ofSecret: $0.secret) }
        var signed = inputs
        if conditions.contains(where: { $0?.flag == .all }) {
            guard let first = inputs.first else { return inputs }
            let message = SpendingMessage.all(inputs: inputs, outputs: outputs, quote: quote)
            for signer in try signers(first, conditions.first ?? nil, key, named: false) {
                signed[0] = try signed[0].adding(signatureOver: message, by: signer, auxiliary: nil)
            }
            return signed
        }
        for (place, condition) in conditions.enumerated() {
            guard let condition else { continue }
            for signer in try signers(inputs[place], condition, key, named: true) {
                signed[place] = try signed[place].signed(by: signer)
            }
        }
        return signed
    }

    /// `inputs` with the preimage on each hash lock that it opens (NUT-14); on the first input alone where any input says
    /// SIG_ALL. Whoever asks the mint for the state of the proofs learns it once they are spent (NUT-07).
    public static func reveal(preimage: [UInt8], in inputs: [Proof]) throws -> [Proof] {
        let conditions = inputs.map { SpendingCondition(ofSecret: $0.secret) }
        let isTogether = conditions.contains { $0?.flag == .all }
        var opened = inputs
        for (place, condition) in conditions.enumerated() where place == 0 || !isTogether {
            guard let condition, condition.hash != nil, condition.isOpened(by: preimage) else { continue }
            opened[place] = try inputs[place].revealing(preimage: preimage)
        }
        return opened
    }

    /// The keys to sign an input with; none where `named` and the condition doesn't name `key`.
    private static func signers(
        _ input: Proof,
        _ condition: SpendingCondition?,
        _ key: Secp256k1.Scalar,
        named: Bool
    ) throws -> [Secp256k1.Scalar] {
        if let condition, let ephemeral = input.ephemeralKey {
            let blinded = try P2BK.keys(of: key, for: condition, ephemeralKey: ephemeral)
            if !blinded.isEmpty { return blinded }
        }
        guard named else { return [key] }
        let publicX = Secp256k1.Point(multiplyingGeneratorBy: key).xOnly
        let names = condition.map { ($0.keys + ($0.refundKeys ?? [])).contains { $0.xOnly == publicX } } ?? false
        return names ? [key] : []
    }
}
