import Crypto

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// One-shot hashes and message authentication codes over whole byte arrays.
public enum Hashing {
    /// SHA-256 (FIPS 180-4): 32 bytes.
    public static func sha256(_ message: [UInt8]) -> [UInt8] {
        bytes(of: SHA256.hash(data: message))
    }

    /// SHA-256 of a slice or other sequence of bytes: 32 bytes.
    public static func sha256(_ message: some Sequence<UInt8>) -> [UInt8] {
        sha256(Array(message))
    }

    /// The level above one of a hash tree: SHA-256(prefix ‖ left ‖ right) of each two hashes of 32 bytes, one after the other.
    ///
    /// A last hash without a second is left out.
    public static func sha256OfPairs(_ hashes: [UInt8], prefix: UInt8) -> [UInt8] {
        let length = SHA256.byteCount
        let pairs = hashes.count / (2 * length)
        return [UInt8](unsafeUninitializedCapacity: pairs * length) { above, count in
            hashes.withUnsafeBytes { hashes in
                for pair in 0..<pairs {
                    var hasher = SHA256()
                    withUnsafeBytes(of: prefix) { hasher.update(bufferPointer: $0) }
                    let start = pair * 2 * length
                    hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: hashes[start..<start + 2 * length]))
                    _ = above[(pair * length)...].initialize(from: hasher.finalize())
                }
            }
            count = pairs * length
        }
    }

    /// SHA-512 (FIPS 180-4): 64 bytes.
    public static func sha512(_ message: [UInt8]) -> [UInt8] {
        bytes(of: SHA512.hash(data: message))
    }

    /// Keccak-256 as Ethereum uses it (the submission's padding `0x01`, not SHA-3's `0x06`): 32 bytes.
    public static func keccak256(_ message: [UInt8]) -> [UInt8] {
        Keccak256.hash(message)
    }

    /// HMAC-SHA-256 (RFC 2104) with a key of any length: 32 bytes.
    public static func hmacSHA256(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
        bytes(of: HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key)))
    }

    /// HMAC-SHA-512 (RFC 2104) with a key of any length: 64 bytes.
    public static func hmacSHA512(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
        bytes(of: HMAC<SHA512>.authenticationCode(for: message, using: SymmetricKey(data: key)))
    }

    static func bytes(of digest: some Digest) -> [UInt8] {
        digest.withUnsafeBytes { [UInt8]($0) }
    }

    private static func bytes<Hash: HashFunction>(of code: HashedAuthenticationCode<Hash>) -> [UInt8] {
        code.withUnsafeBytes { [UInt8]($0) }
    }
}

/// SHA-256 over a message that comes in pieces, in constant memory.
public struct SHA256Stream: Sendable {
    private var hasher = SHA256()

    public init() {}

    /// Adds the next piece of the message.
    public mutating func update(_ piece: [UInt8]) {
        hasher.update(data: piece)
    }

    /// Adds the next piece of the message straight from a buffer, without a copy.
    public mutating func update(_ piece: UnsafeRawBufferPointer) {
        hasher.update(bufferPointer: piece)
    }

    /// The digest (32 bytes) of what was added so far; the stream can go on.
    public func finalize() -> [UInt8] {
        Hashing.bytes(of: hasher.finalize())
    }
}
