// The mint's private side of a keyset (NUT-01 "Keyset generation") and how it signs.
public import Cryptography
import Encodings

/// The private keys of a keyset, for the amounts 2^0 … 2^63 (1 alone in the unit `auth`), derived from the mint's seed.
///
/// NUT-01 leaves the derivation to the mint. Ours: key i is
/// `HMAC-SHA256(seed, "Mintmark_Keyset_v1" ‖ u8 length of unit ‖ unit ‖ u32be counter ‖ u8 i ‖ u8 try)`,
/// with the first try from 0 on that is a valid scalar. `counter` numbers the keysets of one unit; fee and expiry
/// don't enter the keys, only the id.
public struct MintKeyset: Sendable {
    public let keyset: Keyset
    /// Which keyset of its unit this is, counted from 0.
    public let counter: UInt32
    /// Private key of 2^i at i.
    private let privateKeys: [Secp256k1.Scalar]
    private let publicKeys: [Secp256k1.Point]

    public var id: KeysetID { keyset.id }
    public var info: KeysetInfo { keyset.info }
    public var unit: CurrencyUnit { keyset.unit }

    /// - Parameters:
    ///   - seed: at least 32 secret bytes. Whoever has them can print money.
    ///   - inputFeePPK: parts per thousand of one unit per input; at most 1,000,000 (a thousand units).
    ///   - finalExpiry: seconds since 1970; nil: never.
    public init(
        seed: [UInt8],
        unit: CurrencyUnit,
        counter: UInt32,
        inputFeePPK: UInt64 = 0,
        finalExpiry: UInt64? = nil,
        isActive: Bool = true
    ) throws(CashuError) {
        guard seed.count >= 32 else {
            throw CashuError(.malformed, "a mint's seed has at least 32 bytes, not \(seed.count)")
        }
        guard inputFeePPK <= 1_000_000 else {
            throw CashuError(.malformed, "an input fee above 1,000,000 ppk (a thousand units per input) isn't sensible")
        }
        var secretKeys: [Secp256k1.Scalar] = []
        var points: [Secp256k1.Point] = []
        var keys: [UInt64: Secp256k1.Point] = [:]
        // Blind authentication has the one amount 1 (NUT-22).
        for exponent in UInt8(0)..<(unit == .auth ? 1 : 64) {
            let key = try MintKeyset.key(seed: seed, unit: unit, counter: counter, exponent: exponent)
            let point = Secp256k1.Point(multiplyingGeneratorBy: key)
            secretKeys.append(key)
            points.append(point)
            keys[1 << UInt64(exponent)] = point
        }
        let id = try KeysetID.computed(
            version: .v2,
            keys: keys,
            unit: unit,
            inputFeePPK: inputFeePPK,
            finalExpiry: finalExpiry
        )
        let info = KeysetInfo(
            id: id,
            unit: unit,
            isActive: isActive,
            inputFeePPK: inputFeePPK,
            finalExpiry: finalExpiry
        )
        keyset = try Keyset(info: info, keys: keys)
        self.counter = counter
        privateKeys = secretKeys
        publicKeys = points
    }

    private init(keyset: Keyset, copying other: MintKeyset) {
        self.keyset = keyset
        counter = other.counter
        privateKeys = other.privateKeys
        publicKeys = other.publicKeys
    }

    /// The same keyset, signing new outputs or not. The id stays.
    public func withActive(_ isActive: Bool) throws(CashuError) -> MintKeyset {
        var info = keyset.info
        info.isActive = isActive
        return MintKeyset(keyset: try Keyset(info: info, keys: keyset.keys), copying: self)
    }

    private static func key(
        seed: [UInt8],
        unit: CurrencyUnit,
        counter: UInt32,
        exponent: UInt8
    ) throws(CashuError) -> Secp256k1.Scalar {
        let name = Array(unit.name.utf8)
        let counterBytes = stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: counter >> $0) }
        let message = Array("Mintmark_Keyset_v1".utf8) + [UInt8(name.count)] + name + counterBytes + [exponent]
        for attempt in UInt8.min...UInt8.max {
            let candidate = Hashing.hmacSHA256(key: seed, message + [attempt])
            if let scalar = try? Secp256k1.Scalar(bytes: candidate) { return scalar }
        }
        throw CashuError(.cryptography, "no private key for 2^\(exponent) in 256 tries")
    }

    /// Where the keys for `amount` stand: refuses what isn't a power of two with 11006.
    private func index(of amount: UInt64) throws(MintError) -> Int {
        guard Amounts.isPowerOfTwo(amount), amount.trailingZeroBitCount < privateKeys.count else {
            throw MintError(.amountOutsideLimits, "\(amount) isn't an amount of keyset \(id): only powers of two are")
        }
        return amount.trailingZeroBitCount
    }

    /// Signs one output, with a DLEQ proof (NUT-00, NUT-12), for `amount` or the output's own.
    ///
    /// - Throws: 11006 for an amount that is no power of two, 12001 for an output of another keyset. Whether the
    ///   keyset is active, the output new and the transaction balanced is for the caller to check.
    public func sign(_ output: BlindedMessage, amount: UInt64? = nil) throws(MintError) -> BlindSignature {
        guard output.keysetID == id else {
            throw MintError(.keysetUnknown, "the output is of keyset \(output.keysetID), not \(id)")
        }
        let value = amount ?? output.amount
        let index = try index(of: value)
        do {
            let signature = try BlindDH.sign(blindedSecret: output.blindedSecret, key: privateKeys[index])
            let dleq = try DLEQProof.create(
                blindedSecret: output.blindedSecret,
                blindedSignature: signature,
                key: privateKeys[index],
                mintKey: publicKeys[index]
            )
            return BlindSignature(amount: value, keysetID: id, blindedSignature: signature, dleq: dleq)
        } catch {
            throw MintError(.malformedRequest, "the output can't be signed: \(error)")
        }
    }

    /// Checks the mint's own signature on a proof and gives back `Y`, by which the mint remembers it.
    ///
    /// - Throws: 10001 where the signature, the amount or the keyset isn't ours.
    public func verify(_ proof: Proof) throws(MintError) -> Secp256k1.Point {
        guard proof.keysetID == id else {
            throw MintError(.keysetUnknown, "the proof is of keyset \(proof.keysetID), not \(id)")
        }
        guard Amounts.isPowerOfTwo(proof.amount), proof.amount.trailingZeroBitCount < privateKeys.count else {
            throw MintError(.proofVerificationFailed, "\(proof.amount) isn't an amount of keyset \(id)")
        }
        let key = privateKeys[proof.amount.trailingZeroBitCount]
        guard
            let hashed = try? proof.hashedSecret(),
            (try? BlindDH.isValid(signature: proof.signature, hashedSecret: hashed, key: key)) == true
        else {
            throw MintError(.proofVerificationFailed, "the signature of a proof of \(proof.amount) isn't this mint's")
        }
        return hashed
    }
}
