import Libp2p
import NIOCore
import Synchronization
import TestSockets
import Testing

@testable import P2PTransport

@Suite("Whom a host lets in, and how much of each", .timeLimit(.minutes(2)))
struct HostPeeringTests {
    @Test("[GSP-2] However many dial, some connections are kept for those that this side chooses")
    func reserved() throws {
        var limits = P2PLimits()
        limits.connections = 4
        limits.inboundConnections = 2
        var table = ConnectionTable(limits)
        let slots = try (1...2).map {
            try table.admit(isInbound: true, address: try Multiaddr(parsing: "/ip4/8.8.8.\($0)/tcp/1"))
        }
        let other = try Multiaddr(parsing: "/ip4/9.9.9.9/tcp/1")
        #expect(throws: Libp2pError.self) { try table.admit(isInbound: true, address: other) }
        _ = try table.admit(isInbound: false, address: other)
        table.remove(slots[0])
        table.remove(slots[0])
        _ = try table.admit(isInbound: true, address: other)
        #expect(throws: Libp2pError.self) { try table.admit(isInbound: true, address: other) }
    }

    @Test("[GSP-2] A share is so much at once and so much a second, also where less than one comes in a millisecond")
    func shares() {
        var bucket = TokenBucket(perSecond: 10, atOnce: 3)
        let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
        let first = (0..<5).map { _ in bucket.take(1, at: start) }
        #expect(first == [true, true, true, false, false])
        var taken = 0
        for millisecond in 1...2_000 where bucket.take(1, at: start + .milliseconds(Int64(millisecond))) { taken += 1 }
        #expect(taken == 20)
        var bytes = TokenBucket(perSecond: 1_000, atOnce: 500)
        #expect(bytes.spend(500, at: start) == nil)
        #expect(bytes.spend(1_000, at: start) == .milliseconds(1_001))
        #expect(bytes.spend(1, at: start + .seconds(3)) == nil)
        #expect(bytes.spend(0, at: start + .hours(1_000)) == nil)
    }

