public import Encodings
public import Market
public import SignedDocuments
public import Storage
internal import TransparencyLog

/// How the calls went that this node paid for or was paid for, and what it thinks of others for it ([REP-12]). It stands in the
/// node's own database, since nobody could tell it anew, and follows the receipts that the wallet and the gateway keep, and the jobs that ended.
public actor CallBook {
    /// Where the calls are kept first.
    public struct Sources: Sendable {
        /// Calls of a side and kind after a sequence, at most so many; no more where it answers none.
        public var calls: @Sendable (TradedCall.Side, TradedCall.Kind, Int64, Int) async throws -> [TradedCall]
        /// What a seller promises of a service now; nil where that is not known.
        public var listing: @Sendable (DIDKey, String) async -> Listing?
        /// Whether a key is one of this node's operator's: the node's own, or an agent's of its.
        public var isOwn: @Sendable (DIDKey) async throws -> Bool
        /// Calls of others that were gathered, as they judge them ([REP-18]).
        public var gathered: @Sendable () async throws -> [SettledCall]

        public init(
            calls: @escaping @Sendable (TradedCall.Side, TradedCall.Kind, Int64, Int) async throws -> [TradedCall],
            listing: @escaping @Sendable (DIDKey, String) async -> Listing?,
            isOwn: @escaping @Sendable (DIDKey) async throws -> Bool,
            gathered: @escaping @Sendable () async throws -> [SettledCall] = { [] }
        ) {
            self.calls = calls
            self.listing = listing
            self.isOwn = isOwn
            self.gathered = gathered
        }
    }

    /// Calls of a side that are kept, the latest.
    public static let maximumCalls = 200_000
    private static let batch = 1_000

    let database: Database
    let clock: WallClock
    /// The node: whose eyes it is seen with.
    let viewer: DIDKey
    private let seeds: [DIDKey]
    let sources: Sources
    private let maximumCalls: Int
    /// nil at first, and after what was counted has changed. Only what runs ``alone(_:)`` touches it.
    var reputation: Reputation?
    private var following: Task<Void, any Error>?

    /// - Parameters:
    ///   - database: with ``migrations``.
    ///   - seeds: whom the operator trusts beforehand.
    public init(
        database: Database,
        viewer: DIDKey,
        seeds: Set<DIDKey>,
        sources: Sources,
        clock: WallClock,
        maximumCalls: Int = CallBook.maximumCalls
    ) {
        self.database = database
        self.viewer = viewer
        self.seeds = seeds.sorted { $0.string < $1.string }
        self.sources = sources
        self.clock = clock
        self.maximumCalls = maximumCalls
    }

    public static let migrations = [
        Migration(
            id: "trading-calls-1",
            sql: """
                CREATE TABLE trading_calls (
                    side TEXT NOT NULL CHECK (side IN ('buyer', 'seller')),
                    reference TEXT NOT NULL,
                    sequence INTEGER NOT NULL,
                    seller TEXT NOT NULL,
                    -- NULL where the buyer did not say who it is.
                    buyer TEXT,
                    service TEXT NOT NULL,
                    outcome TEXT NOT NULL,
                    -- Whether reputation counts it.
                    counts INTEGER NOT NULL CHECK (counts IN (0, 1)),
                    -- Milliseconds since 1970, as the seller signed them.
                    requested INTEGER NOT NULL,
                    responded INTEGER NOT NULL,
                    own_milliseconds INTEGER,
                    amount INTEGER NOT NULL CHECK (amount >= 0),
                    unit TEXT NOT NULL,
                    -- The receipt as a leaf of a Merkle tree (RFC 9162).
                    leaf BLOB NOT NULL,
                    PRIMARY KEY (side, reference)
                ) WITHOUT ROWID, STRICT;
                CREATE UNIQUE INDEX trading_calls_order ON trading_calls (side, sequence);
                CREATE INDEX trading_calls_service ON trading_calls (side, seller, service, requested);
                CREATE TABLE trading_cursors (
                    side TEXT NOT NULL PRIMARY KEY,
                    sequence INTEGER NOT NULL
                ) WITHOUT ROWID, STRICT;
                """
        ),
        Migration(
            id: "trading-calls-2",
            sql: """
                -- What was not kept; NULL where all was, and of calls that were read before this was.
                ALTER TABLE trading_calls ADD COLUMN rule TEXT;
                -- What went back for it, in the receipt's unit.
                ALTER TABLE trading_calls ADD COLUMN refund INTEGER NOT NULL DEFAULT 0 CHECK (refund >= 0);
                CREATE INDEX trading_calls_broken ON trading_calls (side, seller, service, requested)
                    WHERE rule IS NOT NULL;
                """
        ),
        Migration(
            id: "trading-calls-3",
            sql: """
                ALTER TABLE trading_calls ADD COLUMN kind TEXT NOT NULL DEFAULT 'call' CHECK (kind IN ('call', 'job'));
                DROP INDEX trading_calls_order;
                CREATE UNIQUE INDEX trading_calls_order ON trading_calls (side, kind, sequence);
                """
        ),
        withheldMigration,
        ReceiptShelf.migration,
    ]

    // MARK: Following

    /// Reads what has come since the last time.
    /// - Throws: `StorageError`, and what the sources throw.
    public func follow() async throws { try await alone { try await $0.readAll() } }

    /// Runs what changes the engine, one after another.
    func alone(_ work: @escaping @Sendable (isolated CallBook) async throws -> Void) async throws {
        while let following { try? await following.value }
        let task = Task {
            // Before whoever waits for it goes on.
            defer { following = nil }
            try await work(self)
        }
        following = task
        try await task.value
    }

    private func readAll() async throws {
        for side in TradedCall.Side.allCases {
            for kind in TradedCall.Kind.allCases { try await read(side, kind) }
        }
        guard reputation == nil else { return }
        var built = Reputation(viewers: [viewer], seeds: seeds)
        built.record(try await counted())
        built.record(try await withheldBids())
        built.record(try await sources.gathered())
        reputation = built
    }

    private func read(_ side: TradedCall.Side, _ kind: TradedCall.Kind) async throws {
        let name = Self.cursor(side, kind)
        var cursor = try await database.read { connection in
            try connection.first("SELECT sequence FROM trading_cursors WHERE side = ?", .text(name))?.int64(0) ?? 0
        }
        while true {
            let calls = try await sources.calls(side, kind, cursor, Self.batch)
            guard let last = calls.last else { break }
            var entries: [Entry] = []
            var listings: [String: Listing?] = [:]
            for call in calls {
                if let entry = try await self.entry(call, &listings) { entries.append(entry) }
            }
            try await keep(entries, side, kind, cursor: last.sequence)
            cursor = last.sequence
        }
    }

    private static func cursor(_ side: TradedCall.Side, _ kind: TradedCall.Kind) -> String {
        kind == .call ? side.rawValue : "\(side.rawValue) \(kind.rawValue)"
    }

    /// - Parameter listings: what was looked up for other calls of the batch, by seller and service.
    private func entry(_ call: TradedCall, _ listings: inout [String: Listing?]) async throws -> Entry? {
        guard let deed = call.deed else { return nil }
        let service = "\(deed.seller) \(deed.service)"
        if listings[service] == nil { listings[service] = .some(await sources.listing(deed.seller, deed.service)) }
        // What was not paid for, or was between two of one operator, counts for nothing ([REP-1], [REP-3]).
        let other = call.side == .buyer ? deed.seller : deed.buyer
        var counts = deed.isPaid && (call.side == .buyer || deed.seller == viewer)
        if counts, let other {
            let isOwn = try await sources.isOwn(other)
            counts = other != viewer && !isOwn
        } else {
            counts = false
        }
        return Entry(call: call, deed: deed, breach: deed.breach(listings[service] ?? nil), counts: counts)
    }

    struct Entry: Sendable {
        var call: TradedCall
        var deed: Deed
        /// nil where all was kept.
        var breach: SLABreach.Rule?
        var outcome: CallOutcome { breach?.outcome ?? .good }
        var counts: Bool
    }

    private func keep(
        _ entries: [Entry],
        _ side: TradedCall.Side,
        _ kind: TradedCall.Kind,
        cursor: Int64
    ) async throws {
        let most = maximumCalls
        let replaced = try await database.write { connection in
            var replaced = false
            for entry in entries where try Self.insert(entry, connection) { replaced = true }
            try connection.execute(
                """
                INSERT INTO trading_cursors (side, sequence) VALUES (?, ?)
                ON CONFLICT (side) DO UPDATE SET sequence = excluded.sequence
                """,
                .text(Self.cursor(side, kind)),
                .integer(cursor)
            )
            try connection.execute(
                """
                DELETE FROM trading_calls WHERE side = ?1 AND kind = ?2 AND sequence <= (
                    SELECT sequence FROM trading_calls WHERE side = ?1 AND kind = ?2
                    ORDER BY sequence DESC LIMIT 1 OFFSET ?3)
                """,
                .text(side.rawValue),
                .text(kind.rawValue),
                .int(most)
            )
            return replaced
        }
        if replaced {
            reputation = nil
        } else {
            reputation?.record(entries.filter(\.counts).compactMap { Self.settled($0, by: viewer) })
        }
    }

    /// - Returns: whether another entry of the same call was there.
    private static func insert(_ entry: Entry, _ connection: Connection) throws -> Bool {
        let deed = entry.deed
        let (side, reference) = (SQLValue.text(entry.call.side.rawValue), SQLValue.text(entry.call.reference))
        try connection.execute("DELETE FROM trading_calls WHERE side = ? AND reference = ?", side, reference)
        let wasThere = connection.changes > 0
        try connection.execute(
            """
            INSERT INTO trading_calls (side, reference, sequence, seller, buyer, service, outcome, counts, requested,
                responded, own_milliseconds, amount, unit, leaf, rule, refund, kind)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            side,
            reference,
            .integer(entry.call.sequence),
            .text(deed.seller.string),
            .optional(deed.buyer?.string),
            .text(deed.service),
            .text(entry.outcome.rawValue),
            .bool(entry.counts),
            .integer(deed.requestedAt.millisecondsSince1970),
            .integer(deed.respondedAt.millisecondsSince1970),
            .optional(entry.call.ownMilliseconds),
            .integer(Int64(clamping: deed.amount)),
            .text(deed.unit),
            .blob(MerkleTree.leaf(deed.document)),
            .optional(entry.breach?.rawValue),
            .integer(Int64(clamping: deed.refunded)),
            .text(entry.call.kind.rawValue)
        )
        return wasThere
    }

    // MARK: Thinking

    /// The engine with all that counts, up to date.
    func current() async throws -> Reputation {
        while true {
            try await follow()
            // Where another is reading already, it may be made anew just now.
            if let reputation { return reputation }
        }
    }

    private func counted() async throws -> [SettledCall] {
        let viewer = viewer
        return try await database.read { connection in
            var calls: [SettledCall] = []
            try connection.each(
                """
                SELECT side, seller, buyer, outcome, responded FROM trading_calls WHERE counts = 1
                ORDER BY side, kind, sequence
                """
            ) { row in
                guard let side = TradedCall.Side(rawValue: try row.text(0)),
                    let text = side == .buyer ? try row.text(1) : try row.optionalText(2),
                    let other = try? DIDKey(parsing: text), let outcome = CallOutcome(rawValue: try row.text(3))
                else { return }
                let at = Timestamp(millisecondsSince1970: try row.int64(4))
                calls.append(Self.settled(side, with: other, outcome, at: at, by: viewer))
            }
            return calls
        }
    }

    private static func settled(_ entry: Entry, by viewer: DIDKey) -> SettledCall? {
        let (side, deed) = (entry.call.side, entry.deed)
        guard let other = side == .buyer ? deed.seller : deed.buyer else { return nil }
        return settled(side, with: other, entry.outcome, at: deed.respondedAt, by: viewer)
    }

    /// A buyer whose payment held did well, however it was served.
    private static func settled(
        _ side: TradedCall.Side,
        with other: DIDKey,
        _ outcome: CallOutcome,
        at: Timestamp,
        by viewer: DIDKey
    ) -> SettledCall {
        let isBuyer = side == .buyer
        return SettledCall(
            role: isBuyer ? .selling : .buying,
            judge: viewer,
            judged: other,
            outcome: isBuyer ? outcome : .good,
            at: at
        )
    }
}
