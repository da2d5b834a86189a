// Secrets and blinding factors from a wallet's seed, so that 12 words bring the ecash back (NUT-13).
public import Cryptography
import Encodings

/// Derives what NUT-13 prescribes for the version of the keyset: HMAC for version 2, BIP-32 for version 1.
///
/// A counter value must never be used for two outputs of one keyset: the mint would refuse the second, and both
/// would be linked. Reserve the counters durably before the outputs leave the wallet.
public struct DeterministicSecrets: Sendable {
    private let seed: [UInt8]

    /// - Parameter seed: the 64 bytes of BIP-39 (16 to 64 bytes are taken, as in BIP-32).
    public init(seed: [UInt8]) throws(CashuError) {
        guard (16...64).contains(seed.count) else {
            throw CashuError(.malformed, "a wallet's seed has 16 to 64 bytes, not \(seed.count)")
        }
        self.seed = seed
    }

    public init(mnemonic: Mnemonic, passphrase: String = "") throws(CashuError) {
        try self.init(seed: mnemonic.seed(passphrase: passphrase))
    }

    /// The secret (64 hex digits) and the blinding factor for one output.
    ///
    /// - Parameter counter: from 0; below 2^31 for a version 1 keyset.
    /// - Throws: ``CashuError/Code/unsupportedVersion`` for other versions, ``CashuError/Code/cryptography`` for a
    ///   counter that yields no valid scalar (chance 2^−127): skip that counter.
    public func derive(
        keyset: KeysetID,
        counter: UInt64
    ) throws(CashuError) -> (secret: String, blindingFactor: Secp256k1.Scalar) {
        switch keyset.version {
        case .v2: try deriveByHMAC(keyset, counter)
        case .v1: try deriveByBIP32(keyset, counter)
        default:
            throw CashuError(.unsupportedVersion, "no derivation of secrets for keyset \(keyset)")
        }
    }

    /// The outputs for `amounts`, with consecutive counters from `counter` on.
    public func outputs(
        amounts: [UInt64],
        keyset: KeysetID,
        counter: UInt64
    ) throws(CashuError) -> [BlindingSecret] {
        var outputs: [BlindingSecret] = []
        for (offset, amount) in amounts.enumerated() {
            let derived = try derive(keyset: keyset, counter: Amounts.adding(counter, UInt64(offset)))
            outputs.append(
                BlindingSecret(
                    amount: amount,
                    keysetID: keyset,
                    secret: derived.secret,
                    blindingFactor: derived.blindingFactor
                )
            )
        }
        return outputs
    }

    /// HMAC-SHA256(seed, label ‖ id ‖ u64be counter ‖ 00 or 01); the blinding factor is reduced modulo the order.
    private func deriveByHMAC(
        _ keyset: KeysetID,
        _ counter: UInt64
    ) throws(CashuError) -> (secret: String, blindingFactor: Secp256k1.Scalar) {
        let counterBytes = stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: counter >> $0) }
        let message = Array("Cashu_KDF_HMAC_SHA256".utf8) + keyset.bytes + counterBytes
        let secret = Hashing.hmacSHA256(key: seed, message + [0])
        let factor = Hashing.hmacSHA256(key: seed, message + [1])
        return (Hex.encode(secret), try scalar { try Secp256k1.Scalar(reducing: factor) })
    }

    /// m / 129372' / 0' / keyset' / counter' / 0 or 1.
    private func deriveByBIP32(
        _ keyset: KeysetID,
        _ counter: UInt64
    ) throws(CashuError) -> (secret: String, blindingFactor: Secp256k1.Scalar) {
        guard let counter = UInt32(exactly: counter), counter < ExtendedKey.hardened else {
            throw CashuError(.malformed, "counters of a version 1 keyset stay below 2^31")
        }
        let number = keyset.bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) } % (1 << 31 - 1)
        var parent = try ExtendedKey(seed: seed)
        for index in [129_372, 0, UInt32(number), counter] {
            parent = try parent.child(index | ExtendedKey.hardened)
        }
        return (Hex.encode(try parent.child(0).key.bytes), try parent.child(1).key)
    }
}

/// A private key of BIP-32, as far as NUT-13's version 1 and the wallet's account on EVM chains need it.
package struct ExtendedKey {
    package static let hardened: UInt32 = 1 << 31

    package let key: Secp256k1.Scalar
    private let chainCode: [UInt8]

    /// The master key of a seed.
    package init(seed: [UInt8]) throws(CashuError) {
        let digest = Hashing.hmacSHA512(key: Array("Bitcoin seed".utf8), seed)
        key = try scalar { try Secp256k1.Scalar(bytes: Array(digest.prefix(32))) }
        chainCode = Array(digest.suffix(32))
    }

    private init(key: Secp256k1.Scalar, chainCode: [UInt8]) {
        self.key = key
        self.chainCode = chainCode
    }

    /// The child at `index`, hardened from 2^31 on.
    package func child(_ index: UInt32) throws(CashuError) -> ExtendedKey {
        let prefix =
            index >= ExtendedKey.hardened
            ? [0] + key.bytes : Secp256k1.Point(multiplyingGeneratorBy: key).compressed
        let indexBytes = stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: index >> $0) }
        let digest = Hashing.hmacSHA512(key: chainCode, prefix + indexBytes)
        let childKey = try scalar { try Secp256k1.Scalar(bytes: Array(digest.prefix(32))).adding(key) }
        return ExtendedKey(key: childKey, chainCode: Array(digest.suffix(32)))
    }
}

/// Runs scalar arithmetic that fails only for values no honest hash gives.
private func scalar(_ body: () throws -> Secp256k1.Scalar) throws(CashuError) -> Secp256k1.Scalar {
    do {
        return try body()
    } catch {
        throw CashuError(.cryptography, "this counter gives no valid scalar; use the next one", cause: error)
    }
}
