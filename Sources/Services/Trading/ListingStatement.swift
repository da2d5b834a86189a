internal import CanonicalJSON
internal import Encodings
internal import Market
internal import SignedDocuments
internal import Storage

/// What the parts of a score come to at most, in thousandths, but for the words ([LST-12]).
enum ListingScore {
    static let pricePoints: Int64 = 500
    static let promisePoints: Int64 = 100
    static let schemaPoints: Int64 = 100
    static let freshPoints: Int64 = 200
    /// Past that age, in milliseconds, nothing is fresh.
    static let life = Listing.maximumLifetimeSeconds * 1_000
}

/// A search as SQL, in two steps: which listings fit, the latest first, and how those that are chosen of them are ranked. There
/// are few texts of each, as every one is kept prepared: all that is asked is bound.
struct ListingStatement {
    /// The record's id, the author's, when it was made, whether it has a schema, percentile, latency, uptime; then the
    /// thousandths for the words and the price.
    static let columns = columns(words: "0", price: "0")

    /// The ids of the listings that fit, with their authors', the latest first.
    let candidates: String
    let arguments: [SQLValue]
    private let query: ListingQuery
    private let expression: SQLValue
    private let now: SQLValue

    /// - Parameters:
    ///   - any: whether some of the words are enough.
    ///   - counting: what a listing must be to count, with the time twice as its arguments.
    init(_ query: ListingQuery, any: Bool, counting: String, now: Timestamp) {
        self.query = query
        self.now = .integer(now.millisecondsSince1970)
        expression = .text(query.expression(any: any))
        var tables = "listings l"
        var latest = "l.id"
        var conditions = [counting]
        var asked = [self.now, self.now]
        if !query.words.isEmpty {
            tables = "listing_words CROSS JOIN listings l ON l.id = listing_words.rowid"
            latest = "listing_words.rowid"
            conditions.insert("listing_words MATCH ?", at: 0)
            asked.insert(expression, at: 0)
        }
        tables += " JOIN gossip_authors a ON a.id = l.author"
        if let maximum = query.maximumPrice {
            conditions.append(
                "EXISTS (SELECT 1 FROM listing_prices p WHERE p.listing = l.id AND p.unit = ? AND p.amount <= ?)"
            )
            asked += [.text(maximum.unit), .integer(Int64(clamping: maximum.amount))]
        }
        let facets = Self.facets(query)
        if !facets.isEmpty {
            conditions.append(
                """
                NOT EXISTS (SELECT 1 FROM json_each(?) w WHERE NOT EXISTS
                    (SELECT 1 FROM listing_facets f WHERE f.listing = l.id AND f.facet = w.value))
                """
            )
            asked.append(.text(String(decoding: JSONValue(facets).serialized(), as: UTF8.self)))
        }
        for (condition, value) in [
            ("l.latency <= ?", SQLValue.optional(query.maximumLatencyMilliseconds)),
            ("l.uptime >= ?", .optional(query.minimumUptimePPM)), ("a.did = ?", .optional(query.author?.string)),
        ] {
            conditions.append("(? IS NULL OR \(condition))")
            asked += [value, value]
        }
        candidates = """
            SELECT l.id, l.author FROM \(tables) WHERE \(conditions.joined(separator: " AND ")) ORDER BY \(latest) DESC
            """
        arguments = asked
    }

    /// The figures of the score of some candidates, the best first.
    func ranking(of ids: [Int64]) -> (sql: String, arguments: [SQLValue]) {
        let chosen = SQLValue.text("[" + ids.map { String($0) }.joined(separator: ",") + "]")
        var tables = "listings l"
        var condition = "l.id IN (SELECT value FROM json_each(?))"
        var asked = [chosen]
        var (words, price) = ("0", "0")
        var points = """
            l.has_schema * \(ListingScore.schemaPoints)
            + CASE WHEN l.latency IS NULL AND l.uptime IS NULL THEN 0 ELSE \(ListingScore.promisePoints) END
            + \(ListingScore.freshPoints) * max(0, \(ListingScore.life) - max(0, ? - l.created)) / \(ListingScore.life)
            """
        var scored = [now]
        if !query.words.isEmpty {
            // A word in the name says more than one in the description.
            words = "CAST(round(bm25(listing_words, 8.0, 6.0, 4.0, 1.0) * -1000) AS INTEGER)"
            points += " + \(words)"
            tables = "listing_words CROSS JOIN listings l ON l.id = listing_words.rowid"
            // The plus keeps FTS5 from being asked for each id anew.
            condition = """
                listing_words MATCH ? AND listing_words.rowid >= ?
                AND +listing_words.rowid IN (SELECT value FROM json_each(?))
                """
            asked = [expression, .integer(ids.min() ?? 0), chosen]
        }
        if let maximum = query.maximumPrice {
            tables += " JOIN listing_prices p ON p.listing = l.id"
            condition += " AND p.unit = ?"
            asked.append(.text(maximum.unit))
            price = "p.amount"
            // Amounts have 53 bits, so that the product stays within 64. Of nothing there is no share: NULL is 0 then.
            let most = SQLValue.integer(Int64(clamping: min(maximum.amount, Listing.maximumAmount)))
            points += " + coalesce(\(ListingScore.pricePoints) * (? - p.amount) / ?, 0)"
            scored += [most, most]
        }
        let sql = """
            SELECT \(Self.columns(words: words, price: price)), \(points) AS points
            FROM \(tables) WHERE \(condition) ORDER BY points DESC, l.author, l.name LIMIT ?
            """
        return (sql, scored + asked + [.int(query.count)])
    }

    private static func facets(_ query: ListingQuery) -> [String] {
        let named: [(ListingIndex.Facet, String?)] = [
            (.dialect, query.dialect), (.mint, query.mint), (.capability, query.capability),
        ]
        return named.compactMap { facet, value in value.map { facet.text($0) } }
            + query.tags.map { ListingIndex.Facet.tag.text($0) }
    }

    private static func columns(words: String, price: String) -> String {
        "l.record, l.author, l.created, l.has_schema, l.percentile, l.latency, l.uptime, \(words), \(price)"
    }
}
