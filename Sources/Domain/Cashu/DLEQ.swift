// Proofs of discrete-log equality (NUT-12): that the mint signed with the key it publishes.
public import CanonicalJSON
public import Cryptography
import Encodings

/// `e` and `s`, and in a proof that goes from user to user also `r`; 32 bytes each.
public struct DLEQProof: Hashable, Sendable {
    /// `e = hash(R1, R2, A, C')`.
    public let challenge: [UInt8]
    /// `s = nonce + e·a mod n`.
    public let response: [UInt8]
    /// Alice's blinding factor `r`. Must never be shown to the mint.
    public let blindingFactor: [UInt8]?

    /// Takes the bytes as they are; a wrong length makes ``isValid(mintKey:blindedSecret:blindedSignature:)`` false.
    public init(challenge: [UInt8], response: [UInt8], blindingFactor: [UInt8]? = nil) {
        self.challenge = challenge
        self.response = response
        self.blindingFactor = blindingFactor
    }

    public init(json: JSONValue) throws {
        challenge = try DLEQProof.scalar(hex: json.string("e"), name: "e")
        response = try DLEQProof.scalar(hex: json.string("s"), name: "s")
        blindingFactor = try json.optionalString("r").map { try DLEQProof.scalar(hex: $0, name: "r") }
    }

    init?(optional json: JSONValue?) throws {
        switch json {
        case nil, .null?: return nil
        case .some(let value): try self.init(json: value)
        }
    }

    public var json: JSONValue {
        var object: JSONObject = ["e": .string(Hex.encode(challenge)), "s": .string(Hex.encode(response))]
        object["r"] = blindingFactor.map { .string(Hex.encode($0)) }
        return .object(object)
    }

    private static func scalar(hex: String, name: String) throws(CashuError) -> [UInt8] {
        guard hex.utf8.count == 64, let bytes = try? Hex.decode(hex) else {
            throw CashuError(.malformed, "`\(name)` of a DLEQ proof must be 64 hex digits")
        }
        return bytes
    }
}

extension DLEQProof {
    /// Bob: proves that `blindedSignature = a·blindedSecret` for the same `a` as in `mintKey = a·G`.
    ///
    /// The nonce is deterministic, HMAC-SHA256(a, "Cashu_DLEQ_R_v1" ‖ A ‖ B' ‖ C' ‖ counter) over 65-byte points, drawn
    /// again where it is no scalar, so that a bad random generator can't leak the key.
    public static func create(
        blindedSecret: Secp256k1.Point,
        blindedSignature: Secp256k1.Point,
        key: Secp256k1.Scalar,
        mintKey: Secp256k1.Point
    ) throws(CashuError) -> DLEQProof {
        let message =
            nonceLabel + mintKey.uncompressed + blindedSecret.uncompressed + blindedSignature.uncompressed
        for counter in UInt8.min...UInt8.max {
            let candidate = Hashing.hmacSHA256(key: key.bytes, message + [counter])
            guard let nonce = try? Secp256k1.Scalar(bytes: candidate) else { continue }
            return try BlindDH.curve {
                let first = Secp256k1.Point(multiplyingGeneratorBy: nonce)
                let second = try blindedSecret.multiplied(bySecret: nonce)
                let challenge = hash(first, second, mintKey, blindedSignature)
                let response = try nonce.adding(Secp256k1.Scalar(bytes: challenge).multiplied(by: key))
                return DLEQProof(challenge: challenge, response: response.bytes)
            }
        }
        throw CashuError(.cryptography, "no nonce for the DLEQ proof in 256 tries")
    }

