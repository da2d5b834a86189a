internal import Encodings
internal import Ethereum
internal import Gateway
internal import Identity
internal import Market
internal import Passports
internal import Paywall
internal import Settlement

/// What the node sells and where its agents are registered, as its cards and registration files tell it.
struct NodeStorefront: Storefront {
    let gateway: Gateway
    let anchor: ChainAnchor?
    let origin: String
    /// Whether the node tells others what it sells.
    let isOnMarket: Bool

    var version: String { NodeFacts.version }

    func services() async -> [OfferedService] {
        gateway.services.filter(\.isListed).map { service in
            var offered = OfferedService(
                name: service.name,
                summary: service.summary,
                url: "\(origin)/s/\(service.name)",
                prices: service.prices.rules.map { rule in
                    let price = rule.priceBeforehand
                    return OfferedService.Price(
                        methods: rule.methods.sorted(),
                        path: rule.pathPattern,
                        text: price.isFree ? "free" : (rule.metering == nil ? "" : "at most ") + price.description
                    )
                },
                // Where nothing is said, a call is sold in every way that the node has: the 402 says which.
                accepts: (service.accepts ?? []).map(\.rawValue).sorted()
            )
            let listing = service.listing ?? ServiceListing()
            (offered.title, offered.tags) = (listing.title, listing.tags)
            offered.escrow = listing.escrow.map(\.rawValue)
            offered.isListed = isOnMarket
            return offered
        }
    }

    func sellsOverX402() async -> Bool { await !gateway.x402Catalogue().isEmpty }

    func registrations(of agentID: String) async throws -> [ChainRegistration] {
        try await anchor?.confirmed(agent: agentID).compactMap(Self.registration) ?? []
    }

    func registrations(limit: Int) async throws -> [ChainRegistration] {
        try await anchor?.confirmed(limit: limit).compactMap(Self.registration) ?? []
    }

    private static func registration(_ anchor: Anchor) -> ChainRegistration? {
        guard let token = anchor.token, case .confirmed(let hash) = anchor.state else { return nil }
        return ChainRegistration(
            agentID: token.description,
            registry: anchor.registryName,
            passportDigest: anchor.digest,
            transaction: "0x" + Hex.encode(hash)
        )
    }
}
