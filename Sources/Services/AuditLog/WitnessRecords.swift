internal import Cryptography
public import Encodings
internal import Storage
public import TransparencyLog

/// A log that a witness follows.
public struct FollowedLog: Hashable, Sendable {
    public var key: NoteKey
    /// Where its tiles are, without a slash at the end; nil where the log comes by itself.
    public var url: String?
    /// The latest checkpoint that was cosigned, as the log signed it; nil before the first.
    public var note: SignedNote?
    /// The same with the witness's signature; nil where it was never made.
    public var cosigned: SignedNote?
    public var changedAt: Timestamp

    public var origin: String { key.name }

    /// What a log is called in the witness's addresses: SHA-256 of its origin in hex.
    public var id: String { Self.id(of: key.name) }

    public static func id(of origin: String) -> String { Hex.encode(Hashing.sha256(Array(origin.utf8))) }

    func witnessed() throws(LogError) -> WitnessedLog {
        let latest = try note.map { (note) throws(LogError) in try Checkpoint(text: note.text) }
        return WitnessedLog(key: key, latest: latest)
    }
}

/// What a witness shouts about.
public struct WitnessAlarm: Hashable, Sendable {
    public enum Kind: String, Sendable {
        /// The log signed two trees of which neither begins with the other.
        case fork
        /// The log shows a smaller tree than it did before.
        case rewind
    }

    public var origin: String
    public var kind: Kind
    public var message: String
    /// The checkpoint that the witness had cosigned, as the log signed it.
    public var known: String
    /// The one that does not fit.
    public var shown: String
    public var at: Timestamp

    /// What another can judge: the two notes, both signed by the log.
    public var evidence: String {
        "\(kind.rawValue) of \(origin), seen \(at.rfc3339): \(message)\n\n--- cosigned before ---\n\(known)\n"
            + "--- shown now ---\n\(shown)"
    }
}

/// The witness's rows, within the transaction at hand.
enum WitnessRows {
    private static let columns = "key, url, note, cosigned, changed_at"

    static func all(in connection: Connection) throws -> [FollowedLog] {
        try connection.rows("SELECT \(columns) FROM witness_logs ORDER BY origin").map(log)
    }

    static func log(_ origin: String, in connection: Connection) throws -> FollowedLog? {
        try connection.first("SELECT \(columns) FROM witness_logs WHERE origin = ?", .text(origin)).map(log)
    }

    static func keep(_ log: FollowedLog, in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO witness_logs (origin, \(columns)) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (origin) DO UPDATE SET
                url = excluded.url, note = excluded.note, cosigned = excluded.cosigned, changed_at = excluded.changed_at
            """,
            .text(log.origin),
            .text("\(log.key)"),
            .optional(log.url),
            .optional(log.note?.string),
            .optional(log.cosigned?.string),
            .integer(log.changedAt.millisecondsSince1970)
        )
    }

    /// - Returns: whether it is a new one.
    static func keep(_ alarm: WitnessAlarm, limit: Int, in connection: Connection) throws -> Bool {
        try connection.execute(
            """
            INSERT INTO witness_alarms (origin, kind, message, known, shown, at)
            SELECT ?, ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM witness_alarms) < ?
            ON CONFLICT (origin, kind, shown) DO NOTHING
            """,
            .text(alarm.origin),
            .text(alarm.kind.rawValue),
            .text(alarm.message),
            .text(alarm.known),
            .text(alarm.shown),
            .integer(alarm.at.millisecondsSince1970),
            .int(limit)
        )
        return connection.changes == 1
    }

    static func alarms(in connection: Connection) throws -> [WitnessAlarm] {
        try connection.rows("SELECT origin, kind, message, known, shown, at FROM witness_alarms ORDER BY id").map {
            row in
            WitnessAlarm(
                origin: try row.text(0),
                kind: WitnessAlarm.Kind(rawValue: try row.text(1)) ?? .fork,
                message: try row.text(2),
                known: try row.text(3),
                shown: try row.text(4),
                at: Timestamp(millisecondsSince1970: try row.int64(5))
            )
        }
    }

    private static func log(_ row: Row) throws -> FollowedLog {
        FollowedLog(
            key: try NoteKey(vkey: row.text(0)),
            url: try row.optionalText(1),
            note: try row.optionalText(2).map { try SignedNote($0) },
            cosigned: try row.optionalText(3).map { try SignedNote($0) },
            changedAt: Timestamp(millisecondsSince1970: try row.int64(4))
        )
    }
}
