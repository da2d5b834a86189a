/// Why a request's signature, or the digest of its body, was refused. `code` travels in problem documents.
public struct HTTPSignatureError: Error, Hashable, Sendable, CustomStringConvertible {
    /// An extensible set of reasons.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// No `Signature-Input` or `Signature`, or none with our tag.
        public static let missing = Code(rawValue: "signature-missing")
        /// `Signature-Input` or `Signature` is no well-formed structured field, or is too long.
        public static let malformed = Code(rawValue: "signature-malformed")
        /// A covered component is of a kind we don't build, or names a header that is not there.
        public static let unsupportedComponent = Code(rawValue: "signature-component-unsupported")
        /// Something that must be covered is not.
        public static let notCovered = Code(rawValue: "signature-not-covering")
        /// A required parameter is missing or out of bounds.
        public static let badParameter = Code(rawValue: "signature-parameter")
        /// `keyid` is no did:key of an Ed25519 key, or `alg` is another algorithm.
        public static let unsupportedKey = Code(rawValue: "signature-key-unsupported")
        /// `Signature-Agent` names no place where keys can be.
        public static let badSignatureAgent = Code(rawValue: "signature-agent-malformed")
        /// `created` lies ahead.
        public static let fromFuture = Code(rawValue: "signature-from-future")
        /// `expires` has passed.
        public static let expired = Code(rawValue: "signature-expired")
        /// The signature does not verify over this request.
        public static let invalid = Code(rawValue: "signature-invalid")
        /// `Content-Digest` is malformed, or has no SHA-256.
        public static let digestMalformed = Code(rawValue: "content-digest-malformed")
        /// The body is not the one that `Content-Digest` names.
        public static let digestMismatch = Code(rawValue: "content-digest-mismatch")
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) (\(code.rawValue))" }
}
