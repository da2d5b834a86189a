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

    /// A credential, or a passport in another form than its first: there may be many of one id, so each is found by its digest.
    ///
    /// - Parameter credential: the document, or a token, of which its issuer's own part is logged: what the holder discloses may
    ///   be less than was given.
    static func signed(_ credential: JSONValue, kind: String, in connection: Connection) throws {
        let document = credential.stringValue.map { .string(String($0.prefix { $0 != "~" })) } ?? credential
        let bytes = try document.canonicalized()
        try Outbox.post(kind: kind, reference: MultihashDigest.ofBytes(bytes), document: bytes, in: connection)
    }

    static func status(
        ofPassport id: String,
        state: String,
        reason: String?,
        compromisedSince since: Timestamp?,
        at: Timestamp,
        in connection: Connection
    ) throws {
        var document: JSONObject = [
            "type": "PassportStatusChange", "passport": .string(id), "state": .string(state), "at": .string(at.rfc3339),
        ]
        document["reason"] = reason.map { .string($0) }
        document["compromisedSince"] = since.map { .string($0.rfc3339) }
        try Outbox.post(
            kind: "status",
            reference: UUIDText.bare(id),
            document: JSONValue.object(document).serialized(),
            isOnlyCopy: true,
            in: connection
        )
    }

    static func rotated(
        _ agent: Agent,
        from old: DIDKey,
        reason: RevocationReason,
        compromisedSince since: Timestamp?,
        in connection: Connection
    ) throws {
        var document: JSONObject = [
            "type": "AgentKeyRotation", "agent": .string(agent.id), "from": .string(old.string),
            "to": .string(agent.did.string), "reason": .string(reason.rawValue), "at": .string(agent.changedAt.rfc3339),
        ]
        document["compromisedSince"] = since.map { .string($0.rfc3339) }
        try post("rotation", agent: agent.id, document, in: connection)
    }

    /// An agent leaves for another node, or comes from one.
    static func moved(
        _ agent: Agent,
        from old: String,
        to new: String,
        at: Timestamp,
        in connection: Connection
    ) throws {
        try post(
            "move",
            agent: agent.id,
            [
                "type": "AgentMove", "agent": .string(agent.id), "did": .string(agent.did.string), "from": .string(old),
                "to": .string(new), "at": .string(at.rfc3339),
            ],
            in: connection
        )
    }

    private static func post(_ kind: String, agent: String, _ document: JSONObject, in connection: Connection) throws {
        try Outbox.post(
            kind: kind,
            reference: UUIDText.bare(agent),
            document: JSONValue.object(document).serialized(),
            isOnlyCopy: true,
            in: connection
        )
    }
}
