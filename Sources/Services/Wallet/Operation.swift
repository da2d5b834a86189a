internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Storage

/// One exchange with a mint that moves money. It is on disk, whole, before the first byte leaves, and it is sent again
/// unchanged until its outcome is known.
struct Operation: Sendable {
    enum Kind: String, Sendable {
        /// Our coins for other coins of ours; some may be for sending.
        case swap
        /// Our coins for coins locked to a seller.
        case lock
        /// A token from somebody else.
        case receive
        /// This wallet's part of coins that several keys spend together.
        case share
        /// A part of coins that are kept for another goes out, and the rest is locked as it was.
        case bond
        /// Coins locked to a key of this node's seller side.
        case redeem
        /// Locked coins that were never given out, after their locktime.
        case refund
        /// A paid quote for coins (NUT-04).
        case mint
        /// Several paid quotes for coins, all of them or none (NUT-29).
        case batch = "mint-batch"
        /// Coins for a Lightning payment (NUT-05).
        case melt
    }

    enum State: String, Sendable { case planned, done, refused, disputed }

    var id: String
    var kind: Kind
    var mint: MintURL
    var unit: CurrencyUnit
    var state: State = .planned
    /// With the witness where the coin is locked.
    var inputs: [Proof]
    /// Whether the inputs stand in our own table, held by this operation.
    var ownsInputs: Bool
    var plan: OutputPlan
    /// Of a mint or melt.
    var quote: QuoteID?
    /// The quotes of a batch, in the order in which they go to the mint.
    var batch: [QuoteID] = []
    /// What it was done for: at most one operation with the same reference ends well.
    var reference: String?
    var inputSum: UInt64
    /// What a melt pays out, without fees.
    var meltAmount: UInt64 = 0
    /// The input fee; for a melt, the most that can go in fees.
    var fee: UInt64
    var reason: String?
    var plannedAt: Timestamp
}

extension Operation {
    /// The reference of one exchange of several that are made for the same, but for the last of them.
    static func reference(_ reference: String, batch: Int) -> String { "\(reference)#\(batch)" }

    /// What comes after `prefix` in the reference, and whether the last of the coins come with it; nil: it is for
    /// something else.
    func purpose(_ prefix: String) -> (id: String, isLast: Bool)? {
        guard let reference, reference.hasPrefix(prefix) else { return nil }
        let parts = reference.dropFirst(prefix.count).split(separator: "#", omittingEmptySubsequences: false)
        return parts.first.map { (String($0), parts.count == 1) }
    }

    /// Whether it pays a part of an invoice while others pay the rest.
    var isPart: Bool { kind == .melt && reference?.hasPrefix("part:") == true }

    /// The quote of a mint or melt.
    func requiredQuote() throws(WalletError) -> QuoteID {
        guard let quote else { throw WalletError(.corrupt, "an operation of the wallet has lost its quote") }
        return quote
    }

    /// The quotes that a mint or batch is issued for.
    var mintQuotes: [QuoteID] {
        switch kind {
        case .mint: quote.map { [$0] } ?? []
        case .batch: batch
        case .swap, .lock, .receive, .share, .bond, .redeem, .refund, .melt: []
        }
    }

    static let columns = """
        id, kind, mint, unit, state, inputs, owns_inputs, plan, quote, reference, input_sum, melt_amount, fee, reason,
        planned_at, batch
        """

    init(row: Row) throws {
        guard let kind = Kind(rawValue: try row.text(1)), let state = State(rawValue: try row.text(4)) else {
            throw WalletError(.corrupt, "an operation of the wallet is of an unknown kind or state")
        }
        id = try row.text(0)
        self.kind = kind
        mint = try MintURL(stored: row.text(2))
        unit = try CurrencyUnit(row.text(3))
        self.state = state
        let limits = JSONLimits.walletTable
        guard let entries = try JSONValue.parse(Array(row.text(5).utf8), limits: limits).arrayValue else {
            throw WalletError(.corrupt, "an operation of the wallet has no list of inputs")
        }
        inputs = try entries.map { try Proof(json: $0) }
        ownsInputs = try row.bool(6)
        plan = try OutputPlan(json: JSONValue.parse(Array(row.text(7).utf8), limits: limits))
        quote = try row.optionalText(8).map { try QuoteID($0) }
        reference = try row.optionalText(9)
        inputSum = try row.uint64(10)
        meltAmount = try row.uint64(11)
        fee = try row.uint64(12)
        reason = try row.optionalText(13)
        plannedAt = Timestamp(millisecondsSince1970: try row.int64(14))
        batch = try row.optionalText(15).map { try $0.split(separator: " ").map { try QuoteID(String($0)) } } ?? []
    }

