internal import Libp2p

/// How often a node dials back for others ([GSP-7]): the time is milliseconds.
struct DialBackBudget: Sendable {
    private var last: [[UInt8]: Int64] = [:]
    private var minute: Int64 = 0
    private var count = 0

    /// Takes one for a place, where there is one left.
    mutating func take(_ place: [UInt8], at now: Int64, placeSeconds: Int64, perMinute: Int) -> Bool {
        if now / 60_000 != minute {
            minute = now / 60_000
            count = 0
        }
        // In a minute no more are written in than are dialed, so that the table stays small.
        last = last.filter { now - $0.value < placeSeconds * 1_000 }
        guard count < perMinute, last[place] == nil else { return false }
        count += 1
        last[place] = now
        return true
    }
}

/// What others said about whether this node can be reached.
struct ReachedBook: Sendable {
    /// A word counts for so long.
    static let wordSeconds: Int64 = 3_600
    static let maximumWords = 32
    /// Peers that have to say so before the node says that it cannot be reached, or announces an address that it only
    /// heard of.
    static let quorumUnreachable = 3
    static let quorumAddress = 2

    private struct Word: Sendable {
        var outcome: DialBack.Outcome
        var address: Multiaddr?
        var at: Int64
    }

    private var words: [PeerID: Word] = [:]
    private var askedAt: Int64?

    /// Whether this peer is to be asked.
    mutating func wants(_ peer: PeerID, at now: Int64, seconds: Int64) -> Bool {
        if let word = words[peer], now - word.at < seconds * 1_000 { return false }
        askedAt = now
        return true
    }

    func isStale(at now: Int64, seconds: Int64) -> Bool { askedAt.map { now - $0 >= seconds * 1_000 } ?? true }

    /// A word about an address that was not asked about counts for nothing.
    mutating func take(_ answer: DialBack.Answer, asked: [Multiaddr], from peer: PeerID, at now: Int64) {
        words = words.filter { now - $0.value.at < Self.wordSeconds * 1_000 }
        guard words.count < Self.maximumWords || words[peer] != nil else { return }
        if answer.outcome == .reachable, !(answer.address.map(asked.contains) ?? false) { return }
        words[peer] = Word(outcome: answer.outcome, address: answer.address, at: now)
    }

    func verdict(at now: Int64) -> Reachability {
        let current = words.values.filter { now - $0.at < Self.wordSeconds * 1_000 }
        if current.contains(where: { $0.outcome == .reachable }) { return .reachable }
        return current.count(where: { $0.outcome == .unreachable }) >= Self.quorumUnreachable ? .unreachable : .unknown
    }

    /// Where several peers reached this node.
    func confirmed(at now: Int64) -> [Multiaddr] {
        var counts: [Multiaddr: Int] = [:]
        for word in words.values where word.outcome == .reachable && now - word.at < Self.wordSeconds * 1_000 {
            if let address = word.address { counts[address, default: 0] += 1 }
        }
        return counts.filter { $0.value >= Self.quorumAddress }.keys.sorted { $0.description < $1.description }
    }
}
