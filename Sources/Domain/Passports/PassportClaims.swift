import CanonicalJSON
public import Encodings
public import SignedDocuments

/// What an issuer says in a passport. Every field is checked when it is issued, by the rules it is read with.
public struct PassportClaims: Hashable, Sendable {
    /// `urn:uuid:…`, new for each passport.
    public var id: String
    /// The agent's stable id, the same in all its passports whatever its key.
    public var agentID: String
    /// The agent's current key.
    public var subject: DIDKey
    /// What people call the agent, at most 128 bytes.
    public var name: String
    /// Who runs the agent, a DID, URL or name of at most 256 bytes.
    public var operatorName: String?
    public var capabilities: [String]
    public var spendLimit: SpendLimit?
    /// Digest of the agent's next key (pre-rotation), as ``MultihashDigest/commitment(to:)`` writes it.
    public var nextKeyDigest: String?
    public var validFrom: Timestamp
    public var validUntil: Timestamp
    /// One entry a purpose, at most four.
    public var status: [StatusEntry]

    public init(
        id: String,
        agentID: String,
        subject: DIDKey,
        name: String,
        operatorName: String? = nil,
        capabilities: [String] = [],
        spendLimit: SpendLimit? = nil,
        nextKeyDigest: String? = nil,
        validFrom: Timestamp,
        validUntil: Timestamp,
        status: [StatusEntry]
    ) {
        self.id = id
        self.agentID = agentID
        self.subject = subject
        self.name = name
        self.operatorName = operatorName
        self.capabilities = capabilities
        self.spendLimit = spendLimit
        self.nextKeyDigest = nextKeyDigest
        self.validFrom = validFrom
        self.validUntil = validUntil
        self.status = status
    }

    /// The credential without its proof, as `issuer` would sign it.
    func document(issuer: DIDKey) -> JSONObject {
        var subjectMembers = JSONObject()
        subjectMembers["id"] = .string(subject.string)
        subjectMembers["agentId"] = .string(agentID)
        subjectMembers["agentName"] = .string(name)
        if let operatorName { subjectMembers["operator"] = .string(operatorName) }
        subjectMembers["capability"] = .array(capabilities.map { .string($0) })
        if let spendLimit { subjectMembers["spendLimit"] = spendLimit.json }
        if let nextKeyDigest { subjectMembers["nextKeyHash"] = .string(nextKeyDigest) }

        var document = JSONObject()
        document["@context"] = Passport.contexts
        document["id"] = .string(id)
        document["type"] = ["VerifiableCredential", "AgentPassportCredential"]
        document["issuer"] = .string(issuer.string)
        document["validFrom"] = .string(validFrom.rfc3339)
        document["validUntil"] = .string(validUntil.rfc3339)
        document["credentialSubject"] = .object(subjectMembers)
        if !status.isEmpty { document["credentialStatus"] = .array(status.map(\.json)) }
        return document
    }
}
