import Cryptography
import Encodings
import Libp2p
import Logging
import NIOCore
import NIOPosix
import P2PTransport
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Peering

/// Nodes on loopback, each with a store that outlives it.
final class Network: Sendable {
    let folder: TemporaryFolder
    /// Milliseconds that the clock of all is ahead.
    let ahead = Mutex<Int64>(0)
    private let open = Mutex<[(Peering, Database)]>([])
    private let hosts = Mutex<[P2PHost]>([])

    init() throws { folder = try TemporaryFolder() }

    var clock: WallClock {
        WallClock { [self] in WallClock.system.now().adding(milliseconds: ahead.withLock { $0 }) }
    }

    static func key(_ number: UInt8) throws -> PeerKey {
        PeerKey(try Ed25519.PrivateKey(seed: [UInt8](repeating: number, count: 32)))
    }

    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// A node that listens; the same number has the same key and store.
    func node(
        _ number: UInt8,
        bootstrap: [Multiaddr] = [],
        starts: Bool = true,
        _ change: (inout PeeringConfiguration) -> Void = { _ in }
    ) async throws -> Peering {
        let database = try Database(
            path: folder.path + "/\(number).sqlite",
            migrations: PeerStore.migrations,
            logger: Self.logger
        )
        var configuration = PeeringConfiguration()
        configuration.listen = [try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0")]
        configuration.bootstrap = bootstrap
        configuration.roundMilliseconds = 20
        configuration.exchangeSeconds = 0
        configuration.answerSeconds = 0
        configuration.gossip.heartbeatMilliseconds = 100
        change(&configuration)
        let peering = try await Peering(
            key: try Self.key(number),
            configuration: configuration,
            store: PeerStore(database),
            clock: clock,
            logger: Self.logger
        )
        open.withLock { $0.append((peering, database)) }
        if starts { try await peering.start() }
        return peering
    }

    func end(_ peering: Peering) async {
        await peering.stop()
        let database = open.withLock { open -> Database? in
            guard let index = open.firstIndex(where: { $0.0 === peering }) else { return nil }
            return open.remove(at: index).1
        }
        await database?.close()
    }

    /// A host without any of this, such as an attacker's.
    func bare(_ number: UInt8, protocols: [P2PProtocol] = []) async throws -> P2PHost {
        let host = try await P2PHost.start(
            key: try Self.key(number),
            protocols: protocols,
            gossip: GossipParameters(),
            loop: MultiThreadedEventLoopGroup.singleton.next(),
            logger: Self.logger
        )
        hosts.withLock { $0.append(host) }
        return host
    }

    static func address(_ peering: Peering) async throws -> Multiaddr {
        try #require(await peering.addresses.first).naming(peering.peerID)
    }

    func until(_ condition: () async throws -> Bool) async throws {
        while try await !condition() { try await Task.sleep(for: .milliseconds(10)) }
    }

    static func connected(_ peering: Peering) async -> Set<PeerID> {
        Set(await peering.peers().filter { $0.direction != nil }.map(\.peer))
    }

    static func with(_ body: (Network) async throws -> Void) async throws {
        let network = try Network()
        do {
            try await body(network)
        } catch {
            await network.close()
            throw error
        }
        await network.close()
    }

    private func close() async {
        for (peering, _) in open.withLock({ $0 }) { await end(peering) }
        for host in hosts.withLock({ $0 }) { await host.close() }
    }
}

@Suite("Nodes meet", .timeLimit(.minutes(2)))
struct PeeringTests {
    @Test(
        "[GSP-3] Nodes find each other by bootstrap, a third by those that it is passed on, and all again from the store"
    )
    func meet() async throws {
        try await Network.with { network in
            let one = try await network.node(1)
            let address = try await Network.address(one)
            let two = try await network.node(2, bootstrap: [address])
            let three = try await network.node(3, bootstrap: [address])
            // Two and three know only one; it tells each of the other.
            try await network.until { await Network.connected(three) == [one.peerID, two.peerID] }
            #expect(await Network.connected(one) == [two.peerID, three.peerID])
            await network.end(three)
            // Without a bootstrap address, and with the first one gone.
            await network.end(one)
            let again = try await network.node(3)
            try await network.until { await Network.connected(again) == [two.peerID] }
        }
    }

