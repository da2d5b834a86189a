import CanonicalJSON
import Encodings
import Passports
import SignedDocuments
import Storage

/// An agent's row with its sealed keys.
struct AgentRecord: Sendable {
    var agent: Agent
    var sealedKey: [UInt8]?
    /// The next key, where the node keeps it.
    var nextDID: DIDKey?
    var sealedNextKey: [UInt8]?

    /// The agent keeps its keys itself.
    mutating func hold(elsewhere did: DIDKey, nextKeyDigest: String?) {
        agent.did = did
        agent.isKeyHeldHere = false
        agent.nextKeyDigest = nextKeyDigest
        sealedKey = nil
        nextDID = nil
        sealedNextKey = nil
    }
}

/// The agents' table. Each function runs inside a transaction of its caller.
enum AgentStore {
    private static let columns = """
        id, name, operator, capabilities, spend_currency, spend_amount, spend_period, lifetime_seconds, did,
        sealed_key, next_digest, next_did, sealed_next_key, state, created_at, changed_at
        """

    /// - Throws: `IdentityError` with `.agentExists`.
    static func insert(_ record: AgentRecord, in connection: Connection) throws {
        let agent = record.agent
        do {
            try connection.execute(
                "INSERT INTO identity_agents (\(columns)) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                .text(agent.id),
                .text(agent.name),
                .optional(agent.operatorName),
                .text(encode(agent.capabilities)),
                .optional(agent.spendLimit?.currency),
                .optional(agent.spendLimit.map { String($0.amountMinor) }),
                .optional(agent.spendLimit?.period),
                .integer(agent.passportLifetimeSeconds),
                .text(agent.did.string),
                .optional(record.sealedKey),
                .optional(agent.nextKeyDigest),
                .optional(record.nextDID?.string),
                .optional(record.sealedNextKey),
                .text(agent.state.rawValue),
                .integer(agent.createdAt.millisecondsSince1970),
                .integer(agent.changedAt.millisecondsSince1970)
            )
        } catch let error as StorageError where error.code == .constraint {
            throw IdentityError(
                .agentExists,
                "an agent named `\(agent.name)`, or with the same key, is registered already",
                cause: error
            )
        }
    }

    /// Replaces the keys of an agent that moves to its next one.
    static func updateKeys(_ record: AgentRecord, in connection: Connection) throws {
        let agent = record.agent
        do {
            try connection.execute(
                """
                UPDATE identity_agents SET did = ?, sealed_key = ?, next_digest = ?, next_did = ?, sealed_next_key = ?,
                    state = ?, changed_at = ? WHERE id = ?
                """,
                .text(agent.did.string),
                .optional(record.sealedKey),
                .optional(agent.nextKeyDigest),
                .optional(record.nextDID?.string),
                .optional(record.sealedNextKey),
                .text(agent.state.rawValue),
                .integer(agent.changedAt.millisecondsSince1970),
                .text(agent.id)
            )
        } catch let error as StorageError where error.code == .constraint {
            throw IdentityError(.agentExists, "the key belongs to another agent already", cause: error)
        }
    }

    /// Takes the sealed keys out of an agent's row.
    static func forgetKeys(of id: String, in connection: Connection) throws {
        try connection.execute(
            """
            UPDATE identity_agents SET sealed_key = NULL, sealed_next_key = NULL, next_did = NULL WHERE id = ?
            """,
            .text(id)
        )
    }

    /// Sets the state of the agent whose current key is `did`, if it is in one of `states`.
    static func setState(
        _ state: Agent.State,
        ofKey did: String,
        from states: [Agent.State],
        now: Timestamp,
        in connection: Connection
    ) throws {
        for old in states {
            try connection.execute(
                "UPDATE identity_agents SET state = ?, changed_at = ? WHERE did = ? AND state = ?",
                .text(state.rawValue),
                .integer(now.millisecondsSince1970),
                .text(did),
                .text(old.rawValue)
            )
        }
    }

