public import CanonicalJSON
import Cryptography
import Encodings
public import Passports
import SignedDocuments

/// An agent's place in an ERC-8004 identity registry.
public struct ChainRegistration: Hashable, Sendable {
    /// The token's number in the registry, decimal.
    public var agentID: String
    /// `eip155:<chain>:<contract>`.
    public var registry: String
    /// The passport whose digest was written last: 32 bytes.
    public var passportDigest: [UInt8]
    /// The transaction that wrote it, `0x` and 64 hex digits.
    public var transaction: String

    public init(agentID: String, registry: String, passportDigest: [UInt8], transaction: String) {
        self.agentID = agentID
        self.registry = registry
        self.passportDigest = passportDigest
        self.transaction = transaction
    }
}

/// What the rest of the node knows of an agent or sells, for those who look.
public protocol Storefront: Sendable {
    /// The program's version.
    var version: String { get }
    /// The paid services, in an order that stays.
    func services() async -> [OfferedService]
    /// Whether any of them is sold over x402.
    func sellsOverX402() async -> Bool
    /// Where an agent is registered on chains, confirmed ones only.
    func registrations(of agentID: String) async throws -> [ChainRegistration]
    /// Of all agents that are registered on chains, at most so many.
    func registrations(limit: Int) async throws -> [ChainRegistration]
}

/// What the node shows of itself and its agents: A2A cards, ERC-8004 registration files, and the keys that sign them.
public struct Showcase: Sendable {
    static let maximumAgeSeconds: Int64 = 60
    /// The most registrations in the node's own file.
    static let maximumRegistrations = 256
    /// The value under which a passport's digest stands in a registry.
    public static let anchorKey = "mintmark.passport"

    private let service: IdentityService
    private let store: any Storefront

    public init(_ service: IdentityService, store: any Storefront) {
        self.service = service
        self.store = store
    }

    private var publicURL: String { service.office.configuration.publicURL }
    private var node: AgentCard.Node {
        AgentCard.Node(publicURL: publicURL, did: service.office.issuer.string, version: store.version)
    }
    private var nodeKey: (key: DocumentKey, keysURL: String) {
        (DocumentKey(service.nodeKeys.node), "\(publicURL)/.well-known/jwks.json")
    }

    // MARK: Addresses

    static func base(_ publicURL: String, _ id: String) -> String { "\(publicURL)/agents/\(UUIDText.bare(id))" }

    /// Where an agent's registration file stands, which an identity registry leads to.
    public func registrationURL(_ id: String) -> String { Self.base(publicURL, id) + "/registration.json" }
    func cardURL(_ id: String) -> String { Self.base(publicURL, id) + "/.well-known/agent-card.json" }

    // MARK: Cards

    /// The node's own card, signed with its key ([CARD-1]).
    public func nodeCard() async throws -> AgentCard {
        try AgentCard.sign(AgentCard.draft(node, services: await store.services()), by: [nodeKey])
    }

    /// An agent's card, signed with its key where the node keeps it, and with the node's in any case ([CARD-2]).
    ///
    /// - Throws: `IdentityError`: `.agentNotFound`; `.agentGone` or `.agentSuspended` where it has no standing now.
    public func card(of idOrName: String) async throws -> AgentCard {
        let agent = try await service.registry.agent(idOrName)
        try Self.requireStanding(agent)
        var keys: [(key: DocumentKey, keysURL: String)] = []
        if agent.isKeyHeldHere, let own = try? await service.registry.credentials(agent.id).signer,
            own.did == agent.did
        {
            keys.append((DocumentKey(own), service.keys.keySetURL(agent.id)))
        }
        let draft = AgentCard.draft(
            agent: agent.name,
            id: agent.id,
            did: agent.did.string,
            operatorName: agent.operatorName,
            capabilities: agent.capabilities,
            registrationURL: registrationURL(agent.id),
            of: node
        )
        return try AgentCard.sign(draft, by: keys + [nodeKey])
    }

