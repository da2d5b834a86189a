extension Multiaddr {
    /// From how far away an address can be dialed.
    public enum Reach: Int, Comparable, Sendable {
        /// This machine alone.
        case machine = 0
        /// The same local network (RFC 1918, RFC 6598, RFC 3927, RFC 4193).
        case network = 1
        case internet = 2

        public static func < (left: Reach, right: Reach) -> Bool { left.rawValue < right.rawValue }
    }

    /// Nil for a host name, which may stand for any address, and for what nobody can be dialed at: unspecified, multicast and
    /// reserved addresses, IPv6 link-local ones (they mean nothing without a zone), and IPv6 addresses that hold another one.
    public var reach: Reach? {
        switch parts.first {
        case .ip4(let bytes): Self.reach4(bytes)
        case .ip6(let bytes): Self.reach6(bytes)
        default: nil
        }
    }

    private static func reach4(_ bytes: [UInt8]) -> Reach? {
        switch (bytes[0], bytes[1]) {
        case (0, _), (224..., _): nil
        case (192, 0) where bytes[2] == 0: nil
        case (127, _): .machine
        case (10, _), (172, 16...31), (192, 168), (169, 254), (100, 64...127): .network
        default: .internet
        }
    }

    private static func reach6(_ bytes: [UInt8]) -> Reach? {
        if bytes == [UInt8](repeating: 0, count: 15) + [1] { return .machine }
        if bytes[0] & 0xFE == 0xFC { return .network }
        // 6to4 and Teredo hold an IPv4 address, which may be a private one.
        if bytes[0] == 0x20, bytes[1] == 0x02 { return nil }
        if bytes.starts(with: [0x20, 0x01, 0, 0]) { return nil }
        return bytes[0] & 0xE0 == 0x20 ? .internet : nil
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
