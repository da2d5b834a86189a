import CanonicalJSON
import Encodings
import Foundation
import NIOHTTP1
import TestSupport
import Testing

/// `mintmark market buy --arbiter` among three nodes that run: a seller, a buyer, and one that decides.
@Suite("Jobs with an arbiter", .serialized, .timeLimit(.minutes(5)))
struct DisputeTests {
    /// With a third node that decides, and the service on sale with it.
    private static func with(
        _ body: @escaping @Sendable (World, TestedNode) async throws -> Void
    ) async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            let judge = TestedNode(
                "judge",
                directory: world.folder.path + "/j",
                port: try await FreePorts.some(1)[0],
                http: world.http,
                settings: ["market.arbiterSeconds=600", "ecash.acceptedMints=\(world.seller.url)/mint"]
            )
            try await judge.make(simulatorURL: world.simulatorURL)
            try await judge.start()
            do {
                try await world.sell("--escrow", "arbiter", "--arbiter", judge.url, price: "5sat")
                try await body(world, judge)
            } catch {
                await judge.kill()
                throw error
            }
            await judge.kill()
        }
    }

    private static func buy(
        _ world: World,
        _ path: String,
        _ arbiter: String,
        _ more: String...
    ) async throws -> Program.Outcome {
        try await Program.run(
            ["market", "buy", world.seller.url + "/s/weather" + path, "--budget", "20sat", "--json"]
                + ["--arbiter", arbiter] + more + ["--data", world.buyer.directory]
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

    private static func endings(_ node: TestedNode) async throws -> [JSONValue?] {
        try await node.command("job", "list", "--json").json.array("jobs").map { $0["ending"] }
    }

    /// Waits until the last job has ended so on both sides.
    private static func until(_ ending: String, _ world: World) async throws {
        for _ in 0..<60 {
            let both = try await (endings(world.buyer).first, endings(world.seller).first)
            if both.0 == .string(ending), both.1 == .string(ending) { return }
            try await Task.sleep(for: .milliseconds(250))
        }
        let here = try await world.buyer.command("job", "list", "--json")
        let there = try await world.seller.command("job", "list", "--json")
        Issue.record("they never ended \(ending): \(here) \(there)")
    }

    @Test(
        "[JOB-10] [JOB-11] [ESC-19] The money is locked first and signed over for the answer; without a delivery it is signed back"
    )
    func released() async throws {
        try await Self.with { world, judge in
            let bought = try await Self.buy(world, "/now/1", judge.url)
            #expect(bought.status == 0 && bought.json["state"] == "served", "\(bought)")
            #expect(Self.text(bought.json) == "answer 1 to /now/1\n", "\(bought)")
            #expect(bought.json["mode"] == "arbiter" && bought.json["locked"] == "5")
            try await Self.until("claimed", world)
            #expect(try await Self.balance(world.buyer) == 295)
            #expect(try await Self.balance(world.seller) == 5)
            // A seller that can't deliver gives it back at once.
            let failed = try await Self.buy(world, "/fail/1", judge.url)
            #expect(failed.status == 1 && failed.json["ending"] == "refunded", "\(failed)")
            #expect(try await Self.balance(world.buyer) == 295)
            // Whom the seller does not take, or who decides nothing, costs nothing.
            for other in [world.seller.url, world.buyer.url, "http://127.0.0.1:9", "judge"] {
                let refused = try await Self.buy(world, "/now/2", other)
                #expect(refused.status != 0, "\(refused)")
            }
            let key = try await Program.run(
                ["market", "buy", world.seller.url + "/s/weather/now/2", "--budget", "20sat"]
                    + ["--data", world.buyer.directory]
            )
            #expect(key.status != 0 && key.description.contains("mode arbiter"), "\(key)")
            #expect(try await Self.balance(world.buyer) == 295)
            #expect(try await judge.command("dispute", "list", "--json").json["disputes"] == .array([]))
        }
    }

    @Test(
        "[JOB-12] [ESC-13] [ESC-14] [ESC-17] [REP-15] The buyer judges: what it accepts is paid, what it disputes is divided by the arbiter, once"
    )
    func ruled() async throws {
        try await Self.with { world, judge in
            let first = try await Self.buy(world, "/now/1", judge.url, "--review")
            #expect(first.status == 4 && first.json["state"] == "judging", "\(first)")
            #expect(Self.text(first.json) == "answer 1 to /now/1\n")
            let good = try #require(first.json["job"]?.stringValue)
            #expect(try await world.buyer.command("job", "accept", good, "--json").json["state"] == "served")
            try await Self.until("claimed", world)
            #expect(try await world.buyer.command("job", "accept", good, "--json").status != 0)

            let second = try await Self.buy(world, "/now/2", judge.url, "--review", "--input", "{\"city\":\"Bern\"}")
            let job = try #require(second.json["job"]?.stringValue)
            let opened = try await world.buyer.command(
                "dispute",
                "open",
                job,
                "--reason",
                "it is about Basel",
                "--json"
            )
            #expect(opened.status == 0 && opened.json["state"] == "disputed", "\(opened)")
            let shown = try await judge.command("dispute", "show", job, "--json").json
            #expect(shown["phase"] == "open" && shown["amount"] == "5", "\(shown)")
            #expect(shown["buyerSays"] == "it is about Basel" && shown["deliveredAt"] != nil)
            #expect(Self.text(shown) == "answer 2 to /now/2\n" && shown["request"]?["target"] == "/now/2")
            #expect(try await judge.command("dispute", "rule", job, "--seller", "6", "--reason", "more").status != 0)
            let ruled = try await judge.command("dispute", "rule", job, "--seller", "2", "--reason", "half", "--json")
            #expect(ruled.json["outcome"] == "split" && ruled.json["buyerGets"] == "3", "\(ruled)")
            #expect(try await judge.command("dispute", "rule", job, "--seller", "5", "--reason", "all").status != 0)
            try await Self.until("split", world)
            #expect(try await Self.balance(world.buyer) == 293)
            #expect(try await Self.balance(world.seller) == 7)
            let known = try await world.buyer.command("job", "show", job, "--json").json
            #expect(known["ruling"]?["outcome"] == "split" && known["complaint"] == "it is about Basel", "\(known)")

            // All of it back, and all of it away.
            for (place, (part, ending)) in [("0", "refunded"), ("5", "claimed")].enumerated() {
                let next = try await Self.buy(world, "/now/\(3 + place)", judge.url, "--review")
                let name = try #require(next.json["job"]?.stringValue)
                _ = try await world.buyer.command("dispute", "open", name, "--reason", "no", "--json")
                _ = try await judge.command("dispute", "rule", name, "--seller", part, "--reason", "so", "--json")
                try await Self.until(ending, world)
            }
            #expect(try await Self.balance(world.buyer) == 288)
            #expect(try await Self.balance(world.seller) == 12)
            // The two of four that were ruled against the seller count against it.
            let seller = try #require(try await world.seller.command("status", "--json").json["did"]?.stringValue)
            let standing = try await world.buyer.command("reputation", "show", seller, "--json").json
            #expect(standing["good"]?.doubleValue == 2 && standing["bad"]?.doubleValue == 2, "\(standing)")
        }
    }

    @Test(
        "[JOB-8] [JOB-10] [JOB-12] Killed with the money locked, or with the dispute open: all three go on, and nothing is lost"
    )
    func killed() async throws {
        try await Self.with { world, judge in
            let way = LossyWay(to: world.seller.port, http: world.http)
            let port = try await FreePorts.some(1)[0]
            try await way.whileServing(port: port) {
                way.block("/release")
                let pending = try await Program.run(
                    ["market", "buy", "http://127.0.0.1:\(port)/s/weather/now/1", "--budget", "20sat", "--json"]
                        + ["--arbiter", judge.url, "--timeout", "3", "--data", world.buyer.directory]
                )
                #expect(pending.json["locked"] == "5", "\(pending)")
                await world.buyer.kill()
                await world.seller.kill()
                way.block(nil)
                try await world.seller.start()
                try await world.buyer.start()
                try await Self.until("claimed", world)
                #expect(try await Self.balance(world.buyer) == 295)
                #expect(try await Self.balance(world.seller) == 5)
            }
            let disputed = try await Self.buy(world, "/now/2", judge.url, "--review")
            let job = try #require(disputed.json["job"]?.stringValue)
            let opened = try await world.buyer.command("dispute", "open", job, "--reason", "no", "--json")
            #expect(opened.json["state"] == "disputed", "\(opened)")
            await world.seller.kill()
            await judge.kill()
            try await judge.start()
            // The mint is the seller's, and away: a person decides all the same.
            let ruled = try await judge.command("dispute", "rule", job, "--seller", "1", "--reason", "so", "--json")
            #expect(ruled.status == 0, "\(ruled)")
            await world.buyer.kill()
            await judge.kill()
            try await world.buyer.start()
            try await world.seller.start()
            try await judge.start()
            try await Self.until("split", world)
            #expect(try await Self.balance(world.buyer) == 294)
            #expect(try await Self.balance(world.seller) == 6)
            #expect(world.upstream.total == 2)
        }
    }

    @Test(
        "[JOB-8] [JOB-10] A lock that finds its way only when the acceptance is over half a minute old is taken all the same"
    )
    func lateLock() async throws {
        try await Self.with { world, judge in
            let way = LossyWay(to: world.seller.port, http: world.http)
            let port = try await FreePorts.some(1)[0]
            try await way.whileServing(port: port) {
                way.block("/market/jobs", after: 1)
                let pending = try await Program.run(
                    ["market", "buy", "http://127.0.0.1:\(port)/s/weather/now/1", "--budget", "20sat", "--json"]
                        + ["--arbiter", judge.url, "--timeout", "3", "--data", world.buyer.directory]
                )
                #expect(pending.status == 4 && pending.json["locked"] == "5", "\(pending)")
                // By the clocks of processes: an acceptance that nobody took is refused from here on.
                try await Task.sleep(for: .seconds(33))
                way.block(nil)
                try await Self.until("claimed", world)
                #expect(try await Self.balance(world.buyer) == 295)
                #expect(try await Self.balance(world.seller) == 5)
            }
        }
    }
}
