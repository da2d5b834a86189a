import CSecp256k1

extension Secp256k1 {
    /// ECDSA over 32-byte digests; signatures are r‖s, 64 bytes, with s in the lower half of the order.
    public enum ECDSA {
        /// Signs a digest with the nonce of RFC 6979: 64 bytes, low s.
        ///
        /// - Parameter digest: 32 bytes; another length is a mistake in the calling code.
        public static func sign(digest: [UInt8], key: Scalar) -> [UInt8] {
            signRecoverable(digest: digest, key: key).signature
        }

        /// Signs a digest so that the public key can be recovered: the signature (64 bytes, low s) and the recovery id
        /// 0…3.
        ///
        /// - Parameter digest: 32 bytes; another length is a mistake in the calling code.
        public static func signRecoverable(
            digest: [UInt8],
            key: Scalar
        ) -> (signature: [UInt8], recoveryID: UInt8) {
            precondition(digest.count == 32, "ECDSA signs digests of 32 bytes")
            var recoverable = secp256k1_ecdsa_recoverable_signature()
            // Fails where the key is invalid or the nonce function gives up; neither occurs with a `Scalar` and RFC 6979.
            _ = key.storage.withPointer { key in
                secp256k1_ecdsa_sign_recoverable(Secp256k1.context, &recoverable, digest, key, nil, nil)
            }
            var signature = [UInt8](repeating: 0, count: 64)
            var recoveryID: Int32 = 0
            _ = secp256k1_ecdsa_recoverable_signature_serialize_compact(
                Secp256k1.context,
                &signature,
                &recoveryID,
                &recoverable
            )
            return (signature, UInt8(truncatingIfNeeded: recoveryID))
        }

        /// Whether r‖s holds for the 32-byte digest. A high s is refused, so that no signature has a twin; see
        /// ``lowS(signature:)``.
        public static func isValid(signature: [UInt8], digest: [UInt8], publicKey: Point) -> Bool {
            guard digest.count == 32, let parsed = parse(signature) else { return false }
            return withUnsafePointer(to: parsed) { parsed in
                withUnsafePointer(to: publicKey.parsed) { point in
                    secp256k1_ecdsa_verify(Secp256k1.context, parsed, digest, point) == 1
                }
            }
        }

        /// The public key that made the signature over the digest. A high s is accepted, as BOLT 11 wants it.
        ///
        /// - Parameters:
        ///   - signature: r‖s, 64 bytes.
        ///   - recoveryID: 0…3.
        ///   - digest: 32 bytes.
        public static func recover(
            signature: [UInt8],
            recoveryID: UInt8,
            digest: [UInt8]
        ) throws(CryptographyError) -> Point {
            guard digest.count == 32 else {
                throw CryptographyError(.invalidLength, "a digest has 32 bytes, this has \(digest.count)")
            }
            var recoverable = secp256k1_ecdsa_recoverable_signature()
            guard signature.count == 64, recoveryID <= 3,
                secp256k1_ecdsa_recoverable_signature_parse_compact(
                    Secp256k1.context,
                    &recoverable,
                    signature,
                    Int32(recoveryID)
                ) == 1
            else {
                throw CryptographyError(
                    .invalidSignature,
                    "a recoverable signature has 64 bytes r‖s below the group order and a recovery id from 0 to 3"
                )
            }
            var point = secp256k1_pubkey()
            guard secp256k1_ecdsa_recover(Secp256k1.context, &point, &recoverable, digest) == 1 else {
                throw CryptographyError(.invalidSignature, "no public key can be recovered from the signature")
            }
            return Point(parsed: point)
        }

        /// The same signature with s in the lower half of the order.
        public static func lowS(signature: [UInt8]) throws(CryptographyError) -> [UInt8] {
            guard let parsed = parse(signature) else {
                throw CryptographyError(
                    .invalidSignature,
                    "an ECDSA signature has 64 bytes, r and s below the group order; this has \(signature.count)"
                )
            }
            var normalized = secp256k1_ecdsa_signature()
            _ = withUnsafePointer(to: parsed) { parsed in
                secp256k1_ecdsa_signature_normalize(Secp256k1.context, &normalized, parsed)
            }
            var low = [UInt8](repeating: 0, count: 64)
            _ = secp256k1_ecdsa_signature_serialize_compact(Secp256k1.context, &low, &normalized)
            return low
        }

        private static func parse(_ signature: [UInt8]) -> secp256k1_ecdsa_signature? {
            guard signature.count == 64 else { return nil }
            var parsed = secp256k1_ecdsa_signature()
            guard secp256k1_ecdsa_signature_parse_compact(Secp256k1.context, &parsed, signature) == 1 else {
                return nil
            }
            return parsed
        }
    }
}
