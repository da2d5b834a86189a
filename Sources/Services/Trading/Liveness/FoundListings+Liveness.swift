public import Market
public import Records

extension FoundListings {
    /// The same with what is known of their liveness, the best first and the dead last ([LIV-7]).
    ///
    /// - Parameters:
    ///   - standings: of the listings; of which there is none nothing is known.
    ///   - aliveAlone: whether what is not known to be alive is left out.
    ///   - count: how many are left at most.
    public func ranked(
        by standings: [RecordKey: LivenessStanding],
        aliveAlone: Bool = false,
        count: Int
    ) -> FoundListings {
        var ranked = self
        ranked.listings = listings.compactMap { listing in
            var listing = listing
            let standing = standings[listing.record.key]
            let state = standing?.state ?? .unknown
            guard !aliveAlone || state == .alive else { return nil }
            // What is dead is worth nothing, however well it fits.
            let points = state == .dead ? -max(0, listing.points) : standing?.points ?? 0
            listing.liveness = standing
            listing.parts.append(.init(name: "alive", points: points, why: Self.figure(standing)))
            return listing
        }
        let order = ranked.listings.enumerated().sorted { left, right in
            let (one, two) = (left.element, right.element)
            if one.isDead != two.isDead { return two.isDead }
            return (one.points, right.offset) > (two.points, left.offset)
        }
        ranked.listings = order.prefix(max(0, count)).map(\.element)
        return ranked
    }

    private static func figure(_ standing: LivenessStanding?) -> String {
        guard let standing else { return "not probed yet" }
        let own = standing.own
        switch own.state {
        case .unknown:
            let others = standing.others
            guard others.alive + others.dead > 0 else {
                return own.failed > 0 ? "failed \(own.failed) times" : "not probed yet"
            }
            return "not known here; \(others.alive) nodes say alive, \(others.dead) dead"
        case .dead: return "dead: failed \(own.failuresInARow) times in a row"
        case .alive:
            let tries = own.good + own.failed
            let latency = own.latency.milliseconds(atPercentile: 50).map { ", half within \($0) ms" } ?? ""
            return "alive: \(own.good) of \(tries) tries went well within a day\(latency)"
        }
    }
}

extension FoundListing {
    fileprivate var isDead: Bool { liveness?.state == .dead }
}
