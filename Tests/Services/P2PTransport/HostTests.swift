import Cryptography
import Libp2p
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSockets
import Testing

@testable import P2PTransport

/// Hosts on loopback that are closed when the test ends.
final class Hosts: Sendable {
    static let echo = "/test/echo/1"

    let events = Mutex<[String]>([])
    private let started = Mutex<[P2PHost]>([])

    static func key(_ number: UInt8) throws -> PeerKey {
        PeerKey(try Ed25519.PrivateKey(seed: [UInt8](repeating: number, count: 32)))
    }

    static let echoing = P2PProtocol(echo) { stream in
        while let bytes = try await stream.read() { try await stream.write(bytes) }
    }

    /// The listening host and its address.
    func listening(
        _ number: UInt8,
        protocols: [P2PProtocol] = [echoing],
        limits: P2PLimits = P2PLimits(),
        gossip: GossipParameters? = nil,
        gate: @escaping @Sendable (Multiaddr?, PeerID?) -> Bool = { _, _ in true }
    ) async throws -> (host: P2PHost, address: Multiaddr) {
        let host = try await dialing(number, protocols: protocols, limits: limits, gossip: gossip, gate: gate)
        return (host, try await host.listen(on: try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0")))
    }

    func dialing(
        _ number: UInt8,
        key: PeerKey? = nil,
        protocols: [P2PProtocol] = [echoing],
        limits: P2PLimits = P2PLimits(),
        gossip: GossipParameters? = nil,
        gate: @escaping @Sendable (Multiaddr?, PeerID?) -> Bool = { _, _ in true }
    ) async throws -> P2PHost {
        let host = try await P2PHost.start(
            key: try key ?? Self.key(number),
            protocols: protocols,
            limits: limits,
            gossip: gossip,
            gate: gate,
            loop: MultiThreadedEventLoopGroup.singleton.next(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { [self] event in
            switch event {
            case .connected: events.withLock { $0.append("\(number) connected") }
            case .identified(_, let told): events.withLock { $0.append("\(number) identified \(told.agentVersion)") }
            case .disconnected(_, let error):
                events.withLock { $0.append("\(number) disconnected \(error.code.rawValue)") }
            case .handshakeFailed(_, _, let error):
                events.withLock { $0.append("\(number) refused \(error.code.rawValue)") }
            case .exchanged(let records, _): events.withLock { $0.append("\(number) exchanged \(records.count)") }
            }
        }
        started.withLock { $0.append(host) }
        return host
    }

    /// Waits until the condition holds; the test's own time limit ends a wait for nothing.
    func until(_ condition: () async throws -> Bool) async throws {
        while try await !condition() { try await Task.sleep(for: .milliseconds(5)) }
    }

    func saw(_ event: String) async throws {
        try await until { events.withLock { $0.contains(event) } }
    }

    static func with(_ body: (Hosts) async throws -> Void) async throws {
        let hosts = Hosts()
        do {
            try await body(hosts)
        } catch {
            await hosts.close()
            throw error
        }
        await hosts.close()
    }

    private func close() async {
        for host in started.withLock({ $0 }) { await host.close() }
    }
}

@Suite("Hosts over a real socket", .timeLimit(.minutes(2)))
struct HostTests {
    static func code(_ work: () async throws -> Void) async -> Libp2pError.Code? {
        do {
            try await work()
            return nil
        } catch let error as Libp2pError {
            return error.code
        } catch {
            return Libp2pError.Code(rawValue: "\(error)")
        }
    }

    @Test("Two hosts meet, tell each other what they are, and ping; a second dial gives the same connection")
    func meet() async throws {
        try await Hosts.with { hosts in
            let (listener, address) = try await hosts.listening(1)
            let secp = PeerKey(try Secp256k1.Scalar(bytes: [UInt8](repeating: 5, count: 32)))
            let dialer = try await hosts.dialing(2, key: secp)
            let connection = try await dialer.dial(address)
            #expect(connection.peer == listener.peerID && !connection.isInbound)
            #expect(try await connection.ping() > .zero)
            for number in 1...2 { try await hosts.saw("\(number) identified mintmark") }
            let told = try #require(try await connection.identified())
            #expect(told.protocols.contains("/ipfs/ping/1.0.0") && told.protocols.contains(Hosts.echo))
            #expect(told.observedAddress?.description.hasPrefix("/ip4/127.0.0.1/tcp/") == true)
            #expect(try told.verified(for: listener.peerID)?.addresses == (try await listener.listenAddresses()))
            let back = try #require(try await listener.connection(with: secp.peerID))
            #expect(back.isInbound && back.remoteAddress == told.observedAddress)
            #expect(try await back.ping() > .zero)
            #expect(try await dialer.dial(address) === connection)
            // Listening elsewhere is pushed to whom it knows.
            try await dialer.listen(on: try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0"))
            try await dialer.pushIdentity()
            try await hosts.until { try await back.identified()?.listenAddresses.count == 1 }
        }
    }

    @Test("Megabytes go through and come back whole, on many streams at once", arguments: [1, 1_000, 3_000_000])
    func echo(count: Int) async throws {
        try await Hosts.with { hosts in
            let (_, address) = try await hosts.listening(1)
            let connection = try await hosts.dialing(2).dial(address)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in UInt8(1)...8 {
                    group.addTask {
                        let sent = [UInt8](repeating: number, count: count)
                        let got = try await connection.withStream(["/no/such/1", Hosts.echo]) { stream in
                            async let writing: Void = stream.write(sent)
                            var got: [UInt8] = []
                            while got.count < count, let bytes = try await stream.read() { got += bytes }
                            try await writing
                            stream.finish()
                            #expect(try await stream.read() == nil)
                            return got
                        }
                        #expect(got == sent)
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await connection.ping() > .zero)
        }
    }

    @Test("A reader that stops holds its sender back, within the window; the other streams go on")
    func backpressure() async throws {
        try await Hosts.with { hosts in
            let gate = AsyncStream<Void>.makeStream()
            let slow = P2PProtocol("/test/slow/1") { stream in
                for await _ in gate.stream { break }
                var count = 0
                while let bytes = try await stream.read() { count += bytes.count }
                try await stream.write([UInt8]("\(count)".utf8))
            }
            let (_, address) = try await hosts.listening(1, protocols: [slow])
            let connection = try await hosts.dialing(2).dial(address)
            func written() -> Int { hosts.events.withLock { $0.count { $0 == "wrote" } } }
            let answer = try await connection.withStream(["/test/slow/1"]) { stream in
                async let writing: Void = {
                    for _ in 0..<20 {
                        try await stream.write([UInt8](repeating: 1, count: 64 * 1024))
                        hosts.events.withLock { $0.append("wrote") }
                    }
                    stream.finish()
                }()
                // The window takes no fourth part: the negotiation took a few bytes of it. What is left waits for the reader.
                try await hosts.until { written() == 3 }
                for _ in 0..<3 { _ = try await connection.ping() }
                #expect(written() == 3)
                gate.continuation.yield()
                try await writing
                return try await stream.read()
            }
            #expect(answer == [UInt8]("\(20 * 64 * 1024)".utf8))
        }
    }

    @Test("Who answers has to be who was dialed; an address without an id takes whoever answers")
    func identity() async throws {
        try await Hosts.with { hosts in
            let (listener, address) = try await hosts.listening(1)
            let dialer = try await hosts.dialing(2)
            let wrong = try address.naming(try Hosts.key(3).peerID)
            #expect(await Self.code { _ = try await dialer.dial(wrong) } == .wrongPeer)
            let anonymous = try Multiaddr(Array(address.parts.dropLast()))
            #expect(try await dialer.dial(anonymous).peer == listener.peerID)
            #expect(await Self.code { _ = try await listener.dial(address) } == .wrongPeer)
            #expect(await Self.code { _ = try await listener.dial(anonymous) } == .wrongPeer)
            // Nobody listens there any more.
            await listener.close()
            let stranger = try await hosts.dialing(4)
            #expect(await Self.code { _ = try await stranger.dial(address) } == .unreachable)
            #expect(await Self.code { _ = try await stranger.dial(try Multiaddr(parsing: "/tcp/1")) } == .unsupported)
        }
    }

    @Test("Names are resolved; one that stands for IPv6 only is not dialed over IPv4")
    func names() async throws {
        try await Hosts.with { hosts in
            let (listener, address) = try await hosts.listening(1)
            let port = try #require(address.tcpEndpoint?.port)
            let dialer = try await hosts.dialing(2)
            let six = try Multiaddr(parsing: "/dns6/127.0.0.1/tcp/\(port)")
            #expect(await Self.code { _ = try await dialer.dial(six) } == .unreachable)
            let four = try Multiaddr(parsing: "/dns4/localhost/tcp/\(port)/p2p/\(listener.peerID)")
            #expect(try await dialer.dial(four).peer == listener.peerID)
        }
    }

    @Test("A protocol that nobody serves is refused, and the connection goes on")
    func notSpoken() async throws {
        try await Hosts.with { hosts in
            let (_, address) = try await hosts.listening(1)
            let connection = try await hosts.dialing(2).dial(address)
            let code = await Self.code { try await connection.withStream(["/no/such/1"]) { _ in } }
            #expect(code == .notNegotiated)
            #expect(try await connection.ping() > .zero)
        }
    }

    @Test("Closing lets streams end, tells both sides, and dialing afterwards is refused")
    func closing() async throws {
        try await Hosts.with { hosts in
            var limits = P2PLimits()
            limits.graceSeconds = 60
            let (listener, address) = try await hosts.listening(1, limits: limits)
            let dialer = try await hosts.dialing(2)
            let connection = try await dialer.dial(address)
            try await hosts.until { hosts.events.withLock { $0.count { $0.contains("identified") } } == 2 }
            let got = try await connection.withStream([Hosts.echo]) { stream in
                try await stream.write([1])
                let first = try await stream.read()
                async let closing: Void = listener.close()
                try await hosts.until { try await dialer.connection(with: listener.peerID) == nil }
                // No new stream is taken; the one that is open goes on.
                #expect(await Self.code { try await connection.withStream([Hosts.echo]) { _ in } } == .closed)
                try await stream.write([2])
                let second = try await stream.read()
                stream.finish()
                #expect(try await stream.read() == nil)
                await closing
                return [first, second]
            }
            #expect(got == [[1], [2]])
            try await hosts.saw("1 disconnected closed")
            try await hosts.saw("2 disconnected closed")
            #expect(await Self.code { _ = try await listener.dial(address) } == .closed)
        }
    }

    @Test("A task that is cancelled while it reads breaks its stream off; a handler that throws does too")
    func cancelled() async throws {
        try await Hosts.with { hosts in
            let failing = P2PProtocol("/test/fail/1") { stream in
                _ = try await stream.read()
                throw Libp2pError(.failed, "as the test wants it")
            }
            let (_, address) = try await hosts.listening(1, protocols: [failing, Hosts.echoing])
            let connection = try await hosts.dialing(2).dial(address)
            let reading = Task {
                try await connection.withStream([Hosts.echo]) { stream in
                    hosts.events.withLock { $0.append("reading") }
                    _ = try await stream.read()
                }
            }
            try await hosts.saw("reading")
            reading.cancel()
            await #expect(throws: CancellationError.self) { try await reading.value }
            let code = await Self.code {
                try await connection.withStream(["/test/fail/1"]) { stream in
                    try await stream.write([1])
                    _ = try await stream.read()
                }
            }
            #expect(code == .reset)
            #expect(try await connection.ping() > .zero)
        }
    }

    @Test("A stream over its time is broken off on both sides")
    func deadline() async throws {
        try await Hosts.with { hosts in
            let (_, address) = try await hosts.listening(1)
            let connection = try await hosts.dialing(2).dial(address)
            let code = await Self.code {
                try await connection.withStream([Hosts.echo], deadlineSeconds: 1) { stream in
                    _ = try await stream.read()
                }
            }
            #expect(code == .timedOut)
        }
    }
}
