internal import CanonicalJSON
internal import Encodings
internal import SignedDocuments
internal import Storage

/// What this node asks a keeper for.
struct StoredClaim: Sendable {
    enum State: String, Sendable {
        case open
        case paid
        case refused
    }

    var job: [UInt8]
    var origin: String
    var keeper: DIDKey
    var bond: [UInt8]
    var rule: String
    /// What is sent, signed.
    var body: String
    var state = State.open
    var ruling: String?
    /// What the keeper paid.
    var token: String?
    /// What of it came into the wallet.
    var received: UInt64 = 0
    var note: String?
    var tries = 0
    var dueAt: Timestamp
    var createdAt: Timestamp

    var shown: JSONObject {
        var json: JSONObject = [
            "job": .string(Hex.encode(job)), "state": .string(state.rawValue), "rule": .string(rule),
            "keeper": .string(keeper.string), "at": .string(origin), "bond": .string(Hex.encode(bond)),
            "received": .string(String(received)), "created": .string(createdAt.rfc3339),
        ]
        json["ruling"] = ruling.flatMap { try? JSONValue.parse(Array($0.utf8)) }
        json["note"] = note.map { .string($0) }
        return json
    }
}

/// The tables `bond_claims` and `bond_cursor`.
enum ClaimStore {
    private static let columns =
        "job, keeper_at, keeper, bond, rule, body, state, ruling, token, received, note, tries, due_at, created_at"

    /// Does nothing where the job was claimed before.
    static func insert(_ claim: StoredClaim, in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO bond_claims (job, keeper_at, keeper, bond, rule, body, state, due_at, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
            """,
            .blob(claim.job),
            .text(claim.origin),
            .text(claim.keeper.string),
            .blob(claim.bond),
            .text(claim.rule),
            .text(claim.body),
            .text(claim.state.rawValue),
            .integer(claim.dueAt.millisecondsSince1970),
            .integer(claim.createdAt.millisecondsSince1970)
        )
    }

    static func update(_ claim: StoredClaim, in connection: Connection) throws {
        try connection.execute(
            """
            UPDATE bond_claims SET state = ?, ruling = ?, token = ?, received = ?, note = ?, tries = ?, due_at = ? WHERE job = ?
            """,
            .text(claim.state.rawValue),
            .optional(claim.ruling),
            .optional(claim.token),
            try .amount(claim.received),
            .optional(claim.note),
            .int(claim.tries),
            .integer(claim.dueAt.millisecondsSince1970),
            .blob(claim.job)
        )
    }

    static func due(at now: Timestamp, in connection: Connection) throws -> [StoredClaim] {
        try connection.rows(
            "SELECT \(columns) FROM bond_claims WHERE state = 'open' AND due_at <= ? ORDER BY due_at LIMIT 100",
            .integer(now.millisecondsSince1970)
        ).map(claim(row:))
    }

    /// Newest first.
    static func recent(limit: Int, in connection: Connection) throws -> [StoredClaim] {
        try connection.rows("SELECT \(columns) FROM bond_claims ORDER BY created_at DESC LIMIT ?", .int(limit))
            .map(claim(row:))
    }

    static func forget(before: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "DELETE FROM bond_claims WHERE created_at < ?",
            .integer(before.millisecondsSince1970)
        )
    }

    // MARK: What was looked at

    static func cursor(in connection: Connection) throws -> Int64 {
        try connection.first("SELECT sequence FROM bond_cursor")?.int64(0) ?? 0
    }

    static func setCursor(_ sequence: Int64, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO bond_cursor (one, sequence) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET sequence = excluded.sequence",
            .integer(sequence)
        )
    }

    private static func claim(row: Row) throws -> StoredClaim {
        guard let state = StoredClaim.State(rawValue: try row.text(6)) else {
            throw JobError(.corrupt, "a stored claim is in an unknown state")
        }
        return StoredClaim(
            job: try row.blob(0),
            origin: try row.text(1),
            keeper: try DIDKey(parsing: row.text(2)),
            bond: try row.blob(3),
            rule: try row.text(4),
            body: try row.text(5),
            state: state,
            ruling: try row.optionalText(7),
            token: try row.optionalText(8),
            received: try row.uint64(9),
            note: try row.optionalText(10),
            tries: try row.int(11),
            dueAt: Timestamp(millisecondsSince1970: try row.int64(12)),
            createdAt: Timestamp(millisecondsSince1970: try row.int64(13))
        )
    }
}
