internal import Libp2p
internal import P2PTransport
internal import Peering
internal import SignedDocuments

/// How the node meets others on the gossip network.
struct GossipSettings: Sendable {
    var peering: PeeringConfiguration
    /// Whose records count here, besides those of the issuers that services trust.
    var trustedIssuers: Set<DIDKey> = []
    let postage: PostageSettings
    /// How large the file may grow that records, listings and peers are kept in.
    let cacheMaximumBytes: Int64

    /// The most addresses that are listened on, or announced.
    private static let maximumAddresses = 8
    /// The most peers to begin with.
    private static let maximumBootstrap = 32
    /// The most issuers that are trusted by name.
    private static let maximumIssuers = 256
    private static let standardAddress = "/ip4/127.0.0.1/tcp/4402"

    /// - Returns: nil where gossip is turned off.
    /// - Throws: naming the setting that is wrong.
    init?(_ values: ConfigurationValues) throws(ConfigurationError) {
        peering = PeeringConfiguration()
        peering.listen = try Self.addresses(.gossipListen, values, atMost: Self.maximumAddresses)
        if peering.listen.isEmpty {
            // Nobody chose it: two nodes on one machine are no mistake.
            peering.takesOtherPorts = true
            peering.listen = [try Self.address(Self.standardAddress, .gossipListen)]
        }
        for address in peering.listen {
            switch address.parts.first {
            case .ip4, .ip6: continue
            default:
                throw ConfigurationError(
                    "gossip.listen lists IP addresses of this machine, such as /ip4/0.0.0.0/tcp/4402, not \(address)"
                )
            }
        }
        peering.announce = try Self.addresses(.gossipAnnounce, values, atMost: Self.maximumAddresses)
        peering.bootstrap = try Self.addresses(.gossipBootstrap, values, atMost: Self.maximumBootstrap)
        for address in peering.bootstrap where address.tcpEndpoint?.peer == nil {
            throw ConfigurationError(
                "gossip.bootstrap lists addresses with the peer's id, such as \(Self.standardAddress)/p2p/12D3Koo…, not \(address)"
            )
        }
        peering.looksLocally = try values.flag(.gossipMDNS) ?? false
        peering.outbound = Int(try values.number(.gossipOutbound, in: 0...64) ?? 8)
        let connections = Int(try values.number(.gossipConnections, in: 16...4_096) ?? 256)
        guard connections > peering.outbound else {
            throw ConfigurationError(
                "gossip.connections is \(connections), but gossip.outbound alone is \(peering.outbound): raise the first or lower the second"
            )
        }
        peering.limits.connections = connections
        if let count = try values.number(.gossipConnectionsPerAddress, in: 2...4_096) {
            peering.limits.connectionsPerAddress = Int(count)
        }
        cacheMaximumBytes = Int64(try values.number(.gossipCacheMegabytes, in: 64...65_536) ?? 1_024) << 20
        trustedIssuers = try values.nodes(.gossipTrustedIssuers, atMost: Self.maximumIssuers)
        postage = try PostageSettings(values)
        // A quarter stays for those that this side dials.
        peering.limits.inboundConnections = connections - max(connections / 4, peering.outbound)
        guard try values.flag(.gossipEnabled) ?? true else { return nil }
    }

    private static func addresses(_ key: ConfigurationKey, _ values: ConfigurationValues, atMost count: Int)
        throws(ConfigurationError) -> [Multiaddr]
    {
        let texts = values.list(key).filter { !$0.isEmpty }
        guard texts.count <= count else { throw ConfigurationError("\(key.rawValue) lists at most \(count) addresses") }
        var addresses: [Multiaddr] = []
        for text in texts { addresses.append(try address(text, key)) }
        return addresses
    }

    private static func address(_ text: String, _ key: ConfigurationKey) throws(ConfigurationError) -> Multiaddr {
        guard let address = try? Multiaddr(parsing: text), address.tcpEndpoint != nil else {
            throw ConfigurationError("\(key.rawValue): \(text) is no address such as \(standardAddress)")
        }
        return address
    }
}
