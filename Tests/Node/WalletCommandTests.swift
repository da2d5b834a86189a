import CanonicalJSON
import TestSupport
import Testing

/// The wallet's commands, as a user types them, between two nodes that run.
@Suite("The wallet's commands", .serialized)
struct WalletCommandTests {
    @Test("Limits, requests, mints, swaps, tokens that wait, and a QR code")
    func wallet() async throws {
        try await World.with { world in
            let (buyer, seller) = (world.buyer, world.seller)
            let (sellerMint, buyerMint) = (seller.url + "/mint", buyer.url + "/mint")
            #expect(try await buyer.command("wallet", "fund", "500sat", "--mint", sellerMint).status == 0)

            let limited = try await buyer.command("wallet", "limit", "set", "50sat", "--json")
            #expect(limited.status == 0, "\(limited)")
            let over = try await buyer.command("wallet", "send", "51sat", "--mint", sellerMint, "--json")
            #expect(over.status == 2 && over.json["code"]?.stringValue == "limit-exceeded", "\(over)")
            #expect(try await buyer.command("wallet", "limit", "remove").status == 0)
            #expect(try await buyer.command("wallet", "limit", "list").output.contains("no limits"))

            let made = try await seller.command(
                "wallet",
                "request",
                "create",
                "21sat",
                "--memo",
                "tea",
                "--single-use",
                "--json"
            )
            #expect(made.status == 0, "\(made)")
            #expect(made.json["post"]?.stringValue?.hasPrefix(seller.url + "/requests/") == true)
            let short = try made.json.string("bech32")
            #expect(short.lowercased().hasPrefix("creqb1"))
            let paid = try await buyer.command("wallet", "request", "pay", short, "--json")
            #expect(paid.status == 0 && paid.json["state"]?.stringValue == "paid", "\(paid)")
            let twice = try await buyer.command("wallet", "request", "pay", made.json.string("request"), "--json")
            #expect(twice.status == 2 && twice.json["code"]?.stringValue == "payment-refused", "\(twice)")
            let listed = try await seller.command("wallet", "request", "list", "--json")
            #expect(listed.json["requests"]?[0]?["received"]?.stringValue == "21", "\(listed)")
            #expect(listed.json["requests"]?[0]?["state"]?.stringValue == "paid")

            let trusted = try await buyer.command("wallet", "mints", "trust", buyerMint, "--name", "home", "--json")
            #expect(trusted.status == 0, "\(trusted)")
            let asked = try await buyer.command("wallet", "swap", "50sat", "--from", sellerMint, "--to", "home")
            #expect(asked.status == 64, "\(asked)")
            let dear = try await buyer.command(
                "wallet",
                "swap",
                "50sat",
                "--from",
                sellerMint,
                "--to",
                "home",
                "--max-fee",
                "1sat",
                "--json"
            )
            let swapped = try await buyer.command(
                "wallet",
                "swap",
                "50sat",
                "--from",
                sellerMint,
                "--to",
                "home",
                "--max-fee",
                "20sat",
                "--json"
            )
            #expect(swapped.status == 0 && swapped.json["state"]?.stringValue == "done", "\(swapped) \(dear)")

            let token = try await buyer.command("wallet", "send", "30sat", "--mint", "home", "--qr", "--json")
            #expect(token.errors.contains("▀") && !token.output.contains("▀"), "\(token)")
            let text = try token.json.string("token")
            let refused = try await seller.command("wallet", "receive", text, "--json")
            #expect(refused.status == 1 && refused.json["code"]?.stringValue == "mint-unknown", "\(refused)")
            let taken = try await seller.command("wallet", "receive", text, "--swap-to", sellerMint, "--json")
            #expect(taken.status == 0 && taken.json["mint"]?.stringValue == sellerMint, "\(taken)")
            #expect(try await seller.command("wallet", "inbox").output.contains("Nothing waits"))

            let out = try await buyer.command("wallet", "send", "5sat", "--mint", "home", "--json")
            let back = try await buyer.command("wallet", "sent", "--reclaim", out.json.string("id"), "--json")
            #expect(back.status == 0 && back.json["amount"]?.stringValue == "5", "\(back)")
            for node in [buyer, seller] {
                let audit = try await node.command("status", "--audit", "--json")
                #expect(audit.status == 0, "\(audit)")
            }
        }
    }
}
