/// How the identity service is set up.
public struct IdentityConfiguration: Hashable, Sendable {
    /// Where others reach this node, without a trailing `/`, such as `https://node.example` or `http://127.0.0.1:8402`.
    /// Status lists stand below it at `/status/<n>`.
    public var publicURL: String
    /// How long a signed status list holds good, in seconds. Others refuse passports when it has lapsed.
    public var listValiditySeconds: Int64 = 3_600
    /// How long others may keep a copy of a list before they ask again, in milliseconds.
    public var listTTLMilliseconds: Int64 = 60_000
    /// A list is signed anew when it is asked for and this old, in seconds.
    public var listResignSeconds: Int64 = 30
    /// A passport is renewed when less than one part in so many of its life is left: 3 means the last third.
    public var renewalShare: Int64 = 3
    /// Lapsed passports are forgotten after so many seconds.
    public var keepLapsedSeconds: Int64 = 7 * 86_400
    /// The most agents one node registers.
    public var maximumAgents: Int64 = 100_000
    /// Whether status lists may be fetched from loopback and private addresses, over plain http on loopback: for
    /// development and for nodes on one machine.
    public var allowsLocalLists = false

    /// Whose key directories are fetched, for callers who sign in the Web Bot Auth profile.
    public var signatureAgents = SignatureAgentPolicy.origins([])

    /// How agents that come by themselves are registered.
    public var registration = RegistrationPolicy()

    public init(publicURL: String) {
        var url = publicURL
        while url.hasSuffix("/") { url.removeLast() }
        self.publicURL = url
    }

    /// The URL of a status list.
    func listURL(_ number: Int64) -> String { "\(publicURL)/status/\(number)" }
}
