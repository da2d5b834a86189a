/// Why a signed document, or the DID that signed it, was refused.
///
/// `code` is stable and meant for programs; `message` tells a person what is wrong and never holds key material.
public struct DocumentError: Error, Hashable, Sendable, CustomStringConvertible {
    /// An extensible set of reasons.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// A DID is not a well-formed `did:key`.
        public static let malformedDID = Code(rawValue: "malformed-did")
        /// A DID names a kind of key that this build does not verify with.
        public static let unsupportedKey = Code(rawValue: "unsupported-key")
        /// The document carries no proof.
        public static let proofMissing = Code(rawValue: "proof-missing")
        /// The proof's members have the wrong shape.
        public static let malformedProof = Code(rawValue: "malformed-proof")
        /// The proof is of another type or cryptosuite than `eddsa-jcs-2022`.
        public static let unsupportedProof = Code(rawValue: "unsupported-proof")
        /// The proof was made for another purpose.
        public static let wrongPurpose = Code(rawValue: "wrong-purpose")
        /// The proof's contexts do not stand at the start of the document's.
        public static let wrongContext = Code(rawValue: "wrong-context")
        /// The signature does not verify.
        public static let badSignature = Code(rawValue: "bad-signature")
        /// The document already carries a proof, or cannot be put into canonical form.
        public static let notSignable = Code(rawValue: "not-signable")
        /// A key of a JSON Web Key is none.
        public static let malformedKey = Code(rawValue: "malformed-key")
        /// A digest is not a multibase SHA-256 multihash.
        public static let malformedDigest = Code(rawValue: "malformed-digest")
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) (\(code.rawValue))" }
}
