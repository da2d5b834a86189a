import Libp2p
import NIOCore
import NIOPosix
import P2PTransport
import Synchronization
import Testing

@testable import Peering

/// Over the machine's own networks: where none of them takes multicast, such as in some containers, there is nothing to test.
@Suite("Peers on the local network, over real sockets", .timeLimit(.minutes(2)))
struct LocalDiscoverySocketTests {
    /// Whether what is sent to the group comes back.
    static func hasMulticast() async -> Bool {
        let heard = Mutex(false)
        guard let peer = try? Network.key(1).peerID,
            let listener = try? LocalDiscovery(
                peer: peer,
                addresses: [],
                port: 25_353,
                onFound: { _, _ in heard.withLock { $0 = true } }
            ),
            let teller = try? LocalDiscovery(
                peer: try Network.key(2).peerID,
                addresses: [try Multiaddr(parsing: "/ip4/10.0.0.1/tcp/1")],
                port: 25_353,
                onFound: { _, _ in }
            )
        else { return false }
        _ = await teller.start()
        _ = await listener.start()
        for _ in 0..<60 where !heard.withLock({ $0 }) { try? await Task.sleep(for: .milliseconds(50)) }
        await listener.stop()
        await teller.stop()
        return heard.withLock { $0 }
    }

    @Test(
        "[GSP-5] Nodes on one network find each other without being told of one another",
        .enabled("multicast works here") { await hasMulticast() }
    )
    func meet() async throws {
        try await Network.with { network in
            func change(_ configuration: inout PeeringConfiguration) {
                configuration.listen = (try? [Multiaddr(parsing: "/ip4/0.0.0.0/tcp/0")]) ?? []
                configuration.looksLocally = true
                configuration.localPort = 25_354
            }
            let one = try await network.node(1, change)
            let two = try await network.node(2, change)
            try await network.until { await Network.connected(two) == [one.peerID] }
        }
    }
}
