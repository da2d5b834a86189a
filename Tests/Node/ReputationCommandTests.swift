import CanonicalJSON
import Foundation
import SignedDocuments
import TestSupport
import Testing

/// What nodes that trade think of each other, as operators ask for it.
@Suite("Reputation and promises, by commands", .serialized)
struct ReputationCommandTests {
    @Test(
        "[REP-12] [REP-13] [SLA-8] Paid calls make a reputation and a chart on both sides, which a restart keeps; a statement tells what was sold"
    )
    func trading() async throws {
        try await World.with { world in
            let (seller, buyer) = (world.seller, world.buyer)
            let added = try await world.sell("--sla", "p95=20s,deadline=30s", named: "m", price: "GET /now/*=2sat")
            #expect(added.status == 0, "\(added)")
            let did = try await seller.command("status", "--json").json.string("did")
            #expect(try await buyer.command("reputation", "show").output.contains("Nothing is known of anybody yet"))
            let mint = seller.url + "/mint"
            #expect(try await buyer.command("wallet", "fund", "200sat", "--mint", mint).status == 0)
            // A statement counts calls of buyers that say who they are.
            #expect(try await buyer.command("agent", "register", "planner").status == 0)
            for index in 1...2 {
                let paid = try await buyer.command(
                    "pay",
                    seller.url + "/s/m/now/\(index)",
                    "--max",
                    "5sat",
                    "--agent",
                    "planner",
                    "--json"
                )
                #expect(paid.status == 0, "\(paid)")
            }
            let all = try await buyer.command("reputation", "show", "--json")
            let standing = try #require(try all.json.array("standings").first, "\(all)")
            #expect(standing["did"]?.stringValue == did && standing["good"] == 2.0 && standing["standing"] == 100)
            let why = try await buyer.command("reputation", "show", did, "--why")
            #expect(why.status == 0 && why.output.contains("this node") && why.output.contains("1 in all"), "\(why)")
            let bought = try await buyer.command("sla", "show", "\(did)/m", "--json")
            #expect(
                bought.json["calls"] == 2 && bought.json["side"] == "buyer" && bought.json["failed"] == 0,
                "\(bought)"
            )
            let picture = world.folder.path + "/m.svg"
            let sold = try await seller.command("sla", "show", "m", "--svg", picture)
            #expect(sold.status == 0 && sold.output.contains("promised 20000 ms"), "\(sold)")
            #expect(try String(contentsOfFile: picture, encoding: .utf8).hasPrefix("<svg "))
            let statement = try await seller.command("reputation", "export", "--json")
            #expect(statement.json["calls"] == 2 && statement.json["ok"] == 2, "\(statement)")
            #expect(try DataIntegrity.verify(statement.json.requireObject()).signer.string == did)
            // Nobody asked for it to be told, and a misspelt name is told as one.
            #expect(try await world.get(seller.url + "/market/reputation").status == 404)
            #expect(try await buyer.command("reputation", "show", "did:key:zNobody").status != 0)
            #expect(try await buyer.command("sla", "show", "a/b/c").status != 0)
            let searched = try await world.get(seller.url + "/market/listings?reputation=5")
            #expect(searched.status == 400)
        }
    }
}
