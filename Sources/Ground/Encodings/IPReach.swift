/// From how far away an IP address can be dialed: what a stranger names must not lead into a node's own network.
public enum IPReach: Int, Comparable, Sendable {
    /// This machine alone.
    case machine = 0
    /// The same local network, or one for tests (RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 2544).
    case network = 1
    case internet = 2

    /// Of 4 or 16 bytes. Nil for what nobody can be dialed at: unspecified, multicast and reserved addresses, IPv6
    /// link-local ones (they mean nothing without a zone), and IPv6 addresses that hold another one.
    public init?(_ bytes: [UInt8]) {
        switch bytes.count {
        case 4:
            switch (bytes[0], bytes[1]) {
            case (0, _), (224..., _): return nil
            case (192, 0) where bytes[2] == 0: return nil
            case (127, _): self = .machine
            case (10, _), (172, 16...31), (192, 168), (169, 254), (100, 64...127), (198, 18...19): self = .network
            default: self = .internet
            }
        case 16:
            // 6to4 and Teredo hold an IPv4 address, which may be a private one.
            if bytes.starts(with: [0x20, 0x02]) || bytes.starts(with: [0x20, 0x01, 0, 0]) { return nil }
            if bytes == [UInt8](repeating: 0, count: 15) + [1] {
                self = .machine
            } else if bytes[0] & 0xFE == 0xFC {
                self = .network
            } else if bytes[0] & 0xE0 == 0x20 {
                self = .internet
            } else {
                return nil
            }
        default: return nil
        }
    }

    public static func < (left: IPReach, right: IPReach) -> Bool { left.rawValue < right.rawValue }
}
