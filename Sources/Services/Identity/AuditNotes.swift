import CanonicalJSON
import Encodings
import Passports
import SignedDocuments
import Storage

/// What identity puts into the outbox of the transparency log, in the transaction of what it tells ([LOG-1]).
enum AuditNotes {
    static func issued(_ passport: Passport, in connection: Connection) throws {
        try Outbox.post(
            kind: "passport",
            reference: UUIDText.bare(passport.id),
            document: JSONValue.object(passport.document).serialized(),
            in: connection
        )
    }

    static func status(
        ofPassport id: String,
        state: String,
        reason: String?,
        at: Timestamp,
        in connection: Connection
    ) throws {
        var document: JSONObject = [
            "type": "PassportStatusChange", "passport": .string(id), "state": .string(state), "at": .string(at.rfc3339),
        ]
        document["reason"] = reason.map { .string($0) }
        try Outbox.post(
            kind: "status",
            reference: UUIDText.bare(id),
            document: JSONValue.object(document).serialized(),
            isOnlyCopy: true,
            in: connection
        )
    }

    static func rotated(_ agent: Agent, from old: DIDKey, in connection: Connection) throws {
        let document: JSONObject = [
            "type": "AgentKeyRotation", "agent": .string(agent.id), "from": .string(old.string),
            "to": .string(agent.did.string), "at": .string(agent.changedAt.rfc3339),
        ]
        try Outbox.post(
            kind: "rotation",
            reference: UUIDText.bare(agent.id),
            document: JSONValue.object(document).serialized(),
            isOnlyCopy: true,
            in: connection
        )
    }
}
