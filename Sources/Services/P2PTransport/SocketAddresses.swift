internal import Libp2p
internal import NIOCore

extension Multiaddr {
    /// The IP address and TCP port of a socket; nil for one of another kind.
    init?(_ address: SocketAddress?) {
        guard let address, let ip = address.ipAddress, let port = address.port, let port = UInt16(exactly: port) else {
            return nil
        }
        let kind: String
        switch address {
        case .v4: kind = "ip4"
        case .v6: kind = "ip6"
        case .unixDomainSocket: return nil
        }
        try? self.init(parsing: "/\(kind)/\(ip)/tcp/\(port)")
    }
}

extension Multiaddr.Part {
    /// The IP address as text, or the name of the host.
    var hostText: String? {
        switch self {
        case .ip4, .ip6:
            guard let address = try? Multiaddr([self]) else { return nil }
            return String(Substring(address.description.utf8.dropFirst("/ip4/".utf8.count)))
        case .dns(let name), .dns4(let name), .dns6(let name): return name
        case .tcp, .p2p: return nil
        }
    }
}
