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
        /// The document of a DID is not at hand, or could not be had.
        public static let unresolvedDID = Code(rawValue: "unresolved-did")
        /// The log of a did:webvh does not verify.
        public static let badLog = Code(rawValue: "bad-log")
        /// A did:webvh log names witnesses, and the file of their proofs is not at hand.
        public static let witnessMissing = Code(rawValue: "witness-missing")
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
        /// The document names another signer than the one it must be from.
        public static let wrongSigner = Code(rawValue: "wrong-signer")
        /// The signature does not verify.
        public static let badSignature = Code(rawValue: "bad-signature")
        /// The document already carries a proof, or cannot be put into canonical form.
        public static let notSignable = Code(rawValue: "not-signable")
        /// The key is held elsewhere and cannot be reached now. Nothing was signed; try again later.
        public static let keyUnavailable = Code(rawValue: "key-unavailable")
        /// A JSON-LD context is not among those built in.
        public static let unknownContext = Code(rawValue: "unknown-context")
        /// The document cannot be read as linked data in the plain notation that is accepted.
        public static let notLinkedData = Code(rawValue: "not-linked-data")
        /// Putting the document into canonical form takes more work than is allowed.
        public static let tooComplex = Code(rawValue: "too-complex")
        /// A token is of another media type than the one wanted.
        public static let wrongTokenType = Code(rawValue: "wrong-token-type")
        /// A selectively disclosable token breaks the rules of RFC 9901.
        public static let malformedDisclosure = Code(rawValue: "malformed-disclosure")
        /// A presentation is not bound to the holder's key.
        public static let keyBindingMissing = Code(rawValue: "key-binding-missing")
        /// A presentation's key binding does not hold.
        public static let badKeyBinding = Code(rawValue: "bad-key-binding")
        /// A presentation was made for another verifier.
        public static let wrongAudience = Code(rawValue: "wrong-audience")
        /// A presentation answers another challenge.
        public static let wrongNonce = Code(rawValue: "wrong-nonce")
        /// A presentation was not made just now.
        public static let stalePresentation = Code(rawValue: "stale-presentation")
        /// The proof itself has ended.
        public static let proofExpired = Code(rawValue: "proof-expired")
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
