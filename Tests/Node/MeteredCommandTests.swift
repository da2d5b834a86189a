import CanonicalJSON
import Foundation
import TestSupport
import Testing

/// A price by measure between nodes that run, as operators type it: the seller's wallet makes the change, the buyer's takes it.
@Suite("Prices by measure, by commands", .serialized)
struct MeteredCommandTests {
    @Test("PRC-5, CHG-2: the buyer pays the maximum, and has all but the charge back; a trial said so before")
    func change() async throws {
        try await World.with { world in
            let (seller, buyer) = (world.seller, world.buyer)
            let price = "GET /now/*=1sat+1sat/10000B,max=31sat"
            let added = try await world.sell("--accept", "cashu", named: "m", price: price)
            let rule = try #require(added.json.array("prices").first)
            #expect(rule["maximum"]?.stringValue == "31" && rule["meters"]?[0]?["per"]?.stringValue == "10000")
            let trial = try await seller.command(
                "service",
                "price",
                "m",
                "--request",
                "GET /now/1",
                "--bytes",
                "5",
                "--json"
            )
            #expect(trial.json["charge"]?["amount"]?.stringValue == "2", "\(trial)")
            #expect(trial.json["accepts"]?[0]?["amount"]?.stringValue == "31")
            let mint = seller.url + "/mint"
            #expect(try await buyer.command("wallet", "fund", "200sat", "--mint", mint).status == 0)
            // The seller's wallet has nothing yet: it redeems what came in to make the first change.
            for index in 1...2 {
                let paid = try await buyer.command("pay", seller.url + "/s/m/now/\(index)", "--max", "40sat", "--json")
                #expect(paid.status == 0, "\(paid)")
                #expect(paid.json["status"]?.int64Value == 200)
            }
            let books = Books(buyer)
            #expect(
                try books.number("SELECT count(*) FROM wallet_payments WHERE state = 'served' AND returned = 29") == 2
            )
            let sold = Books(seller)
            #expect(try sold.number("SELECT count(*) FROM gateway_quotes WHERE state = 'made' AND change = 29") == 2)
        }
    }
}
