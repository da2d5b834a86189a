import CanonicalJSON
import TestSupport
import Testing

/// `mintmark pay` at a seller that wants Lightning, as a user types it, also where the node is killed on the way.
@Suite("Paying over Lightning", .serialized)
struct PayLightningTests {
    @Test(
        "A call over L402 is paid with ecash, its pass used again, listed and forgotten; a refusal is never paid twice"
    )
    func pays() async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            let shop = try await LightningShop(simulatorURL: world.simulatorURL, http: world.http)
            try await shop.whileServing { url in
                let buyer = world.buyer
                let dear = try await buyer.command("pay", url + "/data/1", "--max", "9sat", "--json")
                #expect(dear.status == 2 && dear.json["code"]?.stringValue == "limit-exceeded", "\(dear)")
                let other = try await buyer.command(
                    "pay",
                    url + "/data/1",
                    "--max",
                    "30sat",
                    "--via",
                    "cashu",
                    "--json"
                )
                #expect(other.status == 1 && other.json["code"]?.stringValue == "challenge-unusable", "\(other)")

                let first = try await buyer.command("pay", url + "/data/1", "--max", "30sat", "--via", "l402", "--json")
                #expect(first.status == 0 && first.json["body"]?.stringValue == "bought /data/1\n", "\(first)")
                let payment = first.json["payment"]
                #expect(payment?["way"]?.stringValue == "l402" && payment?["amount"]?.stringValue == "10")
                #expect(payment?["paidFrom"]?.stringValue == world.seller.url + "/mint", "\(first)")
                #expect(try await shop.earned == 10)

                let again = try await buyer.command("pay", url + "/data/2", "--max", "30sat")
                #expect(again.status == 0 && again.errors.contains("called with the pass"), "\(again)")
                #expect(try await shop.earned == 10)
                #expect(shop.served == 2 && Set(shop.shown).count == 1)
                let listed = try await buyer.command("wallet", "passes", "--json")
                let pass = listed.json["passes"]?[0]
                #expect(pass?["uses"]?.stringValue == "2" && pass?["state"]?.stringValue == "good", "\(listed)")
                // What opens anything is neither shown nor logged.
                let secret = try #require(shop.shown.first?.split(separator: " ").last?.split(separator: ":").last)
                for text in [listed.output, first.output, buyer.process.log()] { #expect(!text.contains(secret)) }

                let id = try #require(pass?["id"]?.stringValue)
                let forgotten = try await buyer.command("wallet", "passes", "--forget", id)
                #expect(forgotten.status == 0 && forgotten.output.contains("no passes"), "\(forgotten)")
                shop.refuse(true)
                let refused = try await buyer.command("pay", url + "/data/3", "--max", "30sat", "--json")
                #expect(refused.status == 2 && refused.json["code"]?.stringValue == "payment-refused", "\(refused)")
                #expect(try await shop.earned == 20)
                #expect(try await buyer.command("pay", "--resume").output.contains("Nothing is left unknown"))
                let history = try await buyer.command("wallet", "history", "--json")
                let calls = try history.json.array("entries").filter { $0["kind"]?.stringValue == "paid-call" }
                #expect(calls.count == 2, "\(history)")
            }
        }
    }

    @Test("A node that is killed after it paid goes on with the same credential, and pays once")
    func killed() async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            let shop = try await LightningShop(simulatorURL: world.simulatorURL, http: world.http)
            try await shop.whileServing { url in
                shop.hold()
                let paying = Task { try await world.buyer.pay(url + "/data/1", key: "call-1", maximum: 30) }
                for _ in 0..<5000 where shop.shown.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
                #expect(shop.shown.count == 1)
                await world.buyer.kill()
                _ = try? await paying.value
                shop.release()
                try await world.buyer.start()
                let resumed = try await world.buyer.command("pay", "--resume", "--json")
                #expect(resumed.status == 0, "\(resumed)")
                var again = try await world.buyer.pay(url + "/data/1", key: "call-1", maximum: 30)
                // The node goes on by itself too: while it is at it, whoever asks is to ask again.
                for _ in 0..<100 where again.code == "outcome-unknown" {
                    try await Task.sleep(for: .milliseconds(100))
                    again = try await world.buyer.pay(url + "/data/1", key: "call-1", maximum: 30)
                }
                #expect(again.status == 200 && again.body == "bought /data/1\n", "\(again)")
                #expect(try await shop.earned == 10)
                #expect(Set(shop.shown).count == 1)
                let open = try await world.buyer.command("pay", "--resume")
                #expect(open.output.contains("Nothing is left unknown"), "\(open)")
            }
        }
    }
}
