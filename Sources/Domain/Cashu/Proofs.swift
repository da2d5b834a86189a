// The models of NUT-00: blinded messages (outputs), blind signatures (promises) and proofs (inputs).
public import CanonicalJSON
public import Cryptography
import Encodings

/// An output: what a wallet asks the mint to sign (NUT-00 `BlindedMessage`).
public struct BlindedMessage: Hashable, Sendable {
    /// In the keyset's unit. The blank outputs of NUT-08 may say 0 or anything.
    public var amount: UInt64
    public var keysetID: KeysetID
    /// `B_ = Y + rG`.
    public var blindedSecret: Secp256k1.Point

    public init(amount: UInt64, keysetID: KeysetID, blindedSecret: Secp256k1.Point) {
        self.amount = amount
        self.keysetID = keysetID
        self.blindedSecret = blindedSecret
    }

    public init(json: JSONValue) throws {
        amount = try json.uint64("amount")
        keysetID = try KeysetID(hex: json.string("id"))
        blindedSecret = try Points.parse(hex: json.string("B_"), as: "`B_`")
    }

    public var json: JSONValue {
        .object([
            "amount": JSONValue(amount),
            "id": .string(keysetID.hex),
            "B_": .string(Hex.encode(blindedSecret.compressed)),
        ])
    }
}

/// A promise: what the mint answers to an output (NUT-00 `BlindSignature`).
public struct BlindSignature: Hashable, Sendable {
    public var amount: UInt64
    public var keysetID: KeysetID
    /// `C_ = kB_`.
    public var blindedSignature: Secp256k1.Point
    /// Proves that `C_` was made with the key the mint publishes (NUT-12); never has `r`.
    public var dleq: DLEQProof?

    public init(amount: UInt64, keysetID: KeysetID, blindedSignature: Secp256k1.Point, dleq: DLEQProof? = nil) {
        self.amount = amount
        self.keysetID = keysetID
        self.blindedSignature = blindedSignature
        self.dleq = dleq
    }

    public init(json: JSONValue) throws {
        amount = try json.uint64("amount")
        keysetID = try KeysetID(hex: json.string("id"))
        blindedSignature = try Points.parse(hex: json.string("C_"), as: "`C_`")
        dleq = try DLEQProof(optional: json["dleq"])
    }

    public var json: JSONValue {
        var object: JSONObject = [
            "amount": JSONValue(amount),
            "id": .string(keysetID.hex),
            "C_": .string(Hex.encode(blindedSignature.compressed)),
        ]
        object["dleq"] = dleq?.json
        return .object(object)
    }
}

/// An input: ecash itself (NUT-00 `Proof`). Whoever holds it and can satisfy its spending condition owns it.
public struct Proof: Sendable {
    public var amount: UInt64
    public var keysetID: KeysetID
    /// At most ``CashuLimits/secretBytes`` bytes of UTF-8: a random string or a NUT-10 secret.
    public var secret: String
    /// `C = kY`, unblinded.
    public var signature: Secp256k1.Point
    /// With `r`, lets a receiver check `signature` without the mint (NUT-12).
    public var dleq: DLEQProof?
    /// What satisfies the spending condition: JSON in a string, at most ``CashuLimits/witnessBytes`` bytes (NUT-11).
    public var witness: String?
    /// The sender's ephemeral key `E` where the keys of the lock are blinded (NUT-28 `p2pk_e`). For the receiver only; the
    /// mint never sees it.
    public var ephemeralKey: Secp256k1.Point?

    public init(
        amount: UInt64,
        keysetID: KeysetID,
        secret: String,
        signature: Secp256k1.Point,
        dleq: DLEQProof? = nil,
        witness: String? = nil,
        ephemeralKey: Secp256k1.Point? = nil
    ) {
        self.amount = amount
        self.keysetID = keysetID
        self.secret = secret
        self.signature = signature
        self.dleq = dleq
        self.witness = witness
        self.ephemeralKey = ephemeralKey
    }

    public init(json: JSONValue) throws {
        try self.init(json: json, keysetID: KeysetID(hex: json.string("id")))
    }

    /// Reads everything but `id`, which a token may give in its short form.
    init(json: JSONValue, keysetID: KeysetID) throws {
        let body = try ProofBody(json: json)
        self.init(body: body, keysetID: keysetID)
    }

    init(body: ProofBody, keysetID: KeysetID) {
        self.init(
            amount: body.amount,
            keysetID: keysetID,
            secret: body.secret,
            signature: body.signature,
            dleq: body.dleq,
            witness: body.witness,
            ephemeralKey: body.ephemeralKey
        )
    }

