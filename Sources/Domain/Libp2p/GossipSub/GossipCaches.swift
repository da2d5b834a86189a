/// Ids of messages that came, so that each is taken once: bounded in number and time, sixteen bytes an id.
struct SeenMessages: Sendable {
    private var current: Set<Int> = []
    private var previous: Set<Int> = []
    private var turnedAt: Int64 = 0
    private let milliseconds: Int64
    private let count: Int

    /// An id is remembered for at least `milliseconds` and at most twice that, unless more than `count` came meanwhile.
    init(milliseconds: Int64, count: Int) {
        self.milliseconds = milliseconds
        self.count = count
    }

    func contains(_ id: GossipMessageID) -> Bool {
        let hash = id.hashValue
        return current.contains(hash) || previous.contains(hash)
    }

    /// - Returns: whether the id is new.
    mutating func insert(_ id: GossipMessageID, at now: Int64) -> Bool {
        if now - turnedAt >= milliseconds || current.count >= count / 2 {
            previous = current
            current = []
            turnedAt = now
        }
        // The hash is keyed anew in each process: nobody can find two ids that collide in it.
        let hash = id.hashValue
        guard !previous.contains(hash) else { return false }
        return current.insert(hash).inserted
    }
}

/// The messages of the last heartbeats, for gossip and for those that ask.
struct MessageCache: Sendable {
    struct Entry: Sendable {
        let topic: String
        /// The RPC that carries it.
        let frame: [UInt8]
        /// How often each peer was sent it because it asked.
        var sent: [PeerID: Int] = [:]
    }

    private var entries: [GossipMessageID: Entry] = [:]
    /// The newest window last.
    private var windows: [[GossipMessageID]] = [[]]
    private var bytes = 0
    private let length: Int
    private let maximumBytes: Int

    init(length: Int, maximumBytes: Int) {
        self.length = length
        self.maximumBytes = maximumBytes
    }

    mutating func put(_ id: GossipMessageID, _ entry: Entry) {
        guard entries[id] == nil else { return }
        entries[id] = entry
        windows[windows.count - 1].append(id)
        bytes += entry.frame.count
        while bytes > maximumBytes, let first = windows.first {
            if windows.count == 1 {
                forget(first.prefix(max(1, first.count / 2)))
                windows[0].removeFirst(max(1, first.count / 2))
            } else {
                forget(first[...])
                windows.removeFirst()
            }
        }
    }

    /// The frame for a peer that asks; nil where it is not there, or was sent to the peer often enough.
    mutating func frame(_ id: GossipMessageID, for peer: PeerID, atMost times: Int) -> [UInt8]? {
        guard let count = entries[id]?.sent[peer, default: 0], count < times else { return nil }
        entries[id]?.sent[peer] = count + 1
        return entries[id]?.frame
    }

    /// The ids of a topic in the newest windows.
    func ids(of topic: String, windows count: Int) -> [GossipMessageID] {
        windows.suffix(count).flatMap { $0.filter { entries[$0]?.topic == topic } }
    }

    mutating func shift() {
        windows.append([])
        while windows.count > length { forget(windows.removeFirst()[...]) }
    }

    private mutating func forget(_ ids: ArraySlice<GossipMessageID>) {
        for id in ids { bytes -= entries.removeValue(forKey: id)?.frame.count ?? 0 }
    }
}
