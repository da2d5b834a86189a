internal import Encodings
public import Market
public import Records
public import SignedDocuments
internal import Storage

/// A listing that was found.
public struct FoundListing: Sendable {
    /// A part of its score, with the figure that it is made of.
    public struct Part: Sendable, Hashable {
        /// words, price, sla, schema, fresh, reputation, alive
        public var name: String
        /// Thousandths.
        public var points: Int64
        public var why: String
    }

    public var record: Record
    public var listing: Listing
    /// Those of its URLs that can be used here.
    public var urls: [ListingURL]
    public var parts: [Part]
    /// Whether it is there, as far as that was looked at.
    public var liveness: LivenessStanding?
    /// The sum of the parts, in thousandths.
    public var points: Int64 { parts.reduce(0) { $0 + $1.points } }
}

/// What a search found, the best first.
public struct FoundListings: Sendable {
    public var listings: [FoundListing]
    /// Nothing has all of the words: these have some.
    public var matchesSomeWords: Bool
}

extension ListingIndex {
    /// The listings that count now, best first: by author and name, so that two of one name are two.
    ///
    /// - Throws: ``MarketError`` `invalid-query`, `StorageError`.
    public func search(_ query: ListingQuery) async throws -> FoundListings {
        try query.validate()
        try await follow()
        let found = try await hits(query, any: false)
        guard found.isEmpty, query.words.count > 1 else {
            return FoundListings(listings: found, matchesSomeWords: false)
        }
        let some = try await hits(query, any: true)
        return FoundListings(listings: some, matchesSomeWords: !some.isEmpty)
    }

    /// One listing by its author and name.
    /// - Throws: ``MarketError`` `unknown-listing`.
    public func listing(of author: DIDKey, named name: String) async throws -> FoundListing {
        try await one("a.did = ? AND l.name = ?", [.text(author.string), .text(name)])
    }

    /// One listing by its record's id.
    /// - Throws: ``MarketError`` `unknown-listing`.
    public func listing(_ id: RecordID) async throws -> FoundListing {
        try await one("l.record = ?", [.blob(id.bytes)])
    }

    /// Listings of some sellers that count now, each with up to ``perSeller``: sellers have the same chance, however much they list.
    ///
    /// - Parameters:
    ///   - sellers: at most.
    ///   - start: from 0 up to 1, where among the sellers to begin.
    func some(sellers: Int, at start: Double) async throws -> [FoundListing] {
        try await follow()
        let now = clock.now()
        let (counting, milliseconds) = (counting, SQLValue.integer(now.millisecondsSince1970))
        let hits = try await database.read { connection in
            let last = try connection.first("SELECT max(author) FROM listings")?.optionalInt64(0) ?? 0
            let first = Int64(Double(last) * start)
            let authors = try connection.rows(
                """
                SELECT a.id FROM gossip_authors a
                WHERE EXISTS (SELECT 1 FROM listings l WHERE l.author = a.id AND \(counting))
                ORDER BY a.id <= ?, a.id LIMIT ?
                """,
                milliseconds,
                milliseconds,
                .integer(first),
                .int(sellers)
            )
            var hits: [(Row, [UInt8])] = []
            for author in authors {
                let rows = try connection.rows(
                    """
                    SELECT \(ListingStatement.columns) FROM listings l JOIN gossip_authors a ON a.id = l.author
                    WHERE l.author = ? AND \(counting) ORDER BY random() LIMIT ?
                    """,
                    .integer(try author.int64(0)),
                    milliseconds,
                    milliseconds,
                    .int(Self.perSeller)
                )
                hits += try rows.compactMap { row in try Self.document(row, connection).map { (row, $0) } }
            }
            return hits
        }
        return try hits.compactMap { try found($0.0, $0.1, query: ListingQuery(), now: now) }
    }

    static let perSeller = 4

    /// How many are in the index, those that don't count now among them.
    public func count() async throws -> Int {
        try await follow()
        return try await database.read { try $0.first("SELECT count(*) FROM listings")?.int(0) ?? 0 }
    }

    private func one(_ condition: String, _ arguments: [SQLValue]) async throws -> FoundListing {
        try await follow()
        let now = clock.now()
        let conditions = "\(condition) AND \(counting)"
        let all = arguments + Self.counting(now)
        let hit = try await database.read { connection -> (Row, [UInt8])? in
            guard
                let row = try connection.first(
                    """
                    SELECT \(ListingStatement.columns), l.id FROM listings l JOIN gossip_authors a ON a.id = l.author
                    WHERE \(conditions)
                    """,
                    arguments: all
                ), let document = try Self.document(row, connection)
            else { return nil }
            return (row, document)
        }
        guard let hit, let found = try found(hit.0, hit.1, query: ListingQuery(), now: now) else {
            throw MarketError(.unknownListing, "No listing of that name counts here.")
        }
        return found
    }

