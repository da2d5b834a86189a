/// How agents that come by themselves are registered over HTTP ([REG-1]).
public struct RegistrationPolicy: Hashable, Sendable {
    public enum Mode: String, Sendable, CaseIterable {
        /// Not at all.
        case off
        /// Whoever proves a key, at once.
        case open
        /// Whoever proves a key, once the operator approved.
        case approved
        /// Whoever proves a key and paid for it through a priced service of this node.
        case paid
    }

    public var mode: Mode
    /// What such an agent may have of what it asks for; the operator may grant others when he approves.
    public var capabilities: Set<String>
    /// How many registrations one address may ask for in an hour.
    public var perAddressHourly: Int64
    /// How many all of them may, in an hour.
    public var hourly: Int64

    /// The most requests that wait for the operator.
    public static let maximumPending: Int64 = 1_000
    /// How long a request waits, in seconds.
    public static let pendingSeconds: Int64 = 7 * 86_400
    /// How long what was decided can be asked for, in seconds.
    public static let decidedSeconds: Int64 = 31 * 86_400

    public init(
        mode: Mode = .off,
        capabilities: Set<String> = [],
        perAddressHourly: Int64 = 10,
        hourly: Int64 = 1_000
    ) {
        self.mode = mode
        self.capabilities = capabilities
        self.perAddressHourly = perAddressHourly
        self.hourly = hourly
    }
}
