import CryptoExtras

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// RSA signatures of others, RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2): what OpenID Connect issuers sign with.
/// Nothing here signs, save a test's issuer.
public enum RSA {
    /// Bits of a modulus that is taken: below, factoring is in reach; above, checking costs milliseconds.
    public static let modulusBits = 2048...8192

    /// A verification key.
    public struct PublicKey: Sendable {
        private let key: _RSA.Signing.PublicKey

        /// - Parameters:
        ///   - modulus: big-endian, ``modulusBits`` long; leading zeros do not count.
        ///   - exponent: big-endian, odd, 3 to 2^32 − 1.
        /// - Throws: `CryptographyError` `invalidKey`.
        public init(modulus: [UInt8], exponent: [UInt8]) throws(CryptographyError) {
            let modulus = modulus.drop { $0 == 0 }
            let exponent = exponent.drop { $0 == 0 }
            let bits = modulus.count * 8 - (modulus.first?.leadingZeroBitCount ?? 0)
            guard RSA.modulusBits.contains(bits), (1...4).contains(exponent.count), let last = exponent.last,
                last & 1 == 1, exponent.count > 1 || last >= 3
            else {
                throw CryptographyError(
                    .invalidKey,
                    "an RSA key has a modulus of 2048 to 8192 bits and an odd exponent of 3 to 2^32-1"
                )
            }
            guard let key = try? _RSA.Signing.PublicKey(n: Data(modulus), e: Data(exponent)) else {
                throw CryptographyError(.invalidKey, "the numbers are no RSA key")
            }
            self.key = key
        }

        /// Whether the signature holds for SHA-256 of the message. False for one of another length than the modulus.
        public func isValid(signature: [UInt8], for message: [UInt8]) -> Bool {
            key.isValidSignature(
                _RSA.Signing.RSASignature(rawRepresentation: signature),
                for: message,
                padding: .insecurePKCS1v1_5
            )
        }
    }

    /// A signing key, for a test that plays an issuer.
    package struct PrivateKey: Sendable {
        private let key: _RSA.Signing.PrivateKey

        /// A new key of 2048 bits.
        package init() throws {
            key = try _RSA.Signing.PrivateKey(keySize: .bits2048)
        }

        package var modulus: [UInt8] { get throws { [UInt8](try key.publicKey.getKeyPrimitives().modulus) } }
        package var exponent: [UInt8] { get throws { [UInt8](try key.publicKey.getKeyPrimitives().publicExponent) } }

        package func sign(_ message: [UInt8]) throws -> [UInt8] {
            [UInt8](try key.signature(for: message, padding: .insecurePKCS1v1_5).rawRepresentation)
        }
    }
}