    /// With the DLEQ and its `r`, as one user gives it to another.
    public var json: JSONValue { json(isForMint: false) }

    /// As it goes to the mint: without the DLEQ, as `r` would tell the mint which output this was (NUT-12 "Privacy"), and
    /// without the ephemeral key, which would tell it that the lock is blinded (NUT-28).
    public var jsonForMint: JSONValue { json(isForMint: true) }

    private func json(isForMint: Bool) -> JSONValue {
        var object: JSONObject = [
            "amount": JSONValue(amount),
            "id": .string(keysetID.hex),
            "secret": .string(secret),
            "C": .string(Hex.encode(signature.compressed)),
        ]
        if !isForMint {
            object["dleq"] = dleq?.json
            object["p2pk_e"] = ephemeralKey.map { .string(Hex.encode($0.compressed)) }
        }
        object["witness"] = witness.map(JSONValue.string)
        return .object(object)
    }

    /// `Y = hash_to_curve(secret)`: what the mint remembers of a spent proof.
    public func hashedSecret() throws(CashuError) -> Secp256k1.Point {
        try BlindDH.hashToCurve(secret: secret)
    }
}

extension Proof: Hashable {
    /// Secrets and witnesses are compared by their bytes.
    public static func == (first: Proof, second: Proof) -> Bool {
        first.amount == second.amount && first.keysetID == second.keysetID
            && first.secret.hasSameCodeUnits(as: second.secret)
            && first.signature == second.signature && first.dleq == second.dleq
            && (first.witness == nil) == (second.witness == nil)
            && (first.witness ?? "").hasSameCodeUnits(as: second.witness ?? "")
            && first.ephemeralKey == second.ephemeralKey
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(amount)
        hasher.combine(signature)
    }
}

/// A proof without its keyset id: what stands in a token under its keyset.
public struct ProofBody: Hashable, Sendable {
    public var amount: UInt64
    public var secret: String
    public var signature: Secp256k1.Point
    public var dleq: DLEQProof?
    public var witness: String?
    /// As ``Proof/ephemeralKey``.
    public var ephemeralKey: Secp256k1.Point?

    public static func == (first: ProofBody, second: ProofBody) -> Bool {
        first.amount == second.amount && first.secret.hasSameCodeUnits(as: second.secret)
            && first.signature == second.signature && first.dleq == second.dleq
            && (first.witness == nil) == (second.witness == nil)
            && (first.witness ?? "").hasSameCodeUnits(as: second.witness ?? "")
            && first.ephemeralKey == second.ephemeralKey
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(amount)
        hasher.combine(signature)
    }

    init(
        amount: UInt64,
        secret: String,
        signature: Secp256k1.Point,
        dleq: DLEQProof?,
        witness: String?,
        ephemeralKey: Secp256k1.Point? = nil
    ) throws(CashuError) {
        guard (1...CashuLimits.secretBytes).contains(secret.utf8.count) else {
            throw CashuError(.tooLarge, "a secret has 1 to \(CashuLimits.secretBytes) bytes, not \(secret.utf8.count)")
        }
        if let witness, witness.utf8.count > CashuLimits.witnessBytes {
            throw CashuError(.tooLarge, "a witness has at most \(CashuLimits.witnessBytes) bytes")
        }
        guard amount > 0 else {
            throw CashuError(.malformed, "a proof's amount must be above zero")
        }
        self.amount = amount
        self.secret = secret
        self.signature = signature
        self.dleq = dleq
        self.witness = witness
        self.ephemeralKey = ephemeralKey
    }

    init(_ proof: Proof) throws(CashuError) {
        try self.init(
            amount: proof.amount,
            secret: proof.secret,
            signature: proof.signature,
            dleq: proof.dleq,
            witness: proof.witness,
            ephemeralKey: proof.ephemeralKey
        )
    }

    init(json: JSONValue) throws {
        try self.init(
            amount: json.uint64("amount"),
            secret: json.string("secret"),
            signature: Points.parse(hex: json.string("C"), as: "`C`"),
            dleq: DLEQProof(optional: json["dleq"]),
            witness: ProofBody.witness(json: json["witness"]),
            ephemeralKey: json.optionalString("p2pk_e").map { try Points.parse(hex: $0, as: "`p2pk_e`") }
        )
    }

    /// NUT-11 lets a witness be a string or the object itself; kept as a string either way. Empty counts as absent.
    private static func witness(json: JSONValue?) throws -> String? {
        switch json {
        case nil, .null?: return nil
        case .string(let text)?: return text.isEmpty ? nil : text
        case .object?:
            guard let bytes = json?.serialized() else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        default:
            throw CashuError(.malformed, "`witness` must be a string of JSON")
        }
    }
}
