internal import Market
internal import Records
internal import SignedDocuments

extension FoundListings {
    /// What a reputation adds to a score at most, in thousandths ([LST-12]).
    static let reputationPoints: Int64 = 500

    /// The same with what is thought of the sellers, the best first ([REP-14]).
    ///
    /// - Parameters:
    ///   - standings: of the sellers; of whom there is none nothing is known.
    ///   - least: sellers whose standing is below that are left out, of a hundred.
    ///   - count: how many are left at most.
    public func ranked(by standings: [Standing], atLeast least: Int = 0, count: Int) -> FoundListings {
        let known = Dictionary(standings.map { ($0.did, $0) }, uniquingKeysWith: { $1 })
        var ranked = self
        ranked.listings = listings.compactMap { listing in
            let standing = known[listing.record.author]
            let percent = standing?.percent ?? 0
            guard percent >= least else { return nil }
            var listing = listing
            listing.parts.append(
                FoundListing.Part(
                    name: "reputation",
                    points: Self.reputationPoints * Int64(percent) / 100,
                    why: Self.figure(standing)
                )
            )
            return listing
        }
        let order = ranked.listings.enumerated().sorted { left, right in
            (right.element.points, left.offset) < (left.element.points, right.offset)
        }
        ranked.listings = order.prefix(max(0, count)).map(\.element)
        return ranked
    }

    private static func figure(_ standing: Standing?) -> String {
        guard let standing, standing.score.trust > 0 || standing.score.bad > 0 else {
            return "nothing is known of the seller"
        }
        let calls = standing.score.good + standing.score.bad
        let own =
            calls > 0 ? "own calls went well \(Int((standing.score.good * 100 / calls).rounded())) %" : "no own calls"
        return "\(standing.percent) of 100 beside the best known; \(own)"
    }
}
