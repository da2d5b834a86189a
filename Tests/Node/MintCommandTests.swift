import AsyncHTTPClient
import CanonicalJSON
import Foundation
import NIOCore
import NIOHTTP1
import TestSupport
import Testing

/// `mintmark mint …` and `mintmark wallet audit`, as an operator and a holder type them.
@Suite("The mint's commands", .serialized)
struct MintCommandTests {
    @Test("Status, keysets, rotation, audit, the statement of liabilities, and a holder who checks it")
    func operating() async throws {
        try await World.with(
            sellerSettings: ["mint.units=sat,msat,usd", "mint.rates=usd=10400", "mint.inputFeePPK=100"]
        ) { world in
            let (seller, buyer) = (world.seller, world.buyer)
            let mint = seller.url + "/mint"
            #expect(try await world.fund(100).status == 200)
            let status = try await seller.command("mint", "status", "--json")
            #expect(status.status == 0, "\(status)")
            let units = try status.json.array("units")
            #expect(units.map { $0["unit"]?.stringValue } == ["msat", "sat", "usd"])
            #expect(units.map { $0["msatPerUnit"]?.stringValue } == ["1", "1000", "10400"])
            #expect(units[1]["outstanding"]?.stringValue == "100" && units[1]["lightning"]?.stringValue == "100")
            #expect(status.json["backendBalanceMsat"]?.stringValue.flatMap(UInt64.init) ?? 0 >= 100_000)
            #expect(try await seller.command("mint", "status").output.contains("OUTSTANDING"))

            let unasked = try await seller.command("mint", "rotate", "--json")
            #expect(unasked.status == 64 && unasked.output.contains("--yes"), "\(unasked)")
            let rotated = try await seller.command("mint", "rotate", "--yes", "--json")
            #expect(rotated.status == 0, "\(rotated)")
            let unknown = try await seller.command("mint", "rotate", "--unit", "eur", "--yes", "--json")
            #expect(unknown.status == 1 && unknown.json["code"]?.stringValue == "unit-unknown", "\(unknown)")
            let keysets = try await seller.command("mint", "keysets", "--json").json.array("keysets")
            let sats = keysets.filter { $0["unit"]?.stringValue == "sat" }
            #expect(sats.map { $0["active"]?.boolValue } == [false, true])
            #expect(sats.map { $0["issued"]?.stringValue } == ["100", "0"])
            #expect(sats.last?["id"]?.stringValue == rotated.json["keyset"]?.stringValue)
            #expect(try await seller.command("mint", "keysets").output.contains("redeemable"))

            // The old keyset's ecash is still good, and moves to the new one.
            let sent = try await buyer.command("wallet", "send", "10sat", "--mint", mint, "--json")
            #expect(sent.status == 0, "\(sent)")
            let token = try sent.json.string("token")
            let received = try await seller.command("wallet", "receive", token, "--json")
            #expect(received.status == 0, "\(received)")

            let quotes = try await seller.command("mint", "quotes", "--kind", "mint", "--json").json.array("quotes")
            #expect(quotes.map { $0["state"]?.stringValue } == ["issued"])
            #expect(try await seller.command("mint", "quotes", "--stuck").output.contains("No payment is stuck"))
            #expect(try await seller.command("mint", "quotes", "--state", "lost", "--json").status == 1)
            let audit = try await seller.command("mint", "audit", "--json")
            #expect(audit.status == 0, "\(audit)")
            #expect(try audit.json.array("findings").isEmpty)

            let closed = try await seller.command("mint", "liabilities", "--close", "--json")
            #expect(closed.status == 0, "\(closed)")
            #expect(try await seller.command("mint", "liabilities", "--json").json == closed.json)
            let file = world.folder.path + "/statement.json"
            try Data(closed.json.serialized()).write(to: URL(filePath: file))
            let shown = try await world.get(mint + "/liabilities")
            #expect(shown.status == 200 && shown.body == closed.json.serialized())
            let checked = try await buyer.command("wallet", "audit", "--mint", mint, "--json")
            #expect(checked.status == 0, "\(checked)")
            let report = try #require(try checked.json.array("mints").first)
            #expect(report["signer"] == (try await seller.command("status", "--json")).json["did"], "\(report)")
            #expect(try report.array("findings").isEmpty)
            #expect(try await buyer.command("wallet", "audit").output.contains("follows the statement seen before"))
        }
    }

