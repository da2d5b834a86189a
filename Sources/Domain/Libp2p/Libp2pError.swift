/// What is wrong with bytes of the libp2p network, with an address, or with the peer at the other end.
///
/// Every engine of this module throws this one type. `message` says which rule was broken; it holds no secret and no
/// text of a stranger's.
public struct Libp2pError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A stable, machine-readable reason. New codes may be added; compare with the constants below.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// Not in the form that the protocol asks for.
        public static let malformed = Code(rawValue: "malformed")
        /// Longer, or of more parts, than is read here.
        public static let tooLarge = Code(rawValue: "too-large")
        /// A kind of key, address or protocol that is not spoken here.
        public static let unsupported = Code(rawValue: "unsupported")
        /// Not a key, or not this peer's.
        public static let invalidKey = Code(rawValue: "invalid-key")
        /// A signature that its key did not make.
        public static let invalidSignature = Code(rawValue: "invalid-signature")
        /// The peer that answered is not the one that was meant.
        public static let wrongPeer = Code(rawValue: "wrong-peer")
        /// A message that the protocol does not allow at this place.
        public static let protocolViolation = Code(rawValue: "protocol-violation")
        /// The two sides have no protocol in common.
        public static let notNegotiated = Code(rawValue: "not-negotiated")
        /// Ciphertext that does not open: changed on its way, or made with other keys.
        public static let authenticationFailed = Code(rawValue: "authentication-failed")
        /// More connections, streams or bytes than are allowed at once.
        public static let limitExceeded = Code(rawValue: "limit-exceeded")
        /// What was to be used is closed.
        public static let closed = Code(rawValue: "closed")
        /// The other side broke the stream off.
        public static let reset = Code(rawValue: "reset")
        /// It took longer than is waited.
        public static let timedOut = Code(rawValue: "timed-out")
        /// The peer's standing in GossipSub is so low that it is not listened to.
        public static let standingTooLow = Code(rawValue: "standing-too-low")
        /// The peer, or the place that it comes from, is banned here.
        public static let banned = Code(rawValue: "banned")
        /// The address cannot be reached.
        public static let unreachable = Code(rawValue: "unreachable")
        /// A library below failed; not expected.
        public static let failed = Code(rawValue: "failed")
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) [\(code.rawValue)]" }
}