    // MARK: Looking

    /// Lives, is by an author who counts or stamped, and can be used from here.
    private var counting: String {
        "l.expires > ? AND (l.is_stamped OR a.counts_until > ?)" + (allowsLocal ? "" : " AND l.is_global")
    }

    private static func counting(_ now: Timestamp) -> [SQLValue] {
        [.integer(now.millisecondsSince1970), .integer(now.millisecondsSince1970)]
    }

    private func hits(_ query: ListingQuery, any: Bool) async throws -> [FoundListing] {
        let now = clock.now()
        let statement = ListingStatement(query, any: any, counting: counting, now: now)
        let hits = try await database.read { connection in
            let ids = try Self.candidates(statement, of: query, connection)
            let ranking = statement.ranking(of: ids)
            let rows = ids.isEmpty ? [] : try connection.rows(ranking.sql, arguments: ranking.arguments)
            return try rows.compactMap { row in try Self.document(row, connection).map { (row, $0) } }
        }
        return try hits.compactMap { try found($0.0, $0.1, query: query, now: now) }
    }

    /// Those that are ranked: the latest that fit, of one author so many, of at most ``ListingQuery/maximumLooked``.
    private static func candidates(
        _ statement: ListingStatement,
        of query: ListingQuery,
        _ connection: Connection
    ) throws -> [Int64] {
        let most = ListingQuery.maximumRanked
        let perAuthor = query.author == nil ? ListingQuery.maximumPerAuthor : most
        var ids: [Int64] = []
        var shares: [Int64: Int] = [:]
        var looked = 0
        do {
            try connection.each(statement.candidates, arguments: statement.arguments) { row in
                looked += 1
                let author = try row.int64(1)
                if shares[author, default: 0] < perAuthor {
                    shares[author, default: 0] += 1
                    ids.append(try row.int64(0))
                }
                if ids.count == most || looked == ListingQuery.maximumLooked { throw Enough() }
            }
        } catch is Enough {}
        return ids
    }

    /// Ends the reading of rows.
    private struct Enough: Error {}

    private static func document(_ row: Row, _ connection: Connection) throws -> [UInt8]? {
        try connection.first("SELECT document FROM gossip_records WHERE id = ?", .blob(try row.blob(0)))?.blob(0)
    }

    // MARK: Ranking

    private func found(_ row: Row, _ document: [UInt8], query: ListingQuery, now: Timestamp) throws -> FoundListing? {
        guard let record = try? Record(bytes: document), let listing = try? Listing(record) else { return nil }
        return FoundListing(
            record: record,
            listing: listing,
            urls: listing.urls(allowingLocal: allowsLocal),
            parts: try Self.parts(row, query: query, now: now)
        )
    }

    private static func parts(_ row: Row, query: ListingQuery, now: Timestamp) throws -> [FoundListing.Part] {
        var parts: [FoundListing.Part] = []
        if !query.words.isEmpty {
            parts.append(
                .init(
                    name: "words",
                    points: try row.int64(7),
                    why: "how well its name (×8), title (×6), tags (×4) and description fit the words (bm25)"
                )
            )
        }
        if let maximum = query.maximumPrice, maximum.amount > 0 {
            let (most, amount) = (Int64(clamping: min(maximum.amount, Listing.maximumAmount)), try row.int64(8))
            parts.append(
                .init(
                    name: "price",
                    points: ListingScore.pricePoints * (most - amount) / most,
                    why: "\(amount) \(maximum.unit) of at most \(maximum.amount)"
                )
            )
        }
        let promises = [
            try row.optionalInt64(4).flatMap { percentile in
                try row.optionalInt64(5).map { "p\(percentile) \($0) ms" }
            },
            try row.optionalInt64(6).map { "uptime \($0) ppm" },
        ].compactMap { $0 }
        parts.append(
            .init(
                name: "sla",
                points: promises.isEmpty ? 0 : ListingScore.promisePoints,
                why: promises.isEmpty ? "promises nothing" : "promises " + promises.joined(separator: ", ")
            )
        )
        let hasSchema = try row.bool(3)
        parts.append(
            .init(
                name: "schema",
                points: hasSchema ? ListingScore.schemaPoints : 0,
                why: hasSchema ? "says what a call is given or answers" : "says not what a call is given or answers"
            )
        )
        let age = max(0, now.milliseconds(since: Timestamp(millisecondsSince1970: try row.int64(2))))
        parts.append(
            .init(
                name: "fresh",
                points: ListingScore.freshPoints * max(0, ListingScore.life - age) / ListingScore.life,
                why: "published \(age / 1_000) s ago"
            )
        )
        return parts
    }
}
