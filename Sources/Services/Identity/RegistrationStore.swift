import Encodings
import SignedDocuments
import Storage

/// The rows of requests for registration, within the transaction at hand.
enum RegistrationStore {
    private static let columns = "id, state, name, operator, capabilities, did, next_digest, agent, reason, at"

    /// - Throws: `IdentityError` with `.agentExists` where the key waits already.
    static func insert(_ request: RegistrationRequest, in connection: Connection) throws {
        do {
            try connection.execute(
                "INSERT INTO identity_requests (\(columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                .text(request.id),
                .text(request.state.rawValue),
                .text(request.name),
                .optional(request.operatorName),
                .text(request.capabilities.joined(separator: " ")),
                .text(request.did.string),
                .optional(request.nextKeyDigest),
                .optional(request.agentID),
                .optional(request.reason),
                .integer(request.at.millisecondsSince1970)
            )
        } catch let error as StorageError where error.code == .constraint {
            throw IdentityError(.agentExists, "a request of this key waits already", cause: error)
        }
    }

    static func update(_ request: RegistrationRequest, in connection: Connection) throws {
        try connection.execute(
            "UPDATE identity_requests SET state = ?, agent = ?, reason = ? WHERE id = ?",
            .text(request.state.rawValue),
            .optional(request.agentID),
            .optional(request.reason),
            .text(request.id)
        )
    }

    /// - Throws: `IdentityError` with `.requestNotFound`.
    static func find(_ id: String, in connection: Connection) throws -> RegistrationRequest {
        let row = try connection.first("SELECT \(columns) FROM identity_requests WHERE id = ?", .text(id))
        guard let row else {
            throw IdentityError(.requestNotFound, "no request `\(id.prefix(64))` is known here")
        }
        return try request(row)
    }

    static func pending(in connection: Connection) throws -> [RegistrationRequest] {
        try connection.rows(
            "SELECT \(columns) FROM identity_requests WHERE state = 'pending' ORDER BY at, id LIMIT ?",
            .integer(RegistrationPolicy.maximumPending)
        ).map(request)
    }

    static func pendingCount(in connection: Connection) throws -> Int64 {
        try connection.first("SELECT count(*) FROM identity_requests WHERE state = 'pending'")?.int64(0) ?? 0
    }

    static func purge(now: Timestamp, in connection: Connection) throws {
        // What became an agent is kept with it: there it fetches its passports.
        try connection.execute(
            "DELETE FROM identity_requests WHERE (state = 'pending' AND at < ?) OR (state = 'denied' AND at < ?)",
            .integer(now.adding(seconds: -RegistrationPolicy.pendingSeconds).millisecondsSince1970),
            .integer(now.adding(seconds: -RegistrationPolicy.decidedSeconds).millisecondsSince1970)
        )
    }

    private static func request(_ row: Row) throws -> RegistrationRequest {
        guard let state = RegistrationRequest.State(rawValue: try row.text(1)) else {
            throw IdentityError(.internalFailure, "a request's row has an unknown state")
        }
        return RegistrationRequest(
            id: try row.text(0),
            state: state,
            name: try row.text(2),
            operatorName: try row.optionalText(3),
            capabilities: try row.text(4).split(separator: " ").map(String.init),
            did: try DIDKey(parsing: try row.text(5)),
            nextKeyDigest: try row.optionalText(6),
            agentID: try row.optionalText(7),
            reason: try row.optionalText(8),
            at: Timestamp(millisecondsSince1970: try row.int64(9))
        )
    }
}
