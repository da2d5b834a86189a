import CanonicalJSON
import Encodings
import Foundation
import NIOHTTP1
import TestSupport
import Testing

/// Bonds among three nodes that run: a seller that breaks its promise, a buyer, and one that keeps the seller's bond.
@Suite("Bonds", .serialized, .timeLimit(.minutes(5)))
struct BondTests {
    /// With a third node that keeps bonds, and what the upstream never keeps to on sale: its answers are no JSON.
    private static func with(
        _ body: @escaping @Sendable (World, TestedNode) async throws -> Void
    ) async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            let keeper = TestedNode(
                "keeper",
                directory: world.folder.path + "/k",
                port: try await FreePorts.some(1)[0],
                http: world.http,
                settings: ["market.arbiterSeconds=600", "ecash.acceptedMints=\(world.seller.url)/mint"]
            )
            try await keeper.make(simulatorURL: world.simulatorURL)
            try await keeper.start()
            do {
                let schema = world.folder.path + "/schema.json"
                try Data(#"{"output": {"type": "object"}}"#.utf8).write(to: URL(fileURLWithPath: schema))
                try await world.sell("--escrow", "key", "--schema", schema, price: "5sat")
                // The seller earns what it leaves.
                let earned = try await buy(world, "/now/1")
                #expect(earned.status == 0, "\(earned)")
                try await body(world, keeper)
            } catch {
                await keeper.kill()
                throw error
            }
            await keeper.kill()
        }
    }

    private static func buy(_ world: World, _ path: String) async throws -> Program.Outcome {
        try await Program.run(
            ["market", "buy", world.seller.url + "/s/weather" + path, "--budget", "20sat", "--json"]
                + ["--data", world.buyer.directory]
        )
    }

    private static func balance(_ node: TestedNode) async throws -> Int {
        let answer = try await node.call(.GET, "/api/wallet/balance")
        return (answer.json["mints"]?.arrayValue ?? []).reduce(0) { sum, entry in
            sum + (Int(entry["available"]?.stringValue ?? "") ?? 0)
        }
    }

    private static func claims(_ node: TestedNode) async throws -> [JSONValue] {
        try await node.command("bond", "claims", "--json").json.array("claims")
    }

    /// Asks until it is so.
    private static func until(_ what: String, _ isSo: () async throws -> Bool) async throws {
        for _ in 0..<120 {
            if try await isSo() { return }
            try await Task.sleep(for: .milliseconds(250))
        }
        Issue.record("it never came to be so: \(what)")
    }

    @Test(
        "[BND-1] [BND-2] [BND-3] [BND-4] [BND-6] [BND-7] [BND-8] A broken promise is paid out of the bond with nobody doing anything, as far as the bond goes, once a job"
    )
    func paid() async throws {
        try await Self.with { world, keeper in
            // Not backed yet: what broke the promise before is not claimed.
            #expect(try await Self.balance(world.buyer) == 295)
            #expect(try await Self.claims(world.buyer).isEmpty)
            // At one that keeps none, at none, and more than the seller has of its one sale.
            for (amount, at) in [("4sat", world.buyer.url), ("4sat", "judge"), ("8sat", keeper.url)] {
                #expect(try await world.seller.command("bond", "leave", amount, "--at", at).status != 0)
            }
            #expect(try await world.fund(20, world.seller).status == 200)
            let bond = try await world.seller.command("bond", "leave", "8sat", "--at", keeper.url, "--json")
            #expect(bond.status == 0 && bond.json["state"] == "held" && bond.json["remaining"] == "8", "\(bond)")
            let id = try #require(bond.json["id"]?.stringValue)
            let kept = try await keeper.command("bond", "kept", "--json").json.array("bonds")
            #expect(kept.count == 1 && kept.first?["remaining"] == "8", "\(kept)")

            let broken = try await Self.buy(world, "/now/2")
            #expect(broken.status == 0 && broken.json["ending"] == "claimed", "\(broken)")
            try await Self.until("paid", { try await Self.balance(world.buyer) == 295 })
            let first = try await Self.claims(world.buyer)
            #expect(first.count == 1 && first.first?["state"] == "paid" && first.first?["received"] == "5", "\(first)")
            #expect(first.first?["rule"] == "schema" && first.first?["ruling"]?["paid"] == "5")
            // The next finds 3 of the 5 that it is owed.
            _ = try await Self.buy(world, "/now/3")
            try await Self.until("paid in part", { try await Self.balance(world.buyer) == 293 })
            // And one more nothing: it is told, and not asked again.
            _ = try await Self.buy(world, "/now/4")
            try await Self.until("refused", { try await Self.claims(world.buyer).first?["state"] == "refused" })
            #expect(try await Self.balance(world.buyer) == 288)
            #expect(try await Self.claims(world.buyer).map { $0["received"] } == ["0", "3", "5"])
            let spent = try await keeper.command("bond", "kept", "--json").json.array("bonds").first
            #expect(
                spent?["remaining"] == "0" && spent?["rulings"]?.arrayValue?.count == 2,
                "\(String(describing: spent))"
            )
            #expect(try await Self.balance(keeper) == 0)
            try await Self.until(
                "told",
                { try await world.seller.command("bond", "show", id, "--json").json["state"] == "spent" }
            )
        }
    }

    @Test("[BND-4] [BND-6] The keeper killed and away, the buyer killed: the claim is paid once both are back, once")
    func killed() async throws {
        try await Self.with { world, keeper in
            #expect(try await world.fund(50, world.seller).status == 200)
            let bond = try await world.seller.command("bond", "leave", "40sat", "--at", keeper.url, "--json")
            #expect(bond.status == 0, "\(bond)")
            await keeper.kill()
            _ = try await Self.buy(world, "/now/2")
            try await Self.until("asked", { try await Self.claims(world.buyer).first?["note"] != nil })
            await world.buyer.kill()
            try await keeper.start()
            try await world.buyer.start()
            try await Self.until("paid", { try await Self.balance(world.buyer) == 295 })
            let kept = try await keeper.command("bond", "kept", "--json").json.array("bonds").first
            #expect(kept?["remaining"] == "35", "\(String(describing: kept))")
            #expect(try await Self.claims(world.buyer).count == 1)
        }
    }
}