    private static func requireStanding(_ agent: Agent) throws(IdentityError) {
        switch agent.state {
        case .active: return
        case .suspended: throw IdentityError(.agentSuspended, "agent `\(agent.name)` is suspended: it has no card now")
        case .revoked: throw IdentityError(.agentGone, "the key of agent `\(agent.name)` is revoked: it has no card")
        }
    }

    // MARK: Keys

    /// The node's keys.
    func nodeKeys() -> KeyBoard.Published { KeyBoard.Published(PublicKeySet.document(service.office.issuers)) }

    // MARK: ERC-8004

    /// SHA-256 of a passport's canonical form (RFC 8785), proof and all: what is anchored ([ANC-1]).
    public static func digest(of passport: Passport) throws -> [UInt8] {
        Hashing.sha256(try JSONValue.object(passport.document).canonicalized())
    }

    /// An agent's registration file ([ANC-2]): `active` only while the agent has standing.
    ///
    /// - Throws: `IdentityError` with `.agentNotFound`.
    public func registration(of idOrName: String) async throws -> JSONObject {
        let agent = try await service.registry.agent(idOrName)
        let isActive = agent.state == .active
        var services: [JSONValue] = []
        if isActive {
            services.append(["name": "A2A", "endpoint": .string(cardURL(agent.id)), "version": "1.0"])
            services.append(["name": "DID", "endpoint": .string(agent.did.string), "version": "v1"])
            if let web = service.documents.agent(agent.id) {
                services.append(["name": "DID", "endpoint": .string(web.string), "version": "v1"])
            }
            if let webVH = try await service.registry.webVH(of: agent) {
                services.append(["name": "DID", "endpoint": .string(webVH.string), "version": "v1"])
            }
        }
        services.append(["name": "web", "endpoint": .string(publicURL + "/")])
        let places = try await store.registrations(of: agent.id)
        // What an agent sells are the services of its node.
        let sold = await store.sellsOverX402()
        var file: JSONObject = [
            "type": .string(AgentCard.registrationBinding), "name": .string(agent.name),
            "description": .string(
                "An agent with a Mintmark passport" + (agent.operatorName.map { ", run by \($0)." } ?? ".")
            ),
            "image": .string(Self.image), "services": .array(services), "x402Support": .bool(isActive && sold),
            "active": .bool(isActive), "registrations": .array(places.map(Self.json)),
        ]
        var passport: JSONObject = [
            "agentId": .string(agent.id), "issuer": .string(service.office.issuer.string),
            "state": .string(agent.state.rawValue),
        ]
        let now = service.office.clock.now()
        let newest = try await service.office.passports(agent: agent.id).first { $0.passport.subject == agent.did }
        if isActive, let newest = newest?.passport, now < newest.validUntil {
            passport["id"] = .string(newest.id)
            passport["validUntil"] = .string(newest.validUntil.rfc3339)
            passport["sha256"] = .string(Hex.encode(try Self.digest(of: newest)))
        }
        if !places.isEmpty {
            passport["anchors"] = .array(
                places.map { place in
                    [
                        "agentRegistry": .string(place.registry), "agentId": .string(place.agentID),
                        "key": .string(Self.anchorKey), "sha256": .string(Hex.encode(place.passportDigest)),
                        "transaction": .string(place.transaction),
                    ]
                }
            )
        }
        file["passport"] = .object(passport)
        return file
    }

    /// The proof that this domain stands behind its agents' registrations (ERC-8004, "Endpoint Domain Verification").
    func domainRegistrations() async throws -> JSONObject {
        let places = try await store.registrations(limit: Self.maximumRegistrations)
        return ["registrations": .array(places.map(Self.json))]
    }

    /// The number as JSON has numbers where they hold it exactly, else as text.
    private static func json(_ place: ChainRegistration) -> JSONValue {
        let number = Int64(place.agentID).flatMap { $0 < 1 << 53 ? JSONValue.integer($0) : nil }
        return ["agentId": number ?? .string(place.agentID), "agentRegistry": .string(place.registry)]
    }

    /// A coin with a mark: a registration file must show something.
    private static let image =
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='4'/%3E%3Cpath d='M2 5V3l2 2 2-2v2' fill='none' stroke='%23fff'/%3E%3C/svg%3E"
}
