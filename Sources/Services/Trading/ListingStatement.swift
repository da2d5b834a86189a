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

/// A search as SQL: each listing that fits, with the figures of its score, the best first. There are eight texts and no more, as
/// each is kept prepared: all that is asked is bound.
struct ListingStatement {
    /// The record's id, the author's, when it was made, whether it has a schema, percentile, latency, uptime; then the
    /// thousandths for the words and the price.
    static let columns = columns(words: "0", price: "0")

    let sql: String
    let arguments: [SQLValue]

    /// - Parameters:
    ///   - any: whether some of the words are enough.
    ///   - counting: what a listing must be to count, with the time twice as its arguments.
    init(_ query: ListingQuery, any: Bool, counting: String, now: Timestamp) {
        var tables = "listings l JOIN gossip_authors a ON a.id = l.author"
        var (words, price) = ("0", "0")
        let milliseconds = SQLValue.integer(now.millisecondsSince1970)
        var points = """
            l.has_schema * \(ListingScore.schemaPoints)
            + CASE WHEN l.latency IS NULL AND l.uptime IS NULL THEN 0 ELSE \(ListingScore.promisePoints) END
            + \(ListingScore.freshPoints) * max(0, \(ListingScore.life) - max(0, ? - l.created)) / \(ListingScore.life)
            """
        var scored = [milliseconds]
        var conditions: [String] = []
        var asked: [SQLValue] = []
        if !query.words.isEmpty {
            // A word in the name says more than one in the description.
            words = "CAST(round(bm25(listing_words, 8.0, 6.0, 4.0, 1.0) * -1000) AS INTEGER)"
            points += " + \(words)"
            tables = """
                listing_words CROSS JOIN listings l ON l.id = listing_words.rowid
                JOIN gossip_authors a ON a.id = l.author
                """
            conditions.append("listing_words MATCH ?")
            asked.append(.text(query.expression(any: any)))
        }
        conditions.append(counting)
        asked += [milliseconds, milliseconds]
        if let maximum = query.maximumPrice {
            tables += " JOIN listing_prices p ON p.listing = l.id"
            conditions.append("p.unit = ? AND p.amount <= ?")
            // Amounts have 53 bits, so that the products below stay within 64. Of nothing there is no share: NULL is 0 then.
            let most = SQLValue.integer(Int64(clamping: min(maximum.amount, Listing.maximumAmount)))
            asked += [.text(maximum.unit), most]
            price = "p.amount"
            points += " + coalesce(\(ListingScore.pricePoints) * (? - p.amount) / ?, 0)"
            scored += [most, most]
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
        sql = """
            SELECT \(Self.columns(words: words, price: price)), \(points) AS points
            FROM \(tables) WHERE \(conditions.joined(separator: " AND ")) ORDER BY points DESC, l.author, l.name
            """
        arguments = scored + asked
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
