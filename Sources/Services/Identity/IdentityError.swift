public import CanonicalJSON

/// Why the identity service did not do what was asked. Nothing of the refused work is kept.
public struct IdentityError: Error, Sendable, CustomStringConvertible {
    /// An extensible set of reasons, with the HTTP status each answers.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// A field of the request is missing or out of bounds.
        public static let invalidRequest = Code(rawValue: "invalid-request")
        /// No agent of that id or name.
        public static let agentNotFound = Code(rawValue: "agent-not-found")
        /// An agent of that name, or with that key, is registered already.
        public static let agentExists = Code(rawValue: "agent-exists")
        /// The agent's key was revoked: what was shown of it is gone.
        public static let agentGone = Code(rawValue: "agent-revoked")
        /// The agent is suspended: nothing is shown of it until it is restored.
        public static let agentSuspended = Code(rawValue: "agent-suspended")
        /// The agent's key was revoked, or the agent is suspended.
        public static let agentNotActive = Code(rawValue: "agent-not-active")
        /// The agent holds its own key: this node cannot sign for it.
        public static let keyNotHeld = Code(rawValue: "key-not-held")
        /// The challenge is unknown, used or too old.
        public static let challengeUnknown = Code(rawValue: "challenge-unknown")
        /// The signature over the challenge does not verify.
        public static let possessionNotProven = Code(rawValue: "possession-not-proven")
        /// The key is not the one the agent committed to, or it committed to none.
        public static let keyNotCommitted = Code(rawValue: "key-not-committed")
        /// The key was revoked and can never serve again.
        public static let keyRevoked = Code(rawValue: "key-revoked")
        /// The node has made itself a did:webvh already, or none.
        public static let didExists = Code(rawValue: "did-exists")
        public static let didNotFound = Code(rawValue: "did-not-found")
        /// A DID could not be resolved.
        public static let didNotResolved = Code(rawValue: "did-not-resolved")
        /// No passport of that id.
        public static let passportNotFound = Code(rawValue: "passport-not-found")
        /// The passport has lapsed or is revoked: its state can't be changed any more.
        public static let passportFinal = Code(rawValue: "passport-final")
        /// A stated limit is reached.
        public static let limitReached = Code(rawValue: "limit-reached")
        /// The agent was moved to another node.
        public static let agentMoved = Code(rawValue: "agent-moved")
        /// The export is for another node, was taken in before, is damaged, or its passphrase is another.
        public static let exportRefused = Code(rawValue: "export-refused")
        /// Agents are not registered over HTTP here, or not this way.
        public static let registrationClosed = Code(rawValue: "registration-closed")
        /// No request for registration of that id.
        public static let requestNotFound = Code(rawValue: "request-not-found")
        /// Too many requests from one place, or altogether.
        public static let tooMany = Code(rawValue: "too-many-requests")
        /// There is no vault, or there is one already.
        public static let vaultMissing = Code(rawValue: "vault-missing")
        public static let vaultExists = Code(rawValue: "vault-exists")
        /// The passphrase does not open the vault.
        public static let wrongPassphrase = Code(rawValue: "wrong-passphrase")
        /// The vault's file is damaged, or of a newer version.
        public static let vaultUnreadable = Code(rawValue: "vault-unreadable")
        /// The keys asked for are with a vault process, not in this file.
        public static let vaultElsewhere = Code(rawValue: "vault-elsewhere")
        /// The vault holds the keys of another node.
        public static let vaultForeign = Code(rawValue: "vault-foreign")
        /// The vault with the node's keys cannot be reached now, or is locked: nothing was signed.
        public static let keyUnavailable = Code(rawValue: "key-unavailable")
        /// A defect of this program, such as a row it cannot read again.
        public static let internalFailure = Code(rawValue: "internal")

        /// The HTTP status of a problem with this code.
        public var status: Int {
            switch self {
            case .invalidRequest: 400
            case .challengeUnknown, .possessionNotProven: 401
            case .keyNotCommitted, .keyRevoked, .keyNotHeld: 403
            case .agentNotFound, .passportNotFound, .didNotFound: 404
            case .didExists: 409
            case .agentGone: 410
            case .agentSuspended: 403
            case .didNotResolved: 422
            case .agentExists, .agentNotActive, .passportFinal, .agentMoved: 409
            case .exportRefused: 422
            case .registrationClosed: 403
            case .requestNotFound: 404
            case .tooMany: 429
            case .limitReached, .keyUnavailable: 503
            default: 500
            }
        }
    }

    public var code: Code
    /// A sentence for the operator; holds no secret.
    public var message: String
    public var cause: (any Error)?

    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    public var description: String { "\(message) (\(code.rawValue))" }

    /// As an HTTP answer.
    public var problem: ProblemDetails {
        ProblemDetails(
            code: code.rawValue,
            title: Self.titles[code] ?? "Identity",
            status: code.status,
            detail: message
        )
    }

    private static let titles: [Code: String] = [
        .invalidRequest: "The request is not well formed",
        .agentNotFound: "No such agent",
        .agentGone: "The agent's key is revoked",
        .agentSuspended: "The agent is suspended",
        .agentExists: "The agent is registered already",
        .agentNotActive: "The agent is not active",
        .keyNotHeld: "The node does not hold this key",
        .challengeUnknown: "The challenge is not known",
        .possessionNotProven: "Possession of the key is not proven",
        .keyNotCommitted: "The key was not committed to",
        .keyRevoked: "The key is revoked",
        .passportNotFound: "No such passport",
        .didExists: "The node has a did:webvh",
        .didNotFound: "The node has no did:webvh",
        .didNotResolved: "The DID was not resolved",
        .passportFinal: "The passport's state is final",
        .agentMoved: "The agent was moved",
        .exportRefused: "The export is not taken",
        .registrationClosed: "Registration is closed",
        .requestNotFound: "No such request",
        .tooMany: "Too many requests",
        .limitReached: "A limit is reached",
        .keyUnavailable: "The node's keys cannot be reached",
        .internalFailure: "Internal error",
    ]
}
