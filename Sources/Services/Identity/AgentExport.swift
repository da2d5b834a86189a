import CanonicalJSON
import Cryptography
import Encodings
import Passports
import SignedDocuments

/// An agent on its way to another node: its file, sealed with a passphrase (scrypt and ChaCha20-Poly1305; [MOVE-1]).
struct AgentExport: Sendable {
    static let type = "MintmarkAgentExport"
    static let maximumBytes = 1 << 20
    private static let version: Int64 = 1

    /// Of this export; a node takes each in once.
    var id: String
    var agent: AgentRecord
    /// The keys' seeds, where the node kept them.
    var seed: [UInt8]?
    var nextSeed: [UInt8]?
    var origin: DIDKey
    var destination: DIDKey
    /// The passports that were issued for it, newest first.
    var passports: [JSONValue]
    /// Of its did:webvh, where it has one that its key may move on.
    var didLog: WebVHLog?

    // MARK: Sealing

    /// - Throws: `CryptographyError` where sealing fails.
    func sealed(passphrase: [UInt8], parameters: Sealing.PassphraseParameters) throws -> String {
        let key = try Sealing.key(passphrase: passphrase, parameters: parameters)
        let head = Self.head(id: id, agent: agent.agent.id, origin: origin.string, destination: destination.string)
        let box = try Sealing.seal(JSONValue.object(content).serialized(), key: key, context: Self.context(head))
        var document = head
        document["scrypt"] = [
            "salt": .string(Base64URL.encode(parameters.salt)), "n": .integer(Int64(parameters.n)),
            "r": .integer(Int64(parameters.r)), "p": .integer(Int64(parameters.p)),
        ]
        document["sealed"] = .string(Base64URL.encode(box))
        return String(decoding: JSONValue.object(document).serialized(), as: UTF8.self)
    }

    /// Opens a file for this node.
    ///
    /// - Throws: `IdentityError` with `.exportRefused`.
    static func open(_ text: String, passphrase: [UInt8], node: DIDKey) throws -> AgentExport {
        do {
            let document = try JSONValue.parse(
                Array(text.utf8),
                limits: JSONLimits(maximumBytes: maximumBytes, maximumDepth: 4, maximumValues: 64)
            )
            guard document["type"]?.stringValue == type, document["version"]?.int64Value == version else {
                throw IdentityError(.exportRefused, "this is no agent's export, or one of a newer mintmark")
            }
            let destination = try document.string("to")
            guard destination == node.string else {
                throw IdentityError(.exportRefused, "the export is for the node \(destination), this is \(node)")
            }
            let scrypt = try document.object("scrypt")
            let parameters = try Sealing.PassphraseParameters(
                salt: try Base64URL.decode(scrypt.string("salt")),
                n: Int(try scrypt.int64("n")),
                r: Int(try scrypt.int64("r")),
                p: Int(try scrypt.int64("p"))
            )
            let head = head(
                id: try document.string("id"),
                agent: try document.string("agent"),
                origin: try document.string("from"),
                destination: destination
            )
            let key = try Sealing.key(passphrase: passphrase, parameters: parameters)
            let box = try Base64URL.decode(document.string("sealed"))
            let content = try Sealing.open(box, key: key, context: context(head))
            return try AgentExport(head: head, content: try JSONValue.parse(content))
        } catch let error as IdentityError {
            throw error
        } catch {
            throw IdentityError(
                .exportRefused,
                "the export does not open: another passphrase, or a file that was changed (\(error))",
                cause: error
            )
        }
    }

    /// What stands outside of the seal, and is authenticated by it.
    private static func head(id: String, agent: String, origin: String, destination: String) -> JSONObject {
        [
            "type": .string(type), "version": .integer(version), "id": .string(id), "agent": .string(agent),
            "from": .string(origin), "to": .string(destination),
        ]
    }

    private static func context(_ head: JSONObject) throws -> [UInt8] { try JSONValue.object(head).canonicalized() }

    // MARK: Content

    private var content: JSONObject {
        let described = agent.agent
        var content: JSONObject = [
            "name": .string(described.name), "did": .string(described.did.string),
            "capabilities": .array(described.capabilities.map { .string($0) }),
            "passportLifetimeSeconds": .integer(described.passportLifetimeSeconds),
            "createdAt": .string(described.createdAt.rfc3339), "passports": .array(passports),
        ]
        content["operator"] = described.operatorName.map { .string($0) }
        content["spendLimit"] = described.spendLimit?.json
        content["nextKeyHash"] = described.nextKeyDigest.map { .string($0) }
        content["didLog"] = didLog.map { .string(String(decoding: $0.bytes, as: UTF8.self)) }
        content["key"] = seed.map { .string(Hex.encode($0)) }
        content["nextKey"] = nextSeed.map { .string(Hex.encode($0)) }
        return content
    }

    init(
        id: String,
        agent: AgentRecord,
        seed: [UInt8]?,
        nextSeed: [UInt8]?,
        origin: DIDKey,
        destination: DIDKey,
        passports: [JSONValue],
        didLog: WebVHLog?
    ) {
        self.id = id
        self.agent = agent
        self.seed = seed
        self.nextSeed = nextSeed
        self.origin = origin
        self.destination = destination
        self.passports = passports
        self.didLog = didLog
    }

    private init(head: JSONObject, content: JSONValue) throws {
        let limit = try content.optionalObject("spendLimit")
        let did = try DIDKey(parsing: try content.string("did"))
        let seed = try content.optionalString("key").map { try Hex.decode($0) }
        let nextSeed = try content.optionalString("nextKey").map { try Hex.decode($0) }
        let createdAt = try Timestamp(rfc3339: try content.string("createdAt"))
        let agent = Agent(
            id: try head.string("agent"),
            name: try content.string("name"),
            operatorName: try content.optionalString("operator"),
            capabilities: try content.strings("capabilities"),
            spendLimit: try limit.map { try SpendLimit(json: .object($0)) },
            passportLifetimeSeconds: try content.int64("passportLifetimeSeconds"),
            did: did,
            isKeyHeldHere: seed != nil,
            nextKeyDigest: try content.optionalString("nextKeyHash"),
            state: .active,
            createdAt: createdAt,
            changedAt: createdAt
        )
        // Sealed by the other node under a passphrase, but still a stranger's word: the keys must be those of the DIDs.
        if let seed, DIDKey(try Ed25519.PrivateKey(seed: seed).publicKey) != did {
            throw IdentityError(.exportRefused, "the key in the export is not that of \(did)")
        }
        let nextDID = try nextSeed.map { DIDKey(try Ed25519.PrivateKey(seed: $0).publicKey) }
        if let nextDID, MultihashDigest.commitment(to: nextDID) != agent.nextKeyDigest {
            throw IdentityError(.exportRefused, "the next key in the export is not the one that was committed to")
        }
        let didLog = try content.optionalString("didLog").flatMap {
            try WebVHLog(kept: $0.utf8.split(separator: 10).map { Array($0) })
        }
        if let didLog, didLog.updateKeys != [did.multibaseKey] || didLog.isDeactivated {
            throw IdentityError(.exportRefused, "the did:webvh in the export is not one that \(did) may move on")
        }
        self.init(
            id: try head.string("id"),
            agent: AgentRecord(agent: agent, sealedKey: nil, nextDID: nextDID, sealedNextKey: nil),
            seed: seed,
            nextSeed: nextSeed,
            origin: try DIDKey(parsing: try head.string("from")),
            destination: try DIDKey(parsing: try head.string("to")),
            passports: try content.requireObject()["passports"]?.arrayValue ?? [],
            didLog: didLog
        )
    }
}
