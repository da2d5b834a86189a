import CanonicalJSON
import Encodings
import Foundation
import TestSupport
import Testing

/// `mintmark market call` between nodes that run and hear each other, as users type it.
@Suite("Open calls over gossip", .serialized, .timeLimit(.minutes(5)))
struct OpenCallTests {
    /// Starts nodes that hear each other's issuers; the first is where the others begin.
    private static func acquaint(_ nodes: TestedNode..., settings: JSONObject = [:]) async throws {
        let ports = try await FreePorts.some(nodes.count)
        var dids: [JSONValue] = []
        for node in nodes { dids.append(try #require(try await node.command("status", "--json").json["did"])) }
        var bootstrap: [JSONValue] = []
        for (place, node) in nodes.enumerated() {
            let file = URL(filePath: node.directory + "/config.json")
            var config = try #require(try JSONValue.parse([UInt8](Data(contentsOf: file))).objectValue)
            for (name, value) in settings { config[name] = value }
            config["gossip"] = [
                "listen": .string("/ip4/127.0.0.1/tcp/\(ports[place])"), "bootstrap": .array(bootstrap),
                "trustedIssuers": .array(dids.filter { $0 != dids[place] }),
            ]
            try Data(config.serialized()).write(to: file)
            try await node.start()
            guard bootstrap.isEmpty else { continue }
            let status = try await node.command("status", "--json").json
            bootstrap = [try #require(try status["gossip"]?.array("addresses").first)]
        }
        for node in nodes {
            try await until {
                let meshes = try await node.command("status", "--json").json["gossip"]?["meshes"]
                return ["call", "bid"].allSatisfy {
                    meshes?["mintmark/records/1/\($0)"] == .integer(Int64(nodes.count - 1))
                }
            }
        }
    }

    private static func until(_ what: () async throws -> Bool) async throws {
        for _ in 0..<600 {
            if try await what() { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        Issue.record("it never came to be so")
    }

    private static func call(_ world: World, _ words: String..., for time: String = "3s", more: [String] = [])
        async throws -> Program.Outcome
    {
        try await Program.run(
            ["market", "call"] + words + ["--path", "/now/1", "--budget", "20sat", "--bids-for", time, "--json"] + more
                + ["--data", world.buyer.directory]
        )
    }

    @Test(
        "[QUO-11] [QUO-12] [QUO-14] [QUO-15] [REP-16] A call is bid on by rule and served at the bid's price; others find nobody, are cancelled, or meet a bidder that goes silent"
    )
    func called() async throws {
        try await World.with(starts: false) { world in
            let alone = try await Self.call(world, "weather")
            #expect(alone.status == 1 && alone.json["code"] == "not-running", "\(alone)")
            try await Self.acquaint(world.seller, world.buyer)
            #expect(try await world.fund(300).status == 200)
            try await world.sell("--escrow", "key", "--tag", "forecast", price: "7sat")
            let closed = try await world.seller.command(
                "market",
                "bid-rule",
                "add",
                "--service",
                "chess",
                "--floor",
                "3sat"
            )
            #expect(closed.status == 1, "\(closed)")
            let rule = ["market", "bid-rule", "add", "--service", "weather", "--floor", "3sat", "--capacity", "2"]
            let added = try await Program.run(rule + ["--data", world.seller.directory])
            #expect(added.status == 0, "\(added)")
            let called = try await Self.call(world, "Weather", "forecast")
            #expect(called.status == 0, "\(called)")
            #expect(called.json["state"] == "served" && called.json["price"] == "3", "\(called)")
            let body = try Base64URL.decode(#require(called.json["answer"]?["body"]?.stringValue))
            #expect(String(decoding: body, as: UTF8.self) == "answer 1 to /now/1\n")
            #expect(try called.json.array("bids").map { $0["price"] } == ["3"])
            // The seller has the bid's price, not the list's, and tells the same.
            let bids = try await world.seller.command("market", "bids", "--json").json.array("bids")
            #expect(bids.map { $0["state"] } == ["honoured"], "\(bids)")
            try await Self.until {
                let jobs = try await world.seller.command("job", "list", "--json").json.array("jobs")
                return jobs.map { $0["ending"] } == ["claimed"] && jobs.map { $0["price"] } == ["3"]
            }
            let rules = try await world.seller.command("market", "bid-rule", "list", "--json").json.array("rules")
            #expect(rules.first?["openBids"] == 0 && rules.first?["capacity"] == 2)
            // The buyer's node was restarted in the middle: the call goes on, and comes to one job.
            let detached = try await Self.call(world, "weather", for: "15s", more: ["--detach"])
            let name = try #require(detached.json["call"]?.stringValue)
            try await Self.until {
                try await world.buyer.command("market", "calls", name, "--json").json.array("bids").count == 1
            }
            await world.buyer.kill()
            try await world.buyer.start()
            try await Self.until {
                let state = try await world.buyer.command("market", "calls", name, "--json").json["state"]
                return state != "open" && state != "awarding"
            }
            let shown = try await world.buyer.command("market", "calls", name, "--json").json
            let jobs = try await world.buyer.command("job", "list", "--json").json.array("jobs")
            #expect(shown["state"] == "awarded" && jobs.count == 2, "\(shown)")
            #expect(jobs.first?["job"] == shown["job"] && jobs.first?["price"] == "3", "\(jobs)")
            // Words that nobody has; and one that is taken back.
            let nobody = try await Self.call(world, "chess")
            #expect(nobody.status == 1 && nobody.json["note"] == "nobody bid", "\(nobody)")
            let other = try await Self.call(world, "chess", more: ["--detach"])
            let id = try #require(other.json["call"]?.stringValue)
            let cancelled = try await world.buyer.command("market", "call", "--cancel", id, "--json")
            #expect(cancelled.json["state"] == "cancelled", "\(cancelled)")
            #expect(try await world.buyer.command("market", "call", "--cancel", id).status == 1)
            let listed = try await world.buyer.command("market", "calls", "--json").json.array("calls")
            #expect(listed.count == 4 && listed.first?["call"]?.stringValue == id)
            // A bidder that is gone when its bid is to be shown: what the buyer's node thinks of it is less for it.
            let last = try await Self.call(world, "weather", more: ["--detach"])
            let silent = try #require(last.json["call"]?.stringValue)
            try await Self.until {
                try await world.buyer.command("market", "calls", silent, "--json").json.array("bids").count == 1
            }
            await world.seller.kill()
            try await Self.until {
                try await world.buyer.command("market", "calls", silent, "--json").json["state"] == "failed"
            }
            let bid = try await world.buyer.command("market", "calls", silent, "--json").json.array("bids").first
            #expect(bid?["state"] == "withheld", "\(String(describing: bid))")
            let seller = try #require(bid?["bidder"]?.stringValue)
            let standing = try await world.buyer.command("reputation", "show", seller, "--json").json
            #expect(standing["bad"] == 1.0 && standing["good"] == 2.0, "\(standing)")
            #expect(try await world.seller.command("market", "bid-rule", "remove", "weather").status == 0)
            #expect(try await world.seller.command("market", "bid-rule", "remove", "weather").status == 1)
        }
    }

    @Test(
        "[QUO-9] [QUO-11] [QUO-15] Of two sellers the cheaper is taken, and where it delivers nothing the other one, once"
    )
    func two() async throws {
        try await World.with(starts: false) { world in
            let other = TestedNode(
                "other",
                directory: world.folder.path + "/o",
                port: try await FreePorts.some(1)[0],
                http: world.http,
                settings: []
            )
            try await other.make(simulatorURL: world.simulatorURL)
            do {
                try await Self.two(world, other)
            } catch {
                await other.kill()
                throw error
            }
            await other.kill()
        }
    }

    private static func two(_ world: World, _ other: TestedNode) async throws {
        try await acquaint(
            world.seller,
            world.buyer,
            other,
            settings: ["ecash": ["acceptedMints": [.string(world.seller.url + "/mint")]]]
        )
        #expect(try await world.fund(300).status == 200)
        try await world.sell("--escrow", "key", price: "7sat")
        // What it sells is dead.
        let sold = ["service", "add", "weather", "--upstream", "http://127.0.0.1:9", "--price", "7sat"]
        let added = try await Program.run(sold + ["--escrow", "key", "--data", other.directory])
        #expect(added.status == 0, "\(added)")
        for (node, floor) in [(world.seller, "5sat"), (other, "4sat")] {
            let rule = ["market", "bid-rule", "add", "--service", "weather", "--floor", floor]
            #expect(try await Program.run(rule + ["--data", node.directory]).status == 0)
        }
        let called = try await call(world, "weather")
        #expect(called.status == 0 && called.json["price"] == "5", "\(called)")
        let bids = try called.json.array("bids").sorted {
            $0["price"]?.stringValue ?? "" < $1["price"]?.stringValue ?? ""
        }
        #expect(bids.map { $0["price"] } == ["4", "5"] && bids.allSatisfy { $0["job"] != nil }, "\(bids)")
        #expect(bids[0]["why"] != nil && bids[1]["why"] == nil, "\(bids)")
        #expect(world.upstream.total == 1)
        let spent = try await world.buyer.command("job", "list", "--json").json.array("jobs").map { $0["locked"] }
        #expect(spent == ["5", "0"], "\(spent)")
    }
}
