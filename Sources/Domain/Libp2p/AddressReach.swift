public import Encodings

extension Multiaddr {
    /// From how far away it can be dialed. Nil for a host name, which may stand for any address, and as ``IPReach`` says.
    public var reach: IPReach? {
        switch parts.first {
        case .ip4(let bytes), .ip6(let bytes): IPReach(bytes)
        default: nil
        }
    }

    /// What counts as one place: an IPv4 address, or the 64 bits of an IPv6 network, in which one holder has many; nil for
    /// a host name.
    public var place: [UInt8]? {
        switch parts.first {
        case .ip4(let bytes): bytes
        case .ip6(let bytes): [UInt8](bytes.prefix(8))
        default: nil
        }
    }

    /// What one operator is likely to hold as a whole: the first 16 bits of an IPv4 address, the first 32 of IPv6.
    public var neighbourhood: [UInt8]? {
        switch parts.first {
        case .ip4(let bytes): [UInt8](bytes.prefix(2))
        case .ip6(let bytes): [UInt8](bytes.prefix(4))
        default: nil
        }
    }

    /// Without a peer id at its end.
    public var withoutPeer: Multiaddr {
        guard case .p2p = parts.last, parts.count > 1, let bare = try? Multiaddr(parts.dropLast()) else { return self }
        return bare
    }
}
