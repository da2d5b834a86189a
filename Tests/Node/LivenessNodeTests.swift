import CanonicalJSON
import Foundation
import NIOHTTP1
import TestSupport
import Testing

/// Three nodes as processes: one sells, one probes, one hears what the other saw.
@Suite("Liveness over nodes", .serialized, .timeLimit(.minutes(5)))
struct LivenessNodeTests {
    private static func configure(
        _ node: TestedNode,
        _ world: World,
        gossipPort: Int,
        bootstrap: [String] = [],
        trusted: [String] = [],
        market: JSONObject
    ) throws {
        let settings: JSONValue = [
            "http": ["port": .integer(Int64(node.port))],
            "lightning": ["simulatedURL": .string(world.simulatorURL)],
            "gossip": [
                "listen": .string("/ip4/127.0.0.1/tcp/\(gossipPort)"),
                "bootstrap": .array(bootstrap.map { .string($0) }),
                "trustedIssuers": .array(trusted.map { .string($0) }),
            ],
            "market": .object(market),
        ]
        try Data(settings.serialized()).write(to: URL(filePath: node.directory + "/config.json"))
    }

    /// What a node says of the one listing, once it has it.
    private static func shown(_ node: TestedNode, _ listing: String) async throws -> JSONValue? {
        let shown = try await node.command("market", "show", listing, "--json")
        return shown.status == 0 ? shown.json : nil
    }

    @Test(
        "[LIV-7] [LIV-8] [LIV-9] [LIV-12] What answers is found alive, ranked and shown so; a node that probes nothing has the word of another"
    )
    func alive() async throws {
        try await World.with(starts: false) { world in
            let ports = try await FreePorts.some(4)
            let (seller, prober) = (world.seller, world.buyer)
            let listener = TestedNode(
                "listener",
                directory: world.folder.path + "/l",
                port: ports[3],
                http: world.http,
                settings: []
            )
            try await listener.make(simulatorURL: world.simulatorURL)
            try Self.configure(seller, world, gossipPort: ports[0], market: ["probesPerHour": 0])
            try await seller.start()
            try await world.sell("--summary", "Weather of today")
            let status = try await seller.command("status", "--json").json
            let did = try status.string("did")
            let address = try #require(status["gossip"]?.array("addresses").first?.stringValue)
            try Self.configure(
                prober,
                world,
                gossipPort: ports[1],
                bootstrap: [address],
                trusted: [did],
                market: ["probesPerHour": 3_600]
            )
            try await prober.start()
            let other = try await prober.command("status", "--json").json
            let second = try other.string("did")
            let way = try #require(other["gossip"]?.array("addresses").first?.stringValue)
            try Self.configure(
                listener,
                world,
                gossipPort: ports[2],
                bootstrap: [address, way],
                trusted: [did, second],
                market: ["probesPerHour": 0]
            )
            try await listener.start()
            do {
                try await Self.check(world, seller: did, prober: prober, listener: listener)
            } catch {
                await listener.kill()
                throw error
            }
            await listener.kill()
        }
    }

    @Test("[LIV-13] With a budget a probe is a paid call: the seller serves it, and it counts as the buyer's own")
    func canary() async throws {
        try await World.with(starts: false) { world in
            let ports = try await FreePorts.some(2)
            let (seller, prober) = (world.seller, world.buyer)
            try Self.configure(seller, world, gossipPort: ports[0], market: ["probesPerHour": 0])
            try await seller.start()
            try await world.sell("--summary", "Weather of today", price: "/now/1=2sat")
            let status = try await seller.command("status", "--json").json
            let did = try status.string("did")
            let address = try #require(status["gossip"]?.array("addresses").first?.stringValue)
            func start(_ market: JSONObject) async throws {
                try Self.configure(
                    prober,
                    world,
                    gossipPort: ports[1],
                    bootstrap: [address],
                    trusted: [did],
                    market: market
                )
                try await prober.start()
            }
            try await start(["probesPerHour": 0, "canaryBudget": 1_000_000])
            #expect(try await world.fund(100).status == 200)
            try await GossipNodes.until { try await Self.shown(prober, "\(did)/weather") != nil }
            #expect(world.upstream.total == 0)
            await prober.kill()
            try await start(["probesPerHour": 3_600, "canaryBudget": 1_000_000])
            try await GossipNodes.until { world.upstream.total == 1 }
            try await GossipNodes.until {
                try await Self.shown(prober, "\(did)/weather")?["probes"]?.arrayValue?.last?["result"] == "answered"
            }
            let payment = try await prober.command("wallet", "history", "--json")
            #expect(payment.output.contains("paid-call"), "\(payment)")
            #expect(try await prober.call(.POST, "/api/audit", [:]).json["findings"]?.arrayValue?.count == 0)
        }
    }

    private static func check(
        _ world: World,
        seller: String,
        prober: TestedNode,
        listener: TestedNode
    ) async throws {
        let listing = "\(seller)/weather"
        try await GossipNodes.until {
            try await Self.shown(prober, listing)?["liveness"]?["own"]?["state"] == "alive"
        }
        let shown = try #require(try await Self.shown(prober, listing))
        #expect(shown["liveness"]?["state"] == "alive" && shown["liveness"]?["own"]?["failed"] == 0, "\(shown)")
        #expect(try shown.array("probes").last?["result"] == "answered", "\(shown)")
        let found = try await prober.command("market", "search", "weather", "--alive", "--json")
        let entry = try #require(try found.json.array("listings").first)
        let part = try entry.array("why").first { $0["part"] == "alive" }
        #expect(part?["points"] == 300, "\(entry)")
        let table = try await prober.command("market", "search", "weather")
        #expect(table.output.contains("ALIVE") && table.output.contains("yes"), "\(table)")
        let text = try await prober.command("market", "show", listing)
        #expect(text.output.contains("tries went well") && text.output.contains("answered"), "\(text)")
        // Nobody else is told by search.
        #expect(try await world.get(prober.url + "/market/listings?q=weather&alive=true").status == 400)
        let open = try await world.get(prober.url + "/market/listings?q=weather")
        #expect(open.status == 200 && !open.text.contains("\"alive\"") && !open.text.contains("liveness"))
        let metrics = try await world.get(prober.url + "/metrics").text
        #expect(metrics.contains("mintmark_probes_total{result=\"answered\"}"))
        // By the record that the prober publishes.
        try await GossipNodes.until {
            try await Self.shown(listener, listing)?["liveness"]?["others"]?["alive"] == 1
        }
        let heard = try #require(try await Self.shown(listener, listing))
        #expect(heard["liveness"]?["state"] == "alive" && heard["liveness"]?["own"]?["state"] == "unknown", "\(heard)")
        #expect(heard["probes"] == [], "\(heard)")
        let ranked = try await listener.command("market", "search", "weather", "--alive", "--json")
        #expect(try ranked.json.array("listings").count == 1)
    }
}
