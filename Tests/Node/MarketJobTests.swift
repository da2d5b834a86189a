import CanonicalJSON
import Encodings
import Foundation
import NIOHTTP1
import TestSupport
import Testing

/// `mintmark market buy` between two nodes that run, as a user types it; and the same nodes killed in the middle.
@Suite("Jobs by escrow", .serialized, .timeLimit(.minutes(5)))
struct MarketJobTests {
    private static func buy(_ world: World, _ path: String, _ more: String...) async throws -> Program.Outcome {
        try await Program.run(
            ["market", "buy", world.seller.url + "/s/weather" + path, "--budget", "20sat", "--json"] + more
                + ["--data", world.buyer.directory]
        )
    }

    private static func text(_ job: JSONValue) -> String {
        let body = (job["answer"]?["body"]?.stringValue).flatMap { try? Base64URL.decode($0) }
        return String(decoding: body ?? [], as: UTF8.self)
    }

    private static func balance(_ node: TestedNode) async throws -> Int {
        let answer = try await node.call(.GET, "/api/wallet/balance")
        return (answer.json["mints"]?.arrayValue ?? []).reduce(0) { sum, entry in
            sum + (Int(entry["available"]?.stringValue ?? "") ?? 0)
        }
    }

    /// Asks until it is so.
    private static func until(_ what: () async throws -> Bool) async throws {
        for _ in 0..<400 {
            if try await what() { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        Issue.record("it never came to be so")
    }

    @Test(
        "[JOB-1] [JOB-2] [JOB-3] [JOB-4] [JOB-5] [JOB-7] [REP-15] A call is quoted, delivered sealed, paid and opened, and both sides tell the same"
    )
    func bought() async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            try await world.sell("--escrow", "key", price: "5sat")
            let bought = try await Self.buy(world, "/now/1", "--input", "{\"city\":\"Bern\"}")
            #expect(bought.status == 0, "\(bought)")
            #expect(Self.text(bought.json) == "answer 1 to /now/1\n", "\(bought)")
            #expect(bought.json["state"] == "served")
            #expect(bought.json["ending"] == "claimed", "\(bought)")
            #expect(bought.json["price"] == "5")
            let job = try #require(bought.json["job"]?.stringValue)
            // The answer alone on standard output, and in a file.
            let file = world.folder.path + "/answer"
            let plain = try await Program.run(
                ["market", "buy", world.seller.url + "/s/weather/now/2", "--budget", "20sat", "-o", file]
                    + ["--data", world.buyer.directory]
            )
            #expect(plain.status == 0 && plain.output.isEmpty, "\(plain)")
            #expect(try String(contentsOfFile: file, encoding: .utf8) == "answer 2 to /now/2\n")
            let shown = try await world.buyer.command("job", "show", job, "--json")
            #expect(Self.text(shown.json) == "answer 1 to /now/1\n")
            let here = try await world.buyer.command("job", "list", "--json").json.array("jobs")
            let there = try await world.seller.command("job", "list", "--json").json.array("jobs")
            #expect(
                here.map { $0["ending"] } == ["claimed", "claimed"]
                    && there.map { $0["ending"] } == ["claimed", "claimed"]
            )
            #expect(here.map { $0["job"] } == there.map { $0["job"] })
            // It counts for what both think of each other.
            let seller = try #require(try await world.seller.command("status", "--json").json["did"]?.stringValue)
            let buyer = try #require(try await world.buyer.command("status", "--json").json["did"]?.stringValue)
            let standing = try await world.buyer.command("reputation", "show", seller, "--json").json
            #expect(standing["bad"] == 0.0 && standing["standing"] == 100, "\(standing)")
            let sold = try await world.seller.command("reputation", "show", buyer, "--buying", "--json").json
            #expect(sold["standing"] == 100, "\(sold)")
            let statement = try await world.seller.command("reputation", "export", "--json").json
            #expect(statement["calls"] == 2 && statement["buyers"] == 1, "\(statement)")
            // What the seller got is what was agreed, and nothing is left locked.
            #expect(try await Self.balance(world.seller) == 10)
            let again = try await world.get(world.seller.url + "/market/jobs/\(job)")
            #expect(again.status == 200 && (try? JSONValue.parse(again.body))?["ending"] == "claimed")
            #expect(
                try await world.get(world.seller.url + "/market/jobs/" + String(repeating: "0", count: 64)).status
                    == 404
            )
        }
    }

    @Test(
        "[QUO-10] [JOB-9] Several sellers are asked at once: the cheapest is taken, and the next where that one delivers nothing"
    )
    func several() async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            try await world.sell("--escrow", "key", price: "7sat")
            // Cheaper, and dead.
            let added = try await world.seller.command(
                "service",
                "add",
                "cheap",
                "--upstream",
                "http://127.0.0.1:9",
                "--price",
                "3sat",
                "--escrow",
                "key"
            )
            #expect(added.status == 0, "\(added)")
            let here = world.seller.url + "/s/"
            let gone = "http://127.0.0.1:\(try await FreePorts.some(1)[0])/s/gone"
            let sellers = [gone, here + "weather", here + "cheap", here + "weather"]
            let asking = ["--path", "/now/1", "--budget", "20sat", "--json", "--data", world.buyer.directory]
            let asked = try await Program.run(["market", "request"] + sellers + asking)
            #expect(asked.status == 0, "\(asked)")
            let quotes = try asked.json.array("quotes")
            #expect(quotes.map { $0["price"]?.stringValue } == ["3", "7", nil])
            #expect(quotes.last?["why"]?.stringValue?.contains("can't be reached") == true, "\(asked)")
            #expect(quotes.first?["trust"] == 100_000)
            #expect(world.upstream.total == 0)
            let bought = try await Program.run(["market", "buy"] + sellers + asking)
            #expect(bought.status == 0 && Self.text(bought.json) == "answer 1 to /now/1\n", "\(bought)")
            #expect(bought.json["price"] == "7" && bought.json["ending"] == "claimed", "\(bought)")
            let told = try bought.json.array("quotes")
            #expect(told.map { $0["job"] == nil } == [false, false, true])
            #expect(told.first?["why"]?.stringValue?.isEmpty == false)
            #expect(try await Self.balance(world.buyer) == 293)
            // Words find nothing where nobody tells of anything; what is neither words nor sellers is not guessed at.
            let unknown = try await Program.run(["market", "buy", "weather"] + asking)
            #expect(unknown.status != 0 && unknown.description.contains("Nobody is known"), "\(unknown)")
            let mixed = try await Program.run(["market", "buy", "weather", here + "weather"] + asking)
            #expect(mixed.status != 0 && mixed.description.contains("not both"), "\(mixed)")
        }
    }

    @Test("[JOB-1] [JOB-3] [JOB-4] [JOB-7] Over budget, not sold so, or a service that fails: nothing is locked")
    func refused() async throws {
        try await World.with { world in
            #expect(try await world.fund(100).status == 200)
            try await world.sell("--escrow", "key", price: "30sat")
            let before = try await Self.balance(world.buyer)
            let dear = try await Self.buy(world, "/now/1")
            #expect(dear.status == 2 && dear.json["code"] == "no-offer", "\(dear)")
            try await world.sell("--replace", price: "5sat")
            let plain = try await Self.buy(world, "/now/1")
            #expect(plain.status != 0, "\(plain)")
            try await world.sell("--escrow", "key", "--replace", price: "5sat")
            let failed = try await Self.buy(world, "/fail/1")
            #expect(failed.status == 1 && failed.json["ending"] == "refunded", "\(failed)")
            #expect(world.upstream.total == 1)
            #expect(try await Self.balance(world.buyer) == before)
            #expect(try await Self.balance(world.seller) == 0)
            let passport = try await world.seller.command(
                "service",
                "add",
                "closed",
                "--upstream",
                "http://127.0.0.1:9",
                "--price",
                "2sat",
                "--escrow",
                "key",
                "--trust",
                "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
            )
            #expect(passport.status != 0, "\(passport)")
            let mode = try await world.seller.command(
                "service",
                "add",
                "other",
                "--upstream",
                "http://127.0.0.1:9",
                "--price",
                "2sat",
                "--escrow",
                "trust"
            )
            #expect(mode.status != 0, "\(mode)")
        }
    }

    @Test(
        "[JOB-6] [JOB-8] The buyer killed with the service at work, and the seller killed after its claim: both end the same, paid once"
    )
    func killed() async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            try await world.sell("--escrow", "key", "--idempotent", price: "5sat")
            // The buyer goes away while the service is at work; after its restart it gets the delivery by itself.
            world.upstream.hold()
            let waiting = Task { try await Self.buy(world, "/held/1") }
            try await Self.until { world.upstream.total == 1 }
            await world.buyer.kill()
            _ = try? await waiting.value
            world.upstream.release()
            try await world.buyer.start()
            try await Self.until {
                let jobs = try await world.buyer.command("job", "list", "--json").json["jobs"]?.arrayValue ?? []
                return jobs.map { $0["ending"] } == ["claimed"]
            }
            #expect(world.upstream.total == 1)
            let jobs = try await world.buyer.command("job", "list", "--json").json.array("jobs")
            let job = try #require(jobs.first?["job"]?.stringValue)
            let shown = try await world.buyer.command("job", "show", job, "--json")
            #expect(Self.text(shown.json) == "answer 1 to /held/1\n", "\(shown)")
            // The seller goes away right after: it has the money, and still tells the key.
            await world.seller.kill()
            try await world.seller.start()
            let told = try await world.get(world.seller.url + "/market/jobs/\(job)")
            #expect((try? JSONValue.parse(told.body))?["key"]?.stringValue?.count == 64)
            let sold = try await world.seller.command("job", "list", "--json").json.array("jobs")
            #expect(sold.map { $0["ending"] } == ["claimed"])
            #expect(try await Self.balance(world.seller) == 5)
        }
    }

    @Test("[JOB-7] [JOB-8] The buyer killed after it locked its money: the lock is found again, sent, and paid once")
    func killedAfterLock() async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            try await world.sell("--escrow", "key", price: "5sat")
            let way = LossyWay(to: world.seller.port, http: world.http)
            let port = try await FreePorts.some(1)[0]
            try await way.whileServing(port: port) {
                way.block("/lock")
                let pending = try await Program.run(
                    ["market", "buy", "http://127.0.0.1:\(port)/s/weather/now/1", "--budget", "20sat", "--json"]
                        + ["--timeout", "2", "--data", world.buyer.directory]
                )
                #expect(pending.status == 4 && pending.json["state"] == "funded", "\(pending)")
                #expect(pending.json["locked"] == "5" && pending.json["answer"] == nil, "\(pending)")
                await world.buyer.kill()
                way.block(nil)
                try await world.buyer.start()
                let job = try #require(pending.json["job"]?.stringValue)
                try await Self.until {
                    try await world.buyer.command("job", "show", job, "--json").json["ending"] == "claimed"
                }
                let shown = try await world.buyer.command("job", "show", job, "--json")
                #expect(Self.text(shown.json) == "answer 1 to /now/1\n", "\(shown)")
                #expect(try await Self.balance(world.buyer) == 295)
                #expect(try await Self.balance(world.seller) == 5)
                #expect(world.upstream.total == 1)
            }
        }
    }
}
