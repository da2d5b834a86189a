import Libp2p
import Synchronization
import TestSockets
import Testing

@testable import P2PTransport

@Suite("Hosts and peers that begin and do not end", .timeLimit(.minutes(2)))
struct HostSlowTests {
    /// Opens a stream, says something again and again, and waits until the host breaks it off.
    private static func trickle(
        _ protocols: [String],
        _ connection: P2PConnection,
        first: [UInt8],
        again: [UInt8]
    ) async -> Libp2pError.Code? {
        await HostTests.code {
            try await connection.withStream(protocols) { stream in
                try await stream.write(first)
                while true {
                    try await Task.sleep(for: .milliseconds(20))
                    try await stream.write(again)
                }
            }
        }
    }

    @Test("[GSP-2] A half-sent RPC is broken off in time though bytes of it keep coming, and costs its sender")
    func halfRPC() async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.rpcSeconds = 1
            limits.tickSeconds = 600
            let (host, address) = try await hosts.listening(1, limits: limits, gossip: HostGossipTests.quick)
            let inbox = HostGossipTests.Inbox()
            try await host.subscribe("news") { message, _ in inbox.take(message, at: 1) }
            let attacker = try await hosts.dialing(2, gossip: HostGossipTests.quick)
            try await attacker.subscribe("news") { _, _ in .accept }
            let connection = try await attacker.dial(address)
            try await hosts.until { try await host.meshPeers(of: "news").count == 1 }
            // 1,024 bytes that come one at a time, or not at all. The third costs: twice is overlooked.
            for _ in 0..<2 {
                let names = [GossipSub.protocolNames[1]]
                async let slow = Self.trickle(names, connection, first: [0x80, 0x08], again: [7])
                async let silent = Self.trickle(names, connection, first: [0x80, 0x08], again: [])
                #expect(await slow == .reset)
                #expect(await silent == .reset)
            }
            #expect(try await host.score(of: attacker.peerID) < 0)
            // Its other stream, which is between two RPCs, is as good as before.
            try await attacker.publish([1, 2, 3], on: "news")
            try await hosts.until { inbox.of(1) == [[1, 2, 3]] }
        }
    }

    @Test("[GSP-2] Where more is half sent than there is room for, the longest goes and the short ones stay")
    func room() async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.halfSentBytes = 100_000
            let (host, address) = try await hosts.listening(1, limits: limits, gossip: HostGossipTests.quick)
            try await host.subscribe("news") { _, _ in .accept }
            let (greedy, honest) = (
                try await hosts.dialing(2, gossip: HostGossipTests.quick),
                try await hosts.dialing(3, gossip: HostGossipTests.quick)
            )
            let (one, two) = (try await greedy.dial(address), try await honest.dial(address))
            let code = await HostTests.code {
                try await one.withStream(GossipSub.protocolNames) { stream in
                    // Half of an RPC of 180,000 bytes.
                    try await stream.write([0xA0, 0xFE, 0x0A] + [UInt8](repeating: 1, count: 90_000))
                    try await two.withStream(GossipSub.protocolNames) { other in
                        // And of one of 20,000, a field that nobody knows; then its end, and a subscription.
                        let head: [UInt8] = [0xA0, 0x9C, 0x01, 0x7A, 0x9C, 0x9C, 0x01]
                        try await other.write(head + [UInt8](repeating: 1, count: 10_000))
                        do {
                            while try await stream.read() != nil {}
                        } catch let error as Libp2pError {
                            hosts.events.withLock { $0.append("greedy \(error.code.rawValue)") }
                        }
                        try await other.write([UInt8](repeating: 1, count: 9_996))
                        try await other.write([0x0A, 0x0A, 0x08, 0x08, 0x01, 0x12, 0x04] + [UInt8]("news".utf8))
                        other.finish()
                        while try await other.read() != nil {}
                    }
                }
            }
            #expect(code == nil)
            #expect(hosts.events.withLock { $0 }.contains("greedy reset"))
            let counts = try #require(try await host.statistics().gossip)
            #expect(counts.malformed == 0)
        }
    }

    @Test("[GSP-2] A ping that is begun and not ended, and one that is not followed, end their stream")
    func halfPing() async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.pingSeconds = 1
            let (_, address) = try await hosts.listening(1, limits: limits)
            let connection = try await hosts.dialing(2).dial(address)
            #expect(await Self.trickle([Ping.protocolName], connection, first: [1], again: []) == .reset)
            let code = await HostTests.code {
                try await connection.withStream([Ping.protocolName]) { stream in
                    try await stream.write([UInt8](repeating: 3, count: Ping.byteCount))
                    while try await stream.read() != nil {}
                }
            }
            #expect(code == .reset)
            #expect(try await connection.ping() > .zero)
        }
    }

    @Test("A peer that ended the stream it is told on is told again on another after a while")
    func reopened() async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.reopenSeconds = 1
            let (host, address) = try await hosts.listening(1, limits: limits, gossip: HostGossipTests.quick)
            let opened = Mutex(0)
            let once = P2PProtocol(GossipSub.protocolNames[0]) { stream in
                let number = opened.withLock { count in
                    count += 1
                    return count
                }
                guard number > 1 else { throw Libp2pError(.failed, "as the test wants it") }
                while try await stream.read() != nil {}
            }
            let other = try await hosts.dialing(2, protocols: [once])
            _ = try await other.dial(address)
            try await hosts.until { opened.withLock { $0 } == 2 }
            try await hosts.until { try await host.standing(of: other.peerID) != nil }
        }
    }

    @Test("[GSP-2] A peer that sends a frame a byte at a time is as silent as one that sends nothing")
    func halfFrame() async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.tickSeconds = 1
            let (_, address) = try await hosts.listening(1, limits: limits)
            let peer = try await RawPeer.connect(try HostAttackTests.port(address))
            var session = PeerSession(isDialer: true, key: try Hosts.key(2), protocols: [])
            while session.peer == nil || session.hasOutput {
                if session.hasOutput { try await peer.send(try session.takeOutput().bytes) }
                if session.peer == nil { _ = try session.receive(try await peer.some()[...]) }
            }
            try await hosts.saw("1 connected")
            let trickling = Task {
                // A frame of 65,535 bytes: of these there are enough for hours.
                try await peer.send([0xFF, 0xFF])
                while true {
                    try await peer.send([7])
                    try await Task.sleep(for: .milliseconds(100))
                }
            }
            #expect(await peer.isEnded())
            trickling.cancel()
            try await hosts.saw("1 disconnected timed-out")
        }
    }
}
