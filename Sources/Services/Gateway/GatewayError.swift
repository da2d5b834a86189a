/// Why the gateway did not do what its operator or its own parts asked. What a caller gets is a `CallRefusal`.
public struct GatewayError: Error, Sendable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        /// A service's definition is out of bounds; the message says which part.
        public static let invalidService = Code(rawValue: "invalid-service")
        public static let serviceExists = Code(rawValue: "service-exists")
        public static let serviceUnknown = Code(rawValue: "service-unknown")
        /// The most services a node sells are for sale already.
        public static let tooManyServices = Code(rawValue: "too-many-services")
        public static let keyUnknown = Code(rawValue: "key-unknown")
        /// A key can't be made or changed so; the message says why.
        public static let invalidKey = Code(rawValue: "invalid-key")
        /// A stored row is not what this program writes.
        public static let corrupt = Code(rawValue: "corrupt")
        /// A claim can't go from the state it is in to the one asked for: another step came first.
        public static let stateChanged = Code(rawValue: "state-changed")
        /// The unredeemed total at a mint would pass its cap.
        public static let overCap = Code(rawValue: "over-cap")
        /// The seller's purse could not do what it was asked.
        public static let purseFailed = Code(rawValue: "purse-failed")
        /// The service gave no answer that a job could deliver; nothing was taken.
        public static let jobFailed = Code(rawValue: "job-failed")
    }

    public let code: Code
    public let message: String
    public let cause: (any Error)?

    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    public var description: String { message }
}
