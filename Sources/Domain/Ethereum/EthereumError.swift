/// What is wrong with an Ethereum value, in a form a program can branch on and a person can act on.
public struct EthereumError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of failure; new codes may appear in later versions.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// Not a number of 0 to 2²⁵⁶−1 in the form that is asked for.
        public static let invalidNumber = Code(rawValue: "invalid-number")
        /// A sum, difference or product beyond 256 bits, or below zero.
        public static let overflow = Code(rawValue: "overflow")
        /// Not 20 bytes, or capitals that are no EIP-55 checksum.
        public static let invalidAddress = Code(rawValue: "invalid-address")
        /// Bytes that are not the canonical RLP of what is expected.
        public static let invalidRLP = Code(rawValue: "invalid-rlp")
        /// Call data or an answer that is not of the ABI's form.
        public static let invalidABI = Code(rawValue: "invalid-abi")
        /// Hex that is not `0x` and whole bytes, or of the wrong length.
        public static let invalidHex = Code(rawValue: "invalid-hex")
        /// A signature with a high s, a bad v, or no signer.
        public static let invalidSignature = Code(rawValue: "invalid-signature")
        /// A private key that is none.
        public static let invalidKey = Code(rawValue: "invalid-key")
        /// A transaction of another type, or with a field out of its bounds.
        public static let invalidTransaction = Code(rawValue: "invalid-transaction")
    }

    public var code: Code
    /// A sentence for the person whose input it was; holds no secret.
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) [\(code.rawValue)]" }
}
