/// What went wrong between this node and a chain or a facilitator, in a form a program can branch on.
public struct SettlementError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure; new codes may appear in later versions.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// Nobody answers there: nothing was sent.
        public static let unreachable = Code(rawValue: "unreachable")
        /// No usable answer came: what was asked may have been done.
        public static let noAnswer = Code(rawValue: "no-answer")
        /// An answer came that says something else than it should.
        public static let invalidAnswer = Code(rawValue: "invalid-answer")
        /// The node answered with an error of JSON-RPC.
        public static let refused = Code(rawValue: "refused")
        /// The call would be undone by the contract.
        public static let reverted = Code(rawValue: "reverted")
        /// The node is on another chain than the configuration says.
        public static let wrongChain = Code(rawValue: "wrong-chain")
        /// Gas costs more than the operator allows, or the account holds too little for it: nothing was sent.
        public static let tooExpensive = Code(rawValue: "too-expensive")
        /// Too many settlements are open: nothing was sent.
        public static let overloaded = Code(rawValue: "overloaded")
        /// A setting that can't be used.
        public static let invalidConfiguration = Code(rawValue: "invalid-configuration")
    }

    public var code: Code
    /// What happened and what the operator can do; holds no secret.
    public var message: String
    public var cause: (any Error)?

    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    public var description: String { "\(message) [\(code.rawValue)]" }
}
