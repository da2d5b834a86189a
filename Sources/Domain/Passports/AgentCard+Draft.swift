public import CanonicalJSON
public import SignedDocuments

/// A paid service, as cards and registration files tell of it.
public struct OfferedService: Hashable, Sendable {
    public struct Price: Hashable, Sendable {
        /// In capitals; none: any method.
        public var methods: [String]
        /// Below the service, such as `/*`.
        public var path: String
        /// Such as `2 sat`, `free`, or `at most 20 sat`.
        public var text: String

        public init(methods: [String], path: String, text: String) {
            self.methods = methods
            self.path = path
            self.text = text
        }
    }

    public var name: String
    public var summary: String?
    /// Where it is called.
    public var url: String
    public var prices: [Price]
    /// How it can be paid for, such as `l402`.
    public var accepts: [String]
    /// What its listing says of it besides.
    public var title: String?
    public var tags: [String] = []
    /// The modes of escrow that it is sold by, such as `key`.
    public var escrow: [String] = []
    /// Whether the node tells others of it, and so has its signed listing.
    public var isListed = false

    public init(name: String, summary: String?, url: String, prices: [Price], accepts: [String]) {
        self.name = name
        self.summary = summary
        self.url = url
        self.prices = prices
        self.accepts = accepts
    }
}

/// Cards of a node and of its agents, before they are signed.
extension AgentCard {
    /// How a paid service is called: any HTTP request, answered 402 until it is paid.
    public static let paidHTTPBinding = "urn:mintmark:http-402:1"
    /// Whose services are listed with their prices.
    public static let paidHTTPExtension = "urn:mintmark:a2a:http-402:1"
    /// Whose card it is, by DID.
    public static let identityExtension = "urn:mintmark:a2a:identity:1"
    /// The interface of an agent that has no other: its registration file.
    public static let registrationBinding = "https://eips.ethereum.org/EIPS/eip-8004#registration-v1"
    /// The most services and prices of one service that a card lists; the catalogue has the rest.
    public static let maximumServices = 48
    public static let maximumPrices = 8

    /// What the drafts need to know of the node.
    public struct Node: Sendable {
        /// How others reach it, without a slash at the end.
        public var publicURL: String
        /// Its did:key.
        public var did: String
        public var version: String

        public init(publicURL: String, did: String, version: String) {
            self.publicURL = publicURL
            self.did = did
            self.version = version
        }
    }

    /// The card of a node: its paid services are its skills.
    ///
    /// Where they would make it longer than a card may be, signatures included, it lists fewer of them.
    public static func draft(_ node: Node, services: [OfferedService]) -> JSONObject {
        var count = min(services.count, maximumServices)
        while true {
            let card = draft(node, offered: services.prefix(count))
            guard count > 0, card.serialized().count > maximumBytes - roomForSignatures else { return card }
            count -= max(1, count / 8)
        }
    }

    /// What the signatures of a card of ours take at most, in bytes.
    private static let roomForSignatures = 4_096

    private static func draft(_ node: Node, offered: ArraySlice<OfferedService>) -> JSONObject {
        let interfaces: [JSONValue] = offered.map { interface(plain($0.url), paidHTTPBinding) }
        let skills: [JSONValue] = offered.map { service in
            skill(
                service.name,
                service.title ?? service.name,
                service.summary ?? "The paid HTTP service \(service.name).",
                tags: ["http", "402"] + service.accepts + service.tags
            )
        }
        var extensions: [JSONValue] = [identity(did: node.did, agentID: nil, node: node)]
        if !offered.isEmpty {
            extensions.append([
                "uri": .string(paidHTTPExtension),
                "description":
                    "Each skill is an HTTP service of its own address: a call is answered 402 with what it costs.",
                "params": [
                    "services": .array(offered.map { sale($0, of: node) }),
                    "catalogue": .string(plain(node.publicURL) + "/x402/discovery/resources"),
                ],
            ])
        }
        return card(
            name: "Mintmark node at " + String(node.publicURL.split(separator: "/").dropFirst().first ?? "?"),
            description: "Sells HTTP services by the call, and answers for agents with passports.",
            node: node,
            interfaces: interfaces.isEmpty
                ? [interface(plain(node.publicURL) + "/agents/register", "urn:mintmark:node:1")] : interfaces,
            extensions: extensions,
            skills: skills.isEmpty
                ? [
                    skill(
                        "passports",
                        "Passports",
                        "Gives its agents passports that others can check and that can be revoked.",
                        tags: ["passport"]
                    )
                ] : skills
        )
    }

