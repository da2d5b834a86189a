import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import Libp2p
import Logging
import NIOCore
import NIOPosix
import P2PTransport
import TestSupport
import Testing

/// Nodes as processes, with nothing but gossip to do.
final class GossipNodes: Sendable {
    /// One of them.
    struct Place: Sendable {
        let directory: String
        let process: ServerProcess
        let gossipPort: Int

        func command(_ arguments: String...) async throws -> Program.Outcome {
            try await Program.run(arguments + ["--json", "--data", directory])
        }

        /// The peers that it is connected with.
        func connected() async throws -> Set<String> {
            let listed = try await command("peers", "list", "--connected")
            guard listed.status == 0 else { return [] }
            return Set(try listed.json.array("peers").compactMap { $0["peer"]?.stringValue })
        }

        func peer() async throws -> String {
            try #require(try await command("status").json["gossip"]?["peer"]?.stringValue)
        }

        func address() async throws -> String { "/ip4/127.0.0.1/tcp/\(gossipPort)/p2p/\(try await peer())" }
    }

    let folder: TemporaryFolder
    let places: [Place]
    let httpPorts: [Int]

    init(_ count: Int) async throws {
        folder = try TemporaryFolder()
        let ports = try await FreePorts.some(2 * count)
        httpPorts = Array(ports[count...])
        var places: [Place] = []
        for number in 0..<count {
            let directory = folder.path + "/\(number)"
            let made = try await Program.run(["init", "--json", "--data", directory])
            guard made.status == 0 else { throw ServerProcess.NotReady(description: "init: \(made)") }
            let process = ServerProcess(
                "node \(number)",
                ["serve", "--json", "--data", directory],
                logPath: directory + ".log"
            )
            places.append(Place(directory: directory, process: process, gossipPort: ports[number]))
        }
        self.places = places
        for number in 0..<count { try configure(number) }
    }

    func configure(_ number: Int, bootstrap: [String] = [], _ more: JSONObject = [:]) throws {
        var gossip: JSONObject = [
            "listen": .string("/ip4/127.0.0.1/tcp/\(places[number].gossipPort)"),
            "bootstrap": .array(bootstrap.map { .string($0) }),
        ]
        for (name, value) in more { gossip[name] = value }
        let settings: JSONValue = [
            "http": ["port": .integer(Int64(httpPorts[number]))], "lightning": ["backend": "none"],
            "gossip": .object(gossip),
        ]
        try Data(settings.serialized()).write(to: URL(filePath: places[number].directory + "/config.json"))
    }

    static func with(_ count: Int, _ body: (GossipNodes) async throws -> Void) async throws {
        let nodes = try await GossipNodes(count)
        do {
            try await body(nodes)
        } catch {
            await nodes.end()
            throw error
        }
        await nodes.end()
    }

    private func end() async {
        for place in places { await place.process.kill() }
    }

    static func until(_ condition: () async throws -> Bool) async throws {
        while try await !condition() { try await Task.sleep(for: .milliseconds(50)) }
    }
}

@Suite("Nodes on the gossip network", .timeLimit(.minutes(5)))
struct GossipNodeTests {
    @Test(
        "[GSP-3] Two meet by bootstrap, a third is passed on to the second, and after a restart all is found in the store"
    )
    func meet() async throws {
        try await GossipNodes.with(3) { nodes in
            let (one, two, three) = (nodes.places[0], nodes.places[1], nodes.places[2])
            let ready = try await one.process.start()
            let first = try #require(ready["gossip"]?["peer"]?.stringValue)
            let peers = [first, try await two.peer(), try await three.peer()]
            #expect(Set(peers).count == 3)
            #expect(try ready["gossip"]?.array("addresses").compactMap(\.stringValue) == [try await one.address()])
            for number in 1...2 { try nodes.configure(number, bootstrap: [try await one.address()]) }
            try await two.process.start()
            try await three.process.start()
            try await GossipNodes.until { try await three.connected() == [peers[0], peers[1]] }
            // Without a bootstrap address, and the first one gone.
            #expect(await three.process.stop() == 0)
            #expect(await one.process.stop() == 0)
            try nodes.configure(2)
            try await three.process.start()
            try await GossipNodes.until { try await three.connected() == [peers[1]] }
            #expect(try await three.peer() == peers[2])
            // Where both dialed at once, one of the two connections ends.
            try await GossipNodes.until {
                try await three.command("status").json["gossip"]?["connections"] == .integer(1)
            }
        }
    }

