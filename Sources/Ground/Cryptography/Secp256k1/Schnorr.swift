import CSecp256k1

extension Secp256k1 {
    /// Schnorr signatures of BIP-340 over 32-byte messages.
    public enum Schnorr {
        /// A private key with its public key worked out once: signing with it costs half of signing with a bare scalar.
        public struct KeyPair: Sendable, CustomStringConvertible, CustomReflectable {
            private let pair: secp256k1_keypair

            /// The public key as a full point.
            public let publicKey: Point

            public init(_ key: Scalar) {
                var pair = secp256k1_keypair()
                var point = secp256k1_pubkey()
                // Both succeed on every valid scalar, and `Scalar` holds no other.
                _ = key.storage.withPointer { secp256k1_keypair_create(Secp256k1.context, &pair, $0) }
                _ = secp256k1_keypair_pub(Secp256k1.context, &point, &pair)
                self.pair = pair
                publicKey = Point(parsed: point)
            }

            /// The public key's x coordinate: 32 bytes.
            public var publicKeyX: [UInt8] {
                publicKey.xOnly
            }

            /// Signs 32 bytes, mostly a SHA-256 digest: 64 bytes.
            ///
            /// - Parameter auxiliary: 32 random bytes that harden the nonce against side channels; fresh ones where
            ///   nil. The nonce is safe with any value.
            public func sign(message: [UInt8], auxiliary: [UInt8]? = nil) throws(CryptographyError) -> [UInt8] {
                guard message.count == 32 else {
                    throw CryptographyError(
                        .invalidLength,
                        "a message to sign with Schnorr has 32 bytes, this has \(message.count)"
                    )
                }
                let auxiliary = auxiliary ?? SecureRandom.bytes(32)
                guard auxiliary.count == 32 else {
                    throw CryptographyError(
                        .invalidLength,
                        "the auxiliary randomness of BIP-340 has 32 bytes, this has \(auxiliary.count)"
                    )
                }
                var signature = [UInt8](repeating: 0, count: 64)
                let status = withUnsafePointer(to: pair) { pair in
                    secp256k1_schnorrsig_sign32(Secp256k1.context, &signature, message, pair, auxiliary)
                }
                guard status == 1 else {
                    throw CryptographyError(.failed, "Schnorr signing failed")
                }
                return signature
            }

            public var description: String { "Secp256k1.Schnorr.KeyPair(redacted)" }
            public var customMirror: Mirror { Mirror(self, children: []) }
        }

        /// Signs 32 bytes with a bare scalar: see ``KeyPair/sign(message:auxiliary:)``.
        public static func sign(
            message: [UInt8],
            key: Scalar,
            auxiliary: [UInt8]? = nil
        ) throws(CryptographyError) -> [UInt8] {
            try KeyPair(key).sign(message: message, auxiliary: auxiliary)
        }

        /// Whether the 64-byte signature holds for the 32-byte message under the key with this x coordinate (32 bytes).
        /// Wrong lengths and an x that is on no point are simply not valid.
        public static func isValid(signature: [UInt8], message: [UInt8], publicKeyX: [UInt8]) -> Bool {
            guard publicKeyX.count == 32 else { return false }
            var key = secp256k1_xonly_pubkey()
            guard secp256k1_xonly_pubkey_parse(Secp256k1.context, &key, publicKeyX) == 1 else { return false }
            return isValid(signature: signature, message: message, key: &key)
        }

        /// As ``isValid(signature:message:publicKeyX:)`` with a point that is already read, whose y is left aside.
        public static func isValid(signature: [UInt8], message: [UInt8], publicKey: Point) -> Bool {
            var key = secp256k1_xonly_pubkey()
            let status = withUnsafePointer(to: publicKey.parsed) { point in
                secp256k1_xonly_pubkey_from_pubkey(Secp256k1.context, &key, nil, point)
            }
            return status == 1 && isValid(signature: signature, message: message, key: &key)
        }

        private static func isValid(
            signature: [UInt8],
            message: [UInt8],
            key: inout secp256k1_xonly_pubkey
        ) -> Bool {
            guard signature.count == 64, message.count == 32 else { return false }
            return secp256k1_schnorrsig_verify(Secp256k1.context, signature, message, 32, &key) == 1
        }
    }
}
