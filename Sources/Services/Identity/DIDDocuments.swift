public import CanonicalJSON
public import SignedDocuments

/// The DID documents that this node serves: of itself as `did:web`, and of each agent below it.
public struct DIDDocuments: Sendable {
    private let office: PassportOffice

    public init(_ office: PassportOffice) {
        self.office = office
    }

    /// The node's `did:web`, or `nil` where its public URL names no domain (an address, or nothing at all).
    public var node: WebDID? { Self.did(publicURL: office.configuration.publicURL, path: []) }

    /// An agent's `did:web`.
    public func agent(_ id: String) -> WebDID? {
        Self.did(
            publicURL: office.configuration.publicURL,
            path: ["agents", id.hasPrefix("urn:uuid:") ? String(id.dropFirst(9)) : id]
        )
    }

    /// The node's document: both keys it issues with, each for assertions and authentication.
    public func nodeDocument() -> JSONObject? {
        node.map { Self.document($0.string, keys: office.issuers, controller: nil) }
    }

    /// An agent's document: its current key, and the node as its controller.
    public func document(of agent: Agent) -> JSONObject? {
        self.agent(agent.id).map { Self.document($0.string, keys: [agent.did], controller: node?.string) }
    }

    /// What a did:webvh of an agent says of it: its current key, and its other names.
    /// - Parameter former: the DID that it had at another node.
    func document(of agent: Agent, webVH did: String, former: String? = nil) -> JSONObject {
        var document = Self.document(did, keys: [agent.did], controller: nil)
        let names = [agent.did.string, agent.id] + [self.agent(agent.id)?.string, former].compactMap { $0 }
        document["alsoKnownAs"] = JSONValue(names)
        return document
    }

    static func did(publicURL: String, path: [String]) -> WebDID? {
        guard let mark = publicURL.firstRange(of: "://") else { return nil }
        let rest = publicURL[mark.upperBound...]
        let pieces = rest.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard let authority = pieces.first, pieces.dropFirst().allSatisfy({ !$0.isEmpty }) else { return nil }
        let parts = [authority.replacing(":", with: "%3A")] + pieces.dropFirst() + path
        return try? WebDID(parsing: "did:web:" + parts.joined(separator: ":"))
    }

    /// A document of Multikeys (Controlled Identifiers 1.0, 2.2.2).
    public static func document(_ did: String, keys: [DIDKey], controller: String?) -> JSONObject {
        let methods: [JSONValue] = keys.map {
            [
                "id": .string("\(did)#\($0.multibaseKey)"), "type": "Multikey", "controller": .string(did),
                "publicKeyMultibase": .string($0.multibaseKey),
            ]
        }
        let names = JSONValue(keys.map { "\(did)#\($0.multibaseKey)" })
        var document: JSONObject = [
            "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
            "id": .string(did),
        ]
        document["controller"] = controller.map { .string($0) }
        document["alsoKnownAs"] = JSONValue(keys.map(\.string))
        document["verificationMethod"] = .array(methods)
        document["authentication"] = names
        document["assertionMethod"] = names
        return document
    }
}
