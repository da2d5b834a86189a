public import CanonicalJSON
public import Encodings
public import Passports
import SignedDocuments
import Storage

/// A passport that this node issued, and how it stands.
public struct PassportRecord: Equatable, Sendable {
    public enum State: String, Sendable, CaseIterable {
        case active
        /// Reversible.
        case suspended
        /// Final.
        case revoked
    }

    public var passport: Passport
    public var state: State
    /// Why it was revoked or suspended.
    public var reason: String?
    public var changedAt: Timestamp

    /// As the operator's API shows it.
    public func json(now: Timestamp) -> JSONObject {
        var object = JSONObject()
        object["id"] = .string(passport.id)
        object["agent"] = .string(passport.agentID)
        object["did"] = .string(passport.subject.string)
        object["state"] = .string(now >= passport.validUntil && state != .revoked ? "expired" : state.rawValue)
        if let reason { object["reason"] = .string(reason) }
        object["validFrom"] = .string(passport.validFrom.rfc3339)
        object["validUntil"] = .string(passport.validUntil.rfc3339)
        object["changedAt"] = .string(changedAt.rfc3339)
        object["passport"] = .object(passport.document)
        return object
    }
}

/// The passports' and lists' tables. Each function runs inside a transaction of its caller.
enum PassportStore {
    private static let recordColumns = "document, state, reason, changed_at"
    private static let placeColumns = "revocation_list, revocation_index, suspension_list, suspension_index"

