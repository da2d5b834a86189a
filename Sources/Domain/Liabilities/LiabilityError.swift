/// Why a statement of liabilities, or a part of it, is not to be relied on.
public struct LiabilityError: Error, Hashable, Sendable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        /// Does not have the form of `Specs/proof-of-liabilities.md`.
        public static let malformed = Code(rawValue: "malformed")
        /// A sum or count leaves 63 bits, or more was spent than issued.
        public static let sums = Code(rawValue: "sums")
        /// What was given does not hash to what was signed.
        public static let hashMismatch = Code(rawValue: "hash-mismatch")
        /// The signature is absent, wrong, or not that of the key expected.
        public static let badSignature = Code(rawValue: "bad-signature")
        /// It contradicts a statement that was seen before.
        public static let contradiction = Code(rawValue: "contradiction")
    }

    public let code: Code
    /// A sentence for whoever checks.
    public let message: String
    public var description: String { message }

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
