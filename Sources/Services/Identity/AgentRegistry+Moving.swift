public import CanonicalJSON
public import Cryptography
import Encodings
public import Passports
public import SignedDocuments
import Storage

extension AgentRegistry {
    // MARK: To another node

    /// Moves an agent away: seals its keys, commitments and passports for one other node, and ends it here.
    ///
    /// From the moment this is on the disk the agent cannot act here: its key is revoked, with its passports, and the sealed
    /// keys are gone from the agent's row. Asked again for the same destination it answers the same file, so that one that was
    /// lost on the way is not lost ([MOVE-2]).
    /// - Parameters:
    ///   - destination: the only node that can take it in.
    ///   - passphrase: opens the file there; 8 to 1,024 bytes.
    /// - Returns: the file's text.
    /// - Throws: `IdentityError`: `.agentNotFound`, `.agentNotActive`, `.agentMoved` where it went to another node.
    public func export(
        _ idOrName: String,
        to destination: DIDKey,
        passphrase: [UInt8],
        parameters: Sealing.PassphraseParameters = Sealing.PassphraseParameters()
    ) async throws -> String {
        let record = try await database.read { try AgentStore.find(idOrName, in: $0) }
        let agent = record.agent
        if let moved = try await database.read({ try MovedStore.find(agent.id, in: $0) }) {
            guard moved.destination == destination.string else { throw Self.moved(agent, to: moved.destination) }
            return moved.sealed
        }
        try Self.requireActive(agent)
        guard destination != office.issuer else {
            throw IdentityError(.invalidRequest, "that is this node: an agent moves to another one")
        }
        guard (NodeKeys.minimumPassphraseBytes...1024).contains(passphrase.count) else {
            throw IdentityError(.invalidRequest, "a passphrase has \(NodeKeys.minimumPassphraseBytes) to 1024 bytes")
        }
        // The newest are enough to show where it comes from; the file stays small.
        let passports = try await office.passports(agent: agent.id).prefix(10).map {
            JSONValue.object($0.passport.document)
        }
        let export = AgentExport(
            id: UUIDText.randomURN(),
            agent: record,
            seed: try record.sealedKey.map { try nodeKeys.open($0, agent: agent.id, did: agent.did).seed },
            nextSeed: try record.nextDID.flatMap { did in
                try record.sealedNextKey.map { try nodeKeys.open($0, agent: agent.id, did: did).seed }
            },
            origin: office.issuer,
            destination: destination,
            passports: passports,
            didLog: try await didLog(agent.id).flatMap {
                $0.updateKeys == [agent.did.multibaseKey] && !$0.isDeactivated ? $0 : nil
            }
        )
        let sealed = try export.sealed(passphrase: passphrase, parameters: parameters)
        try await office.revokeKey(of: agent, reason: .affiliationChanged) { [issuer = office.issuer] now, connection in
            let current = try AgentStore.find(agent.id, in: connection)
            try Self.requireActive(current.agent)
            guard current.agent.did == agent.did, try MovedStore.find(agent.id, in: connection) == nil else {
                throw IdentityError(.agentNotActive, "the agent changed meanwhile: export it again")
            }
            try MovedStore.insert(agent.id, to: destination.string, sealed: sealed, at: now, in: connection)
            try AgentStore.forgetKeys(of: agent.id, in: connection)
            try AuditNotes.moved(agent, from: issuer.string, to: destination.string, at: now, in: connection)
        }
        return sealed
    }

    // MARK: From another node

