import AsyncHTTPClient
import CanonicalJSON
import Encodings
import Foundation
import Lightning
import LightningBackends
import Logging
import NIOHTTP1
import Storage
import TestSupport
import Testing

/// A service that is sold over Lightning between nodes that run, and `mintmark paywall …` as an operator types it.
@Suite("Selling over Lightning, by commands", .serialized)
struct PaywallCommandTests {
    /// What a client of L402 does that knows nothing of this project: the first `WWW-Authenticate` line, in Aperture's form.
    private func challenge(_ answer: PlainAnswer) throws -> (token: String, invoice: String) {
        let line = try #require(answer.headers["www-authenticate"].first)
        let form = try #require(line.firstMatch(of: /^L402 macaroon="([^"]+)", invoice="([^"]+)"/))
        return (String(form.1), String(form.2))
    }

    @Test("A pass is sold over L402, paid on the simulated network, used up; a revoked key's credentials are refused")
    func selling() async throws {
        try await World.with { world in
            let seller = world.seller
            let account = try SimulatedBackend(
                url: world.simulatorURL,
                token: SimulatedNetwork.newToken(),
                httpClient: world.http,
                clock: .system,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
            try await account.openAccount(name: "somebody")
            let upstream = "http://127.0.0.1:\(world.upstreamPort)"
            let refused = try await seller.command(
                "service",
                "add",
                "w",
                "--upstream",
                upstream,
                "--price",
                "2sat",
                "--accept",
                "cashu,gold",
                "--json"
            )
            #expect(refused.status == 1 && refused.json["code"]?.stringValue == "invalid-service", "\(refused)")
            let added = try await seller.command(
                "service",
                "add",
                "w",
                "--upstream",
                upstream,
                "--price",
                "2sat",
                "--accept",
                "cashu,l402",
                "--pass",
                "2",
                "--json"
            )
            #expect(added.status == 0 && added.json["pass"]?["calls"]?.stringValue == "2", "\(added)")

            func pay() async throws -> [(String, String)] {
                let asked = try await world.get(seller.url + "/s/w/now/1")
                #expect(asked.status == 402 && asked.headers["x-cashu"].count == 1)
                let (token, invoice) = try challenge(asked)
                let bolt11 = try BOLT11Invoice(decoding: invoice)
                #expect(bolt11.amountMsat == 4000)
                let outcome = try await account.pay(invoice: bolt11, maximumFeeMsat: 10_000)
                guard case .settled(let preimage, _) = outcome else {
                    Issue.record("\(outcome)")
                    return []
                }
                return [("Authorization", "LSAT \(token):\(Hex.encode(preimage))")]
            }
            let first = try await pay()
            for _ in 0..<2 { #expect(try await world.get(seller.url + "/s/w/now/1", headers: first).status == 200) }
            let usedUp = try await world.get(seller.url + "/s/w/now/1", headers: first)
            #expect(usedUp.status == 402 && usedUp.code == "credential-used-up", "\(usedUp)")

            let second = try await pay()
            let rotated = try await seller.command("paywall", "rotate", "--json")
            #expect(rotated.status == 0, "\(rotated)")
            #expect(try await world.get(seller.url + "/s/w/now/1", headers: second).status == 200)
            let keys = try await seller.command("paywall", "keys", "--json").json.array("keys")
            #expect(keys.map { $0["state"]?.stringValue } == ["retired", "active"])
            #expect(keys[1]["id"] == rotated.json["id"])
            let id = try keys[0].string("id")
            let unasked = try await seller.command("paywall", "revoke", id, "--json")
            #expect(unasked.status == 64 && unasked.output.contains("--yes"), "\(unasked)")
            #expect(try await seller.command("paywall", "revoke", id, "--yes").output.contains("refused"))
            let after = try await world.get(seller.url + "/s/w/now/1", headers: second)
            #expect(after.status == 402 && after.code == "credential-invalid", "\(after)")
            #expect(try await seller.command("paywall", "revoke", "00", "--yes", "--json").status == 1)
            #expect(try await seller.command("paywall", "keys").output.contains("revoked"))
            let audit = try await seller.command("status", "--audit", "--json")
            #expect(audit.status == 0, "\(audit)")
        }
    }

    @Test(
        "mintmark pay at a service of ours, over L402, Payment and a pass: paid once, and the receipt names the payment"
    )
    func buying() async throws {
        try await World.with { world in
            func sell(_ more: String...) async throws {
                let arguments = [
                    "service", "add", "w", "--replace", "--upstream", "http://127.0.0.1:\(world.upstreamPort)",
                ]
                let added = try await Program.run(
                    arguments + ["--price", "2sat", "--json", "--data", world.seller.directory] + more
                )
                #expect(added.status == 0, "\(added)")
            }
            func pay(_ way: String) async throws -> JSONValue {
                let paid = try await world.buyer.command(
                    "pay",
                    world.seller.url + "/s/w/now/1",
                    "--max",
                    "10sat",
                    "--via",
                    way,
                    "--json"
                )
                #expect(paid.status == 0, "\(paid)")
                let payment = paid.json["payment"]
                #expect(payment?["state"]?.stringValue == "served", "\(paid)")
                #expect(payment?["receiptState"]?.stringValue == "verified", "\(paid)")
                return payment ?? .null
            }
            try await sell()
            for (way, dialect) in [("l402", "l402"), ("payment", "payment-lightning")] {
                let payment = try await pay(way)
                #expect(payment["way"]?.stringValue == dialect)
                #expect(payment["amount"]?.stringValue == "2")
            }
            try await sell("--accept", "l402", "--pass", "3")
            var spent: [String?] = []
            for _ in 0..<3 { spent.append(try await pay("l402")["amount"]?.stringValue) }
            #expect(spent == ["6", "0", "0"])
            for node in [world.seller, world.buyer] {
                let audit = try await node.command("status", "--audit", "--json")
                #expect(audit.status == 0, "\(audit)")
            }
        }
    }
}
