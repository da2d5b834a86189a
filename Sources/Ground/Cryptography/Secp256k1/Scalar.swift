import CSecp256k1

extension Secp256k1 {
    /// A number in 1 ..< N, the order of the group: a private key, a blinding factor, a challenge. Never zero. Its
    /// description shows no secret; its arithmetic and its equality take constant time.
    public struct Scalar: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
        var storage: Bytes32

        /// Reads 32 big-endian bytes in 1 ..< N; all else is refused with `invalidScalar`.
        public init(bytes: [UInt8]) throws(CryptographyError) {
            guard let storage = Bytes32(bytes) else {
                throw CryptographyError(.invalidScalar, "a secp256k1 scalar has 32 bytes, this has \(bytes.count)")
            }
            guard Self.isValid(storage) else {
                throw CryptographyError(.invalidScalar, "a secp256k1 scalar lies between 1 and the group order")
            }
            self.storage = storage
        }

        /// Reads 32 big-endian bytes modulo N, as NUT-12 and NUT-13 reduce digests. A multiple of N (zero) is refused
        /// with `invalidScalar`; from a hash it does not occur.
        public init(reducing bytes: [UInt8]) throws(CryptographyError) {
            guard var storage = Bytes32(bytes) else {
                throw CryptographyError(.invalidScalar, "a digest to reduce has 32 bytes, this has \(bytes.count)")
            }
            storage.limbs = Self.reduced(storage.limbs)
            guard Self.isValid(storage) else {
                throw CryptographyError(.invalidScalar, "the digest is zero modulo the group order")
            }
            self.storage = storage
        }

        private init(valid storage: Bytes32) {
            self.storage = storage
        }

        /// A uniformly random scalar.
        public static func random() -> Scalar {
            var storage = Bytes32()
            repeat {
                storage.withUnsafeMutableBytes { SecureRandom.fill($0) }
            } while !isValid(storage)
            return Scalar(valid: storage)
        }

        /// 32 bytes, big-endian.
        public var bytes: [UInt8] {
            storage.array
        }

        /// self + other modulo N; `invalidScalar` where that is zero.
        public func adding(_ other: Scalar) throws(CryptographyError) -> Scalar {
            var sum = storage
            let status = sum.withMutablePointer { sum in
                other.storage.withPointer { secp256k1_ec_seckey_tweak_add(Secp256k1.context, sum, $0) }
            }
            guard status == 1 else {
                throw CryptographyError(.invalidScalar, "the sum of the two scalars is zero")
            }
            return Scalar(valid: sum)
        }

        /// self − other modulo N; `invalidScalar` where that is zero.
        public func subtracting(_ other: Scalar) throws(CryptographyError) -> Scalar {
            try adding(other.negated())
        }

        /// self · other modulo N, which is never zero.
        public func multiplied(by other: Scalar) throws(CryptographyError) -> Scalar {
            var product = storage
            let status = product.withMutablePointer { product in
                other.storage.withPointer { secp256k1_ec_seckey_tweak_mul(Secp256k1.context, product, $0) }
            }
            guard status == 1 else {
                throw CryptographyError(.invalidScalar, "the product of the two scalars is zero")
            }
            return Scalar(valid: product)
        }

        /// N − self.
        public func negated() -> Scalar {
            var negative = storage
            // Fails on an invalid scalar only, which this type does not hold.
            _ = negative.withMutablePointer { secp256k1_ec_seckey_negate(Secp256k1.context, $0) }
            return Scalar(valid: negative)
        }

        public static func == (first: Scalar, second: Scalar) -> Bool {
            first.storage.isEqual(second.storage)
        }

        public var description: String { "Secp256k1.Scalar(redacted)" }
        public var customMirror: Mirror { Mirror(self, children: []) }

        private static func isValid(_ storage: Bytes32) -> Bool {
            storage.withPointer { secp256k1_ec_seckey_verify(Secp256k1.context, $0) } == 1
        }

        private typealias Limbs = (UInt64, UInt64, UInt64, UInt64)

        /// N, least significant limb first (SEC 2, 2.4.1).
        private static let order: Limbs = (
            0xBFD2_5E8C_D036_4141, 0xBAAE_DCE6_AF48_A03B, 0xFFFF_FFFF_FFFF_FFFE, 0xFFFF_FFFF_FFFF_FFFF
        )

        /// The number modulo N: 2^256 < 2·N, so one subtraction is enough. It is always computed and then chosen by a
        /// mask, so that the time tells nothing.
        private static func reduced(_ value: Limbs) -> Limbs {
            let (d0, b0) = value.0.subtractingReportingOverflow(order.0)
            let (d1, b1) = subtract(value.1, order.1, borrow: b0)
            let (d2, b2) = subtract(value.2, order.2, borrow: b1)
            let (d3, b3) = subtract(value.3, order.3, borrow: b2)
            let keep: UInt64 = b3 ? .max : 0
            return (
                (value.0 & keep) | (d0 & ~keep), (value.1 & keep) | (d1 & ~keep),
                (value.2 & keep) | (d2 & ~keep), (value.3 & keep) | (d3 & ~keep)
            )
        }

        private static func subtract(_ first: UInt64, _ second: UInt64, borrow: Bool) -> (UInt64, Bool) {
            let (partial, overflow) = first.subtractingReportingOverflow(second)
            let (result, overflowAgain) = partial.subtractingReportingOverflow(borrow ? 1 : 0)
            return (result, overflow || overflowAgain)
        }
    }
}
