import Cryptography
import Libp2p
import Synchronization
import Testing

@testable import P2PTransport

@Suite("Hosts that are flooded", .timeLimit(.minutes(2)))
struct HostFloodTests {
    /// RPCs without end, each of a hundred messages that are framed well and are not what they say.
    enum Flood: String, CaseIterable, CustomTestStringConvertible {
        case badSignature, malformed, oversized, badRPC

        var testDescription: String { rawValue }

        func frame(_ number: UInt64, from key: PeerKey) -> [UInt8] {
            if self == .badRPC { return [3, 0x0F, 0x0F, 0x0F] }
            var rpc = GossipRPC()
            rpc.messages = (0..<(self == .oversized ? 3 : 100)).map { index in
                var writer = ProtobufWriter()
                if self != .malformed { writer.bytes(1, key.peerID.bytes) }
                let count = self == .oversized ? GossipParameters().maximumMessageBytes : 200
                writer.bytes(2, [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: count))
                let sequence = number &* 100 &+ UInt64(index)
                writer.bytes(3, (0..<8).map { UInt8(truncatingIfNeeded: sequence >> (56 - 8 * UInt64($0))) })
                writer.text(4, "news")
                writer.bytes(5, [UInt8](repeating: 0x2A, count: 64))
                return writer.bytes[...]
            }
            return rpc.delimited
        }
    }

    /// Sends for as long as the host takes it.
    /// - Returns: how many RPCs went out, and what ended it.
    private static func flood(
        _ flood: Flood,
        by attacker: P2PHost,
        key: PeerKey,
        _ connection: P2PConnection,
        reopens: Bool = true
    ) async throws -> (sent: Int, code: Libp2pError.Code?) {
        let sent = Mutex(0)
        // Made beforehand, so that all the time goes into sending.
        let frames = (0..<(flood == .oversized ? 5 : 50)).map { flood.frame(UInt64($0), from: key) }
        var code: Libp2pError.Code?
        // A stream that is broken off is opened again, as an attacker would.
        repeat {
            code = await HostTests.code {
                try await connection.withStream(GossipSub.protocolNames) { stream in
                    while true {
                        try await stream.write(frames[sent.withLock { $0 } % frames.count])
                        sent.withLock { $0 += 1 }
                    }
                }
            }
        } while code == .reset && reopens
        return (sent.withLock { $0 }, code)
    }

    @Test(
        "A peer that floods with what is invalid is cut off, little of it is looked at, and others hear all meanwhile",
        arguments: Flood.allCases
    )
    func invalid(_ flood: Flood) async throws {
        try await Hosts.with { hosts in
            let inbox = HostGossipTests.Inbox()
            let line = try await HostGossipTests.line(3, hosts, inbox)
            let victim = line[1]
            let address = try #require(try await victim.listenAddresses().first).naming(victim.peerID)
            let key = try Hosts.key(9)
            let attacker = try await hosts.dialing(9, gossip: HostGossipTests.quick)
            try await attacker.subscribe("news") { _, _ in .accept }
            let connection = try await attacker.dial(address)
            try await hosts.until { try await victim.meshPeers(of: "news").contains(attacker.peerID) }
            async let flooding = Self.flood(flood, by: attacker, key: key, connection)
            for number in UInt8(0)..<20 { try await line[0].publish([1, number], on: "news") }
            let (sent, code) = try await flooding
            #expect(sent > 0 && code == .closed)
            try await hosts.saw("2 disconnected standing-too-low")
            for number in UInt8(0)..<20 { try await hosts.until { inbox.of(3).contains([1, number]) } }
            #expect(inbox.of(2).count == 20 && inbox.of(3).count == 20)
            let counts = try #require(try await victim.statistics().gossip)
            // Six with a bad signature, or eighteen that are malformed, are too many, whatever came behind them.
            #expect(counts.rejected + counts.malformed <= 24)
            #expect(try await victim.score(of: attacker.peerID) < -2_500)
            // Coming again does not help: the first RPC is the last.
            let again = try await attacker.dial(address)
            #expect(try await Self.flood(flood, by: attacker, key: key, again).code == .closed)
            let after = try #require(try await victim.statistics().gossip)
            #expect(after.rejected + after.malformed <= counts.rejected + counts.malformed + 1)
            #expect(try await !victim.meshPeers(of: "news").contains(attacker.peerID))
        }
    }

    @Test("A peer that floods and takes no stream of the host's is not listened to, and its stream is broken off")
    func oneWay() async throws {
        try await Hosts.with { hosts in
            let (victim, address) = try await hosts.listening(1, gossip: HostGossipTests.quick)
            try await victim.subscribe("news") { _, _ in .accept }
            // It serves nothing of GossipSub, so that it has no standing with the host.
            let attacker = try await hosts.dialing(2)
            let key = try Hosts.key(2)
            let connection = try await attacker.dial(address)
            let (sent, code) = try await Self.flood(.badSignature, by: attacker, key: key, connection, reopens: false)
            #expect(code == .reset && sent < 50)
            let counts = try #require(try await victim.statistics().gossip)
            #expect(counts.received == 0)
        }
    }

    @Test("What a slow validator finds invalid, of thousands at once, cuts the peer off, and no more waits than may")
    func rejected() async throws {
        try await Hosts.with { hosts in
            var parameters = HostGossipTests.quick
            parameters.maximumValidating = 200
            let (victim, address) = try await hosts.listening(1, gossip: parameters)
            let waiting = Mutex((now: 0, most: 0))
            try await victim.subscribe("news") { _, _ in
                waiting.withLock {
                    $0.now += 1
                    $0.most = max($0.most, $0.now)
                }
                try? await Task.sleep(for: .milliseconds(20))
                waiting.withLock { $0.now -= 1 }
                return .reject
            }
            let key = try Hosts.key(9)
            // Good signatures: a record that is none is not known by its envelope.
            let frames = try (0..<60).map { number in
                var rpc = GossipRPC()
                rpc.messages = try (0..<50).map { index in
                    try GossipMessage(signing: [0xBD], topic: "news", sequence: UInt64(number * 50 + index), key: key)
                        .protobuf[...]
                }
                return rpc.delimited
            }
            let attacker = try await hosts.dialing(9, gossip: HostGossipTests.quick)
            try await attacker.subscribe("news") { _, _ in .accept }
            let connection = try await attacker.dial(address)
            try await hosts.until { try await victim.meshPeers(of: "news").count == 1 }
            let code = await HostTests.code {
                try await connection.withStream(GossipSub.protocolNames) { stream in
                    for frame in frames { try await stream.write(frame) }
                    while try await stream.read() != nil {}
                    throw Libp2pError(.failed, "all were taken")
                }
            }
            #expect(code == .closed)
            try await hosts.saw("1 disconnected standing-too-low")
            #expect(waiting.withLock { $0.most } <= 200)
        }
    }
}
