import CanonicalJSON
import Foundation
import NIOHTTP1
import TestSupport
import Testing

/// Ecash of the seller's own mint, which nobody locked to anybody ([CALL-24]).
@Suite("A seller with a mint of its own")
struct OwnMintTests {
    private func sold(_ world: World) async throws {
        try await world.sell("--price", "GET /fail/*=2sat")
        #expect(try await world.fund(100).status == 200)
        // A node that has just started asks for its own mint's terms first.
        for _ in 0..<100 where try await world.get(world.seller.url + "/s/weather/now/0").headers["X-Cashu"].isEmpty {
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private func token(_ world: World) async throws -> String {
        let sent = try await world.buyer.command("wallet", "send", "2", "--mint", world.seller.url + "/mint", "--json")
        #expect(sent.status == 0, "\(sent)")
        return try sent.json.string("token")
    }

    private func isSound(_ world: World) async throws {
        for node in [world.seller, world.buyer] {
            #expect(try await node.call(.POST, "/api/audit").json["findings"]?.arrayValue == [], "\(node.name)")
        }
    }

    @Test("CALL-24: unlocked ecash buys one call, is nobody else's from then on, and is the seller's in the end")
    func unlocked() async throws {
        try await World.with { world in
            try await sold(world)
            let token = try await token(world)
            let url = world.seller.url + "/s/weather/now/1"
            world.upstream.release()
            let statuses = try await withThrowingTaskGroup(of: (Int, String?).self) { group in
                for number in 0..<32 {
                    group.addTask {
                        let answer = try await world.get(
                            url + String(number),
                            headers: [("X-Cashu", token), ("Idempotency-Key", "call \(number)")]
                        )
                        return (answer.status, answer.code)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let log = try String(contentsOfFile: world.folder.path + "/s.log", encoding: .utf8)
            #expect(statuses.filter { $0.0 == 200 }.count == 1, "\(statuses) \(log)")
            #expect(world.upstream.total == 1)
            let received = try await world.buyer.command("wallet", "receive", token, "--json")
            #expect(received.status != 0, "\(received)")
            try await isSound(world)

            // A token that was spent elsewhere buys nothing.
            let other = try await self.token(world)
            #expect(try await world.buyer.command("wallet", "receive", other, "--json").status == 0)
            let refused = try await world.get(url, headers: [("X-Cashu", other)])
            #expect(refused.status == 400 && refused.code == "already-spent", "\(refused.text)")
            #expect(world.upstream.total == 1)

            var balance: JSONValue?
            for _ in 0..<400 {
                balance = try await world.seller.call(.GET, "/api/wallet/balance").json["mints"]?.arrayValue?.first
                if balance?["available"] == "2" { break }
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(balance?["available"] == "2", "\(String(describing: balance))")
            try await isSound(world)
        }
    }

    /// Writes the seller's `mint.enabled`, for its next start.
    private func turn(mint isOn: Bool, of node: TestedNode) throws {
        let path = URL(filePath: node.directory + "/config.json")
        guard case .object(var settings) = try JSONValue.parse([UInt8](Data(contentsOf: path))) else { return }
        settings["mint"] = ["enabled": .bool(isOn)]
        try Data(settings.serialized()).write(to: path)
    }

    @Test("CALL-24, CALL-9: killed within a call and started with its mint turned off, it lets the proofs go")
    func turnedOff() async throws {
        try await World.with { world in
            try await sold(world)
            let token = try await token(world)
            let url = world.seller.url + "/s/weather/held/1"
            async let call = try? world.get(url, headers: [("X-Cashu", token)])
            for _ in 0..<500 where world.upstream.total == 0 { try await Task.sleep(for: .milliseconds(20)) }
            #expect(world.upstream.total == 1)
            #expect(try await world.buyer.command("wallet", "receive", token, "--json").status != 0)
            await world.seller.kill()
            _ = await call
            try turn(mint: false, of: world.seller)
            try await world.seller.start()
            #expect(try await world.seller.call(.POST, "/api/audit").json["findings"]?.arrayValue == [])
            await world.seller.kill()
            try turn(mint: true, of: world.seller)
            try await world.seller.start()
            let received = try await world.buyer.command("wallet", "receive", token, "--json")
            #expect(received.status == 0, "\(received)")
            try await isSound(world)
        }
    }

    @Test("CALL-24, CALL-14: a call that fails gives the same proofs back, and they are good")
    func refunded() async throws {
        try await World.with { world in
            try await sold(world)
            let token = try await token(world)
            let failed = try await world.get(world.seller.url + "/s/weather/fail/1", headers: [("X-Cashu", token)])
            #expect(failed.status == 502, "\(failed.text)")
            let back = try #require(failed.headers.first(name: "X-Cashu"))
            let received = try await world.buyer.command("wallet", "receive", back, "--json")
            #expect(received.status == 0, "\(received)")
            try await isSound(world)
        }
    }
}
