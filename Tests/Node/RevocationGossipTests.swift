import CanonicalJSON
import Foundation
import NIOHTTP1
import TestSupport
import Testing

/// An issuer's node and one that sells to its agents. The seller's copy of the status list serves for a minute by itself, so
/// that what is refused sooner is refused because of the news.
@Suite("Revocation over gossip", .serialized, .timeLimit(.minutes(5)))
struct RevocationGossipTests {
    /// The agent that is revoked, and what the seller says of its calls: 402 where nothing but the money is missing.
    private struct Shop: Sendable {
        let world: World
        let agent: ShownAgent

        func code() async throws -> String? {
            let headers = try agent.headers(more: [("Idempotency-Key", UUID().uuidString)])
            return try await world.get(agent.url, headers: headers).code
        }

        func becomes(_ expected: String) async throws {
            while try await code() != expected { try await Task.sleep(for: .milliseconds(20)) }
        }
    }

    private func shop(_ world: World) async throws -> Shop {
        let agent = try await world.shownAgent(maximumAgeSeconds: 600)
        // Signatures older than the seller's process are not taken; let that second pass.
        try await Task.sleep(for: .milliseconds(1_100))
        return Shop(world: world, agent: agent)
    }

    /// The buyer's node dials the seller's.
    private func connect(_ world: World) async throws {
        let status = try await world.seller.command("status", "--json")
        let address = try #require(status.json["gossip"]?.array("addresses").first?.stringValue)
        let added = try await world.buyer.command("peers", "add", address, "--json")
        #expect(added.status == 0, "\(added)")
    }

    @Test("[RVK-1] [RVK-2] what is suspended, restored and revoked at one node is so at the next call to another")
    func told() async throws {
        try await World.with { world in
            let shop = try await shop(world)
            #expect(try await shop.code() == "payment-required")
            try await connect(world)
            for (command, code) in [("suspend", "suspended"), ("restore", "payment-required"), ("revoke", "revoked")] {
                let more = command == "revoke" ? ["--yes"] : []
                let begin = ContinuousClock.now
                let changed = try await Program.run(
                    ["passport", command, "scout", "--data", world.buyer.directory] + more
                )
                #expect(changed.status == 0, "\(changed)")
                try await shop.becomes(code)
                // Far below the minute after which the list would be fetched anyway.
                #expect(ContinuousClock.now - begin < .seconds(30), "\(command)")
            }
            let evidence = try await world.seller.command("passport", "evidence", "--json")
            #expect(try evidence.json.array("evidence").isEmpty)
        }
    }

    @Test("[RVK-1] what was revoked while nobody was connected is told to who comes, also after a restart")
    func toldLater() async throws {
        try await World.with { world in
            let shop = try await shop(world)
            #expect(try await shop.code() == "payment-required")
            #expect(try await world.buyer.command("passport", "revoke", "scout", "--yes").status == 0)
            #expect(await world.buyer.process.stop() == 0)
            try await world.buyer.start()
            let begin = ContinuousClock.now
            try await connect(world)
            try await shop.becomes("revoked")
            #expect(ContinuousClock.now - begin < .seconds(30))
        }
    }
}