    @Test("[GSP-11] A ban breaks the connection and keeps the peer out over a restart; unban lets it in again")
    func ban() async throws {
        try await GossipNodes.with(2) { nodes in
            let (one, two) = (nodes.places[0], nodes.places[1])
            try await one.process.start()
            try nodes.configure(1, bootstrap: [try await one.address()])
            try await two.process.start()
            let second = try await two.peer()
            try await GossipNodes.until { try await one.connected() == [second] }
            let banned = try await one.command("peers", "ban", second, "--reason", "test")
            #expect(banned.status == 0, "\(banned)")
            try await GossipNodes.until { try await one.connected().isEmpty }
            try await GossipNodes.until { try await two.connected().isEmpty }
            #expect(await one.process.stop() == 0)
            // The bans are kept, and seen also where no node runs.
            let listed = try await one.command("peers", "list")
            #expect(try listed.json.array("bans").compactMap { $0["subject"]?.stringValue } == [second], "\(listed)")
            try await one.process.start()
            _ = try await two.command("peers", "add", try await one.address())
            try await GossipNodes.until { try await two.connected().isEmpty }
            #expect(try await one.connected().isEmpty)
            let dialed = try await one.command("peers", "add", try await two.address())
            #expect(dialed.status == 1 && dialed.json["error"]?.stringValue?.contains("unban") == true, "\(dialed)")
            #expect(try await one.command("peers", "unban", second).status == 0)
            #expect(try await one.command("peers", "unban", second).status == 1)
            let again = try await one.command("peers", "add", try await two.address())
            #expect(again.status == 0, "\(again)")
            try await GossipNodes.until { try await one.connected() == [second] }
            let score = try await one.command("peers", "score", second)
            #expect(score.json["known"] == true && score.json["parts"]?["invalid"] == "0.00", "\(score)")
        }
    }

    @Test("What passes is watched line by line, and counted at /metrics")
    func watch() async throws {
        try await GossipNodes.with(1) { nodes in
            let one = nodes.places[0]
            let idle = try await one.command("gossip", "watch")
            #expect(idle.status == 3, "\(idle)")
            try await one.process.start()
            let host = try await P2PHost.start(
                key: PeerKey(Ed25519.PrivateKey()),
                gossip: GossipParameters(),
                loop: MultiThreadedEventLoopGroup.singleton.next(),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
            let connection = try await host.dial(try Multiaddr(parsing: try await one.address()))
            try await host.subscribe("chat") { _, _ in .accept }
            async let watched = one.command("gossip", "watch", "chat", "--count", "2")
            try await GossipNodes.until { try await host.meshPeers(of: "chat") == [connection.peer] }
            try await host.publish(Array("one".utf8), on: "chat")
            try await host.publish(Array("two\u{1B}[2J".utf8), on: "chat")
            let outcome = try await watched
            #expect(outcome.status == 0, "\(outcome)")
            let lines = try outcome.output.split(separator: "\n").map { try JSONValue.parse(Array($0.utf8)) }
            #expect(
                lines.compactMap { $0["data"]?.stringValue }
                    == ["one", "two\u{1B}[2J"].map { Base64URL.encode(Array($0.utf8)) }
            )
            #expect(
                lines.allSatisfy {
                    $0["publisher"]?.stringValue == host.peerID.description && $0["verdict"] == "ignored"
                }
            )
            let url = "http://127.0.0.1:\(nodes.httpPorts[0])/metrics"
            try await GossipNodes.until {
                let response = try await HTTPClient.shared.execute(HTTPClientRequest(url: url), timeout: .seconds(10))
                let page = String(buffer: try await response.body.collect(upTo: 4 << 20))
                return page.contains("mintmark_gossip_connections{direction=\"inbound\"} 1")
                    && page.contains("mintmark_gossip_messages_total{outcome=\"ignored\"} 2")
                    && page.contains("mintmark_gossip_latency_seconds_count 2")
            }
            await host.close()
        }
    }

    @Test("Gossip can be turned off; a port in use, a wrong address and a damaged cache each end as they should")
    func settings() async throws {
        try await GossipNodes.with(1) { nodes in
            let one = nodes.places[0]
            let address = try await one.address()
            try nodes.configure(0, ["enabled": false])
            let off = try await one.command("peers", "list")
            #expect(off.status == 1 && off.json["error"]?.stringValue?.contains("gossip.enabled") == true, "\(off)")
            #expect(try await one.command("status").json["gossip"] == nil)
            for (name, value, word) in [
                ("listen", "/dns/localhost/tcp/1", "gossip.listen"), ("listen", "127.0.0.1:4402", "gossip.listen"),
                ("bootstrap", "/ip4/127.0.0.1/tcp/1", "peer's id"), ("outbound", "65", "gossip.outbound"),
                ("connectionsPerAddress", "1", "gossip.connectionsPerAddress"),
            ] {
                try nodes.configure(0, [name: .string(value)])
                let refused = try await one.command("status")
                #expect(refused.status == 1 && refused.json["error"]?.stringValue?.contains(word) == true, "\(refused)")
            }
            try nodes.configure(0)
            let taken = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .bind(host: "127.0.0.1", port: one.gossipPort).get()
            let refused = try await Program.run(["serve", "--json", "--data", one.directory], timeoutSeconds: 90)
            #expect(
                refused.status == 1 && refused.json["error"]?.stringValue?.contains("gossip.listen") == true,
                "\(refused)"
            )
            try await taken.close()
            try Data("no database at all ".utf8).write(to: URL(filePath: one.directory + "/cache.sqlite"))
            try await one.process.start()
            #expect(FileManager.default.fileExists(atPath: one.directory + "/cache.sqlite.damaged"))
            #expect(try await one.address() == address)
        }
    }
}
