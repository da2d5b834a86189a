/// Why a call for bids, or a rule to bid by, is not carried out as asked.
public struct CallError: Error, Sendable, Hashable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        /// It is not of the form that is asked for.
        public static let invalid = Code(rawValue: "invalid-call")
        public static let unknownCall = Code(rawValue: "unknown-call")
        /// It is being awarded, or is over: nothing can be taken back.
        public static let callOver = Code(rawValue: "call-over")
        /// As many calls are open as may be.
        public static let tooMany = Code(rawValue: "too-many-calls")
        /// The node is not on the gossip network.
        public static let notRunning = Code(rawValue: "not-running")
        public static let ruleExists = Code(rawValue: "bid-rule-exists")
        public static let unknownRule = Code(rawValue: "unknown-bid-rule")
        public static let tooManyRules = Code(rawValue: "too-many-bid-rules")
        /// The service is not sold by escrow here, or other nodes can't be told where.
        public static let notSold = Code(rawValue: "not-sold-by-escrow")
        /// This node did not bid on that call, or not for this request.
        public static let unknownBid = Code(rawValue: "unknown-bid")
        /// The bid was honoured already, or holds no longer.
        public static let bidOver = Code(rawValue: "bid-over")
        /// What is stored is not what this program writes.
        public static let corrupt = Code(rawValue: "corrupt-call")
    }

    public let code: Code
    public let message: String
    public var description: String { message }

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
