public import Encodings
internal import Foundation
public import Libp2p

/// How a node came to know of a peer's address.
public enum PeerSource: String, Sendable, CaseIterable {
    /// The configuration names it.
    case bootstrap
    /// The operator added it.
    case manual
    /// Another peer passed it on, with a record that the peer signed.
    case exchange
    /// It was found on the local network.
    case local
    /// The peer told so itself while it was connected.
    case told

    /// Whether a person chose it: it is kept whatever comes of it.
    public var isChosen: Bool { self == .bootstrap || self == .manual }
}

/// The peers that a node knows, and whom of them it dials when ([GSP-3], [GSP-4]). No I/O and no clock: the time is
/// milliseconds since 1970.
public struct PeerBook: Sendable {
    public struct Address: Hashable, Sendable {
        /// Without the peer's id.
        public let address: Multiaddr
        public var source: PeerSource
        public var lastSuccess: Int64?
        public var lastFailure: Int64?
    }

    public struct Entry: Sendable {
        public let peer: PeerID
        public var addresses: [Address] = []
        /// The newest record that the peer signed, as it came.
        public var record: [UInt8]?
        public var sequence: UInt64 = 0
        /// Who first told of it, where that was another peer.
        public var teller: PeerID?
        public var addedAt: Int64
        /// When a connection with it was last there.
        public var lastConnected: Int64?
        /// Dials that failed since one was answered.
        public var failures = 0
        /// Whether the peer said what it is since the connection began.
        var isSettled = false
        /// Not dialed before this time.
        public var notBefore: Int64 = 0

        public var isChosen: Bool { addresses.contains { $0.source.isChosen } }
        public var isManual: Bool { addresses.contains { $0.source == .manual } }
    }

    /// The most peers that are known, those that a person chose not counted, and the most of those.
    public static let maximumPeers = 1_000
    public static let maximumChosen = 128
    /// The most addresses of one peer.
    public static let maximumAddresses = 8
    /// The most peers that were never reached and that one and the same peer told of.
    public static let maximumUnprovenPerTeller = 64
    /// A dial that failed is tried again after this time, then twice as long each time, give or take a quarter.
    public static let firstBackoffSeconds: Int64 = 5
    public static let maximumBackoffSeconds: Int64 = 3_600
    /// Of peers that a person chose.
    public static let maximumChosenBackoffSeconds: Int64 = 120
    /// A peer that was connected within the hour and cannot be reached is tried sooner: after this part of the time that it is
    /// gone, at least a second, so that a network that was cut in two is soon one again.
    public static let absencesBetweenDials: Int64 = 400
    public static let soonestBackoffSeconds: Int64 = 1
    public static let latelySeconds: Int64 = 3_600
    /// A peer that was not reached so often, and for a week, is forgotten.
    public static let maximumFailures = 12
    public static let forgetSeconds: Int64 = 7 * 86_400

    private let own: PeerID
    private var entries: [PeerID: Entry] = [:]
    private var changed: Set<PeerID> = []

    public init(own: PeerID, _ kept: [Entry] = []) {
        self.own = own
        for entry in kept where entry.peer != own { entries[entry.peer] = entry }
    }

    public var count: Int { entries.count }
    public var all: [Entry] { entries.values.sorted { $0.peer < $1.peer } }
    public func entry(_ peer: PeerID) -> Entry? { entries[peer] }

    // MARK: Learning

    /// An address that a person chose.
    /// - Returns: whether it is in the book now; not where there are as many as there may be.
    @discardableResult
    public mutating func choose(_ peer: PeerID, _ address: Multiaddr, _ source: PeerSource, at now: Int64) -> Bool {
        guard peer != own else { return false }
        guard entries[peer]?.isChosen == true || entries.values.count(where: \.isChosen) < Self.maximumChosen else {
            return false
        }
        var entry = entries[peer] ?? Entry(peer: peer, addedAt: now)
        add(address.withoutPeer, source, to: &entry)
        entry.notBefore = 0
        keep(entry)
        return true
    }

    /// Takes the choice back of all peers that have this source and are not among these.
    public mutating func keepOnly(_ peers: Set<PeerID>, of source: PeerSource) {
        for (peer, var entry) in entries where !peers.contains(peer) {
            let before = entry.addresses.count
            entry.addresses.removeAll { $0.source == source && $0.lastSuccess == nil }
            for index in entry.addresses.indices where entry.addresses[index].source == source {
                entry.addresses[index].source = .told
            }
            if entry.addresses.isEmpty, before > 0 {
                forget(peer)
            } else if entry.addresses.count != before {
                keep(entry)
            }
        }
    }

