import Crypto
import CryptoExtras

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension Sealing {
    /// The cost of turning a passphrase into a key (scrypt, RFC 7914). Stored beside the sealed box; not secret.
    public struct PassphraseParameters: Hashable, Sendable {
        /// 8…64 bytes, random, one per box.
        public let salt: [UInt8]
        /// CPU and memory cost N: a power of two, 2^10…2^20.
        public let n: Int
        /// Block size r, 1…32.
        public let r: Int
        /// Parallelisation p, 1…16.
        public let p: Int

        /// The memory that one derivation takes, in bytes: 128·N·r.
        public var memoryBytes: Int { 128 * n * r }

        /// Most memory that parameters may ask for, so that a changed file cannot exhaust the machine: 256 MiB.
        public static let maximumMemoryBytes = 256 << 20

        /// Fresh parameters with a random salt and the default cost: 32 MiB, three times over, about a fifth of a
        /// second (OWASP's N = 2^15, r = 8, p = 3: as hard to guess as 128 MiB once, at a quarter of the memory).
        public init() {
            salt = SecureRandom.bytes(16)
            n = 1 << 15
            r = 8
            p = 3
        }

        /// Parameters as read from a file, checked against the bounds above.
        public init(salt: [UInt8], n: Int, r: Int, p: Int) throws(CryptographyError) {
            guard (8...64).contains(salt.count) else {
                throw CryptographyError(
                    .invalidParameters,
                    "a passphrase salt has 8 to 64 bytes, this has \(salt.count)"
                )
            }
            guard (1 << 10...1 << 20).contains(n), n & (n - 1) == 0 else {
                throw CryptographyError(.invalidParameters, "scrypt N is a power of two from 1024 to 1048576, not \(n)")
            }
            guard (1...32).contains(r), (1...16).contains(p), 128 * n * r <= Self.maximumMemoryBytes else {
                throw CryptographyError(
                    .invalidParameters,
                    "scrypt r = \(r), p = \(p) with N = \(n) is out of bounds (r 1…32, p 1…16, at most 256 MiB)"
                )
            }
            self.salt = salt
            self.n = n
            self.r = r
            self.p = p
        }
    }

    /// A 32-byte sealing key from a passphrase. Slow on purpose: call it off the event loops.
    public static func key(
        passphrase: [UInt8],
        parameters: PassphraseParameters
    ) throws(CryptographyError) -> [UInt8] {
        try scrypt(
            passphrase,
            salt: parameters.salt,
            n: parameters.n,
            r: parameters.r,
            p: parameters.p,
            count: 32
        )
    }

    package static func scrypt(
        _ passphrase: [UInt8],
        salt: [UInt8],
        n: Int,
        r: Int,
        p: Int,
        count: Int
    ) throws(CryptographyError) -> [UInt8] {
        do {
            let key = try KDF.Scrypt.deriveKey(
                from: passphrase,
                salt: salt,
                outputByteCount: count,
                rounds: n,
                blockSize: r,
                parallelism: p
            )
            return key.withUnsafeBytes { [UInt8]($0) }
        } catch {
            throw CryptographyError(
                .failed,
                "deriving a key from the passphrase failed (it needs \(128 * n * r >> 20) MiB of memory): \(error)"
            )
        }
    }

    /// PBKDF2-HMAC-SHA-512 (RFC 8018), which BIP-39 asks for. The counts are the calling code's own.
    package static func pbkdf2SHA512(_ passphrase: [UInt8], salt: [UInt8], rounds: Int, count: Int) -> [UInt8] {
        let derived = try? KDF.Insecure.PBKDF2.deriveKey(
            from: passphrase,
            salt: salt,
            using: .sha512,
            outputByteCount: count,
            unsafeUncheckedRounds: rounds
        )
        guard let derived else {
            // The library refuses only where memory has run out, and there Swift's own allocations stop the process too.
            preconditionFailure("PBKDF2 found no memory")
        }
        return derived.withUnsafeBytes { [UInt8]($0) }
    }
}
