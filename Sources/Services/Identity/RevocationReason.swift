/// Why a passport is revoked: the reasons of X.509 (RFC 5280, 5.3.1) that fit an agent.
public struct RevocationReason: RawRepresentable, Hashable, Sendable {
    public let rawValue: String

    public init?(rawValue: String) {
        guard Self.known.contains(rawValue) else { return nil }
        self.rawValue = rawValue
    }

    private init(_ known: String) {
        rawValue = known
    }

    public static let unspecified = RevocationReason("unspecified")
    /// Somebody else may hold the key.
    public static let keyCompromise = RevocationReason("keyCompromise")
    /// The agent has another operator or purpose now.
    public static let affiliationChanged = RevocationReason("affiliationChanged")
    /// Another key took this one's place.
    public static let superseded = RevocationReason("superseded")
    /// The agent is retired.
    public static let cessationOfOperation = RevocationReason("cessationOfOperation")
    /// What the passport allowed is allowed no more.
    public static let privilegeWithdrawn = RevocationReason("privilegeWithdrawn")

    /// All names that are taken.
    public static let known = [
        "unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation",
        "privilegeWithdrawn",
    ]
}
