import Cryptography
public import Encodings
public import Passports
import SignedDocuments
public import Storage

/// Registers agents and keeps them in passports.
///
/// An agent brings its own key and proves that it holds it, or lets the node make one and keep it sealed. Every agent has
/// a stable id and, where the node keeps its key, the next key made and committed to beforehand (pre-rotation), so that
/// whoever steals the current key cannot bring one of his own after it.
public final class AgentRegistry: Sendable {
    let database: Database
    let nodeKeys: NodeKeys
    public let office: PassportOffice
    private let challenges = PossessionChallenges()
    var clock: WallClock { office.clock }

    public init(database: Database, nodeKeys: NodeKeys, office: PassportOffice) {
        self.database = database
        self.nodeKeys = nodeKeys
        self.office = office
    }

    // MARK: Registering

    /// A challenge for an agent that brings its own key: base64url of 32 random bytes, good once, for five minutes.
    public func challenge() throws(IdentityError) -> (challenge: String, expires: Timestamp) {
        try challenges.make(now: clock.now())
    }

    /// Registers an agent and gives it its first passport, both or neither.
    ///
    /// - Parameter key: the agent's own key with its proof of possession; `nil`: the node makes and keeps one.
    /// - Throws: `IdentityError`: `.invalidRequest`, `.challengeUnknown`, `.possessionNotProven`, `.agentExists`,
    ///   `.keyRevoked`, `.limitReached`; `StorageError`.
    public func register(
        _ description: AgentDescription,
        key: OwnKey? = nil
    ) async throws -> (agent: Agent, passport: Passport) {
        try description.check()
        let now = clock.now()
        let id = UUIDText.randomURN()
        var record = try newRecord(id: id, description, now: now)
        if let key {
            try prove(key, .registration)
            try Self.checkDigest(key.nextKeyDigest)
            record.hold(elsewhere: key.did, nextKeyDigest: key.nextKeyDigest)
        }
        return try await keep(record)
    }

    /// Keeps a new agent and its first passport, both or neither, together with what `body` writes.
    func keep(
        _ kept: AgentRecord,
        and body: @escaping @Sendable (Connection) throws -> Void = { _ in }
    ) async throws -> (agent: Agent, passport: Passport) {
        let prepared = try await office.prepare(kept.agent)
        do {
            try await database.write { [office] connection in
                guard try AgentStore.count(in: connection) < office.configuration.maximumAgents else {
                    throw IdentityError(
                        .limitReached,
                        "\(office.configuration.maximumAgents) agents are registered, the most there may be"
                    )
                }
                try AgentStore.insert(kept, in: connection)
                try office.keep(prepared, in: connection)
                try body(connection)
            }
        } catch {
            office.discard(prepared)
            throw error
        }
        return (kept.agent, prepared.passport)
    }

    func newRecord(id: String, _ description: AgentDescription, now: Timestamp) throws -> AgentRecord {
        let key = Ed25519.PrivateKey()
        let next = Ed25519.PrivateKey()
        let did = DIDKey(key.publicKey)
        let nextDID = DIDKey(next.publicKey)
        return AgentRecord(
            agent: Agent(
                id: id,
                name: description.name,
                operatorName: description.operatorName,
                capabilities: description.capabilities,
                spendLimit: description.spendLimit,
                passportLifetimeSeconds: description.passportLifetimeSeconds,
                did: did,
                isKeyHeldHere: true,
                nextKeyDigest: MultihashDigest.commitment(to: nextDID),
                state: .active,
                createdAt: now,
                changedAt: now
            ),
            sealedKey: try nodeKeys.seal(key, agent: id, did: did),
            nextDID: nextDID,
            sealedNextKey: try nodeKeys.seal(next, agent: id, did: nextDID)
        )
    }

    func prove(_ key: OwnKey, _ use: PossessionProof.Use) throws(IdentityError) {
        try challenges.use(key.challenge, now: clock.now())
        guard key.did.kind == .ed25519 else {
            throw IdentityError(.invalidRequest, "an agent's key must be Ed25519 to sign requests")
        }
        guard PossessionProof.isValid(key.signature, use, challenge: key.challenge, node: office.issuer, key: key.did)
        else {
            throw IdentityError(
                .possessionNotProven,
                "the signature over the challenge is not by \(key.did), or not for this node and use"
            )
        }
    }

    static func checkDigest(_ digest: String?) throws(IdentityError) {
        guard let digest else { return }
        do {
            _ = try MultihashDigest.decode(digest)
        } catch {
            throw IdentityError(.invalidRequest, "`nextKeyHash`: \(error.message)")
        }
    }

