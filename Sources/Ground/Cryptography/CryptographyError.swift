/// What went wrong in a cryptographic operation. The message never contains secret material.
public struct CryptographyError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of failure; new codes may appear in later versions.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// A key is not of the right length or not a valid key.
        public static let invalidKey = Code(rawValue: "invalid-key")
        /// Bytes are no point of the curve, or the result is the point at infinity.
        public static let invalidPoint = Code(rawValue: "invalid-point")
        /// A scalar is zero, not below the group order, or not 32 bytes.
        public static let invalidScalar = Code(rawValue: "invalid-scalar")
        /// A signature is malformed.
        public static let invalidSignature = Code(rawValue: "invalid-signature")
        /// A digest, message or auxiliary value has a length the algorithm does not take.
        public static let invalidLength = Code(rawValue: "invalid-length")
        /// A sealed box does not open: wrong key, wrong context or changed bytes.
        public static let authenticationFailed = Code(rawValue: "authentication-failed")
        /// Recovery words or their entropy are not valid BIP-39.
        public static let invalidMnemonic = Code(rawValue: "invalid-mnemonic")
        /// Cost parameters of a passphrase are out of bounds.
        public static let invalidParameters = Code(rawValue: "invalid-parameters")
        /// The library below refused; not expected on valid input.
        public static let failed = Code(rawValue: "failed")
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String {
        "\(code.rawValue): \(message)"
    }
}
