import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import HTTPSignatures
import NIOHTTP1
import Passports
import SignedDocuments
import Storage
import TestSupport
import Testing

/// An issuer's node and one that sells to its agents. The seller's copy of the status list serves for a minute by itself, so
/// that what is refused sooner is refused because of the news.
@Suite("Revocation over gossip", .serialized, .timeLimit(.minutes(5)))
struct RevocationGossipTests {
    private struct Shop: Sendable {
        let world: World
        let key: Ed25519.PrivateKey
        let passport: Passport
        var url: String { world.seller.url + "/s/weather/now/1" }

        /// What the seller says of a call of the agent's: 402 where nothing but the money is missing.
        func code() async throws -> String? {
            let created = WallClock.system.now()
            let shown = [("Agent-Passport", passport.encodedHeader), ("Idempotency-Key", UUID().uuidString)]
            let signed = try HTTPSignatures.sign(
                RequestFacts(method: "GET", targetURI: url, headers: shown.map { (name: $0.0, value: $0.1) }),
                key: key,
                created: created,
                expires: created.adding(seconds: 30)
            )
            let headers = shown + [("Signature-Input", signed.signatureInput), ("Signature", signed.signature)]
            return try await world.get(url, headers: headers).code
        }

        func becomes(_ expected: String) async throws {
            while try await code() != expected { try await Task.sleep(for: .milliseconds(20)) }
        }
    }

    private func shop(_ world: World) async throws -> Shop {
        let issuer = try await world.buyer.call(.GET, "/api/node").json.string("did")
        let added = try await world.seller.command(
            "service",
            "add",
            "weather",
            "--upstream",
            "http://127.0.0.1:\(world.upstreamPort)",
            "--price",
            "2sat",
            "--capability",
            "invoke",
            "--status-max-age",
            "600",
            "--trust",
            issuer
        )
        #expect(added.status == 0, "\(added)")
        let path = world.folder.path + "/agent.key"
        #expect(try await Program.run(["agent", "key", path]).status == 0)
        let registered = try await world.buyer.command(
            "agent",
            "register",
            "scout",
            "--key",
            path,
            "--capability",
            "invoke",
            "--json"
        )
        #expect(registered.status == 0, "\(registered)")
        let seed = try String(contentsOfFile: path, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
        // Signatures older than the seller's process are not taken; let that second pass.
        try await Task.sleep(for: .milliseconds(1_100))
        return Shop(
            world: world,
            key: try Ed25519.PrivateKey(seed: Hex.decode(seed)),
            passport: try Passport(document: registered.json.object("passport"))
        )
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
