import CanonicalJSON
import Foundation
import Node
import TestSupport
import Testing

/// Three nodes as processes: one sells, one buys and publishes what it bought, one never dealt with the seller.
@Suite("Ratings over nodes", .serialized, .timeLimit(.minutes(5)))
struct RatingsNodeTests {
    private static func configure(
        _ node: TestedNode,
        _ world: World,
        gossipPort: Int,
        bootstrap: [String] = [],
        reputation: JSONObject
    ) throws {
        let settings: JSONValue = [
            "http": ["port": .integer(Int64(node.port))],
            "lightning": ["simulatedURL": .string(world.simulatorURL)],
            "gossip": [
                "listen": .string("/ip4/127.0.0.1/tcp/\(gossipPort)"),
                "bootstrap": .array(bootstrap.map { .string($0) }),
            ],
            "market": ["probesPerHour": 0],
            "reputation": .object(reputation),
        ]
        try Data(settings.serialized()).write(to: URL(filePath: node.directory + "/config.json"))
    }

    private static func value(_ node: TestedNode, _ did: String) async throws -> Double {
        let shown = try await node.command("reputation", "show", did, "--json")
        return shown.json["value"]?.doubleValue ?? 0
    }

    @Test(
        "[RCPT-14] [RCPT-15] [RCPT-16] [REP-12] [REP-18] Who trusts a buyer that publishes thinks of its seller as it does, and sees why; nothing is published unasked"
    )
    func gathered() async throws {
        try await World.with(starts: false) { world in
            let ports = try await FreePorts.some(4)
            let (seller, buyer) = (world.seller, world.buyer)
            let listener = TestedNode(
                "listener",
                directory: world.folder.path + "/l",
                port: ports[3],
                http: world.http,
                settings: []
            )
            try await listener.make(simulatorURL: world.simulatorURL)
            try Self.configure(seller, world, gossipPort: ports[0], reputation: [:])
            try Self.configure(buyer, world, gossipPort: ports[1], reputation: [:])
            try await seller.start()
            try await buyer.start()
            try await world.sell()
            let names = try await (
                seller.command("status", "--json").json.string("did"),
                buyer.command("status", "--json").json
            )
            let address = try #require(names.1["gossip"]?.array("addresses").first?.stringValue)
            let judge = try names.1.string("did")
            try Self.configure(
                listener,
                world,
                gossipPort: ports[2],
                bootstrap: [address],
                reputation: ["seeds": [.string(judge)]]
            )
            try await listener.start()
            do {
                try await Self.check(world, seller: names.0, judge: judge, listener: listener) {
                    await buyer.kill()
                    try Self.configure(buyer, world, gossipPort: ports[1], reputation: ["publish": .bool($0)])
                    try await buyer.start()
                }
            } catch {
                await listener.kill()
                throw error
            }
            await listener.kill()
        }
    }

    @Test("[RCPT-14] What is to be published without gossip is refused at the start")
    func noGossip() {
        #expect(throws: ConfigurationError.self) {
            try NodeConfiguration.load(
                dataDirectory: "/nowhere",
                flags: ["reputation.publish": "true", "gossip.enabled": "false"],
                environment: [:]
            )
        }
    }

    private static func check(
        _ world: World,
        seller: String,
        judge: String,
        listener: TestedNode,
        publishing: (Bool) async throws -> Void
    ) async throws {
        let buyer = world.buyer
        func buy(_ path: String) async throws {
            let paid = try await buyer.command(
                "pay",
                world.seller.url + "/s/weather" + path,
                "--max",
                "5sat",
                "--agent",
                "planner"
            )
            #expect(paid.status == 0, "\(paid)")
        }
        let page = buyer.url + "/market/receipts"
        #expect(try await world.fund(100).status == 200)
        #expect(try await buyer.command("agent", "register", "planner").status == 0)
        // Nobody asked for anything to be published.
        try await buy("/now/1")
        #expect(try await Self.value(buyer, seller) > 0)
        #expect(try await world.get(page).status == 404)
        let off = try await buyer.command("reputation", "ratings")
        #expect(off.output.contains("Nothing is published") && off.output.contains("Nothing was gathered"), "\(off)")
        #expect(try await Self.value(listener, seller) == 0)

        try await publishing(true)
        for number in 2...3 { try await buy("/now/\(number)") }
        try await GossipNodes.until { try await Self.value(listener, seller) > 0 }
        let why = try await listener.command("reputation", "show", seller, "--why")
        #expect(why.output.contains("seed") && why.output.contains("\(judge) → \(seller)"), "\(why)")
        let all = try await listener.command("reputation", "show", "--json")
        #expect(
            try all.json.array("standings").contains { $0["did"] == .string(seller) && $0["good"] == 0.0 },
            "\(all)"
        )
        let told = try await listener.command("reputation", "ratings", "--json")
        let gathered = try #require(try told.json.array("gathered").first, "\(told)")
        #expect(gathered["judge"] == .string(judge) && gathered["refused"] == [:], "\(told)")
        let text = try await listener.command("reputation", "ratings")
        #expect(text.output.contains(judge) && text.output.contains("went well"), "\(text)")

        // What was bought before is not among what anybody can read, nor is who asks for nonsense answered.
        try await GossipNodes.until {
            try JSONValue.parse(try await world.get(page + "?from=0").body).array("receipts").count == 2
        }
        let shown = try JSONValue.parse(try await world.get(page).body)
        let targets = try shown.array("receipts").map { try $0.object("receipt")["request"]?["target"]?.stringValue }
        #expect(targets == ["/now/2", "/now/3"] && shown["publisher"] == .string(judge) && shown["count"] == 2)
        #expect(try await world.get(page + "?from=3").status == 400)
        #expect(try await world.get(page + "?from=x").status == 400)
        #expect(try await world.get(listener.url + "/market/receipts").status == 404)
        let metrics = try await world.get(listener.url + "/metrics").text
        #expect(metrics.contains("mintmark_ratings_total{result=\"ok\"}"))

        // Taken back: nothing more is told, and what others gathered stays with them.
        try await publishing(false)
        #expect(try await world.get(page).status == 404)
        #expect(try await Self.value(listener, seller) > 0)
    }
}
