internal import Encodings
internal import Libp2p

/// How many sessions and bytes each peer has had, so that none has more than its share ([RPR-7]).
struct RepairPeers: Sendable {
    private struct Standing {
        var windowStart: Timestamp
        var sessions = 0
        var bytes = 0
        var active = 0
        var blockedUntil: Timestamp?
    }

    private let limits: RepairService.Limits
    private var peers: [PeerID: Standing] = [:]
    private(set) var active = 0

    init(_ limits: RepairService.Limits) {
        self.limits = limits
    }

    /// Takes a place for a session that a peer asks for; false where there is none for it.
    mutating func begin(_ peer: PeerID, now: Timestamp) -> Bool {
        guard active < limits.sessions, let standing = standing(of: peer, now: now) else { return false }
        guard standing.blockedUntil == nil, standing.active < limits.sessionsPerPeer,
            standing.sessions < limits.sessionsPerMinute, standing.bytes < limits.bytesPerMinute
        else { return false }
        active += 1
        peers[peer]?.active += 1
        peers[peer]?.sessions += 1
        return true
    }

    mutating func end(_ peer: PeerID, bytes: Int) {
        active -= 1
        peers[peer]?.active -= 1
        peers[peer]?.bytes += bytes
    }

    /// The peer sent what it is answerable for: it is not repaired with for a while.
    mutating func block(_ peer: PeerID, now: Timestamp) {
        guard standing(of: peer, now: now) != nil else { return }
        peers[peer]?.blockedUntil = now.adding(seconds: limits.blockSeconds)
    }

    mutating func isBlocked(_ peer: PeerID, now: Timestamp) -> Bool {
        peers[peer] == nil ? false : standing(of: peer, now: now)?.blockedUntil != nil
    }

    private mutating func standing(of peer: PeerID, now: Timestamp) -> Standing? {
        if peers[peer] == nil, peers.count >= limits.peers {
            peers = peers.filter {
                $0.value.active > 0 || !Self.isPast($0.value.windowStart, now)
                    || $0.value.blockedUntil.map { $0 > now } ?? false
            }
            guard peers.count < limits.peers else { return nil }
        }
        var standing = peers[peer] ?? Standing(windowStart: now)
        if Self.isPast(standing.windowStart, now) {
            (standing.windowStart, standing.sessions, standing.bytes) = (now, 0, 0)
        }
        if let until = standing.blockedUntil, until <= now { standing.blockedUntil = nil }
        peers[peer] = standing
        return standing
    }

    /// A minute has passed, or the clock was set back.
    private static func isPast(_ start: Timestamp, _ now: Timestamp) -> Bool {
        now < start || now.milliseconds(since: start) >= 60_000
    }
}