    /// A record that a peer signed about itself.
    /// - Parameters:
    ///   - reach: how far away whoever told is: addresses that are reached from less far are not taken, nor names of hosts, so
    ///     that nobody is led to dial what only stands in this node's own network.
    ///   - teller: who passed it on; nil where the peer itself did.
    /// - Returns: whether something new was learnt.
    @discardableResult
    public mutating func learn(
        _ sealed: SealedPeerRecord,
        _ source: PeerSource,
        reach: IPReach?,
        teller: PeerID?,
        at now: Int64
    ) -> Bool {
        let record = sealed.record
        guard record.peer != own, let reach else { return false }
        let usable = record.addresses.filter { Self.isUsable($0, toldFrom: reach, peer: record.peer) }
        if var entry = entries[record.peer] {
            // An older record says nothing new, whoever brings it.
            guard record.sequence > entry.sequence || (entry.record == nil && record.sequence == entry.sequence) else {
                return false
            }
            guard !usable.isEmpty else { return false }
            entry.sequence = record.sequence
            entry.record = sealed.sealed
            let bare = Set(usable.map(\.withoutPeer))
            entry.addresses.removeAll { !$0.source.isChosen && !bare.contains($0.address) }
            for address in usable { add(address.withoutPeer, source, to: &entry) }
            keep(entry)
            return true
        }
        guard !usable.isEmpty, makeRoom(for: teller, at: now) else { return false }
        var entry = Entry(peer: record.peer, addedAt: now)
        entry.sequence = record.sequence
        entry.record = sealed.sealed
        entry.teller = teller
        for address in usable { add(address.withoutPeer, source, to: &entry) }
        keep(entry)
        return true
    }

    /// An address without a record, from the local network.
    @discardableResult
    public mutating func find(_ address: Multiaddr, reach: IPReach?, at now: Int64) -> Bool {
        guard let peer = address.tcpEndpoint?.peer, peer != own, let reach,
            Self.isUsable(address, toldFrom: reach, peer: peer)
        else { return false }
        if entries[peer] == nil, !makeRoom(for: nil, at: now) { return false }
        var entry = entries[peer] ?? Entry(peer: peer, addedAt: now)
        let before = entry.addresses
        add(address.withoutPeer, .local, to: &entry)
        guard entry.addresses != before else { return false }
        entry.notBefore = min(entry.notBefore, now)
        keep(entry)
        return true
    }

    /// Whether an address of a stranger's is one to dial.
    static func isUsable(_ address: Multiaddr, toldFrom reach: IPReach, peer: PeerID) -> Bool {
        guard let own = address.reach, own >= reach, let endpoint = address.tcpEndpoint, endpoint.port > 0 else {
            return false
        }
        return endpoint.peer == nil || endpoint.peer == peer
    }

    private func add(_ address: Multiaddr, _ source: PeerSource, to entry: inout Entry) {
        if let index = entry.addresses.firstIndex(where: { $0.address == address }) {
            if source.isChosen { entry.addresses[index].source = source }
            return
        }
        if entry.addresses.count >= Self.maximumAddresses {
            guard let index = entry.addresses.firstIndex(where: { !$0.source.isChosen && $0.lastSuccess == nil }) else {
                return
            }
            entry.addresses.remove(at: index)
        }
        entry.addresses.append(Address(address: address, source: source))
    }

    /// A newcomer takes the place of nobody who was ever reached lately: whoever floods the book with inventions crowds out
    /// other inventions.
    private mutating func makeRoom(for teller: PeerID?, at now: Int64) -> Bool {
        let unproven = entries.values.filter { $0.lastConnected == nil && !$0.isChosen }
        if let teller, unproven.count(where: { $0.teller == teller }) >= Self.maximumUnprovenPerTeller { return false }
        guard entries.values.count(where: { !$0.isChosen }) >= Self.maximumPeers else { return true }
        let worst = unproven.max { ($0.failures, -$0.addedAt, $0.peer) < ($1.failures, -$1.addedAt, $1.peer) }
        let stale = entries.values.filter {
            !$0.isChosen && ($0.lastConnected.map { now - $0 > Self.forgetSeconds * 1_000 } ?? false)
        }
        guard let victim = worst ?? stale.min(by: { ($0.lastConnected ?? 0) < ($1.lastConnected ?? 0) }) else {
            return false
        }
        forget(victim.peer)
        return true
    }

    // MARK: Dialing

