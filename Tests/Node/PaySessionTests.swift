import CanonicalJSON
import TestSupport
import Testing

/// `mintmark pay --session` and `mintmark wallet sessions` between two nodes that run, as a user types it.
@Suite("Paying by session", .serialized)
struct PaySessionTests {
    @Test("PAY-8: a session is opened by a deposit, used again, added to, killed in between, and its rest comes back")
    func session() async throws {
        try await World.with { world in
            let (buyer, port) = (world.buyer, world.upstreamPort)
            let added = try await world.seller.command(
                "service",
                "add",
                "talk",
                "--upstream",
                "http://127.0.0.1:\(port)",
                "--price",
                "2sat",
                "--accept",
                "payment-session",
                "--session-deposit",
                "6sat"
            )
            #expect(added.status == 0, "\(added)")
            let url = world.seller.url + "/s/talk/now/"
            func pay(_ path: String, _ more: String...) async throws -> Program.Outcome {
                let arguments = ["pay", url + path, "--max", "5sat", "--json"] + more
                return try await Program.run(arguments + ["--data", buyer.directory], input: "")
            }
            let without = try await pay("1")
            #expect(without.status != 0 && without.json["code"]?.stringValue == "challenge-unusable", "\(without)")
            let low = try await pay("1", "--session", "5sat")
            #expect(low.json["code"]?.stringValue == "limit-exceeded", "\(low)")
            let dry = try await pay("1", "--session", "10sat", "--dry-run")
            #expect(dry.json["picked"]?["way"]?.stringValue == "payment-session", "\(dry)")
            let first = try await pay("1", "--session", "10sat")
            #expect(first.status == 0, "\(first)")
            #expect(first.json["payment"]?["way"]?.stringValue == "payment-session", "\(first)")
            #expect(first.json["payment"]?["amount"]?.stringValue == "6", "\(first)")
            await buyer.kill()
            try await buyer.start()
            for path in ["2", "3"] {
                let next = try await pay(path)
                #expect(next.status == 0 && next.json["payment"]?["amount"]?.stringValue == "0", "\(next)")
            }
            // Used up: the next one adds to it.
            let topUp = try await pay("4", "--session", "10sat")
            #expect(topUp.status == 0 && topUp.json["payment"]?["amount"]?.stringValue == "6", "\(topUp)")
            let listed = try await buyer.command("wallet", "sessions", "list", "--json")
            let sessions = try listed.json.array("sessions")
            #expect(sessions.count == 1, "\(listed)")
            #expect(sessions.first?["depositSats"]?.stringValue == "12", "\(listed)")
            #expect(sessions.first?["state"]?.stringValue == "open", "\(listed)")
            let id = try #require(sessions.first?["id"]?.stringValue)
            for _ in 0..<2 {
                let closed = try await buyer.command("wallet", "sessions", "close", id, "--json")
                #expect(closed.status == 0, "\(closed)")
                #expect(closed.json["refundSats"]?.stringValue == "4", "\(closed)")
                #expect(closed.json["refundStatus"]?.stringValue == "succeeded", "\(closed)")
                #expect(closed.json["returned"]?.boolValue == true, "\(closed)")
            }
            // Closed, so that another deposit opens another.
            let again = try await pay("5", "--session", "10sat")
            #expect(again.status == 0 && again.json["payment"]?["amount"]?.stringValue == "6", "\(again)")
            let other = try await buyer.command("wallet", "sessions", "--json")
            #expect(try other.json.array("sessions").count == 2, "\(other)")
        }
    }
}
