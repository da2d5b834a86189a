public import Encodings
internal import Gossip
internal import Market
internal import Records
internal import SignedDocuments
public import Storage

/// The listings that this node knows, to be searched by words, price and what else they say. It stands in the database of the
/// records and follows them ([LST-10]): a listing is here exactly as long as its record is in the store, and found exactly while
/// its record counts.
public final class ListingIndex: Sendable {
    let database: Database
    let clock: WallClock
    /// Whether listings are found that are sold on this machine or its network alone ([LST-5]).
    let allowsLocal: Bool

    /// Records that are read into the index in one transaction.
    private static let batch = 256

    /// - Parameter database: with `RecordStore.migrations` and ``migrations``.
    public init(database: Database, clock: WallClock, allowsLocal: Bool) {
        self.database = database
        self.clock = clock
        self.allowsLocal = allowsLocal
    }

    /// Reads what has come to the store since the last time. ``search(_:)`` does so first by itself.
    /// - Returns: how many listings were read.
    /// - Throws: `StorageError`.
    @discardableResult
    public func follow() async throws -> Int {
        var read = 0
        while try await isBehind() {
            read += try await database.write { try Self.readWaiting(Self.batch, $0) }
        }
        return read
    }

    private func isBehind() async throws -> Bool {
        try await database.read { try $0.first("SELECT 1 FROM listing_queue LIMIT 1") != nil }
    }

    private static func readWaiting(_ count: Int, _ connection: Connection) throws -> Int {
        let rows = try connection.rows(
            """
            SELECT q.record, r.author, r.entry IS NOT NULL, r.document
            FROM listing_queue q LEFT JOIN gossip_records r ON r.id = q.record LIMIT ?
            """,
            .int(count)
        )
        for row in rows {
            try connection.execute("DELETE FROM listing_queue WHERE record = ?", .blob(try row.blob(0)))
            // Its form was looked at before it was stored.
            guard !row.isNull(3), let record = try? Record(bytes: row.blob(3)), let listing = try? Listing(record)
            else {
                continue
            }
            try insert(listing, of: record, author: try row.int64(1), isStamped: try row.bool(2), connection)
        }
        return rows.count
    }

    private static func insert(
        _ listing: Listing,
        of record: Record,
        author: Int64,
        isStamped: Bool,
        _ connection: Connection
    ) throws {
        try connection.execute(
            """
            INSERT INTO listings (record, author, created, expires, is_stamped, is_global, has_schema, percentile,
                latency, uptime, name, title, tags, description)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            .blob(record.id.bytes),
            .integer(author),
            .integer(record.created.millisecondsSince1970),
            .integer(record.expires.millisecondsSince1970),
            .bool(isStamped),
            .bool(!listing.urls(allowingLocal: false).isEmpty),
            .bool(listing.input != nil || listing.output != nil),
            .optional(listing.promise?.percentile.map { Int64($0) }),
            .optional(listing.promise?.latencyMilliseconds),
            .optional(listing.promise?.uptimePPM),
            .text(record.key.name),
            .text(listing.title ?? ""),
            .text(listing.tags.joined(separator: " ")),
            .text(listing.description ?? "")
        )
        // Triggers have run: the id is looked up by what is unique.
        guard
            let id = try connection.first("SELECT id FROM listings WHERE record = ?", .blob(record.id.bytes))?.int64(0)
        else { throw StorageError(.corrupt, "a listing was not kept") }
        for (unit, prices) in Dictionary(grouping: listing.prices, by: \.unit) {
            try connection.execute(
                "INSERT INTO listing_prices (listing, unit, amount) VALUES (?, ?, ?)",
                .integer(id),
                .text(unit),
                try .amount(prices.map(\.amount).min() ?? 0)
            )
        }
        for facet in facets(of: listing) {
            try connection.execute(
                "INSERT OR IGNORE INTO listing_facets (listing, facet) VALUES (?, ?)",
                .integer(id),
                .text(facet)
            )
        }
    }

    /// What is said of a listing in words of its own kind.
    enum Facet: String {
        case dialect
        case mint
        case tag
        case capability

        func text(_ value: String) -> String { "\(rawValue):\(value)" }
    }

    private static func facets(of listing: Listing) -> [String] {
        listing.dialects.map(Facet.dialect.text) + listing.mints.map { Facet.mint.text($0.text) }
            + listing.tags.map(Facet.tag.text) + (listing.callers?.capability.map { [Facet.capability.text($0)] } ?? [])
    }
}