    @Test("A stuck payment: listed, shown with its evidence, resolved on the sentence only, and the books add up")
    func stuck() async throws {
        try await World.with { world in
            let (seller, buyer) = (world.seller, world.buyer)
            #expect(try await world.fund(100).status == 200)
            try await hangPayments(of: seller, in: world)
            let wanted = try await buyer.call(
                .POST,
                "/api/wallet/fund",
                ["amount": "20", "mint": .string(buyer.url + "/mint"), "payInvoice": false]
            )
            let invoice = try wanted.json.string("invoice")
            let paying = Task {
                try await buyer.call(
                    .POST,
                    "/api/wallet/pay-invoice",
                    ["invoice": .string(invoice), "mint": .string(seller.url + "/mint")]
                )
            }
            let books = Books(seller)
            #expect(
                try await books.waits(
                    forRow: "SELECT 1 FROM mint_melt_quotes WHERE state = 1",
                    [],
                    timeoutSeconds: 60
                )
            )
            let id = try #require(try books.text("SELECT id FROM mint_melt_quotes WHERE state = 1"))
            // Were the process gone before the network has the payment, the next one would begin it, and hang in its place.
            for _ in 0..<100 {
                let asked = try await seller.command("mint", "quotes", id, "--json")
                if asked.json["backendSays"]?.stringValue == "pending" { break }
            }
            // The process that began the payment is gone; the next one asks.
            await seller.kill()
            try await seller.start()
            let listed = try await seller.command("mint", "quotes", "--stuck", "--json").json.array("quotes")
            #expect(try listed.map { try $0.string("id") } == [id])
            let evidence = try await seller.command("mint", "quotes", id, "--json")
            #expect(evidence.json["state"]?.stringValue == "pending", "\(evidence)")
            #expect(evidence.json["backendSays"]?.stringValue == "pending", "\(evidence)")
            #expect(evidence.json["heldProofs"]?.int64Value ?? 0 > 0)
            #expect(try await seller.command("mint", "quotes", id).output.contains("Lightning says now"))
            #expect(try await seller.command("mint", "resolve", id, "--json").status == 64)
            #expect(try await seller.command("mint", "resolve", id, "--failed", "--json").status == 64)

            func resolve(_ more: String...) async throws -> Program.Outcome {
                // While the mint itself is asking, it says so; then once more.
                for _ in 0..<50 {
                    let outcome = try await Program.run(
                        ["mint", "resolve", id, "--yes", "--json", "--data", seller.directory] + more
                    )
                    if outcome.json["code"]?.stringValue != "under-way" { return outcome }
                    try await Task.sleep(for: .milliseconds(100))
                }
                return try await Program.run(
                    ["mint", "resolve", id, "--yes", "--json", "--data", seller.directory] + more
                )
            }
            let refused = try await resolve("--failed")
            #expect(refused.status == 2 && refused.json["code"]?.stringValue == "evidence-missing", "\(refused)")
            let wrong = try await resolve("--failed", "--force", "yes")
            #expect(wrong.status == 2, "\(wrong)")
            let forged = try await resolve("--settled", "--preimage", String(repeating: "ab", count: 32))
            #expect(forged.status == 2 && forged.json["code"]?.stringValue == "preimage-wrong", "\(forged)")
            let forced = try await resolve("--failed", "--force", "I accept the loss if I am wrong")
            #expect(forced.status == 0, "\(forced)")
            let again = try await resolve("--failed")
            #expect(again.status == 1 && again.json["code"]?.stringValue == "not-pending", "\(again)")
            let after = try await seller.command("mint", "quotes", id, "--json")
            #expect(after.json["heldProofs"]?.int64Value == 0, "\(after)")
            #expect(try after.json.array("notes").last?["kind"]?.stringValue == "forced", "\(after)")
            #expect(try await seller.command("mint", "audit", "--json").status == 0)
            _ = try? await paying.value
        }
    }

    /// Payments of the node's mint hang at the Lightning simulator from now on.
    private func hangPayments(of node: TestedNode, in world: World) async throws {
        let token = try #require(
            try Books(node).text("SELECT value FROM storage_meta WHERE key = ?", ["lightning.simulated.mint"])
        )
        var request = HTTPClientRequest(url: world.simulatorURL + "/accounts/me/fault")
        request.method = .PUT
        request.headers.add(name: "authorization", value: "Bearer \(token)")
        request.headers.add(name: "content-type", value: "application/json")
        request.body = .bytes(JSONValue.object(["fault": "hang"]).serialized())
        let response = try await world.http.execute(request, timeout: .seconds(30))
        #expect(response.status.code == 200)
    }

    @Test("A configuration whose units, rates or keyset lifetimes cannot be is refused with the setting's name")
    func settings() async throws {
        let folder = try TemporaryFolder()
        #expect(try await Program.run(["init", "--json", "--data", folder.path]).status == 0)
        for (setting, name) in [
            ("mint.units=sat,sat", "mint.units"), ("mint.units=auth", "mint.units"), ("mint.rates=usd=5", "mint.rates"),
            ("mint.rates=sat=5", "mint.rates"), ("mint.rates=usd", "mint.rates"),
            ("mint.keysetDays=5", "mint.rotateDays"),
            ("mint.rotateDays=-1", "mint.rotateDays"),
        ] {
            let refused = try await Program.run(["serve", "--json", "--data", folder.path, "--set", setting])
            #expect(refused.status != 0 && refused.output.contains(name), "\(setting): \(refused)")
        }
    }
}