    /// Whom to dial now, the most promising first: those that the operator added, then those that were reached before, then
    /// the configuration's, then the rest; by chance among equals.
    /// - Parameters:
    ///   - connected: who need not be dialed.
    ///   - isAdmitted: whether neither the peer nor the address is banned.
    public func candidates(
        at now: Int64,
        connected: Set<PeerID>,
        using random: inout some RandomNumberGenerator,
        isAdmitted: (PeerID, Multiaddr) -> Bool
    ) -> [(peer: PeerID, isManual: Bool, addresses: [Multiaddr])] {
        var ranked: [[(PeerID, Bool, [Multiaddr])]] = [[], [], [], []]
        for entry in all where !connected.contains(entry.peer) && entry.notBefore <= now {
            let addresses = entry.addresses.filter { isAdmitted(entry.peer, $0.address) }
                .sorted {
                    ($0.lastSuccess ?? 0, -($0.lastFailure ?? 0)) > ($1.lastSuccess ?? 0, -($1.lastFailure ?? 0))
                }
                .map(\.address)
            guard !addresses.isEmpty else { continue }
            let rank = entry.isManual ? 0 : entry.lastConnected != nil ? 1 : entry.isChosen ? 2 : 3
            ranked[rank].append((entry.peer, entry.isManual, addresses))
        }
        return ranked.flatMap { $0.shuffled(using: &random) }
    }

    /// A dial was answered, by the peer itself.
    public mutating func reached(_ peer: PeerID, at address: Multiaddr, _ now: Int64) {
        guard var entry = entries[peer] else { return }
        if let index = entry.addresses.firstIndex(where: { $0.address == address.withoutPeer }) {
            entry.addresses[index].lastSuccess = now
        }
        entry.isSettled = false
        keep(entry)
    }

    /// A connected peer said what it is: it is one that can be talked with.
    public mutating func settled(_ peer: PeerID, _ now: Int64) {
        guard var entry = entries[peer] else { return }
        entry.isSettled = true
        entry.failures = 0
        entry.notBefore = 0
        entry.lastConnected = now
        keep(entry)
    }

    /// A dial failed at all these addresses.
    /// - Parameters:
    ///   - jitter: between 0 and 1, by chance.
    ///   - isUnreachable: nobody answered at all, so that the peer turned nobody away.
    public mutating func failed(
        _ peer: PeerID,
        at addresses: [Multiaddr],
        _ now: Int64,
        jitter: Double,
        isUnreachable: Bool = false
    ) {
        guard var entry = entries[peer] else { return }
        for index in entry.addresses.indices where addresses.contains(entry.addresses[index].address) {
            entry.addresses[index].lastFailure = now
        }
        entry.failures += 1
        let most = entry.isChosen ? Self.maximumChosenBackoffSeconds : Self.maximumBackoffSeconds
        var wait = min(Self.firstBackoffSeconds << Int64(min(entry.failures - 1, 20)), most) * 1_000
        if isUnreachable, let last = entry.lastConnected, (0...Self.latelySeconds * 1_000).contains(now - last) {
            wait = min(wait, max(Self.soonestBackoffSeconds * 1_000, (now - last) / Self.absencesBetweenDials))
        }
        entry.notBefore = now + Int64(Double(wait) * (0.75 + 0.5 * min(max(jitter, 0), 1)))
        let seen = entry.lastConnected ?? entry.addedAt
        if !entry.isChosen, entry.failures >= Self.maximumFailures, now - seen > Self.forgetSeconds * 1_000 {
            forget(peer)
            return
        }
        keep(entry)
    }

    /// A connection with the peer ended: it is not dialed again at once, and as after a failure where it ended before the peer
    /// said what it is.
    public mutating func left(_ peer: PeerID, _ now: Int64, jitter: Double) {
        guard var entry = entries[peer] else { return }
        guard entry.isSettled else { return failed(peer, at: [], now, jitter: jitter) }
        entry.isSettled = false
        entry.lastConnected = now
        let wait = Int64(1_000 * (1 + 2 * min(max(jitter, 0), 1)))
        entry.notBefore = max(entry.notBefore, now + wait)
        keep(entry)
    }

    /// - Returns: whether it was known.
    @discardableResult
    public mutating func forget(_ peer: PeerID) -> Bool {
        changed.insert(peer)
        return entries.removeValue(forKey: peer) != nil
    }

    private mutating func keep(_ entry: Entry) {
        entries[entry.peer] = entry
        changed.insert(entry.peer)
    }

    /// What changed since the last time, to keep or, where nil, to forget.
    mutating func takeChanges() -> [(PeerID, Entry?)] {
        defer { changed = [] }
        return changed.map { ($0, entries[$0]) }
    }

    mutating func restore(changes: [(PeerID, Entry?)]) { changed.formUnion(changes.map(\.0)) }
}
