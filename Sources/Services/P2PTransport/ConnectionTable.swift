internal import Libp2p

/// Which connections there are and which may come: counted from the moment a socket is accepted or dialed.
struct ConnectionTable {
    typealias Slot = UInt64

    private struct Entry {
        let isInbound: Bool
        let address: [UInt8]?
        var peer: PeerID?
    }

    private let limits: P2PLimits
    private var entries: [Slot: Entry] = [:]
    private var perAddress: [[UInt8]: Int] = [:]
    private var perPeer: [PeerID: Int] = [:]
    private var pending = (inbound: 0, outbound: 0)
    /// Connections from outside, those in their handshake among them.
    private(set) var inbound = 0
    private var nextSlot: Slot = 0

    init(_ limits: P2PLimits) {
        self.limits = limits
    }

    var count: Int { entries.count }

    /// Takes a place for a connection that is beginning.
    /// - Parameter address: where from or to; nil for a host whose address is not known yet.
    /// - Throws: `.limitExceeded`.
    mutating func admit(isInbound: Bool, address: Multiaddr?) throws(Libp2pError) -> Slot {
        let key = address?.place
        guard entries.count < limits.connections else {
            throw Libp2pError(.limitExceeded, "there are as many connections as there may be")
        }
        guard !isInbound || inbound < limits.inboundConnections else {
            throw Libp2pError(.limitExceeded, "there are as many connections from outside as there may be")
        }
        guard isInbound ? pending.inbound < limits.inboundHandshakes : pending.outbound < limits.outboundHandshakes
        else {
            throw Libp2pError(.limitExceeded, "as many handshakes are under way as there may be")
        }
        if let key {
            guard perAddress[key, default: 0] < limits.connectionsPerAddress else {
                throw Libp2pError(.limitExceeded, "there are as many connections with this address as there may be")
            }
            perAddress[key, default: 0] += 1
        }
        if isInbound { inbound += 1 }
        if isInbound { pending.inbound += 1 } else { pending.outbound += 1 }
        nextSlot += 1
        entries[nextSlot] = Entry(isInbound: isInbound, address: key)
        return nextSlot
    }

    /// The handshake is complete.
    /// - Throws: `.limitExceeded` where the peer has as many connections as it may; the place is still to be given back.
    mutating func establish(_ slot: Slot, peer: PeerID) throws(Libp2pError) {
        guard let entry = entries[slot], entry.peer == nil else { return }
        guard perPeer[peer, default: 0] < limits.connectionsPerPeer else {
            throw Libp2pError(.limitExceeded, "there are as many connections with this peer as there may be")
        }
        perPeer[peer, default: 0] += 1
        entries[slot]?.peer = peer
        if entry.isInbound { pending.inbound -= 1 } else { pending.outbound -= 1 }
    }

    /// Gives the place back; a second time does nothing.
    mutating func remove(_ slot: Slot) {
        guard let entry = entries.removeValue(forKey: slot) else { return }
        if entry.isInbound { inbound -= 1 }
        if let key = entry.address { Self.decrease(&perAddress, key) }
        if let peer = entry.peer {
            Self.decrease(&perPeer, peer)
        } else if entry.isInbound {
            pending.inbound -= 1
        } else {
            pending.outbound -= 1
        }
    }

    private static func decrease<Key>(_ counts: inout [Key: Int], _ key: Key) {
        let count = counts[key, default: 1] - 1
        counts[key] = count == 0 ? nil : count
    }
}
