import Crypto
import CryptoExtras

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Secrets at rest: authenticated encryption, keys from a passphrase, keys from keys.
public enum Sealing {
    /// Bytes a sealed box is longer than what it holds: nonce 12, tag 16.
    public static let overhead = 28

    /// Seals with ChaCha20-Poly1305 (RFC 8439) under a random nonce: nonce‖ciphertext‖tag.
    ///
    /// - Parameters:
    ///   - key: 32 bytes; seal fewer than 2^32 boxes under one key.
    ///   - context: what the box is for (authenticated, not stored): it opens only with the same context.
    public static func seal(
        _ plaintext: [UInt8],
        key: [UInt8],
        context: [UInt8]
    ) throws(CryptographyError) -> [UInt8] {
        try seal(plaintext, key: key, nonce: SecureRandom.bytes(12), context: context)
    }

    /// As ``seal(_:key:context:)`` with a nonce of the caller's: for published vectors only, a nonce may never repeat.
    package static func seal(
        _ plaintext: [UInt8],
        key: [UInt8],
        nonce: [UInt8],
        context: [UInt8]
    ) throws(CryptographyError) -> [UInt8] {
        let symmetric = try symmetricKey(key)
        do {
            let box = try ChaChaPoly.seal(
                plaintext,
                using: symmetric,
                nonce: ChaChaPoly.Nonce(data: nonce),
                authenticating: context
            )
            return [UInt8](box.combined)
        } catch {
            throw CryptographyError(.failed, "sealing failed: \(error)")
        }
    }

    /// Opens what ``seal(_:key:context:)`` made.
    ///
    /// - Throws: `authenticationFailed` where the key or the context differ or any byte was changed.
    public static func open(
        _ sealed: [UInt8],
        key: [UInt8],
        context: [UInt8]
    ) throws(CryptographyError) -> [UInt8] {
        let symmetric = try symmetricKey(key)
        guard sealed.count >= overhead, let box = try? ChaChaPoly.SealedBox(combined: sealed) else {
            throw CryptographyError(
                .authenticationFailed,
                "a sealed box has at least \(overhead) bytes, this has \(sealed.count)"
            )
        }
        guard let plaintext = try? ChaChaPoly.open(box, using: symmetric, authenticating: context) else {
            throw CryptographyError(
                .authenticationFailed,
                "the sealed box does not open: wrong key or passphrase, or its bytes were changed"
            )
        }
        return [UInt8](plaintext)
    }

    /// A key for one purpose out of another key: HKDF-SHA-256 (RFC 5869) with no salt and the label's UTF-8 as `info`.
    ///
    /// - Parameters:
    ///   - secret: a secret of at least 16 random bytes (not a passphrase: see ``key(passphrase:parameters:)``).
    ///   - count: bytes wanted, 1…8160 (the algorithm's maximum; more is a mistake in the calling code).
    public static func deriveKey(from secret: [UInt8], label: String, count: Int = 32) -> [UInt8] {
        precondition((1...8160).contains(count), "HKDF-SHA-256 gives 1 to 8160 bytes")
        return hkdf(secret, salt: [], info: Array(label.utf8), count: count)
    }

    package static func hkdf(_ secret: [UInt8], salt: [UInt8], info: [UInt8], count: Int) -> [UInt8] {
        let derived = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: secret),
            salt: salt,
            info: info,
            outputByteCount: count
        )
        return derived.withUnsafeBytes { [UInt8]($0) }
    }

    private static func symmetricKey(_ key: [UInt8]) throws(CryptographyError) -> SymmetricKey {
        guard key.count == 32 else {
            throw CryptographyError(.invalidKey, "a sealing key has 32 bytes, this has \(key.count)")
        }
        return SymmetricKey(data: key)
    }
}
