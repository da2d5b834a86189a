import CanonicalJSON
import TestSupport
import Testing

@testable import Node

/// `mintmark pay` and `mintmark wallet evm` at a seller of x402, as a user types them, also where the node is killed on the way.
@Suite("Paying over x402", .serialized)
struct PayX402Tests {
    @Test("A dry run pays nothing and says what would be; a call is paid once; a fresh 402 brings no second payment")
    func pays() async throws {
        try await World.with(starts: false) { world in
            try X402Shop.configure(world.buyer)
            let buyer = world.buyer
            try await buyer.start()
            let shop = X402Shop()
            try await shop.whileServing { url in
                let account = try await buyer.command("wallet", "evm", "--json")
                #expect(account.json["address"]?.stringValue?.hasPrefix("0x") == true, "\(account)")
                #expect(account.json["assets"]?[0]?["unit"]?.stringValue == "usd", "\(account)")

                let dry = try await buyer.command("pay", url + "/data/1", "--max", "11sat", "--dry-run", "--json")
                #expect(dry.status == 0 && dry.json["picked"]?["cost"]?.stringValue == "11", "\(dry)")
                #expect(dry.json["picked"]?["network"]?.stringValue == "eip155:84532", "\(dry)")
                let dear = try await buyer.command("pay", url + "/data/1", "--max", "10sat", "--dry-run", "--json")
                #expect(dear.status == 2 && dear.json["picked"] == nil, "\(dear)")
                #expect(dear.json["offers"]?[0]?["code"]?.stringValue == "limit-exceeded", "\(dear)")
                let text = try await buyer.command("pay", url + "/data/1", "--max", "11sat", "--dry-run")
                #expect(text.status == 0 && text.output.contains("x402-exact") && text.output.contains("nothing was"))
                let other = try await buyer.command("pay", url + "/data/1", "--max", "20sat", "--via", "l402", "--json")
                #expect(other.status == 1 && other.json["code"]?.stringValue == "challenge-unusable", "\(other)")
                #expect(shop.shown.isEmpty)

                let paid = try await buyer.command("pay", url + "/data/1", "--max", "20sat", "--json")
                #expect(paid.status == 0 && paid.json["body"]?.stringValue == "bought /data/1\n", "\(paid)")
                let payment = paid.json["payment"]
                #expect(payment?["way"]?.stringValue == "x402-exact" && payment?["amount"]?.stringValue == "11")
                #expect(payment?["settlement"]?["transaction"]?.stringValue == "0xabc", "\(paid)")
                #expect(payment?["authorization"]?["value"]?.stringValue == "10000", "\(paid)")
                #expect(shop.taken == 1)
                // What would let somebody carry it out is neither shown nor logged.
                let header = try #require(shop.shown.first)
                for output in [paid.output, buyer.process.log()] { #expect(!output.contains(header)) }

                shop.challengeAnew(true)
                let refused = try await buyer.command("pay", url + "/data/2", "--max", "20sat", "--json")
                #expect(refused.status == 2 && refused.json["code"]?.stringValue == "payment-refused", "\(refused)")
                let again = try await buyer.command("pay", url + "/data/2", "--max", "20sat", "--json")
                #expect(again.status == 4 && again.json["code"]?.stringValue == "outcome-unknown", "\(again)")
                #expect(shop.shown.count == 2)
            }
        }
    }

    @Test("A node that is killed between its intent and the answer shows the same authorisation, and pays once")
    func killed() async throws {
        try await World.with(starts: false) { world in
            try X402Shop.configure(world.buyer)
            try await world.buyer.start()
            let shop = X402Shop()
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
                // The node takes open payments up by itself when it starts, and may be at it.
                var again = try await world.buyer.pay(url + "/data/1", key: "call-1", maximum: 30)
                for _ in 0..<200 where again.code == "outcome-unknown" {
                    try await Task.sleep(for: .milliseconds(25))
                    again = try await world.buyer.pay(url + "/data/1", key: "call-1", maximum: 30)
                }
                #expect(again.status == 200 && again.body == "bought /data/1\n", "\(again)")
                #expect(Set(shop.shown).count == 1 && shop.taken == 1)
                let open = try await world.buyer.command("pay", "--resume")
                #expect(open.output.contains("Nothing is left unknown"), "\(open)")
            }
        }
    }

    @Test("A setting that is wrong is named, and an address that may hold a key is not shown")
    func settings() throws {
        let folder = try TemporaryFolder()
        func load(_ flags: [String: String]) throws -> NodeConfiguration {
            try NodeConfiguration.load(dataDirectory: folder.path, flags: flags, environment: [:])
        }
        let asset = "eip155:84532/\(X402Shop.asset)=usd:6"
        let good = try load(["wallet.evmAssets": asset, "wallet.evmRPC": "eip155:84532=https://node.example/key"])
        #expect(good.walletEVM.assets.count == 1 && good.walletEVM.chains.count == 1)
        #expect(try load([:]).walletEVM.assets.isEmpty)
        for (key, value) in [
            ("wallet.evmAssets", "USDC"), ("wallet.evmAssets", "\(asset),\(asset)"), ("wallet.rates", "usd"),
            ("wallet.rates", "usd=0"), ("wallet.evmRPC", "https://node.example/key"),
            ("wallet.evmRPC", "eip155:1=ftp://node.example/key"),
        ] {
            let error = #expect(throws: ConfigurationError.self) { try load([key: value]) }
            #expect(error?.message.contains(key) == true, "\(key): \(String(describing: error))")
            #expect(error?.message.contains("/key") == false)
        }
    }
}
