internal import Market
internal import Records
internal import SignedDocuments
internal import Trading

/// What others sell, with what this node thinks of the sellers ([REP-14]) and knows of whether they are there ([LIV-7]).
struct JudgedMarket: Sendable {
    private let market: MarketPart?
    let calls: CallBook
    let liveness: LivenessPart?

    init(_ node: Node) {
        market = node.market
        calls = node.calls
        liveness = node.liveness
    }

    /// - Throws: ``MarketError`` `not-running` where gossip is turned off.
    func part() throws(MarketError) -> MarketPart {
        guard let market else {
            throw MarketError(
                .notRunning,
                "Gossip is turned off here, so nothing is found: set gossip.enabled=true, or name a service by its URL."
            )
        }
        return market
    }

    /// The best first, the dead last.
    ///
    /// - Parameters:
    ///   - least: what the node must think of a seller at least, 0 to 100 beside the best.
    ///   - aliveAlone: whether what is not known to be alive is left out.
    /// - Throws: ``MarketError``.
    func search(_ query: ListingQuery, atLeast least: Int, aliveAlone: Bool = false) async throws -> FoundListings {
        let count = query.count
        var query = query
        // All that fits is judged; a count that is out of its bounds is still told as such.
        if (1...ListingQuery.maximumCount).contains(count) { query.count = ListingQuery.maximumCount }
        let found = try await part().index.search(query)
        let sellers = Set(found.listings.map(\.record.author)).sorted { $0.string < $1.string }
        let standings = try await calls.standings(of: sellers)
        let ranked = found.ranked(by: standings, atLeast: least, count: found.listings.count)
        guard let liveness else { return ranked.ranked(by: [:], aliveAlone: aliveAlone, count: count) }
        return try await liveness.ranked(ranked, aliveAlone: aliveAlone, count: count)
    }
}