    // MARK: Reading

    /// - Parameter idOrName: stable id, with or without `urn:uuid:`, name or DID.
    /// - Throws: `IdentityError` with `.agentNotFound`.
    public func agent(_ idOrName: String) async throws -> Agent {
        try await database.read { try AgentStore.find(idOrName, in: $0).agent }
    }

    /// Agents by id, at most 1,000 at a time; `after` is the last id of the page before.
    public func agents(after: String? = nil, limit: Int = 1_000) async throws -> [Agent] {
        try await database.read { try AgentStore.list(limit: min(max(limit, 1), 1_000), after: after, in: $0) }
    }

    /// Key and current passport of an agent whose key the node keeps.
    ///
    /// - Throws: `IdentityError`: `.agentNotFound`, `.keyNotHeld`, `.agentNotActive`, `.passportNotFound`.
    public func credentials(_ idOrName: String) async throws -> AgentCredentials {
        let now = clock.now()
        let (record, newest) = try await database.read { connection in
            let record = try AgentStore.find(idOrName, in: connection)
            let newest = try PassportStore.newest(
                agent: record.agent.id,
                did: record.agent.did.string,
                in: connection
            )
            return (record, newest)
        }
        guard let sealedKey = record.sealedKey else {
            throw IdentityError(.keyNotHeld, "agent `\(record.agent.name)` keeps its key itself: only it can sign")
        }
        try Self.requireActive(record.agent)
        guard let newest, now < newest.passport.validUntil else {
            throw IdentityError(.passportNotFound, "agent `\(record.agent.name)` has no passport in force: renew it")
        }
        let key = try nodeKeys.open(sealedKey, agent: record.agent.id, did: record.agent.did)
        return AgentCredentials(signer: DocumentSigner(key), passport: newest.passport)
    }

    // MARK: Renewing

    /// Gives an active agent a new passport for its current key. The one before stays good until it ends.
    ///
    /// - Throws: `IdentityError`: `.agentNotFound`, `.agentNotActive`, `.keyRevoked`.
    @discardableResult
    public func renew(_ idOrName: String) async throws -> (agent: Agent, passport: Passport) {
        let agent = try await agent(idOrName)
        try Self.requireActive(agent)
        let prepared = try await office.prepare(agent)
        do {
            try await database.write { [office] connection in
                let current = try AgentStore.find(agent.id, in: connection).agent
                try Self.requireActive(current)
                guard current.did == agent.did else {
                    throw IdentityError(.agentNotActive, "the agent moved to another key meanwhile: renew again")
                }
                try office.keep(prepared, in: connection)
            }
        } catch {
            office.discard(prepared)
            throw error
        }
        return (agent, prepared.passport)
    }

    /// Renews every active agent whose passport nears its end, or stands under an old public URL; at most 1,000 at once.
    ///
    /// - Returns: the ids of agents renewed, and what failed; one agent's failure does not hold up the others.
    public func renewDue() async throws -> (renewed: [String], failures: [(agent: String, error: any Error)]) {
        let now = clock.now()
        let configuration = office.configuration
        let due = try await database.read { connection in
            try PassportStore.agentsDue(
                now: now,
                renewalShare: configuration.renewalShare,
                baseURL: configuration.publicURL,
                limit: 1_000,
                in: connection
            )
        }
        var renewed: [String] = []
        var failures: [(agent: String, error: any Error)] = []
        for id in due {
            do {
                try await renew(id)
                renewed.append(id)
            } catch {
                failures.append((id, error))
            }
        }
        return (renewed, failures)
    }

    static func requireActive(_ agent: Agent) throws {
        try requireNotSuspended(agent)
        guard agent.state == .active else {
            throw IdentityError(
                .agentNotActive,
                "the key of agent `\(agent.name)` is revoked: move it to its next key first"
            )
        }
    }

    private static func requireNotSuspended(_ agent: Agent) throws {
        guard agent.state != .suspended else {
            throw IdentityError(.agentNotActive, "agent `\(agent.name)` is suspended: restore its passport first")
        }
    }

    // MARK: Moving to the next key

    /// Moves an agent to the key it committed to, and gives it a passport for it. The old key's passports that have not
    /// lapsed are revoked first, as superseded where they were not revoked for another reason.
    ///
    /// - Parameter key: the agent's next key with its proof of possession (use `rotation`), for an agent that keeps its
    ///   key itself; `nil` where the node keeps it.
    /// - Throws: `IdentityError`: `.agentNotFound`, `.keyNotHeld`, `.keyNotCommitted`, `.possessionNotProven`.
    public func rotate(_ idOrName: String, key: OwnKey? = nil) async throws -> (agent: Agent, passport: Passport) {
        let old = try await database.read { try AgentStore.find(idOrName, in: $0) }
        try Self.requireNotSuspended(old.agent)
        return try await moveOn(old, key: key, reason: .superseded, compromisedSince: nil)
    }

