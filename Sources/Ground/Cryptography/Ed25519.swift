import Crypto
import Encodings

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Ed25519 signatures (RFC 8032, pure, no context).
public enum Ed25519 {
    /// A signing key. Its description shows no secret.
    public struct PrivateKey: Sendable, CustomStringConvertible, CustomReflectable {
        private let key: Curve25519.Signing.PrivateKey

        /// The key that verifies what this one signs.
        public let publicKey: PublicKey

        /// A new random key.
        public init() {
            key = Curve25519.Signing.PrivateKey()
            publicKey = PublicKey(trusted: key.publicKey)
        }

        /// The key of a 32-byte seed (RFC 8032, 5.1.5).
        public init(seed: [UInt8]) throws(CryptographyError) {
            guard seed.count == 32, let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: seed) else {
                throw CryptographyError(.invalidKey, "an Ed25519 seed has 32 bytes, this has \(seed.count)")
            }
            self.key = key
            publicKey = PublicKey(trusted: key.publicKey)
        }

        /// The 32-byte seed: secret.
        public var seed: [UInt8] {
            [UInt8](key.rawRepresentation)
        }

        /// Signs a message of any length: 64 bytes. The same key and message give the same signature on Linux.
        public func sign(_ message: [UInt8]) throws(CryptographyError) -> [UInt8] {
            do {
                return [UInt8](try key.signature(for: message))
            } catch {
                throw CryptographyError(.failed, "Ed25519 signing failed: \(error)")
            }
        }

        public var description: String { "Ed25519.PrivateKey(redacted)" }
        public var customMirror: Mirror { Mirror(self, children: []) }
    }

    /// A verification key.
    public struct PublicKey: Hashable, Sendable, CustomStringConvertible {
        private let key: Curve25519.Signing.PublicKey

        /// The 32 bytes of RFC 8032, 5.1.2.
        public let bytes: [UInt8]

        /// Reads 32 bytes. Refused: a y coordinate that is not below 2^255 − 19, and the points of small order, under
        /// which one signature would hold for many messages. Bytes that are on no point verify nothing.
        public init(bytes: [UInt8]) throws(CryptographyError) {
            guard bytes.count == 32 else {
                throw CryptographyError(.invalidKey, "an Ed25519 public key has 32 bytes, this has \(bytes.count)")
            }
            guard Ed25519.isCanonical(bytes) else {
                throw CryptographyError(.invalidKey, "the Ed25519 public key is not in canonical form")
            }
            guard !Ed25519.isOfSmallOrder(bytes) else {
                throw CryptographyError(.invalidKey, "the Ed25519 public key is a point of small order")
            }
            guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: bytes) else {
                throw CryptographyError(.invalidKey, "the Ed25519 public key is not valid")
            }
            self.key = key
            self.bytes = bytes
        }

        fileprivate init(trusted key: Curve25519.Signing.PublicKey) {
            self.key = key
            bytes = [UInt8](key.rawRepresentation)
        }

        /// Whether the 64-byte signature of this key holds for the message (RFC 8032, 5.1.7; S below the group order,
        /// equation without cofactor).
        public func isValid(signature: [UInt8], for message: [UInt8]) -> Bool {
            signature.count == 64 && key.isValidSignature(signature, for: message)
        }

        public static func == (first: PublicKey, second: PublicKey) -> Bool {
            first.bytes == second.bytes
        }

        public func hash(into hasher: inout Hasher) {
            bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        }

        public var description: String {
            "Ed25519.PublicKey(\(Hex.encode(bytes)))"
        }
    }

    /// Whether y, without the sign bit, is below p = 2^255 − 19. Public data: time may vary.
    static func isCanonical(_ key: [UInt8]) -> Bool {
        guard key[31] & 0x7F == 0x7F, key[1..<31].allSatisfy({ $0 == 0xFF }) else { return true }
        return key[0] < 0xED
    }

    /// Whether canonical bytes are one of the eight points whose order divides the cofactor.
    static func isOfSmallOrder(_ key: [UInt8]) -> Bool {
        smallOrderY.contains { y in
            key[0] == y[0] && key[31] & 0x7F == y[31] && key[..<31].elementsEqual(y[..<31])
        }
    }

    /// The y coordinates, little-endian, of the points of order 1, 2, 4 and 8.
    private static let smallOrderY: [[UInt8]] = [
        [1] + [UInt8](repeating: 0, count: 31),
        [0xEC] + [UInt8](repeating: 0xFF, count: 30) + [0x7F],
        [UInt8](repeating: 0, count: 32),
        [
            0x26, 0xE8, 0x95, 0x8F, 0xC2, 0xB2, 0x27, 0xB0, 0x45, 0xC3, 0xF4, 0x89, 0xF2, 0xEF, 0x98, 0xF0,
            0xD5, 0xDF, 0xAC, 0x05, 0xD3, 0xC6, 0x33, 0x39, 0xB1, 0x38, 0x02, 0x88, 0x6D, 0x53, 0xFC, 0x05,
        ],
        [
            0xC7, 0x17, 0x6A, 0x70, 0x3D, 0x4D, 0xD8, 0x4F, 0xBA, 0x3C, 0x0B, 0x76, 0x0D, 0x10, 0x67, 0x0F,
            0x2A, 0x20, 0x53, 0xFA, 0x2C, 0x39, 0xCC, 0xC6, 0x4E, 0xC7, 0xFD, 0x77, 0x92, 0xAC, 0x03, 0x7A,
        ],
    ]
}
