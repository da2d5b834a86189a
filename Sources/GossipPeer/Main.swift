internal import Cryptography
internal import Encodings
internal import Foundation
internal import Libp2p
internal import Logging
internal import NIOPosix
internal import P2PTransport
internal import Synchronization

/// `GossipPeer [--key HEX] [--secp256k1 HEX]`: a libp2p host alone, told by lines on its input what to do, and telling by
/// lines on its output what happened. It is what checks and measurements with other implementations run.
///
/// `listen ADDRESS`, `dial ADDRESS`, `ping PEER`, `echo PEER BYTES`, `close PEER`, `subscribe TOPIC`, `unsubscribe TOPIC`,
/// `publish TOPIC HEX`, `flood TOPIC COUNT BYTES`, `timed TOPIC NUMBER BYTES`, `timings`, `statistics`, `mesh TOPIC`, `score PEER`, `received TOPIC`; it ends with its input.
/// `items TIMESTAMP:ID,…`, `reconcile [HEX]` and `respond HEX` run negentropy on ids, as ``Reconciliation`` says.
@main
enum Main {
    static let echo = "/mintmark/echo/1"
    static let started = Mutex<P2PHost?>(nil)
    /// Messages of each topic that came.
    static let received = Mutex<[String: Int]>([:])
    static let timings = Mutex(Timings())
    static let reconciliation = Mutex(Reconciliation())

