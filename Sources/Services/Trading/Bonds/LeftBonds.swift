internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Market
internal import SignedDocuments
internal import Storage

/// A bond that this node has left with a keeper.
struct LeftBond: Sendable {
    enum State: String, Sendable {
        /// The money is being locked.
        case making
        /// It is locked, and the keeper has not said that it has it.
        case placing
        case held
        /// What was left of it came back.
        case back
        /// Nothing was locked.
        case refused
        /// All of it was paid out.
        case spent
    }

    var id: String
    var origin: String
    var keeper: DIDKey
    /// The keeper's, which it is locked to.
    var key: [UInt8]
    var mint: MintURL
    var unit: CurrencyUnit
    var amount: UInt64
    var until: UInt64
    var state = State.making
    /// ``BondTerms/name(of:)``.
    var name: [UInt8]?
    var token: String?
    var statement: String?
    var remaining: UInt64 = 0
    var returned: UInt64 = 0
    /// The keeper's, as JSON.
    var rulings: String?
    var note: String?
    var createdAt: Timestamp

    var locktime: Int64 { Int64(until + BondTerms.claimSeconds) }

    /// What listings say of it.
    var backing: Listing.Bond? {
        guard let name, let mint = ListingURL(mint.string), let at = ListingURL(origin) else { return nil }
        let keeper = Listing.Bond.Keeper(did: keeper, at: at, bond: name)
        return Listing.Bond(amount: remaining, unit: unit.name, mint: mint, keeper: keeper)
    }

    var shown: JSONObject {
        var json: JSONObject = [
            "id": .string(id), "state": .string(state.rawValue), "amount": .string(String(amount)),
            "unit": .string(unit.name), "mint": .string(mint.string), "keeper": .string(keeper.string),
            "at": .string(origin), "until": .string(Self.time(Int64(until))), "locktime": .string(Self.time(locktime)),
        ]
        json["name"] = name.map { .string(Hex.encode($0)) }
        if state == .held || state == .spent { json["remaining"] = .string(String(remaining)) }
        if state == .back { json["returned"] = .string(String(returned)) }
        json["statement"] = statement.flatMap { try? JSONValue.parse(Array($0.utf8)) }
        json["rulings"] = rulings.flatMap { try? JSONValue.parse(Array($0.utf8), limits: JobWire.limits) }
        json["note"] = note.map { .string($0) }
        return json
    }

    private static func time(_ seconds: Int64) -> String { Timestamp(secondsSince1970: seconds).rfc3339 }
}

/// The table `bonds_left`.
enum LeftBonds {
    private static let columns = """
        id, keeper_at, keeper, key, mint, unit, amount, backed_until, state, name, token, statement, remaining, returned, rulings, note,
        created_at
        """

    static func insert(_ bond: LeftBond, in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO bonds_left (id, keeper_at, keeper, key, mint, unit, amount, backed_until, state, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            .text(bond.id),
            .text(bond.origin),
            .text(bond.keeper.string),
            .blob(bond.key),
            .text(bond.mint.string),
            .text(bond.unit.name),
            try .amount(bond.amount),
            .integer(Int64(bond.until)),
            .text(bond.state.rawValue),
            .integer(bond.createdAt.millisecondsSince1970)
        )
    }

    static func update(_ bond: LeftBond, in connection: Connection) throws {
        try connection.execute(
            """
            UPDATE bonds_left SET state = ?, name = ?, token = ?, statement = ?, remaining = ?, returned = ?, rulings = ?, note = ?
            WHERE id = ?
            """,
            .text(bond.state.rawValue),
            .optional(bond.name),
            .optional(bond.token),
            .optional(bond.statement),
            try .amount(bond.remaining),
            try .amount(bond.returned),
            .optional(bond.rulings),
            .optional(bond.note),
            .text(bond.id)
        )
    }

    static func find(_ id: String, in connection: Connection) throws -> LeftBond? {
        try connection.first("SELECT \(columns) FROM bonds_left WHERE id = ?", .text(id)).map(bond(row:))
    }

    /// Those that something is still to come of, oldest first.
    static func open(in connection: Connection) throws -> [LeftBond] {
        try connection.rows(
            "SELECT \(columns) FROM bonds_left WHERE state IN ('making', 'placing', 'held') ORDER BY created_at"
        ).map(bond(row:))
    }

    static func recent(limit: Int, in connection: Connection) throws -> [LeftBond] {
        try connection.rows("SELECT \(columns) FROM bonds_left ORDER BY created_at DESC LIMIT ?", .int(limit))
            .map(bond(row:))
    }

    private static func bond(row: Row) throws -> LeftBond {
        guard let state = LeftBond.State(rawValue: try row.text(8)) else {
            throw JobError(.corrupt, "a stored bond is in an unknown state")
        }
        return LeftBond(
            id: try row.text(0),
            origin: try row.text(1),
            keeper: try DIDKey(parsing: row.text(2)),
            key: try row.blob(3),
            mint: try MintURL(row.text(4)),
            unit: try CurrencyUnit(row.text(5)),
            amount: try row.uint64(6),
            until: try row.uint64(7),
            state: state,
            name: try row.optionalBlob(9),
            token: try row.optionalText(10),
            statement: try row.optionalText(11),
            remaining: try row.uint64(12),
            returned: try row.uint64(13),
            rulings: try row.optionalText(14),
            note: try row.optionalText(15),
            createdAt: Timestamp(millisecondsSince1970: try row.int64(16))
        )
    }
}