    /// Writes the intent. The caller's transaction also holds the inputs and takes the counters.
    func insert(in connection: Connection) throws {
        let inputsJSON = JSONValue.array(inputs.map(\.json)).serialized()
        try connection.execute(
            "INSERT INTO wallet_operations (\(Self.columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            .text(id),
            .text(kind.rawValue),
            .text(mint.string),
            .text(unit.name),
            .text(state.rawValue),
            .text(String(decoding: inputsJSON, as: UTF8.self)),
            .bool(ownsInputs),
            .text(String(decoding: plan.json.serialized(), as: UTF8.self)),
            .optional(quote?.string),
            .optional(reference),
            try .amount(inputSum),
            try .amount(meltAmount),
            try .amount(fee),
            .optional(reason),
            .integer(plannedAt.millisecondsSince1970),
            .optional(batch.isEmpty ? nil : batch.map(\.string).joined(separator: " "))
        )
    }

    /// Ends a planned operation. A done one keeps no secrets of its inputs.
    /// - Returns: false where somebody else ended it before; then nothing may be booked.
    func end(_ state: State, reason: String?, at now: Timestamp, in connection: Connection) throws -> Bool {
        let keepsInputs = state != .done
        try connection.execute(
            """
            UPDATE wallet_operations SET state = ?, reason = ?, ended_at = ?, inputs = CASE WHEN ? THEN inputs ELSE '[]' END
            WHERE id = ? AND state = 'planned'
            """,
            .text(state.rawValue),
            .optional(reason.map { String($0.prefix(1000)) }),
            .integer(now.millisecondsSince1970),
            .bool(keepsInputs),
            .text(id)
        )
        return connection.changes == 1
    }

    static func find(_ id: String, in connection: Connection) throws -> Operation? {
        try connection.first("SELECT \(columns) FROM wallet_operations WHERE id = ?", .text(id)).map(
            Operation.init(row:)
        )
    }

    /// The newest operation made for `reference` that was not refused.
    static func find(reference: String, in connection: Connection) throws -> Operation? {
        try connection.first(
            """
            SELECT \(columns) FROM wallet_operations WHERE reference = ? AND state <> 'refused'
            ORDER BY planned_at DESC LIMIT 1
            """,
            .text(reference)
        ).map(Operation.init(row:))
    }

    /// The operation for `reference` that is under way or went through. One that ended in a dispute did neither: nobody
    /// has got anything for its inputs.
    static func live(reference: String, in connection: Connection) throws -> Operation? {
        try connection.first(
            """
            SELECT \(columns) FROM wallet_operations WHERE reference = ? AND state IN ('planned', 'done')
            ORDER BY planned_at DESC LIMIT 1
            """,
            .text(reference)
        ).map(Operation.init(row:))
    }

    /// How many operations for `reference` ended in a dispute.
    static func disputed(reference: String, in connection: Connection) throws -> Int {
        try connection.first(
            "SELECT count(*) FROM wallet_operations WHERE reference = ? AND state = 'disputed'",
            .text(reference)
        )?.int(0) ?? 0
    }

    /// What is under way to fetch the coins of a quote, alone or in a batch; nil: nothing.
    static func planned(minting quote: QuoteID, at mint: MintURL, in connection: Connection) throws -> Operation? {
        try connection.first(
            """
            SELECT \(columns) FROM wallet_operations
            WHERE state = 'planned' AND mint = ?1
                AND (kind = 'mint' AND quote = ?2 OR kind = 'mint-batch' AND instr(' ' || batch || ' ', ' ' || ?2 || ' ') > 0)
            LIMIT 1
            """,
            .text(mint.string),
            .text(quote.string)
        ).map(Operation.init(row:))
    }

    /// Operations whose outcome is not known, oldest first.
    static func planned(limit: Int = 1000, in connection: Connection) throws -> [Operation] {
        try connection.rows(
            "SELECT \(columns) FROM wallet_operations WHERE state = 'planned' ORDER BY planned_at LIMIT ?",
            .int(limit)
        ).map(Operation.init(row:))
    }
}

extension JSONLimits {
    /// What we wrote ourselves: larger than what a stranger may send.
    static let walletTable = JSONLimits(
        maximumBytes: 16 << 20,
        maximumDepth: 16,
        maximumValues: 1_000_000,
        acceptsUInt64: true
    )
}
