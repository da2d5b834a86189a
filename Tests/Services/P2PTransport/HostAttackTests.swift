import Libp2p
import Synchronization
import TestSockets
import Testing

@testable import P2PTransport

@Suite("Hosts under attack", .timeLimit(.minutes(2)))
struct HostAttackTests {
    static func port(_ address: Multiaddr) throws -> Int { Int(try #require(address.tcpEndpoint?.port)) }

    @Test("Half-open connections are bounded, end at the deadline, and give their places back")
    func halfOpen() async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.inboundHandshakes = 3
            limits.handshakeSeconds = 2
            // Nothing else than the deadline is to end them.
            limits.tickSeconds = 600
            let (_, address) = try await hosts.listening(1, limits: limits)
            let port = try Self.port(address)
            var silent: [RawPeer] = []
            for _ in 0..<3 {
                let peer = try await RawPeer.connect(port)
                // Slow, a byte at a time, is no better than silent.
                try await peer.send([0x13])
                silent.append(peer)
            }
            // The host has all three at its door once a fourth is sent away.
            let fourth = try await RawPeer.connect(port)
            #expect(await fourth.isEnded())
            for peer in silent { #expect(await peer.isEnded()) }
            let dialer = try await hosts.dialing(2)
            #expect(try await dialer.dial(address).ping() > .zero)
        }
    }

    @Test("Connections of one address and of one peer are bounded; a closed one makes room")
    func tooMany() async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.connectionsPerAddress = 2
            let (_, address) = try await hosts.listening(1, limits: limits)
            let first = try await hosts.dialing(2).dial(address)
            _ = try await hosts.dialing(3).dial(address)
            let third = try await hosts.dialing(4)
            #expect(await HostTests.code { _ = try await third.dial(address) } == .closed)
            await first.close()
            try await hosts.until { await HostTests.code { _ = try await third.dial(address) } == nil }
        }
    }

    @Test(
        "What is not libp2p is closed, and the host goes on",
        arguments: [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\u{13}/multistream/9.9.9\n", "\u{7F}\u{7F}\u{7F}\u{7F}",
            "\u{13}/multistream/1.0.0\n\u{7}/noise\n\u{0}\u{20}short, and not a key of Noise at all, or so",
        ]
    )
    func garbage(text: String) async throws {
        try await Hosts.with { hosts in
            let (_, address) = try await hosts.listening(1)
            let peer = try await RawPeer.connect(try Self.port(address))
            try await peer.send(text + String(repeating: "x", count: 5_000))
            #expect(await peer.isEnded())
            #expect(try await hosts.dialing(2).dial(address).ping() > .zero)
        }
    }

    @Test("A peer gets no more streams of one protocol than it may have, and none is leaked")
    func streamFlood() async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.streamsPerProtocol = 4
            let (_, address) = try await hosts.listening(1, limits: limits)
            let connection = try await hosts.dialing(2).dial(address)
            // Streams that are refused are broken off; the ones that are served answer.
            func served(_ count: Int) async throws -> Int {
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    for _ in 0..<count {
                        group.addTask {
                            let code = await HostTests.code {
                                try await connection.withStream([Hosts.echo]) { stream in
                                    try await stream.write([7])
                                    guard try await stream.read() == [7] else { throw Libp2pError(.reset, "no answer") }
                                    hosts.events.withLock { $0.append("served") }
                                    try await hosts.until { hosts.events.withLock { $0.contains("go on") } }
                                }
                            }
                            if code != nil { hosts.events.withLock { $0.append("refused") } }
                            return code == nil
                        }
                    }
                    try await hosts.until {
                        hosts.events.withLock { $0.count { $0 == "served" || $0 == "refused" } } == count
                    }
                    hosts.events.withLock { $0.append("go on") }
                    return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
                }
            }
            #expect(try await served(12) == 4)
            // Once they have ended there is room for as many again.
            try await hosts.until {
                await HostTests.code {
                    try await connection.withStream([Hosts.echo]) { stream in
                        try await stream.write([7])
                        _ = try await stream.read()
                    }
                } == nil
            }
        }
    }

    @Test("A peer that falls silent is pinged and then closed; one that answers stays")
    func silent() async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.tickSeconds = 1
            let (_, address) = try await hosts.listening(1, limits: limits)
            let connection = try await hosts.dialing(2).dial(address)
            // Nine ticks, with nothing to say: the host that ticks asks, and hears the answer.
            try await Task.sleep(for: .seconds(9))
            #expect(try await connection.ping() > .zero)
            #expect(!hosts.events.withLock { $0 }.contains { $0.contains("disconnected") })
        }
    }

    @Test("Places are counted per address, network and peer, and each is given back once")
    func table() throws {
        var limits = P2PLimits()
        limits.connections = 4
        limits.connectionsPerAddress = 2
        limits.connectionsPerPeer = 1
        limits.outboundHandshakes = 2
        var table = ConnectionTable(limits)
        let one = try Multiaddr(parsing: "/ip6/2001:db8::1/tcp/1")
        let same = try Multiaddr(parsing: "/ip6/2001:db8::ffff:2/tcp/2")
        let other = try Multiaddr(parsing: "/ip6/2001:db8:1::1/tcp/1")
        let (a, b) = (try table.admit(isInbound: true, address: one), try table.admit(isInbound: true, address: same))
        #expect(throws: Libp2pError.self) { try table.admit(isInbound: true, address: one) }
        let c = try table.admit(isInbound: false, address: other)
        let peer = try Hosts.key(1).peerID
        try table.establish(a, peer: peer)
        #expect(throws: Libp2pError.self) { try table.establish(b, peer: peer) }
        table.remove(a)
        table.remove(a)
        try table.establish(b, peer: peer)
        _ = try table.admit(isInbound: false, address: nil)
        #expect(throws: Libp2pError.self) { try table.admit(isInbound: false, address: nil) }
        table.remove(c)
        _ = try table.admit(isInbound: false, address: one)
        _ = try table.admit(isInbound: true, address: other)
        #expect(throws: Libp2pError.self) { try table.admit(isInbound: true, address: other) }
        #expect(table.count == 4)
    }
}