    /// Alice: checks the proof on a blind signature. False for anything malformed.
    public func isValid(
        mintKey: Secp256k1.Point,
        blindedSecret: Secp256k1.Point,
        blindedSignature: Secp256k1.Point
    ) -> Bool {
        guard
            let challengeScalar = try? Secp256k1.Scalar(bytes: challenge),
            let responseScalar = try? Secp256k1.Scalar(bytes: response),
            // R1 = sG − eA
            let first = try? mintKey.multiplied(
                byPublic: challengeScalar.negated(),
                addingPublicMultipleOfGenerator: responseScalar
            ),
            // R2 = sB' − eC'
            let second = try? blindedSecret.multiplied(byPublic: responseScalar)
                .subtracting(blindedSignature.multiplied(byPublic: challengeScalar))
        else { return false }
        return DLEQProof.hash(first, second, mintKey, blindedSignature) == challenge
    }

    /// Carol: checks the proof on an unblinded signature, with the `r` that Alice passed on:
    /// `B' = Y + rG`, `C' = C + rA`. False where `r` is absent or anything is malformed.
    /// - Parameter table: multiples of `mintKey`, where many proofs of it are checked: a fifth faster.
    public func isValid(
        mintKey: Secp256k1.Point,
        hashedSecret: Secp256k1.Point,
        signature: Secp256k1.Point,
        table: Secp256k1.PointTable? = nil
    ) -> Bool {
        guard
            let blindingFactor,
            let factor = try? Secp256k1.Scalar(bytes: blindingFactor),
            let challengeScalar = try? Secp256k1.Scalar(bytes: challenge),
            let responseScalar = try? Secp256k1.Scalar(bytes: response),
            let blindedSignature = try? table?.multiplied(byPublic: factor, adding: signature)
                ?? signature.adding(mintKey.multiplied(byPublic: factor)),
            // R1 = sG − eA
            let first = try? Self.firstNonce(mintKey, table, challenge: challengeScalar, response: responseScalar),
            // sB' = sY + srG, so that B' itself is not needed: the hash is over R1, R2, A and C' only.
            let blindedTerm = try? hashedSecret.multiplied(
                byPublic: responseScalar,
                addingPublicMultipleOfGenerator: responseScalar.multiplied(by: factor)
            ),
            // R2 = sB' − eC'
            let second = try? blindedTerm.subtracting(blindedSignature.multiplied(byPublic: challengeScalar))
        else { return false }
        return DLEQProof.hash(first, second, mintKey, blindedSignature) == challenge
    }

    private static func firstNonce(
        _ mintKey: Secp256k1.Point,
        _ table: Secp256k1.PointTable?,
        challenge: Secp256k1.Scalar,
        response: Secp256k1.Scalar
    ) throws -> Secp256k1.Point {
        if let table, let generator = Secp256k1.PointTable.generator {
            return try generator.multiplied(
                byPublic: response,
                adding: table,
                multipliedByPublic: challenge.negated()
            )
        }
        return try mintKey.multiplied(byPublic: challenge.negated(), addingPublicMultipleOfGenerator: response)
    }

    /// SHA-256 over the concatenated lower-case hex (130 characters each) of the uncompressed points.
    static func hash(_ points: Secp256k1.Point...) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(points.count * 130)
        for point in points {
            for byte in point.uncompressed {
                text.append(hexDigits[Int(byte >> 4)])
                text.append(hexDigits[Int(byte & 15)])
            }
        }
        return Hashing.sha256(text)
    }

    private static let nonceLabel = Array("Cashu_DLEQ_R_v1".utf8)
    private static let hexDigits = Array("0123456789abcdef".utf8)
}

extension Proof {
    /// Whether the mint's signature on this proof can be checked without the mint, and is right (NUT-12 "Carol").
    ///
    /// - Parameters:
    ///   - mintKey: the mint's key for this proof's keyset and amount; see ``Keyset/key(for:)``.
    ///   - table: its multiples, where they are at hand.
    public func hasValidDLEQ(mintKey: Secp256k1.Point, table: Secp256k1.PointTable? = nil) -> Bool {
        guard let dleq, let hashed = try? hashedSecret() else { return false }
        return dleq.isValid(mintKey: mintKey, hashedSecret: hashed, signature: signature, table: table)
    }
}