    static func main() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var limits = P2PLimits()
        // All peers of a measurement are on one machine.
        limits.connectionsPerAddress = limits.connections
        let host = try await P2PHost.start(
            key: try key(),
            protocols: [
                P2PProtocol(echo) { stream in
                    while let bytes = try await stream.read() { try await stream.write(bytes) }
                }
            ],
            limits: limits,
            gossip: GossipParameters(),
            loop: group.next(),
            logger: Logger(label: "gossip-peer") { _ in SwiftLogNoOpLogHandler() },
            onEvent: tell
        )
        started.withLock { $0 = host }
        say("peer \(host.peerID)")
        while let line = await nextLine() {
            let words = line.split(separator: " ").map(String.init)
            guard let command = words.first else { continue }
            do {
                try await run(command, Array(words.dropFirst()), host)
            } catch {
                say("error \(command) \((error as? Libp2pError)?.code.rawValue ?? "other") \(error)")
            }
        }
        await host.close()
    }

    /// One line, at once: whoever reads it waits for it. Where nobody reads any more the end of the input follows.
    private static func say(_ line: String) {
        try? FileHandle.standardOutput.write(contentsOf: Data((line + "\n").utf8))
    }

    private static func nextLine() async -> String? {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: readLine()) }
        }
    }

    /// The key of the command line's seed; a new one without it.
    private static func key() throws -> PeerKey {
        let arguments = CommandLine.arguments
        guard arguments.count > 2 else { return PeerKey(Ed25519.PrivateKey()) }
        let seed = try Hex.decode(arguments[2])
        return arguments[1] == "--secp256k1"
            ? PeerKey(try Secp256k1.Scalar(bytes: seed)) : PeerKey(try Ed25519.PrivateKey(seed: seed))
    }

    private static func tell(_ event: P2PEvent) {
        switch event {
        case .connected(let connection): say("connected \(connection.peer)")
        case .identified(let connection, let told):
            let record = (try? told.verified(for: connection.peer)) ?? nil
            let addresses = told.listenAddresses.map(\.description).joined(separator: ",")
            say(
                "identified \(connection.peer) \(told.agentVersion.isEmpty ? "-" : told.agentVersion) "
                    + "addresses=\(addresses) protocols=\(told.protocols.sorted().joined(separator: ",")) "
                    + "observed=\(told.observedAddress?.description ?? "-") record=\(record != nil)"
            )
        case .disconnected(let connection, let error): say("disconnected \(connection.peer) \(error.code.rawValue)")
        case .handshakeFailed: break
        case .exchanged(let records, _):
            guard let host = started.withLock({ $0 }) else { return }
            for record in records.prefix(4).map(\.record) {
                guard let address = try? record.addresses.first?.naming(record.peer) else { continue }
                Task { _ = try? await host.dial(address) }
            }
        }
    }

    private static func run(_ command: String, _ words: [String], _ host: P2PHost) async throws {
        switch (command, words.count) {
        case ("listen", 1): say("listening \(try await host.listen(on: try Multiaddr(parsing: words[0])))")
        case ("dial", 1): say("dialed \(try await host.dial(try Multiaddr(parsing: words[0])).peer)")
        case ("ping", 1):
            let time = try await connection(words[0], host).ping()
            say("pong \(words[0]) \(time.components.attoseconds / 1_000_000_000_000)")
        case ("echo", 2):
            let count = Int(words[1]) ?? 0
            try await sendAround(count, try await connection(words[0], host))
            say("echoed \(words[0]) \(count)")
        case ("close", 1):
            await (try await connection(words[0], host)).close()
            say("closed \(words[0])")
        case ("subscribe", 1) where words[0].utf8.starts(with: "timed".utf8):
            try await host.subscribe(words[0]) { message, _ in
                timings.withLock { $0.take(message.data) }
                return .accept
            }
            say("subscribed \(words[0])")
        case ("timed", 3):
            let data = Timings.data(number: UInt32(words[1]) ?? 0, count: Int(words[2]) ?? 0)
            say("published \(try await host.publish(data, on: words[0]))")
        case ("timings", 0): say("timings \(timings.withLock { $0.told })")
        case ("statistics", 0):
            let statistics = try await host.statistics()
            say("statistics \(statistics.bytesIn) \(statistics.bytesOut)")
        case ("subscribe", 1):
            try await host.subscribe(words[0]) { message, peer in
                let count = received.withLock { counts in
                    counts[message.topic, default: 0] += 1
                    return counts[message.topic, default: 0]
                }
                // What a flood brings is counted, and its end told.
                guard message.topic.utf8.starts(with: "flood".utf8) else {
                    say("message \(message.topic) \(message.from) \(peer) \(Hex.encode(message.data))")
                    return .accept
                }
                if message.data.first == 1 { say("flooded \(message.topic) \(count)") }
                return .accept
            }
            say("subscribed \(words[0])")
        case ("unsubscribe", 1):
            try await host.unsubscribe(words[0])
            say("unsubscribed \(words[0])")
        case ("publish", 2): say("published \(try await host.publish(try Hex.decode(words[1]), on: words[0]))")
        case ("flood", 3):
            let (count, size) = (Int(words[1]) ?? 0, Int(words[2]) ?? 1)
            for number in 1...max(1, count) {
                try await host.publish([number == count ? 1 : 0] + [UInt8](repeating: 7, count: size - 1), on: words[0])
            }
            say("published \(count)")
        case ("mesh", 1):
            say("mesh \(words[0]) \(try await host.meshPeers(of: words[0]).map(\.description).joined(separator: ","))")
        case ("score", 1): say("score \(words[0]) \(try await host.score(of: try PeerID(parsing: words[0])))")
        case ("items", 1), ("reconcile", 0), ("reconcile", 1), ("respond", 1):
            say(try reconciliation.withLock { try $0.run(command, words.first) })
        case ("received", 1): say("received \(words[0]) \(received.withLock { $0[words[0], default: 0] })")
        default: say("error \(command) usage unknown command")
        }
    }

    private static func connection(_ peer: String, _ host: P2PHost) async throws -> P2PConnection {
        guard let connection = try await host.connection(with: try PeerID(parsing: peer)) else {
            throw Libp2pError(.closed, "there is no connection with this peer")
        }
        return connection
    }

    /// Sends bytes that the peer has to send back, and compares.
    private static func sendAround(_ count: Int, _ connection: P2PConnection) async throws {
        let sent = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let got = try await connection.withStream([echo], deadlineSeconds: 60) { stream in
            async let writing: Void = stream.write(sent)
            var got: [UInt8] = []
            while got.count < count, let bytes = try await stream.read() { got += bytes }
            try await writing
            return got
        }
        guard got == sent else { throw Libp2pError(.protocolViolation, "other bytes came back") }
    }
}
