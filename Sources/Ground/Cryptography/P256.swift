import Crypto
import Encodings

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// ECDSA over NIST P-256 with SHA-256 (FIPS 186-5).
public enum P256 {
    /// A signing key. Its description shows no secret.
    public struct PrivateKey: Sendable, CustomStringConvertible, CustomReflectable {
        private let key: Crypto.P256.Signing.PrivateKey

        /// The key that verifies what this one signs.
        public let publicKey: PublicKey

        /// A new random key.
        public init() {
            key = Crypto.P256.Signing.PrivateKey()
            publicKey = PublicKey(key: key.publicKey)
        }

        /// The key of a 32-byte big-endian scalar in 1 ..< n.
        public init(bytes: [UInt8]) throws(CryptographyError) {
            guard bytes.count == 32, let key = try? Crypto.P256.Signing.PrivateKey(rawRepresentation: bytes) else {
                throw CryptographyError(
                    .invalidKey,
                    "a P-256 private key has 32 bytes and lies between 1 and the group order"
                )
            }
            self.key = key
            publicKey = PublicKey(key: key.publicKey)
        }

        /// The 32-byte scalar: secret.
        public var bytes: [UInt8] {
            [UInt8](key.rawRepresentation)
        }

        /// Signs SHA-256 of the message: r‖s, 64 bytes. The nonce is random, so signatures differ from call to call.
        public func sign(_ message: [UInt8]) throws(CryptographyError) -> [UInt8] {
            do {
                return [UInt8](try key.signature(for: message).rawRepresentation)
            } catch {
                throw CryptographyError(.failed, "P-256 signing failed: \(error)")
            }
        }

        public var description: String { "P256.PrivateKey(redacted)" }
        public var customMirror: Mirror { Mirror(self, children: []) }
    }

    /// A verification key: a point of the curve, never infinity.
    public struct PublicKey: Hashable, Sendable, CustomStringConvertible {
        private let key: Crypto.P256.Signing.PublicKey

        /// SEC 1 compressed form, 33 bytes.
        public let compressed: [UInt8]

        /// Reads the SEC 1 compressed form: 33 bytes, first 02 or 03.
        public init(compressed: [UInt8]) throws(CryptographyError) {
            guard compressed.count == 33,
                let key = try? Crypto.P256.Signing.PublicKey(compressedRepresentation: compressed)
            else {
                throw CryptographyError(
                    .invalidPoint,
                    "the \(compressed.count) bytes are no compressed point of P-256 (33 bytes, first 02 or 03)"
                )
            }
            // A point has one such form: it need not be worked out again.
            self.key = key
            self.compressed = compressed
        }

        /// Reads the SEC 1 uncompressed form: 65 bytes, first 04.
        public init(uncompressed: [UInt8]) throws(CryptographyError) {
            guard uncompressed.count == 65, uncompressed[0] == 4,
                let key = try? Crypto.P256.Signing.PublicKey(x963Representation: uncompressed)
            else {
                throw CryptographyError(
                    .invalidPoint,
                    "the \(uncompressed.count) bytes are no uncompressed point of P-256 (65 bytes, first 04)"
                )
            }
            self.init(key: key)
        }

        fileprivate init(key: Crypto.P256.Signing.PublicKey) {
            self.key = key
            compressed = [UInt8](key.compressedRepresentation)
        }

        /// SEC 1 uncompressed form, 65 bytes.
        public var uncompressed: [UInt8] {
            [UInt8](key.x963Representation)
        }

        /// Whether r‖s (64 bytes) of this key holds for SHA-256 of the message. Both s and n − s hold, as ECDSA says:
        /// never use a signature as an identifier.
        public func isValid(signature: [UInt8], for message: [UInt8]) -> Bool {
            guard signature.count == 64,
                let parsed = try? Crypto.P256.Signing.ECDSASignature(rawRepresentation: signature)
            else { return false }
            return key.isValidSignature(parsed, for: message)
        }

        public static func == (first: PublicKey, second: PublicKey) -> Bool {
            first.compressed == second.compressed
        }

        public func hash(into hasher: inout Hasher) {
            hasher.combine(compressed)
        }

        public var description: String {
            "P256.PublicKey(\(Hex.encode(compressed)))"
        }
    }
}