    /// Moves an agent whose key was stolen to the key it committed to: the thief holds the old key, not the next one.
    ///
    /// As ``rotate(_:key:)``, but the old key is reported as compromised, also where the agent is suspended. What it signed
    /// counts only where a witnessed checkpoint from before `since` contains it ([PASS-16], [LOG-9]).
    /// - Parameter since: when it was stolen at the earliest; nil: not known, so that nothing it signed is sure.
    public func recover(
        _ idOrName: String,
        key: OwnKey? = nil,
        since: Timestamp? = nil
    ) async throws -> (agent: Agent, passport: Passport) {
        try office.requirePast(since)
        let old = try await database.read { try AgentStore.find(idOrName, in: $0) }
        return try await moveOn(old, key: key, reason: .keyCompromise, compromisedSince: since)
    }

    private func moveOn(
        _ old: AgentRecord,
        key: OwnKey?,
        reason: RevocationReason,
        compromisedSince since: Timestamp?
    ) async throws -> (agent: Agent, passport: Passport) {
        try await requireHere(old.agent)
        let next = try key.map { try nextRecord(old, own: $0) } ?? nextRecord(old)
        try await office.revokeKey(of: old.agent, reason: reason, compromisedSince: since) { _, connection in
            // A planned move must not lift a suspension that came since the agent was read.
            guard reason != .keyCompromise else { return }
            try Self.requireNotSuspended(try AgentStore.find(old.agent.id, in: connection).agent)
        }
        let did = try await didLog(movingTo: next)
        let prepared = try await office.prepare(next.agent)
        do {
            try await database.write { [office] connection in
                let current = try AgentStore.find(old.agent.id, in: connection).agent
                guard current.did == old.agent.did else {
                    throw IdentityError(.agentNotActive, "the agent moved to another key meanwhile")
                }
                guard try MovedStore.find(old.agent.id, in: connection) == nil else {
                    throw IdentityError(.agentNotActive, "the agent moved to another node meanwhile")
                }
                try AgentStore.updateKeys(next, in: connection)
                try AgentDIDStore.put(did.log, of: next.agent.id, over: did.entries, in: connection)
                try AuditNotes.rotated(
                    next.agent,
                    from: old.agent.did,
                    reason: reason,
                    compromisedSince: since,
                    in: connection
                )
                try office.keep(prepared, in: connection)
            }
        } catch {
            office.discard(prepared)
            throw error
        }
        return (next.agent, prepared.passport)
    }

    private func nextRecord(_ old: AgentRecord) throws -> AgentRecord {
        guard let nextDID = old.nextDID, let sealedNextKey = old.sealedNextKey else {
            throw IdentityError(
                .keyNotHeld,
                "agent `\(old.agent.name)` keeps its keys itself: it must show the next one and prove that it holds it"
            )
        }
        let following = Ed25519.PrivateKey()
        let followingDID = DIDKey(following.publicKey)
        var next = old
        next.agent.did = nextDID
        next.agent.nextKeyDigest = MultihashDigest.commitment(to: followingDID)
        next.agent.state = .active
        next.agent.changedAt = clock.now()
        next.sealedKey = sealedNextKey
        next.nextDID = followingDID
        next.sealedNextKey = try nodeKeys.seal(following, agent: old.agent.id, did: followingDID)
        return next
    }

    private func nextRecord(_ old: AgentRecord, own key: OwnKey) throws -> AgentRecord {
        guard old.sealedKey == nil else {
            throw IdentityError(
                .keyNotCommitted,
                "the node keeps the keys of agent `\(old.agent.name)`: it moves without one"
            )
        }
        try prove(key, .rotation)
        try Self.checkDigest(key.nextKeyDigest)
        guard let committed = old.agent.nextKeyDigest,
            try MultihashDigest.decode(committed) == Hashing.sha256(Array(key.did.string.utf8))
        else {
            throw IdentityError(
                .keyNotCommitted,
                "\(key.did) is not the next key that agent `\(old.agent.name)` committed to"
            )
        }
        var next = old
        next.agent.did = key.did
        next.agent.nextKeyDigest = key.nextKeyDigest
        next.agent.state = .active
        next.agent.changedAt = clock.now()
        return next
    }
}