    /// By stable id, with or without `urn:uuid:`, or by name, or by DID.
    ///
    /// - Throws: `IdentityError` with `.agentNotFound`.
    static func find(_ idOrName: String, in connection: Connection) throws -> AgentRecord {
        let row = try connection.first(
            "SELECT \(columns) FROM identity_agents WHERE id = ? OR id = ? OR name = ? OR did = ? ORDER BY id = ? DESC LIMIT 1",
            .text(idOrName),
            .text(UUIDText.urn(idOrName)),
            .text(idOrName),
            .text(idOrName),
            .text(idOrName)
        )
        guard let row else {
            throw IdentityError(.agentNotFound, "no agent `\(idOrName.prefix(128))` is registered here")
        }
        return try record(row)
    }

    /// In order of registration.
    static func list(limit: Int, after: String?, in connection: Connection) throws -> [Agent] {
        let rows = try connection.rows(
            "SELECT \(columns) FROM identity_agents WHERE id > ? ORDER BY id LIMIT ?",
            .text(after ?? ""),
            .int(limit)
        )
        return try rows.map { try record($0).agent }
    }

    /// Active agents whose keys the node keeps, the longest registered first.
    static func eldestSigning(limit: Int, in connection: Connection) throws -> [AgentRecord] {
        let rows = try connection.rows(
            """
            SELECT \(columns) FROM identity_agents WHERE state = 'active' AND sealed_key IS NOT NULL
            ORDER BY created_at, id LIMIT ?
            """,
            .int(limit)
        )
        return try rows.map(record)
    }

    /// The agent whose current key it is.
    static func id(ofKey did: String, in connection: Connection) throws -> String? {
        try connection.first("SELECT id FROM identity_agents WHERE did = ?", .text(did))?.text(0)
    }

    static func count(in connection: Connection) throws -> Int64 {
        try connection.first("SELECT count(*) FROM identity_agents")?.int64(0) ?? 0
    }

    static func isRevoked(_ did: DIDKey, in connection: Connection) throws -> Bool {
        try revocationReason(of: did, in: connection) != nil
    }

    /// Why a key was revoked first; nil where it was not.
    static func revocationReason(of did: DIDKey, in connection: Connection) throws -> String? {
        try connection.first("SELECT reason FROM identity_revoked_keys WHERE did = ?", .text(did.string))?.text(0)
    }

    static func revokeKey(_ did: String, reason: String, now: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO identity_revoked_keys (did, reason, revoked_at) VALUES (?, ?, ?) ON CONFLICT (did) DO NOTHING",
            .text(did),
            .text(reason),
            .integer(now.millisecondsSince1970)
        )
    }

    private static func record(_ row: Row) throws -> AgentRecord {
        guard let state = Agent.State(rawValue: try row.text(13)) else {
            throw IdentityError(.internalFailure, "an agent's row has an unknown state")
        }
        var spendLimit: SpendLimit?
        if let currency = try row.optionalText(4), let amount = UInt64(try row.text(5)) {
            spendLimit = try SpendLimit(currency: currency, amountMinor: amount, period: try row.text(6))
        }
        let sealedKey = try row.optionalBlob(9)
        let agent = Agent(
            id: try row.text(0),
            name: try row.text(1),
            operatorName: try row.optionalText(2),
            capabilities: try decode(try row.text(3)),
            spendLimit: spendLimit,
            passportLifetimeSeconds: try row.int64(7),
            did: try DIDKey(parsing: try row.text(8)),
            isKeyHeldHere: sealedKey != nil,
            nextKeyDigest: try row.optionalText(10),
            state: state,
            createdAt: Timestamp(millisecondsSince1970: try row.int64(14)),
            changedAt: Timestamp(millisecondsSince1970: try row.int64(15))
        )
        return AgentRecord(
            agent: agent,
            sealedKey: sealedKey,
            nextDID: try row.optionalText(11).map { try DIDKey(parsing: $0) },
            sealedNextKey: try row.optionalBlob(12)
        )
    }

    private static func encode(_ capabilities: [String]) -> String {
        capabilities.joined(separator: " ")
    }

    private static func decode(_ text: String) throws -> [String] {
        text.split(separator: " ").map(String.init)
    }
}
