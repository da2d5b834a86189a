// Mint quotes that belong to a key (NUT-20), as amended by cashubtc/nuts#375.
import CanonicalJSON
public import Cryptography
import Encodings

/// The signature by which the owner of a quote's key asks for its ecash: BIP-340 over a SHA-256.
public enum MintQuoteSignature {
    /// What the signature covers.
    public enum Form: Hashable, Sendable, CaseIterable {
        /// `quote ‖ B_0 ‖ …` as text, points in hex. Older; every mint takes it.
        case plain
        /// `Cashu_MintQuoteSig_v1`, then quote, amounts and points, each with its length. Newer; mints before May 2026 refuse
        /// it (cdk below 0.18 among them).
        case tagged
    }

    private static let domain = Array("Cashu_MintQuoteSig_v1".utf8)

    /// The message whose SHA-256 is signed.
    ///
    /// - Parameter outputs: all outputs of the request, in order; in a batch (NUT-29) those of the whole batch.
    public static func message(quote: QuoteID, outputs: [BlindedMessage], form: Form) -> [UInt8] {
        switch form {
        case .plain:
            var message = Array(quote.string.utf8)
            for output in outputs { message += Array(Hex.encode(output.blindedSecret.compressed).utf8) }
            return message
        case .tagged:
            var message = domain
            append(Array(quote.string.utf8), to: &message)
            for output in outputs {
                append(minimalBytes(output.amount), to: &message)
                append(output.blindedSecret.compressed, to: &message)
            }
            return message
        }
    }

    /// - Parameters:
    ///   - form: ``Form/plain`` unless the mint is known to want the other.
    ///   - auxiliary: 32 random bytes for BIP-340; nil: drawn from the system.
    /// - Returns: 64 bytes.
    public static func sign(
        quote: QuoteID,
        outputs: [BlindedMessage],
        key: Secp256k1.Scalar,
        form: Form = .plain,
        auxiliary: [UInt8]? = nil
    ) throws(CashuError) -> [UInt8] {
        let digest = Hashing.sha256(message(quote: quote, outputs: outputs, form: form))
        do {
            return try Secp256k1.Schnorr.sign(message: digest, key: key, auxiliary: auxiliary)
        } catch {
            throw CashuError(.cryptography, "the mint quote can't be signed for", cause: error)
        }
    }

    /// Whether `signature` is of `publicKey`, over either form.
    public static func isValid(
        _ signature: [UInt8],
        quote: QuoteID,
        outputs: [BlindedMessage],
        publicKey: Secp256k1.Point
    ) -> Bool {
        guard signature.count == 64 else { return false }
        return Form.allCases.contains { form in
            Secp256k1.Schnorr.isValid(
                signature: signature,
                message: Hashing.sha256(message(quote: quote, outputs: outputs, form: form)),
                publicKeyX: publicKey.xOnly
            )
        }
    }

    /// Reads a signature of a mint request.
    /// - Throws: ``MintError`` 20008 where it isn't 64 bytes of hex.
    static func parse(hex: String) throws(MintError) -> [UInt8] {
        guard hex.utf8.count == 128, let bytes = try? Hex.decode(hex) else {
            throw MintError(.mintSignatureInvalid, "the signature for a mint quote must be 64 bytes in hex")
        }
        return bytes
    }

    private static func append(_ bytes: [UInt8], to message: inout [UInt8]) {
        let count = UInt32(clamping: bytes.count)
        message += stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: count >> UInt32($0)) }
        message += bytes
    }

    /// Big-endian without leading zeros; 0 has no bytes.
    private static func minimalBytes(_ number: UInt64) -> [UInt8] {
        let bytes = stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> UInt64($0)) }
        return Array(bytes.drop { $0 == 0 })
    }
}