    /// Takes an agent in that another node exported for this one, and gives it a passport of this node.
    ///
    /// - Throws: `IdentityError`: `.exportRefused`, `.agentExists`, `.keyRevoked`, `.limitReached`.
    public func importAgent(_ text: String, passphrase: [UInt8]) async throws -> (agent: Agent, passport: Passport) {
        let export = try AgentExport.open(text, passphrase: passphrase, node: office.issuer)
        var record = export.agent
        try AgentDescription(
            name: record.agent.name,
            operatorName: record.agent.operatorName,
            capabilities: record.agent.capabilities,
            spendLimit: record.agent.spendLimit,
            passportLifetimeSeconds: record.agent.passportLifetimeSeconds
        ).check()
        try Self.checkDigest(record.agent.nextKeyDigest)
        record.agent.changedAt = clock.now()
        let id = record.agent.id
        record.sealedKey = try export.seed.map {
            try nodeKeys.seal(try Ed25519.PrivateKey(seed: $0), agent: id, did: record.agent.did)
        }
        if let nextDID = record.nextDID {
            record.sealedNextKey = try export.nextSeed.map {
                try nodeKeys.seal(try Ed25519.PrivateKey(seed: $0), agent: id, did: nextDID)
            }
        }
        let history = JSONValue.array(export.passports).serialized()
        let didLog = export.didLog
        let (exportID, origin, issuer, agent) = (export.id, export.origin.string, office.issuer.string, record.agent)
        return try await keep(record) { connection in
            try MovedStore.arrive(exportID, agent: agent, from: origin, history: history, in: connection)
            try AgentDIDStore.put(didLog, of: agent.id, over: 0, in: connection)
            try AuditNotes.moved(agent, from: origin, to: issuer, at: agent.changedAt, in: connection)
        }
    }

    /// The passports that other nodes gave an agent before it came here.
    public func history(_ idOrName: String) async throws -> [JSONValue] {
        try await database.read { connection in
            let agent = try AgentStore.find(idOrName, in: connection).agent
            return try MovedStore.history(agent.id, in: connection)
        }
    }

    /// - Throws: `IdentityError` with `.agentMoved` where the agent is at another node.
    func requireHere(_ agent: Agent) async throws {
        guard let moved = try await database.read({ try MovedStore.find(agent.id, in: $0) }) else { return }
        throw Self.moved(agent, to: moved.destination)
    }

    private static func moved(_ agent: Agent, to destination: String) -> IdentityError {
        IdentityError(.agentMoved, "agent `\(agent.name)` was moved to the node \(destination)")
    }
}

/// The rows of agents that left and came, within the transaction at hand.
enum MovedStore {
    static func find(_ agent: String, in connection: Connection) throws -> (destination: String, sealed: String)? {
        try connection.first("SELECT destination, sealed FROM identity_moved WHERE agent = ?", .text(agent)).map {
            (try $0.text(0), try $0.text(1))
        }
    }

    static func insert(
        _ agent: String,
        to destination: String,
        sealed: String,
        at: Timestamp,
        in connection: Connection
    ) throws {
        try connection.execute(
            "INSERT INTO identity_moved (agent, destination, sealed, at) VALUES (?, ?, ?, ?)",
            .text(agent),
            .text(destination),
            .text(sealed),
            .integer(at.millisecondsSince1970)
        )
    }

    /// - Throws: `IdentityError` with `.exportRefused` where this export was taken in before.
    static func arrive(
        _ export: String,
        agent: Agent,
        from origin: String,
        history: [UInt8],
        in connection: Connection
    ) throws {
        do {
            try connection.execute(
                "INSERT INTO identity_arrivals (export, agent, origin, history, at) VALUES (?, ?, ?, ?, ?)",
                .text(export),
                .text(agent.id),
                .text(origin),
                .blob(history),
                .integer(agent.changedAt.millisecondsSince1970)
            )
        } catch let error as StorageError where error.code == .constraint {
            throw IdentityError(.exportRefused, "this export was taken in before", cause: error)
        }
    }

    static func history(_ agent: String, in connection: Connection) throws -> [JSONValue] {
        try connection.rows("SELECT history FROM identity_arrivals WHERE agent = ? ORDER BY at DESC", .text(agent))
            .flatMap { try JSONValue.parse(try $0.blob(0)).arrayValue ?? [] }
    }
}
