import CanonicalJSON
import Foundation
import TestSupport
import Testing

/// Promises that are not kept between nodes that run, as operators type it: the money is back without anybody's doing.
@Suite("What goes back by itself, by commands", .serialized)
struct SLARefundCommandTests {
    @Test(
        "[SLA-11] [SLA-14] An answer against the schema and a late one: the buyer's wallet has the money back, and both sides show it"
    )
    func refunds() async throws {
        try await World.with { world in
            let (seller, buyer) = (world.seller, world.buyer)
            let schemas = world.folder.path + "/schemas.json"
            try #"{"output": {"type": "object"}}"#.write(toFile: schemas, atomically: true, encoding: .utf8)
            // What the upstream answers is no JSON.
            let strict = ["--schema", schemas, "--sla-refund", "schema=100%"]
            let sold = try await world.sell(
                "--accept",
                "cashu",
                strict[0],
                strict[1],
                strict[2],
                strict[3],
                named: "strict",
                price: "5sat"
            )
            #expect(sold.json["slaRefund"] == "schema=100%", "\(sold)")
            try await world.sell(
                "--accept",
                "cashu",
                "--sla",
                "deadline=20ms",
                "--sla-refund",
                "late=50%",
                named: "prompt",
                price: "5sat"
            )
            let refused = try await seller.command(
                "service",
                "add",
                "vague",
                "--upstream",
                "http://127.0.0.1:1",
                "--price",
                "5sat",
                "--sla-refund",
                "late"
            )
            #expect(refused.status == 1 && refused.errors.contains("--sla deadline="), "\(refused)")

            #expect(try await buyer.command("wallet", "fund", "200sat", "--mint", seller.url + "/mint").status == 0)
            #expect(try await buyer.command("agent", "register", "planner").status == 0)
            func pay(_ path: String) async throws -> Program.Outcome {
                try await buyer.command("pay", seller.url + path, "--max", "5sat", "--agent", "planner")
            }
            let broken = try await pay("/s/strict/now/1")
            #expect(broken.status == 0 && broken.output.contains("answer"), "\(broken)")
            #expect(broken.errors.contains("5 given back, as the answer was not as promised"), "\(broken)")
            // Held until it is late for certain.
            world.upstream.hold()
            async let slow = pay("/s/prompt/held/1")
            while world.upstream.total < 2 { try await Task.sleep(for: .milliseconds(10)) }
            try await Task.sleep(for: .milliseconds(100))
            world.upstream.release()
            let late = try await slow
            #expect(late.status == 0, "\(late)")
            #expect(late.errors.contains("3 given back, as the answer was late"), "\(late)")
            let books = Books(buyer)
            #expect(try books.number("SELECT sum(returned) FROM wallet_payments WHERE state = 'served'") == 8)
            let history = try await buyer.command("wallet", "history", "--json")
            #expect(history.output.components(separatedBy: #""refunded""#).count == 3, "\(history)")

            let shown = try await seller.command("sla", "show", "strict")
            #expect(shown.output.contains("schema: 1 calls, 5 sat given back for 1"), "\(shown)")
            let did = try await seller.command("status", "--json").json.string("did")
            let bought = try await buyer.command("sla", "show", "\(did)/prompt", "--json")
            let call = try #require(bought.json["broken"]?[0], "\(bought)")
            #expect(call["rule"] == "late" && call["refund"] == "3" && call["amount"] == "2")
            #expect((call["milliseconds"]?.int64Value ?? 0) > 20)
            // Money that came back does not make a call a good one.
            let standing = try await buyer.command("reputation", "show", did, "--json")
            #expect(standing.json["good"] == 0.0 && standing.json["bad"] != 0.0, "\(standing)")
            let metrics = try await world.get(seller.url + "/metrics")
            #expect(metrics.text.contains(#"mintmark_gateway_breaches_total{rule="late"} 1"#))
        }
    }
}