    static func insert(_ passport: Passport, place: StatusPlace, baseURL: String, in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO identity_passports (id, agent, did, document, base_url, valid_from, valid_until, \(placeColumns),
                state, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'active', ?)
            """,
            .text(passport.id),
            .text(passport.agentID),
            .text(passport.subject.string),
            .blob(passport.bytes),
            .text(baseURL),
            .integer(passport.validFrom.millisecondsSince1970),
            .integer(passport.validUntil.millisecondsSince1970),
            .integer(place.revocationList),
            .int(place.revocationIndex),
            .integer(place.suspensionList),
            .int(place.suspensionIndex),
            .integer(passport.validFrom.millisecondsSince1970)
        )
    }

    /// - Throws: `IdentityError` with `.passportNotFound`.
    static func find(_ id: String, in connection: Connection) throws -> PassportRecord {
        let row = try connection.first(
            "SELECT \(recordColumns) FROM identity_passports WHERE id = ? OR id = ?",
            .text(id),
            .text(UUIDText.urn(id))
        )
        guard let row else {
            throw IdentityError(
                .passportNotFound,
                "no passport `\(id.prefix(128))` was issued here, or it lapsed long ago"
            )
        }
        return try record(row)
    }

    /// An agent's passports, newest first.
    static func list(agent: String, limit: Int, in connection: Connection) throws -> [PassportRecord] {
        try connection.rows(
            "SELECT \(recordColumns) FROM identity_passports WHERE agent = ? ORDER BY valid_until DESC LIMIT ?",
            .text(agent),
            .int(limit)
        ).map(record)
    }

    /// The newest passport of an agent's current key.
    static func newest(agent: String, did: String, in connection: Connection) throws -> PassportRecord? {
        try connection.first(
            """
            SELECT \(recordColumns) FROM identity_passports WHERE agent = ? AND did = ? AND state <> 'revoked'
            ORDER BY valid_until DESC LIMIT 1
            """,
            .text(agent),
            .text(did)
        ).map(record)
    }

    /// Marks all passports of a key that have not lapsed and stand in one of `states`; answers their places and how they
    /// stood.
    static func mark(
        _ state: PassportRecord.State,
        reason: String?,
        compromisedSince since: Timestamp? = nil,
        key did: String,
        from states: [PassportRecord.State],
        now: Timestamp,
        in connection: Connection
    ) throws -> [(place: StatusPlace, was: PassportRecord.State)] {
        var marked: [(place: StatusPlace, was: PassportRecord.State)] = []
        for old in states {
            let rows = try connection.rows(
                "SELECT id, \(placeColumns) FROM identity_passports WHERE did = ? AND valid_until > ? AND state = ?",
                .text(did),
                .integer(now.millisecondsSince1970),
                .text(old.rawValue)
            )
            for row in rows {
                try connection.execute(
                    "UPDATE identity_passports SET state = ?, reason = ?, changed_at = ? WHERE id = ?",
                    .text(state.rawValue),
                    .optional(reason),
                    .integer(now.millisecondsSince1970),
                    .text(try row.text(0))
                )
                try AuditNotes.status(
                    ofPassport: try row.text(0),
                    state: state.rawValue,
                    reason: reason,
                    compromisedSince: since,
                    at: now,
                    in: connection
                )
                marked.append((try place(row, from: 1), old))
            }
        }
        return marked
    }

    /// Agents that need a new passport: the newest of their current key ends within `before`, stands under another
    /// URL than `baseURL`, or is not there.
    static func agentsDue(
        now: Timestamp,
        renewalShare: Int64,
        baseURL: String,
        limit: Int,
        in connection: Connection
    ) throws -> [String] {
        try connection.rows(
            """
            SELECT a.id FROM identity_agents a WHERE a.state = 'active' AND NOT EXISTS (
                SELECT 1 FROM identity_passports p WHERE p.agent = a.id AND p.did = a.did AND p.base_url = ?
                    AND p.state = 'active' AND p.valid_until > ? + a.lifetime_seconds * 1000 / ?
            ) ORDER BY a.id LIMIT ?
            """,
            .text(baseURL),
            .integer(now.millisecondsSince1970),
            .integer(renewalShare),
            .int(limit)
        ).map { try $0.text(0) }
    }

    // MARK: Lists

    static func insertList(_ purpose: StatusPurpose, sequence: UInt64, in connection: Connection) throws -> Int64 {
        try connection.execute(
            "INSERT INTO identity_status_lists (purpose, sequence) VALUES (?, ?)",
            .text(purpose.rawValue),
            try .amount(sequence)
        )
        return connection.lastInsertedRowID
    }

    /// Raises the sequences of the lists: by one at least, and up to the clock's seconds, so that a node restored from a
    /// backup does not publish a sequence that others have passed.
    static func raiseSequences(_ lists: Set<Int64>, now: Timestamp, in connection: Connection) throws -> [Int64: UInt64]
    {
        var sequences: [Int64: UInt64] = [:]
        for number in lists {
            try connection.execute(
                "UPDATE identity_status_lists SET sequence = max(sequence + 1, ?) WHERE number = ?",
                .integer(max(now.secondsSince1970, 0)),
                .integer(number)
            )
            let row = try connection.first(
                "SELECT sequence FROM identity_status_lists WHERE number = ?",
                .integer(number)
            )
            sequences[number] = try row?.uint64(0)
        }
        return sequences
    }

    /// All lists, with the bits and places of the passports that stand on them.
    static func board(in connection: Connection) throws -> [BoardList] {
        var lists: [Int64: BoardList] = [:]
        for row in try connection.rows("SELECT number, purpose, sequence FROM identity_status_lists ORDER BY number") {
            let number = try row.int64(0)
            lists[number] = BoardList(
                number: number,
                purpose: StatusPurpose(rawValue: try row.text(1)),
                sequence: try row.uint64(2),
                bits: StatusBitmap(),
                taken: StatusBitmap(),
                takenCount: 0
            )
        }
        // One by one, out of an index that holds all of it: there may be millions, and their documents are not needed.
        try connection.each("SELECT state, \(placeColumns) FROM identity_passports INDEXED BY identity_passports_board")
        {
            let state = try $0.text(0)
            let place = try place($0, from: 1)
            lists[place.revocationList]?.occupy(place.revocationIndex, isSet: state == "revoked")
            lists[place.suspensionList]?.occupy(place.suspensionIndex, isSet: state == "suspended")
            if state == "suspended" { lists[place.revocationList]?.suspended.set(place.revocationIndex) }
        }
        return lists.values.sorted { $0.number < $1.number }
    }

    /// Forgets passports that lapsed before `limit`, a batch at a time.
    ///
    /// - Returns: their places, and the lists whose bits change with them.
    static func purge(
        before limit: Timestamp,
        batch: Int,
        in connection: Connection
    ) throws -> (places: [StatusPlace], changed: Set<Int64>) {
        let rows = try connection.rows(
            "SELECT id, state, \(placeColumns) FROM identity_passports WHERE valid_until < ? ORDER BY valid_until LIMIT ?",
            .integer(limit.millisecondsSince1970),
            .int(batch)
        )
        var places: [StatusPlace] = []
        var changed: Set<Int64> = []
        for row in rows {
            let place = try place(row, from: 2)
            switch try row.text(1) {
            case "revoked": changed.insert(place.revocationList)
            case "suspended": changed.formUnion([place.suspensionList, place.revocationList])
            default: break
            }
            places.append(place)
            try connection.execute("DELETE FROM identity_passports WHERE id = ?", .text(try row.text(0)))
        }
        return (places, changed)
    }

    private static func place(_ row: Row, from column: Int) throws -> StatusPlace {
        StatusPlace(
            revocationList: try row.int64(column),
            revocationIndex: try row.int(column + 1),
            suspensionList: try row.int64(column + 2),
            suspensionIndex: try row.int(column + 3)
        )
    }

    private static func record(_ row: Row) throws -> PassportRecord {
        guard let state = PassportRecord.State(rawValue: try row.text(1)) else {
            throw IdentityError(.internalFailure, "a passport's row has an unknown state")
        }
        return PassportRecord(
            passport: try Passport(bytes: try row.blob(0)),
            state: state,
            reason: try row.optionalText(2),
            changedAt: Timestamp(millisecondsSince1970: try row.int64(3))
        )
    }
}

extension BoardList {
    mutating func occupy(_ index: Int, isSet: Bool) {
        if taken.isSet(index) == false {
            taken.set(index)
            takenCount += 1
        }
        if isSet { bits.set(index) }
    }
}