    @Test("[GSP-2] A peer that sends more than its share waits, and all of it arrives")
    func slowed() async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.bytesPerSecond = 64 * 1024
            limits.bytesAtOnce = 16 * 1024
            let (_, address) = try await hosts.listening(1, limits: limits)
            let connection = try await hosts.dialing(2).dial(address)
            let start = ContinuousClock.now
            let count = 400_000
            try await connection.withStream([Hosts.echo]) { stream in
                async let writing: Void = stream.write([UInt8](repeating: 7, count: count))
                var back = 0
                while back < count, let bytes = try await stream.read() { back += bytes.count }
                try await writing
                #expect(back == count)
            }
            // What one turn of the loop reads, 256 KiB, is not waited for at the end.
            #expect(ContinuousClock.now - start > .seconds(1))
        }
    }

    @Test("[GSP-2] Streams that are opened faster than a peer may are broken off, and the connection stays")
    func streams() async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.streamsAtOnce = 10
            limits.streamsPerSecond = 1
            let (_, address) = try await hosts.listening(1, limits: limits)
            let connection = try await hosts.dialing(2).dial(address)
            var served = 0
            for _ in 0..<60 {
                let code = await HostTests.code {
                    try await connection.withStream([Hosts.echo], deadlineSeconds: 5) { stream in
                        try await stream.write([7])
                        guard try await stream.read() == [7] else { throw Libp2pError(.reset, "no answer") }
                    }
                }
                if code == nil { served += 1 }
            }
            // Identify took one; on a slow machine a few more come with the seconds.
            #expect(served >= 5 && served < 60)
            #expect(try await hosts.dialing(3).dial(address).ping() > .zero)
        }
    }

    @Test("[GSP-2] The gate keeps addresses and peers out, and closes what it lets in no more")
    func gate() async throws {
        try await Hosts.with { hosts in
            let refused = Mutex<Set<PeerID>>([])
            let isOpen = Mutex(true)
            let (listener, address) = try await hosts.listening(
                1,
                gate: { _, peer in
                    isOpen.withLock { $0 } && !(peer.map { peer in refused.withLock { $0.contains(peer) } } ?? false)
                }
            )
            let (two, three) = (try await hosts.dialing(2), try await hosts.dialing(3))
            _ = try await two.dial(address)
            _ = try await three.dial(address)
            try await hosts.until { try await listener.connections().count == 2 }
            refused.withLock { _ = $0.insert(two.peerID) }
            listener.recheck()
            try await hosts.until { try await listener.connections().map(\.peer) == [three.peerID] }
            try await hosts.saw("1 disconnected banned")
            try await hosts.until { try await two.connections().isEmpty }
            #expect(await HostTests.code { _ = try await two.dial(address).ping() } != nil)
            isOpen.withLock { $0 = false }
            // The socket is closed before a byte is said.
            let stranger = try await RawPeer.connect(try HostAttackTests.port(address))
            #expect(await stranger.isEnded())
            #expect(try await listener.statistics().refused >= 1)
            let target = try await hosts.listening(4)
            #expect(await HostTests.code { _ = try await listener.dial(target.address) } == .banned)
        }
    }

    @Test("A probe tells whether the peer answers at an address, and leaves no connection behind")
    func probe() async throws {
        try await Hosts.with { hosts in
            let (listener, address) = try await hosts.listening(1)
            let other = try await hosts.listening(3)
            let prober = try await hosts.dialing(2)
            try await prober.probe(address, seconds: 10)
            let wrong = try other.address.naming(listener.peerID)
            #expect(await HostTests.code { try await prober.probe(wrong, seconds: 10) } == .wrongPeer)
            let closed = try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/1/p2p/\(listener.peerID)")
            #expect(await HostTests.code { try await prober.probe(closed, seconds: 10) } == .unreachable)
            #expect(
                await HostTests.code {
                    try await prober.probe(try Multiaddr(parsing: "/dns/localhost/tcp/1"), seconds: 1)
                } == .unsupported
            )
            #expect(try await prober.connections().isEmpty)
            try await hosts.until { try await listener.connections().isEmpty }
        }
    }

    /// The bytes of a peer that goes so far and then says nothing more, or says it a byte at a time.
    @Test(
        "[GSP-2] A slow-loris is ended at the deadline, at whichever step of the handshake it stops",
        arguments: [
            "", "\u{13}", "\u{13}/multistream/1.0.0\n", "\u{13}/multistream/1.0.0\n\u{7}/noi",
            "\u{13}/multistream/1.0.0\n\u{7}/noise\n", "\u{13}/multistream/1.0.0\n\u{7}/noise\n\u{0}\u{20}key",
        ]
    )
    func slowLoris(begin: String) async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.handshakeSeconds = 1
            limits.inboundHandshakes = 2
            limits.tickSeconds = 600
            let (_, address) = try await hosts.listening(1, limits: limits)
            let peers = [
                try await RawPeer.connect(try HostAttackTests.port(address)),
                try await RawPeer.connect(try HostAttackTests.port(address)),
            ]
            for peer in peers { try await peer.send(begin) }
            for peer in peers { #expect(await peer.isEnded()) }
            try await hosts.saw("1 refused timed-out")
            #expect(try await hosts.dialing(2).dial(address).ping() > .zero)
        }
    }

    @Test(
        "[GSP-2] A stream that is opened and then said nothing on is broken off, be it before or after its protocol is known"
    )
    func idleStreams() async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.tickSeconds = 1
            let (listener, address) = try await hosts.listening(1, limits: limits, gossip: HostGossipTests.quick)
            let connection = try await hosts.dialing(2).dial(address)
            // Identify's push waits for a message; its deadline ends it.
            let code = await HostTests.code {
                try await connection.withStream([Identify.pushProtocolName]) { stream in
                    try await stream.write([0xFF])
                    while try await stream.read() != nil {}
                    throw Libp2pError(.reset, "it was ended")
                }
            }
            #expect(code == .reset)
            #expect(try await listener.connections().count == 1)
        }
    }

    @Test("[GSP-2] An RPC that says to be longer than any ends its stream at once, without its bytes")
    func oversized() async throws {
        try await Hosts.with { hosts in
            let (host, address) = try await hosts.listening(1, gossip: HostGossipTests.quick)
            try await host.subscribe("news") { _, _ in .accept }
            let dialer = try await hosts.dialing(2, gossip: HostGossipTests.quick)
            let connection = try await dialer.dial(address)
            for length: [UInt8] in [[0x81, 0x80, 0x40], [0xFF, 0xFF, 0xFF, 0x7F], [0xFF, 0xFF, 0xFF, 0xFF, 0x0F]] {
                let code = await HostTests.code {
                    try await connection.withStream(GossipSub.protocolNames) { stream in
                        try await stream.write(length)
                        while try await stream.read() != nil {}
                        throw Libp2pError(.closed, "it ended")
                    }
                }
                #expect(code == .reset)
            }
            #expect(try await hosts.dialing(3).dial(address).ping() > .zero)
        }
    }

    @Test("Gossip is heard without being passed on where it is only observed, and a subscription beside it goes on")
    func observe() async throws {
        try await Hosts.with { hosts in
            let inbox = HostGossipTests.Inbox()
            let (middle, address) = try await hosts.listening(1, gossip: HostGossipTests.quick)
            let (left, right) = (
                try await hosts.dialing(2, gossip: HostGossipTests.quick),
                try await hosts.dialing(3, gossip: HostGossipTests.quick)
            )
            let heard = Mutex<[[UInt8]]>([])
            try await middle.setTap { passage in heard.withLock { $0.append(passage.message.data) } }
            try await middle.observe("news")
            for (number, host) in [(UInt8(2), left), (3, right)] {
                try await host.subscribe("news") { message, _ in inbox.take(message, at: number) }
                _ = try await host.dial(address)
            }
            // Both ends: what is published before its author has heard of the subscription goes to nobody.
            try await hosts.until { try await middle.meshPeers(of: "news").count == 2 }
            try await hosts.until { try await left.meshPeers(of: "news") == [middle.peerID] }
            try await left.publish([1], on: "news")
            try await hosts.until { heard.withLock { $0 == [[1]] } }
            try await middle.subscribe("news") { message, _ in inbox.take(message, at: 1) }
            try await left.publish([2], on: "news")
            try await hosts.until { inbox.of(3) == [[2]] }
            #expect(inbox.of(1) == [[2]])
            let counts = try #require(try await middle.statistics().gossip)
            #expect(counts.ignored == 1 && counts.accepted == 1 && counts.received == 2 && counts.duplicates == 0)
            // What is subscribed stays where the observer goes, and the other way round.
            try await middle.stopObserving("news")
            #expect(try await middle.statistics().meshSizes == ["news": 2])
            try await middle.observe("news")
            try await middle.unsubscribe("news")
            #expect(try await middle.statistics().meshSizes["news"] == 2)
            try await middle.stopObserving("news")
            #expect(try await middle.statistics().meshSizes.isEmpty)
        }
    }

    @Test("What a host announces stands in its identity, signed, and peers hear when it changes")
    func announce() async throws {
        try await Hosts.with { hosts in
            let (listener, address) = try await hosts.listening(1)
            let dialer = try await hosts.dialing(2)
            let connection = try await dialer.dial(address)
            try await hosts.saw("2 identified mintmark")
            let other = try Multiaddr(parsing: "/ip4/8.8.8.8/tcp/4402")
            try await listener.announce([other])
            try await listener.pushIdentity()
            try await hosts.until { try await connection.identified()?.listenAddresses == [other] }
            let record = try #require(try await connection.identified()).verified(for: listener.peerID)
            #expect(record?.addresses == [other])
        }
    }
}