    @Test("[GSP-3] Two that dial each other at once keep one connection, the same one on both sides")
    func dialedAtOnce() async throws {
        try await Network.with { network in
            let (one, two) = (try await network.node(1), try await network.node(2))
            let hosts = [try #require(await one.host), try #require(await two.host)]
            let places = [try await Network.address(two), try await Network.address(one)]
            async let first = hosts[0].dial(places[0])
            async let second = hosts[1].dial(places[1])
            _ = try await (first, second)
            for host in hosts {
                let isLower = host.peerID == hosts.map(\.peerID).min()
                try await network.until {
                    let connections = try await host.connections()
                    return connections.count == 1 && connections[0].isInbound != isLower
                }
            }
        }
    }

    @Test("[GSP-11] A ban closes what there is and keeps out, both ways and after a restart, until it is taken back")
    func ban() async throws {
        try await Network.with { network in
            let one = try await network.node(1)
            let two = try await network.node(2, bootstrap: [try await Network.address(one)])
            // Once it has said where it listens, which the other keeps over its restart.
            try await network.until { await one.peers().contains { $0.direction != nil && !$0.addresses.isEmpty } }
            try await one.ban(.peer(two.peerID), seconds: nil, reason: "test")
            try await network.until { await Network.connected(one).isEmpty }
            let host = try await two.running()
            await #expect(throws: Libp2pError.self) {
                // The handshake succeeds on this side first, so that the end shows at the first word.
                try await host.dial(try await Network.address(one)).ping()
            }
            await network.end(one)
            let again = try await network.node(1)
            #expect(await again.bansInForce().map(\.subject) == [.peer(two.peerID)])
            await #expect(throws: Libp2pError.self) {
                try await again.running().dial(try await Network.address(two))
            }
            try await again.unban(.peer(two.peerID))
            try await network.until { await !Network.connected(again).isEmpty }
        }
    }

