import Libp2p
import Synchronization
import Testing

@testable import P2PTransport

@Suite("Gossip over real sockets", .timeLimit(.minutes(2)))
struct HostGossipTests {
    static var quick: GossipParameters {
        var parameters = GossipParameters()
        parameters.heartbeatMilliseconds = 100
        // Counted in heartbeats: half a minute, so that a slow machine still finds what gossip told of.
        parameters.historyLength = 300
        parameters.historyGossip = 300
        return parameters
    }

    /// A line of hosts, each of which knows only its neighbours, all subscribed.
    static func line(_ count: UInt8, _ hosts: Hosts, _ inbox: Inbox) async throws -> [P2PHost] {
        var line: [P2PHost] = []
        var before: Multiaddr?
        for number in 1...count {
            let (host, address) = try await hosts.listening(number, gossip: quick)
            try await host.subscribe("news") { message, _ in inbox.take(message, at: number) }
            if let before { _ = try await host.dial(before) }
            before = address
            line.append(host)
        }
        for (index, host) in line.enumerated() {
            let neighbours = index == 0 || index == line.count - 1 ? 1 : 2
            try await hosts.until { try await host.meshPeers(of: "news").count == neighbours }
        }
        return line
    }

    final class Inbox: Sendable {
        let messages = Mutex<[UInt8: [[UInt8]]]>([:])

        func take(_ message: GossipMessage, at number: UInt8) -> GossipSub.Verdict {
            messages.withLock { $0[number, default: []].append(message.data) }
            return message.data.first == 0xBD ? .reject : .accept
        }

        func of(_ number: UInt8) -> [[UInt8]] { messages.withLock { $0[number] ?? [] } }
    }

    @Test("A message goes from host to host along a line, once to each; what is rejected goes no further and costs")
    func line() async throws {
        try await Hosts.with { hosts in
            let inbox = Inbox()
            let line = try await Self.line(4, hosts, inbox)
            #expect(try await line[0].publish([1, 2], on: "news") == 1)
            for number in UInt8(2)...4 { try await hosts.until { inbox.of(number) == [[1, 2]] } }
            try await line[0].publish([0xBD], on: "news")
            try await hosts.until { inbox.of(2).count == 2 }
            // Its standing costs it its place in the mesh, for the length of the backoff; news comes by gossip meanwhile.
            try await hosts.until { try await !line[1].meshPeers(of: "news").contains(line[0].peerID) }
            try await line[3].publish([3], on: "news")
            for number in UInt8(1)...3 { try await hosts.until { inbox.of(number).last == [3] } }
            #expect(inbox.of(3) == [[1, 2], [3]] && inbox.of(1) == [[3]])
        }
    }

    @Test("Thousands of messages pass between two hosts as fast as they can, none lost and none twice")
    func many() async throws {
        try await Hosts.with { hosts in
            let inbox = Inbox()
            let line = try await Self.line(2, hosts, inbox)
            for number in 0..<3_000 {
                let data = [1, UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number)]
                try await line[0].publish(data + [UInt8](repeating: 0, count: 253), on: "news")
            }
            try await hosts.until { inbox.of(2).count == 3_000 }
            #expect(Set(inbox.of(2)).count == 3_000)
        }
    }

    @Test("Validation that takes its time holds the sender back, and nothing is lost")
    func slowValidation() async throws {
        try await Hosts.with { hosts in
            let (listener, address) = try await hosts.listening(1, gossip: Self.quick)
            let inbox = Inbox()
            try await listener.subscribe("news") { message, _ in
                try? await Task.sleep(for: .milliseconds(50))
                return inbox.take(message, at: 1)
            }
            let dialer = try await hosts.dialing(2, gossip: Self.quick)
            try await dialer.subscribe("news") { _, _ in .accept }
            _ = try await dialer.dial(address)
            try await hosts.until { try await dialer.meshPeers(of: "news").count == 1 }
            for number in 0..<4_000 {
                let data = [1, UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number)]
                try await dialer.publish(data + [UInt8](repeating: 0, count: 253), on: "news")
            }
            try await hosts.until { inbox.of(1).count == 4_000 }
        }
    }

    @Test("A peer that reads nothing holds nobody back for longer than a second")
    func stuckPeer() async throws {
        try await Hosts.with { hosts in
            let (host, address) = try await hosts.listening(1, gossip: Self.quick)
            // It takes RPCs on a stream that nobody reads.
            let deaf = P2PProtocol(GossipSub.protocolNames[0]) { _ in try await Task.sleep(for: .seconds(600)) }
            let stuck = try await hosts.dialing(2, protocols: [deaf])
            let connection = try await stuck.dial(address)
            try await connection.withStream(GossipSub.protocolNames) { stream in
                var subscription: [UInt8] = [0x0A, 0x08, 0x08, 0x01, 0x12, 0x04] + [UInt8]("news".utf8)
                subscription.insert(UInt8(subscription.count), at: 0)
                try await stream.write(subscription)
                try await hosts.until { try await host.publish([UInt8](repeating: 1, count: 1_000), on: "news") == 1 }
                // A thousand waits of a second each would outlast the test.
                for _ in 0..<1_000 { try await host.publish([UInt8](repeating: 1, count: 1_000), on: "news") }
            }
        }
    }

    @Test("A host that leaves is forgotten, and one that comes again is taken in after its backoff")
    func leaving() async throws {
        try await Hosts.with { hosts in
            let inbox = Inbox()
            let line = try await Self.line(2, hosts, inbox)
            await line[1].close()
            try await hosts.until { try await line[0].meshPeers(of: "news").isEmpty }
            #expect(try await line[0].publish([1], on: "news") == 0)
        }
    }

    @Test("A host started without gossip says so; a topic without a name is none")
    func without() async throws {
        try await Hosts.with { hosts in
            let host = try await hosts.dialing(1)
            #expect(await HostTests.code { try await host.publish([1], on: "news") } == .unsupported)
            let other = try await hosts.dialing(2, gossip: Self.quick)
            #expect(await HostTests.code { try await other.subscribe("") { _, _ in .accept } } == .malformed)
        }
    }

    @Test("A peer that sends no RPCs on its gossip stream loses the stream, and the host goes on")
    func garbage() async throws {
        try await Hosts.with { hosts in
            let (host, address) = try await hosts.listening(1, gossip: Self.quick)
            try await host.subscribe("news") { _, _ in .accept }
            let attacker = try await hosts.dialing(2, gossip: Self.quick)
            let connection = try await attacker.dial(address)
            for bytes: [UInt8] in [[0xFF, 0xFF, 0xFF, 0x7F], [3, 0x0F, 0x0F, 0x0F]] {
                let code = await HostTests.code {
                    try await connection.withStream(GossipSub.protocolNames) { stream in
                        try await stream.write(bytes)
                        _ = try await stream.read()
                    }
                }
                #expect(code == .reset)
            }
            #expect(try await connection.ping() > .zero)
        }
    }
}
