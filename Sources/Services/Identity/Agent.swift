public import CanonicalJSON
public import Encodings
public import Passports
public import SignedDocuments

/// An agent that this node gives passports to.
public struct Agent: Hashable, Sendable {
    public enum State: String, Sendable, CaseIterable {
        /// Passports are issued and renewed.
        case active
        /// Passports are suspended; none is renewed until it is restored.
        case suspended
        /// The current key is revoked; only the key it committed to can follow.
        case revoked
    }

    /// The stable id, `urn:uuid:…`, whatever the key.
    public var id: String
    /// Unique on this node.
    public var name: String
    public var operatorName: String?
    public var capabilities: [String]
    public var spendLimit: SpendLimit?
    /// How long each passport lives.
    public var passportLifetimeSeconds: Int64
    /// The current key.
    public var did: DIDKey
    /// Whether the node keeps the key, sealed. Otherwise the agent does.
    public var isKeyHeldHere: Bool
    /// The commitment to the next key, as it stands in the passports.
    public var nextKeyDigest: String?
    public var state: State
    public var createdAt: Timestamp
    public var changedAt: Timestamp

    /// As the operator's API shows it.
    public var json: JSONObject {
        var object = JSONObject()
        object["id"] = .string(id)
        object["name"] = .string(name)
        object["did"] = .string(did.string)
        object["state"] = .string(state.rawValue)
        object["keyHeldBy"] = isKeyHeldHere ? "node" : "agent"
        if let operatorName { object["operator"] = .string(operatorName) }
        object["capabilities"] = .array(capabilities.map { .string($0) })
        if let spendLimit { object["spendLimit"] = spendLimit.json }
        object["passportLifetimeSeconds"] = .integer(passportLifetimeSeconds)
        if let nextKeyDigest { object["nextKeyHash"] = .string(nextKeyDigest) }
        object["createdAt"] = .string(createdAt.rfc3339)
        object["changedAt"] = .string(changedAt.rfc3339)
        return object
    }
}

/// What a new agent says of itself.
public struct AgentDescription: Hashable, Sendable {
    /// Unique on this node; at most 128 bytes.
    public var name: String
    public var operatorName: String?
    public var capabilities: [String]
    public var spendLimit: SpendLimit?
    /// 60 seconds to 31 days; 24 hours by default.
    public var passportLifetimeSeconds: Int64

    public static let lifetimeBounds: ClosedRange<Int64> = 60...(31 * 86_400)

    public init(
        name: String,
        operatorName: String? = nil,
        capabilities: [String] = [],
        spendLimit: SpendLimit? = nil,
        passportLifetimeSeconds: Int64 = 86_400
    ) {
        self.name = name
        self.operatorName = operatorName
        self.capabilities = capabilities
        self.spendLimit = spendLimit
        self.passportLifetimeSeconds = passportLifetimeSeconds
    }

    /// Refuses what a passport could not carry.
    func check() throws(IdentityError) {
        do {
            try PassportClaims.check(
                name: name,
                operatorName: operatorName,
                capabilities: capabilities
            )
        } catch {
            throw IdentityError(.invalidRequest, error.message)
        }
        guard Self.lifetimeBounds.contains(passportLifetimeSeconds) else {
            throw IdentityError(.invalidRequest, "a passport lives 60 seconds to 31 days")
        }
    }
}

/// A key that an agent brings, with the proof that it holds it.
public struct OwnKey: Hashable, Sendable {
    public var did: DIDKey
    /// As ``AgentRegistry/challenge()`` gave it.
    public var challenge: String
    /// Base64url of the signature over ``PossessionProof/message(_:challenge:node:key:)``.
    public var signature: String
    /// The commitment to the agent's next key, where it makes one.
    public var nextKeyDigest: String?

    public init(did: DIDKey, challenge: String, signature: String, nextKeyDigest: String? = nil) {
        self.did = did
        self.challenge = challenge
        self.signature = signature
        self.nextKeyDigest = nextKeyDigest
    }
}
