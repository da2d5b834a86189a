internal import Budgets
internal import Cashu
internal import Delegation
internal import Encodings
internal import HTTPSignatures
internal import Identity
internal import SignedDocuments
internal import Wallet

/// Signs a buyer's calls as an agent that acts on a chain: each paying attempt carries a fresh invocation, the chain, and
/// the accounting node's ticket.
struct DelegatedRequestSigner: RequestSigning {
    let agent: String
    let did: String
    let chain: DelegationChain
    let registry: AgentRegistry
    let purse: DelegatedPurse
    let clock: WallClock
    /// As of ``AgentRequestSigner/keys``.
    let keys: SignatureAgent?
    var authorizesPayments: Bool { true }

    /// - Throws: `DelegationError` with `.wrongAudience` where the chain was not given to that agent.
    init(
        agent: String,
        chain: DelegationChain,
        registry: AgentRegistry,
        purse: DelegatedPurse,
        clock: WallClock,
        keys: SignatureAgent? = nil
    ) async throws {
        self.keys = keys
        self.agent = agent
        self.chain = chain
        self.registry = registry
        self.purse = purse
        self.clock = clock
        let signer = try await registry.credentials(agent).signer
        did = signer.did.string
        guard let leaf = chain.leaf, leaf.audience == signer.did else {
            throw DelegationError(
                .wrongAudience,
                "the delegation was given to \(chain.leaf?.audience.string ?? "nobody")"
            )
        }
    }

    func signatureHeaders(for request: SignableRequest) async throws -> [(name: String, value: String)] {
        let credentials = try await registry.credentials(agent)
        var facts = RequestFacts(method: request.method, targetURI: request.url, headers: request.headers)
        var added: [(name: String, value: String)] = []
        if let payment = request.payment {
            let call = try await purse.call(
                DelegatedPayment(
                    id: payment.id,
                    amount: payment.amount,
                    unit: payment.unit.name,
                    method: request.method,
                    url: request.url,
                    digest: request.bodyDigest
                ),
                on: chain,
                by: credentials.signer
            )
            added = [(DelegatedCall.headerName, try call.encodedHeader())]
            facts.headers += added
        }
        return added + (try credentials.headers(for: facts, now: clock.now(), publishedAt: keys))
    }
}
