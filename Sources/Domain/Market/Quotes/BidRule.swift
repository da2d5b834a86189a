/// By what a seller's node bids for one of its services ([QUO-12]).
public struct BidRule: Sendable, Equatable {
    public static let capacities = 1...64

    /// The service's name here.
    public var service: String
    /// The least that is bid, in whole parts of `unit`.
    public var floor: UInt64
    public var unit: String
    /// How many bids and jobs of the service are open at most.
    public var capacity: Int
    /// What this node thinks of a buyer at least, 0 to 100 beside the best.
    public var reputation: Int

    /// - Returns: nil where a value is out of its bounds.
    public init?(service: String, floor: UInt64, unit: String, capacity: Int, reputation: Int) {
        guard Listing.isName(service), (1...Listing.maximumAmount).contains(floor), (1...16).contains(unit.utf8.count),
            Self.capacities.contains(capacity), (0...100).contains(reputation)
        else { return nil }
        self.service = service
        self.floor = floor
        self.unit = unit
        self.capacity = capacity
        self.reputation = reputation
    }

    /// One buyer has at most half of the capacity bid for at a time, rounded up.
    public var capacityOfOneBuyer: Int { (capacity + 1) / 2 }

    /// What is bid: the floor where nothing is open, and the nearer to the list price the more is; not more than the buyer pays.
    ///
    /// - Parameters:
    ///   - listed: what the call costs by the service's price list.
    ///   - used: bids and jobs that are open.
    ///   - most: what the buyer pays at most.
    /// - Returns: nil where nothing is bid: at capacity, or where the buyer pays less than the floor.
    public func price(listed: UInt64, used: Int, most: UInt64) -> UInt64? {
        guard (0..<capacity).contains(used), floor <= most, listed <= Listing.maximumAmount else { return nil }
        guard listed > floor else { return floor }
        let step = (listed - floor).multipliedFullWidth(by: UInt64(used))
        return min(most, floor + UInt64(capacity).dividingFullWidth(step).quotient)
    }

    /// Whether all words of a call are among a service's.
    public static func fits(_ words: [String], service: Set<String>) -> Bool { words.allSatisfy(service.contains) }
}
