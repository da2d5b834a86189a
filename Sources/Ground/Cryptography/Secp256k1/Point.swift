import CSecp256k1
import Encodings

extension Secp256k1 {
    /// A point of the curve other than infinity: a public key, a blinded message, a signature of a mint. Held in the
    /// library's parsed form, so that only reading a compressed point pays for the square root.
    public struct Point: Hashable, Sendable, CustomStringConvertible {
        var parsed: secp256k1_pubkey

        init(parsed: secp256k1_pubkey) {
            self.parsed = parsed
        }

        /// Reads the SEC 1 compressed form: 33 bytes, first 02 or 03; all else is refused with `invalidPoint`.
        public init(compressed: [UInt8]) throws(CryptographyError) {
            guard let point = Point(compressedOrNil: compressed) else {
                throw CryptographyError(
                    .invalidPoint,
                    "the \(compressed.count) bytes are no compressed point of secp256k1 (33 bytes, first 02 or 03)"
                )
            }
            self = point
        }

        /// As ``init(compressed:)``, nil in place of an error: for loops that try one candidate after the other.
        public init?(compressedOrNil bytes: [UInt8]) {
            guard bytes.count == 33 else { return nil }
            var parsed = secp256k1_pubkey()
            guard secp256k1_ec_pubkey_parse(Secp256k1.context, &parsed, bytes, 33) == 1 else { return nil }
            self.parsed = parsed
        }

        /// Reads the SEC 1 uncompressed form: 65 bytes, first 04; all else (hybrid forms too) is refused with
        /// `invalidPoint`.
        public init(uncompressed: [UInt8]) throws(CryptographyError) {
            var parsed = secp256k1_pubkey()
            guard uncompressed.count == 65, uncompressed[0] == 4,
                secp256k1_ec_pubkey_parse(Secp256k1.context, &parsed, uncompressed, 65) == 1
            else {
                throw CryptographyError(
                    .invalidPoint,
                    "the \(uncompressed.count) bytes are no uncompressed point of secp256k1 (65 bytes, first 04)"
                )
            }
            self.parsed = parsed
        }

        /// The point with this x coordinate (32 bytes) and an even y: BIP-340's `lift_x`.
        public init(xOnly: [UInt8]) throws(CryptographyError) {
            guard xOnly.count == 32, let point = Point(compressedOrNil: [2] + xOnly) else {
                throw CryptographyError(
                    .invalidPoint,
                    "the \(xOnly.count) bytes are no x coordinate of a point of secp256k1 (32 bytes)"
                )
            }
            self = point
        }

        /// The public key of a private key: scalar · G, in constant time.
        public init(multiplyingGeneratorBy scalar: Scalar) {
            var parsed = secp256k1_pubkey()
            // Fails on an invalid scalar only, which `Scalar` does not hold.
            _ = scalar.storage.withPointer { secp256k1_ec_pubkey_create(Secp256k1.context, &parsed, $0) }
            self.parsed = parsed
        }

        /// SEC 1 compressed form, 33 bytes.
        public var compressed: [UInt8] {
            serialized(count: 33, flags: UInt32(SECP256K1_FLAGS_TYPE_COMPRESSION | SECP256K1_FLAGS_BIT_COMPRESSION))
        }

        /// SEC 1 uncompressed form, 65 bytes.
        public var uncompressed: [UInt8] {
            serialized(count: 65, flags: UInt32(SECP256K1_FLAGS_TYPE_COMPRESSION))
        }

        /// The x coordinate, 32 bytes: BIP-340's public key.
        public var xOnly: [UInt8] {
            Array(compressed.dropFirst())
        }

        /// Whether y is even, as BIP-340 takes every key to be.
        public var hasEvenY: Bool {
            compressed.first == 2
        }

        private func serialized(count: Int, flags: UInt32) -> [UInt8] {
            [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
                var length = count
                withUnsafePointer(to: parsed) { parsed in
                    // Cannot fail: the buffer is long enough and the point valid.
                    _ = secp256k1_ec_pubkey_serialize(Secp256k1.context, buffer.baseAddress!, &length, parsed, flags)
                }
                initialized = length
            }
        }

        public static func == (first: Point, second: Point) -> Bool {
            withUnsafePointer(to: first.parsed) { first in
                withUnsafePointer(to: second.parsed) { second in
                    secp256k1_ec_pubkey_cmp(Secp256k1.context, first, second) == 0
                }
            }
        }

        public func hash(into hasher: inout Hasher) {
            hasher.combine(compressed)
        }

        public var description: String {
            "Secp256k1.Point(\(Hex.encode(compressed)))"
        }
    }
}