    @Test("[GSP-9] Who breaks the rules under its own key is banned for a minute, and let in again after it")
    func violation() async throws {
        try await Network.with { network in
            let one = try await network.node(1)
            let attacker = try await network.bare(9)
            let connection = try await attacker.dial(try await Network.address(one))
            try await network.until { await Network.connected(one) == [attacker.peerID] }
            #expect(one.bans.judge(.disconnected(connection, Libp2pError(.closed, "went"))) == false)
            // As the host tells it where a frame breaks the rules; the connection is the attacker's own view of the same.
            let told = try #require(try await one.running().connections().first)
            #expect(one.bans.judge(.disconnected(told, Libp2pError(.protocolViolation, "window"))))
            try await one.running().recheck()
            try await network.until { await Network.connected(one).isEmpty }
            await #expect(throws: Libp2pError.self) {
                try await attacker.dial(try await Network.address(one)).ping()
            }
            network.ahead.withLock { $0 += 61_000 }
            #expect(try await attacker.dial(try await Network.address(one)).ping() > .zero)
        }
    }

    @Test("[GSP-9] A peer that floods with messages that are rejected is cut off by its standing, and banned for it")
    func graylisted() async throws {
        try await Network.with { network in
            let one = try await network.node(1)
            try await one.running().subscribe("news") { _, _ in .reject }
            let attacker = try await network.bare(9)
            try await attacker.subscribe("news") { _, _ in .accept }
            _ = try await attacker.dial(try await Network.address(one))
            try await network.until { try await attacker.meshPeers(of: "news") == [one.peerID] }
            try await network.until {
                try await attacker.publish([1], on: "news")
                return await !one.bansInForce().isEmpty
            }
            let ban = try #require(await one.bansInForce().first)
            #expect(ban.subject == .peer(attacker.peerID) && ban.reason == "graylisted" && !ban.isManual)
            try await network.until { await Network.connected(one).isEmpty }
        }
    }

    @Test("[GSP-4] A peer that passes on what nobody signed is banned, and nothing of it is kept")
    func forged() async throws {
        try await Network.with { network in
            let honest = try PeerBookTests.sealed(77, ["/ip4/127.0.0.1/tcp/9"]).sealed
            var forged = try PeerBookTests.sealed(78, ["/ip4/127.0.0.1/tcp/9"]).sealed
            forged[forged.count - 1] ^= 1
            let answer = PeerExchange.answer([honest, forged])
            let poisoner = try await network.bare(
                9,
                protocols: [
                    P2PProtocol(PeerExchange.protocolName) { stream in try await stream.write(answer) }
                ]
            )
            let address = try await poisoner.listen(on: try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0"))
            let one = try await network.node(1, bootstrap: [address])
            try await network.until { await !one.bansInForce().isEmpty }
            #expect(await one.bansInForce().map(\.subject) == [.peer(poisoner.peerID)])
            try await network.until { await Network.connected(one).isEmpty }
            #expect(await one.peers().map(\.peer) == [poisoner.peerID])
        }
    }

    @Test("Who asks for peers again and again is answered once in the while")
    func greedy() async throws {
        try await Network.with { network in
            let one = try await network.node(1) { $0.answerSeconds = 60 }
            let asker = try await network.bare(9)
            let connection = try await asker.dial(try await Network.address(one))
            func ask() async -> Bool {
                let answer = try? await connection.withStream([PeerExchange.protocolName]) { stream in
                    stream.finish()
                    return try await stream.read()
                }
                return answer ?? nil != nil
            }
            #expect(await ask())
            #expect(await !ask())
            network.ahead.withLock { $0 += 61_000 }
            #expect(await ask())
        }
    }

    @Test("[GSP-6] [GSP-8] A node learns that it can be reached from one that it dialed; who listens nowhere does not")
    func reachable() async throws {
        try await Network.with { network in
            let one = try await network.node(1)
            let address = try await Network.address(one)
            let two = try await network.node(2, bootstrap: [address])
            try await network.until { await two.reachability == .reachable }
            // It was dialed, and dialed nobody: it asks nobody.
            #expect(await one.reachability == .unknown)
            let three = try await network.node(3, bootstrap: [address]) { $0.listen = [] }
            try await network.until { await Network.connected(three).contains(one.peerID) }
            #expect(await three.reachability == .unknown)
        }
    }

    private static func dialBack(_ connection: P2PConnection, _ addresses: [Multiaddr]) async throws -> DialBack.Answer
    {
        try await connection.withStream([DialBack.protocolName], deadlineSeconds: 30) { stream in
            try await stream.write(DialBack.question(addresses))
            stream.finish()
            var reader = DelimitedReader(maximumBytes: DialBack.maximumBytes)
            while let bytes = try await stream.read() {
                reader.append(bytes)
                if let message = try reader.next() { return try DialBack.Answer(message) }
            }
            throw Libp2pError(.malformed, "no answer")
        }
    }

    @Test(
        "[GSP-6] [GSP-7] Dialing back serves nobody as an amplifier: not other machines, not often, not under another key"
    )
    func amplifier() async throws {
        try await Network.with { network in
            let one = try await network.node(1)
            let asker = try await network.bare(9)
            let own = try await asker.listen(on: try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0"))
            let connection = try await asker.dial(try await Network.address(one))
            let others = try ["/ip4/127.0.0.2/tcp/4402", "/ip4/8.8.8.8/tcp/53", "/dns/localhost/tcp/1"].map {
                try Multiaddr(parsing: $0)
            }
            #expect(try await Self.dialBack(connection, others).outcome == .refused)
            #expect(try await Self.dialBack(connection, []).outcome == .refused)
            #expect(
                try await Self.dialBack(connection, others + [own])
                    == DialBack.Answer(.reachable, address: own.withoutPeer)
            )
            // Once in half a minute from one place, whoever asks there.
            #expect(try await Self.dialBack(connection, [own]).outcome == .refused)
            let other = try await network.bare(8)
            let second = try await other.dial(try await Network.address(one))
            #expect(try await Self.dialBack(second, [own]).outcome == .refused)
            network.ahead.withLock { $0 += 31_000 }
            // Another peer listens there: the asker is not reached by it.
            #expect(try await Self.dialBack(second, [own]).outcome == .unreachable)
        }
    }

    @Test("A node that strangers reach through this machine dials nobody on it")
    func behindProxy() async throws {
        try await Network.with { network in
            let one = try await network.node(1) { $0.listen = (try? [Multiaddr(parsing: "/ip4/0.0.0.0/tcp/0")]) ?? [] }
            let port = try #require(try await one.running().listenAddresses().first?.tcpEndpoint?.port)
            let asker = try await network.bare(9)
            let own = try await asker.listen(on: try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0"))
            let connection = try await asker.dial(try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/\(port)"))
            #expect(try await Self.dialBack(connection, [own]).outcome == .refused)
        }
    }

    @Test("What passes can be watched, also of a topic that nothing here subscribes to; then it is left again")
    func watch() async throws {
        try await Network.with { network in
            let one = try await network.node(1)
            let two = try await network.node(2, bootstrap: [try await Network.address(one)])
            let stream = try await one.watch("news")
            let publisher = try await two.running()
            try await publisher.subscribe("news") { _, _ in .accept }
            try await network.until { try await publisher.meshPeers(of: "news") == [one.peerID] }
            try await publisher.publish([1, 2, 3], on: "news")
            var iterator = stream.makeAsyncIterator()
            let passage = try #require(await iterator.next())
            #expect(passage.message.data == [1, 2, 3] && passage.from == two.peerID && passage.verdict == .ignore)
            let watching = Task { for await _ in stream {} }
            watching.cancel()
            await watching.value
            try await network.until { try await one.running().statistics().meshSizes.isEmpty }
        }
    }

    @Test("[GSP-12] What a banned peer published is heard all the same where others bring it")
    func author() async throws {
        try await Network.with { network in
            let one = try await network.node(1)
            let two = try await network.node(2, bootstrap: [try await Network.address(one)])
            let author = try await network.bare(9)
            try await one.ban(.peer(author.peerID), seconds: nil, reason: "")
            _ = try await author.dial(try await Network.address(two))
            let (middle, end) = (try await two.running(), try await one.running())
            let heard = Mutex<[PeerID]>([])
            try await author.subscribe("news") { _, _ in .accept }
            try await middle.subscribe("news") { _, _ in .accept }
            try await end.subscribe("news") { message, _ in
                heard.withLock { $0.append(message.from) }
                return .accept
            }
            // Each side has to have heard of the other: what is published before is told to nobody.
            try await network.until { try await author.meshPeers(of: "news") == [middle.peerID] }
            try await network.until { try await middle.meshPeers(of: "news").count == 2 }
            try await author.publish([1], on: "news")
            try await network.until { heard.withLock { $0 == [author.peerID] } }
        }
    }

    @Test("[GSP-11] Added peers are dialed at once and kept; a wrong address is said and tried again later")
    func add() async throws {
        try await Network.with { network in
            let one = try await network.node(1)
            let two = try await network.node(2) { $0.outbound = 0 }
            #expect(try await two.add(try await Network.address(one)))
            await #expect(throws: Libp2pError.self) {
                try await two.add(try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/1/p2p/\(try Network.key(7).peerID)"))
            }
            await #expect(throws: PeeringError.self) {
                try await two.add(try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/1"))
            }
            await #expect(throws: PeeringError.self) { try await two.add(try await Network.address(two)) }
            let listed = await two.peers()
            #expect(Set(listed.map(\.peer)) == [one.peerID, try Network.key(7).peerID])
            try await two.remove(try Network.key(7).peerID)
            await #expect(throws: PeeringError.self) { try await two.remove(try Network.key(7).peerID) }
        }
    }

    @Test("A node without a running host keeps peers and bans, and says what it cannot do")
    func resting() async throws {
        try await Network.with { network in
            let one = try await network.node(1, starts: false)
            let address = try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/1/p2p/\(try Network.key(7).peerID)")
            #expect(try await !one.add(address))
            try await one.ban(.place([8, 8, 8, 8]), seconds: 60, reason: "")
            await #expect(throws: PeeringError.self) { try await one.watch(nil) }
            await network.end(one)
            let again = try await network.node(1, starts: false)
            #expect(await again.peers().count == 1)
            #expect(await again.bansInForce().count == 1)
        }
    }

    @Test("A port that is in use is said, or another one is taken where that is allowed")
    func portInUse() async throws {
        try await Network.with { network in
            let one = try await network.node(1)
            let taken = try await Network.address(one).withoutPeer
            await #expect(throws: PeeringError.self) { _ = try await network.node(2) { $0.listen = [taken] } }
            let three = try await network.node(3) {
                $0.listen = [taken]
                $0.takesOtherPorts = true
            }
            #expect(try await Network.address(three).withoutPeer != taken)
        }
    }
}
