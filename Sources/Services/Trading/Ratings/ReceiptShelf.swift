public import CanonicalJSON
public import Encodings
internal import Market
public import Passports
public import Receipts
public import SignedDocuments
public import Storage
internal import TransparencyLog

/// What this node publishes of the calls that it paid for, where its operator wants that ([RCPT-14]): receipts that its agents
/// countersigned, one after another, with the root of the Merkle tree over them.
public actor ReceiptShelf {
    /// The key that a receipt names as its buyer and the passport that it had then; nil where one of them is not here.
    public typealias Countersigner =
        @Sendable (ReceiptParty, Timestamp) async throws -> (signer: DocumentSigner, passport: Passport)?

    /// All that is published now.
    public struct State: Sendable, Hashable {
        public var count: UInt64
        public var root: [UInt8]
        /// When the first and the last were rated.
        public var from: Timestamp
        public var until: Timestamp
    }

    /// The latest, of which whole documents are kept; of those before 32 bytes each.
    public static let maximumDocuments = 20_000
    /// Of one page.
    public static let maximumRows = 64
    static let maximumRowsBytes = 512 * 1_024
    private static let batch = 100
    /// Of so many leaves the tree's edge is kept in memory, so that a page costs at most so many hashes.
    static let markEvery: UInt64 = 256
    private static let side = "published"

    private let database: Database
    private let calls: CallBook
    private let own: DIDKey
    private let countersigner: Countersigner
    private let clock: WallClock
    private let maximumDocuments: Int
    private let markEvery: UInt64
    private var edge = MerkleFrontier()
    private var marks: [MerkleFrontier] = []

    /// - Parameters:
    ///   - database: with those of `CallBook`.
    ///   - calls: of the node that publishes.
    public init(
        database: Database,
        calls: CallBook,
        countersigner: @escaping Countersigner,
        clock: WallClock
    ) {
        self.init(
            database: database,
            calls: calls,
            countersigner: countersigner,
            clock: clock,
            maximumDocuments: Self.maximumDocuments,
            markEvery: Self.markEvery
        )
    }

    init(
        database: Database,
        calls: CallBook,
        countersigner: @escaping Countersigner,
        clock: WallClock,
        maximumDocuments: Int,
        markEvery: UInt64
    ) {
        self.markEvery = markEvery
        self.database = database
        self.calls = calls
        own = calls.viewer
        self.countersigner = countersigner
        self.clock = clock
        self.maximumDocuments = maximumDocuments
    }

    static let migration = Migration(
        id: "trading-published-1",
        sql: """
            CREATE TABLE trading_published (
                -- From 0, without a gap.
                position INTEGER PRIMARY KEY CHECK (position >= 0),
                -- The payment's id.
                reference TEXT NOT NULL UNIQUE,
                -- SHA-256(00 || rating), the leaf of the tree (RFC 9162).
                leaf BLOB NOT NULL CHECK (length(leaf) = 32),
                -- When it was rated, seconds since 1970.
                at INTEGER NOT NULL,
                -- Receipt, passport and rating; NULL where they are no longer told.
                document BLOB
            ) STRICT;
            """
    )

    // MARK: Countersigning

    /// What is bought from now on is to be published, where that was not so already.
    /// - Throws: `StorageError`, and what the book's sources throw.
    public func begin() async throws { _ = try await cursor() }

    /// Countersigns and publishes what was bought since it was last asked, or since ``begin()``.
    ///
    /// Left out is what others would not count: a receipt without a buyer, an agent that keeps its own key, one whose key or
    /// passport is gone. One caller at a time.
    /// - Throws: `StorageError`; what the countersigner throws where it can't be reached now: then it goes on later.
    public func follow() async throws {
        try await load()
        var sequence = try await cursor()
        while true {
            let (bought, last) = try await calls.bought(after: sequence, limit: Self.batch)
            guard let last else { return }
            var rated: [(reference: String, document: RatedReceipt)] = []
            for call in bought {
                if let document = try await countersigned(call) { rated.append((call.reference, document)) }
            }
            try await keep(rated, upTo: last)
            sequence = last
        }
    }

    /// Nothing that is bought from now on is published, until ``begin()`` or ``follow()``.
    public func pause() async throws {
        try await database.write { connection in
            try connection.execute("DELETE FROM trading_cursors WHERE side = ?", .text(Self.side))
        }
    }

    private func cursor() async throws -> Int64 {
        let known = try await database.read { connection in
            try connection.first("SELECT sequence FROM trading_cursors WHERE side = ?", .text(Self.side))?.int64(0)
        }
        if let known { return known }
        let last = try await calls.lastBought()
        try await database.write { connection in
            try connection.execute(
                "INSERT INTO trading_cursors (side, sequence) VALUES (?, ?)",
                .text(Self.side),
                .integer(last)
            )
        }
        return last
    }

    private func countersigned(_ call: BoughtCall) async throws -> RatedReceipt? {
        let claims = call.receipt.claims
        guard let buyer = claims.buyer, let (signer, passport) = try await countersigner(buyer, claims.requestedAt),
            signer.did == buyer.did
        else { return nil }
        let now = clock.now()
        do {
            let rated = try RatedReceipt.sign(call.receipt, call.outcome, passport: passport, by: signer, now: now)
            _ = try rated.call(publishedBy: own, now: now)
            return rated
        } catch is ReputationRefusal {
            return nil
        } catch is TradeRefusal {
            return nil
        }
    }

    private func keep(_ rated: [(reference: String, document: RatedReceipt)], upTo sequence: Int64) async throws {
        let (start, most) = (edge.size, maximumDocuments)
        try await database.write { connection in
            var next = Int64(clamping: start)
            for (reference, document) in rated {
                try connection.execute(
                    """
                    INSERT INTO trading_published (position, reference, leaf, at, document) VALUES (?, ?, ?, ?, ?)
                    ON CONFLICT (reference) DO NOTHING
                    """,
                    .integer(next),
                    .text(reference),
                    .blob(MerkleTree.leaf(document.entry)),
                    .integer(Int64(clamping: document.rating.content.time)),
                    .blob(try document.json.canonicalized())
                )
                next += Int64(connection.changes)
            }
            // Those before had theirs taken as they came.
            let end = next - Int64(most)
            try connection.execute(
                "UPDATE trading_published SET document = NULL WHERE position >= ? AND position < ?",
                .integer(end - Int64(Self.batch)),
                .integer(end)
            )
            try connection.execute(
                """
                INSERT INTO trading_cursors (side, sequence) VALUES (?, ?)
                ON CONFLICT (side) DO UPDATE SET sequence = excluded.sequence
                """,
                .text(Self.side),
                .integer(sequence)
            )
        }
        try await load()
    }

    // MARK: The tree

    private func append(_ leaf: [UInt8]) {
        if edge.size % markEvery == 0 { marks.append(edge) }
        edge.append(leaf: leaf)
    }

    /// Reads the leaves that are not in memory yet.
    private func load() async throws {
        let start = edge.size
        let leaves = try await Self.leaves(database, from: start, to: UInt64(Int64.max))
        // Another may have read them meanwhile.
        for leaf in leaves.dropFirst(Int(clamping: edge.size - start)) { append(leaf) }
    }

    private static func leaves(_ database: Database, from: UInt64, to end: UInt64) async throws -> [[UInt8]] {
        try await database.read { connection in
            try connection.rows(
                "SELECT leaf FROM trading_published WHERE position >= ? AND position < ? ORDER BY position",
                .integer(Int64(clamping: from)),
                .integer(Int64(clamping: end))
            ).map { try $0.blob(0) }
        }
    }

    /// - Returns: nil where nothing was published yet.
    public func state() async throws -> State? {
        try await load()
        let whole = edge
        guard whole.size > 0 else { return nil }
        return try await database.read { connection in
            guard
                let row = try connection.first(
                    "SELECT min(at), max(at) FROM trading_published WHERE position < ?",
                    .integer(Int64(clamping: whole.size))
                )
            else { return nil }
            return State(
                count: whole.size,
                root: whole.root,
                from: Timestamp(secondsSince1970: try row.int64(0)),
                until: Timestamp(secondsSince1970: try row.int64(1))
            )
        }
    }

    /// A part of what is published ([RCPT-16]): at most ``maximumRows``, and about half a MiB.
    ///
    /// - Parameter from: the position of the first.
    /// - Throws: ``MarketError`` `.invalidQuery` where there are not so many, `.noLongerKept` where it is too long ago.
    public func page(from: UInt64) async throws -> JSONObject {
        try await load()
        let count = edge.size
        guard from <= count else {
            throw MarketError(.invalidQuery, "\"from\" is 0 to \(count), as many as there are.")
        }
        let subtrees = try await edge(at: from).subtrees
        let rows = try await database.read { connection in
            var (rows, bytes) = ([JSONValue](), 0)
            for row in try connection.rows(
                "SELECT document FROM trading_published WHERE position >= ? ORDER BY position LIMIT ?",
                .integer(Int64(clamping: from)),
                .int(Self.maximumRows)
            ) {
                guard let document = try row.optionalBlob(0) else {
                    throw MarketError(.noLongerKept, "What was published so long ago is no longer told.")
                }
                bytes += document.count
                guard rows.isEmpty || bytes <= Self.maximumRowsBytes else { break }
                rows.append(try JSONValue.parse(document))
            }
            return rows
        }
        return [
            "publisher": .string(own.string), "from": JSONValue(from), "count": JSONValue(count),
            "subtrees": JSONValue(subtrees.map { Hex.encode($0) }), "receipts": .array(rows),
        ]
    }

    /// The edge of the tree of the first so many.
    private func edge(at size: UInt64) async throws -> MerkleFrontier {
        if size == edge.size { return edge }
        var edge = marks[Int(clamping: size / markEvery)]
        for leaf in try await Self.leaves(database, from: edge.size, to: size) { edge.append(leaf: leaf) }
        return edge
    }
}