    /// The card of an agent.
    ///
    /// - Parameters:
    ///   - did: its current key.
    ///   - registrationURL: of its registration file.
    public static func draft(
        agent name: String,
        id: String,
        did: String,
        operatorName: String?,
        capabilities: [String],
        registrationURL: String,
        of node: Node
    ) -> JSONObject {
        let skills: [JSONValue] =
            [
                skill(
                    "passport",
                    "Passport",
                    "Calls with a passport and a signature by its key, both of which the answering side can check.",
                    tags: ["passport", "rfc9421", "web-bot-auth"]
                )
            ]
            + capabilities.map {
                skill("capability." + $0, $0, "Its passport allows " + $0 + ".", tags: ["capability"])
            }
        var document = card(
            name: name,
            description: "An agent with a Mintmark passport" + (operatorName.map { ", run by \($0)." } ?? "."),
            node: node,
            interfaces: [interface(plain(registrationURL), registrationBinding)],
            extensions: [identity(did: did, agentID: id, node: node)],
            skills: skills
        )
        if let operatorName {
            document["provider"] = ["organization": text(operatorName), "url": text(node.publicURL)]
        }
        return document
    }

    private static func card(
        name: String,
        description: String,
        node: Node,
        interfaces: [JSONValue],
        extensions: [JSONValue],
        skills: [JSONValue]
    ) -> JSONObject {
        [
            "name": text(name), "description": text(description), "supportedInterfaces": .array(interfaces),
            "version": text(node.version), "capabilities": ["extensions": .array(extensions)],
            "defaultInputModes": ["application/octet-stream"], "defaultOutputModes": ["application/octet-stream"],
            "skills": .array(skills),
        ]
    }

    private static func interface(_ url: String, _ binding: String) -> JSONValue {
        ["url": .string(url), "protocolBinding": .string(binding), "protocolVersion": "1.0"]
    }

    private static func skill(_ id: String, _ name: String, _ description: String, tags: [String]) -> JSONValue {
        [
            "id": text(id), "name": text(name), "description": text(description),
            "tags": .array(tags.map { text($0) }),
        ]
    }

    private static func identity(did: String, agentID: String?, node: Node) -> JSONValue {
        var params: JSONObject = ["did": .string(did), "node": .string(node.did)]
        params["agentId"] = agentID.map { text($0) }
        return [
            "uri": .string(identityExtension), "description": "Whose card it is: the key that signs it, by its DID.",
            "params": .object(params),
        ]
    }

    private static func sale(_ service: OfferedService, of node: Node) -> JSONValue {
        var json: JSONObject = ["skill": text(service.name), "url": text(service.url)]
        if !service.accepts.isEmpty { json["accepts"] = .array(service.accepts.map { text($0) }) }
        if !service.escrow.isEmpty { json["escrow"] = .array(service.escrow.map { text($0) }) }
        if service.isListed { json["listing"] = text("\(node.publicURL)/market/listings/\(node.did)/\(service.name)") }
        let listed: [JSONValue] = service.prices.prefix(maximumPrices).map { price in
            var line: JSONObject = ["path": text(price.path), "price": text(price.text)]
            if !price.methods.isEmpty { line["methods"] = .array(price.methods.map { text($0) }) }
            return .object(line)
        }
        if !listed.isEmpty { json["prices"] = .array(listed) }
        return .object(json)
    }

    private static func text(_ text: String) -> JSONValue { .string(plain(text.isEmpty ? "-" : text)) }

    /// The DID that a card of ours says it is of, whose key must have signed it; nil in a card of another kind.
    public var did: DIDKey? { key("did") }
    /// The node that it says it stands under.
    public var node: DIDKey? { key("node") }

    /// The stable id of the agent that it says it is of.
    public var agentID: String? { parameter("agentId") }

    private func key(_ name: String) -> DIDKey? { parameter(name).flatMap { try? DIDKey(parsing: $0) } }

    private func parameter(_ name: String) -> String? {
        let extensions = document["capabilities"]?["extensions"]?.arrayValue ?? []
        let own = extensions.first { $0["uri"]?.stringValue == Self.identityExtension }
        return own?["params"]?[name]?.stringValue
    }
}
