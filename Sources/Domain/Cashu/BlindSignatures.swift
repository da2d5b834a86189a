// Blind Diffie-Hellman key exchange (NUT-00 "BDHKE"): how the mint signs what it can't see.
public import Cryptography
import Encodings

/// The five steps of NUT-00: hash to curve, blind, sign, unblind, verify. Everything works on parsed points.
public enum BlindDH {
    private static let domainSeparator = Array("Secp256k1_HashToCurve_Cashu_".utf8)
    /// Half of all candidates lie on the curve, so that this bound is never reached in this universe.
    private static let maximumTries: UInt32 = 1 << 16

    /// `Y = hash_to_curve(x)`, where `x` is the secret's UTF-8, also when the secret is hex text.
    public static func hashToCurve(secret: String) throws(CashuError) -> Secp256k1.Point {
        try hashToCurve(Array(secret.utf8))
    }

    /// `Y = 02 ‖ SHA256(SHA256(separator ‖ x) ‖ counter)` for the first counter (32 bits, little-endian) that gives a point.
    public static func hashToCurve(_ message: [UInt8]) throws(CashuError) -> Secp256k1.Point {
        let messageHash = Hashing.sha256(domainSeparator + message)
        var counter: UInt32 = 0
        while counter < maximumTries {
            let counterBytes = (0..<4).map { UInt8(truncatingIfNeeded: counter >> (8 * $0)) }
            let candidate = [2] + Hashing.sha256(messageHash + counterBytes)
            if let point = Secp256k1.Point(compressedOrNil: candidate) {
                return point
            }
            counter += 1
        }
        throw CashuError(.cryptography, "the secret hashes to no point of the curve")
    }

    /// Alice: `B_ = Y + rG`.
    public static func blind(secret: String, blindingFactor: Secp256k1.Scalar) throws(CashuError) -> Secp256k1.Point {
        try blind(hashedSecret: hashToCurve(secret: secret), blindingFactor: blindingFactor)
    }

    /// Alice: `B_ = Y + rG`.
    public static func blind(
        hashedSecret: Secp256k1.Point,
        blindingFactor: Secp256k1.Scalar
    ) throws(CashuError) -> Secp256k1.Point {
        try curve { try hashedSecret.adding(Secp256k1.Point(multiplyingGeneratorBy: blindingFactor)) }
    }

    /// Bob: `C_ = kB_`, in time that doesn't depend on the key.
    public static func sign(
        blindedSecret: Secp256k1.Point,
        key: Secp256k1.Scalar
    ) throws(CashuError) -> Secp256k1.Point {
        try curve { try blindedSecret.multiplied(bySecret: key) }
    }

    /// Alice: `C = C_ − rK`. `r` is secret, but only links an output to a proof; still used in constant time.
    public static func unblind(
        blindedSignature: Secp256k1.Point,
        blindingFactor: Secp256k1.Scalar,
        mintKey: Secp256k1.Point
    ) throws(CashuError) -> Secp256k1.Point {
        try curve { try blindedSignature.subtracting(mintKey.multiplied(bySecret: blindingFactor)) }
    }

    /// Bob: whether `C == k·hash_to_curve(secret)`, in time that doesn't depend on the key.
    public static func isValid(
        signature: Secp256k1.Point,
        hashedSecret: Secp256k1.Point,
        key: Secp256k1.Scalar
    ) throws(CashuError) -> Bool {
        let expected = try curve { try hashedSecret.multiplied(bySecret: key) }
        return ConstantTime.equal(expected.compressed, signature.compressed)
    }

    /// Runs curve arithmetic and names its failure (a result at infinity, reachable only by crafted input).
    static func curve<T>(_ body: () throws -> T) throws(CashuError) -> T {
        do {
            return try body()
        } catch {
            throw CashuError(.cryptography, "the point given leads to the point at infinity", cause: error)
        }
    }
}

/// What a wallet keeps of an output until the mint has signed it.
public struct BlindingSecret: Sendable {
    public var amount: UInt64
    public var keysetID: KeysetID
    public var secret: String
    public var blindingFactor: Secp256k1.Scalar

    public init(amount: UInt64, keysetID: KeysetID, secret: String, blindingFactor: Secp256k1.Scalar) {
        self.amount = amount
        self.keysetID = keysetID
        self.secret = secret
        self.blindingFactor = blindingFactor
    }

    /// The output to send to the mint.
    public func output() throws(CashuError) -> BlindedMessage {
        BlindedMessage(
            amount: amount,
            keysetID: keysetID,
            blindedSecret: try BlindDH.blind(secret: secret, blindingFactor: blindingFactor)
        )
    }

    /// Turns the mint's answer into a proof that carries its DLEQ with `r`.
    /// - Parameters:
    ///   - requiresDLEQ: refuse an answer without a DLEQ. One that is there is always verified (NUT-12: MUST).
    ///   - acceptsOtherAmount: for blank outputs (NUT-08) and restore (NUT-09), where the mint fills the amount in.
    /// - Throws: ``CashuError/Code/answerMismatch`` where keyset or amount differ from what was asked,
    ///   ``CashuError/Code/invalidDLEQ``, ``CashuError/Code/amountWithoutKey``.
    public func proof(
        from answer: BlindSignature,
        keyset: Keyset,
        requiresDLEQ: Bool = true,
        acceptsOtherAmount: Bool = false
    ) throws(CashuError) -> Proof {
        guard answer.keysetID == keysetID, keyset.id == keysetID else {
            throw CashuError(.answerMismatch, "the mint signed with keyset \(answer.keysetID) instead of \(keysetID)")
        }
        guard acceptsOtherAmount || answer.amount == amount else {
            throw CashuError(.answerMismatch, "the mint signed for \(answer.amount) instead of \(amount)")
        }
        guard answer.amount > 0 else {
            throw CashuError(.answerMismatch, "the mint signed for an amount of zero")
        }
        let key = try keyset.key(for: answer.amount)
        var dleq: DLEQProof?
        if let given = answer.dleq {
            let blindedSecret = try BlindDH.blind(secret: secret, blindingFactor: blindingFactor)
            guard
                given.isValid(
                    mintKey: key,
                    blindedSecret: blindedSecret,
                    blindedSignature: answer.blindedSignature
                )
            else {
                throw CashuError(.invalidDLEQ, "the mint's DLEQ proof is wrong: it didn't sign with its published key")
            }
            dleq = DLEQProof(challenge: given.challenge, response: given.response, blindingFactor: blindingFactor.bytes)
        } else if requiresDLEQ {
            throw CashuError(.invalidDLEQ, "the mint sent no DLEQ proof with its signature")
        }
        let signature = try BlindDH.unblind(
            blindedSignature: answer.blindedSignature,
            blindingFactor: blindingFactor,
            mintKey: key
        )
        return Proof(amount: answer.amount, keysetID: keysetID, secret: secret, signature: signature, dleq: dleq)
    }
}
