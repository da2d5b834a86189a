internal import Encodings
internal import HTTPSignatures
internal import Identity
internal import SignedDocuments
internal import Wallet

/// Signs a buyer's calls as an agent whose key this node keeps. The passport is looked up anew for each attempt, so
/// that a renewed one is used and a revoked one is not.
struct AgentRequestSigner: RequestSigning {
    let agent: String
    let did: String
    let registry: AgentRegistry
    let clock: WallClock
    /// Where the key is published, for a second signature in the Web Bot Auth profile; nil: none is made.
    let keys: SignatureAgent?

    init(agent: String, registry: AgentRegistry, clock: WallClock, keys: SignatureAgent? = nil) async throws {
        self.keys = keys
        self.agent = agent
        self.registry = registry
        self.clock = clock
        did = try await registry.credentials(agent).signer.did.string
    }

    func signatureHeaders(for request: SignableRequest) async throws -> [(name: String, value: String)] {
        try await registry.credentials(agent).headers(
            for: RequestFacts(method: request.method, targetURI: request.url, headers: request.headers),
            now: clock.now(),
            publishedAt: keys
        )
    }
}
