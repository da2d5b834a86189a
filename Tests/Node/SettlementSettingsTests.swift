import CanonicalJSON
import Foundation
import NIOHTTP1
import Settlement
import TestSupport
import Testing

@testable import Node

@Suite("The node as an x402 facilitator: settings and routes")
struct SettlementSettingsTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func load(_ flags: [String: String]) throws -> NodeConfiguration {
        try NodeConfiguration.load(dataDirectory: folder.path, flags: flags, environment: [:])
    }

    private let whole = [
        "x402.chainURL": "http://127.0.0.1:8545", "x402.chainID": "84532",
        "x402.tokens": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "x402.payees": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
    ]

    @Test("Nothing set: no facilitator; what is missing is named, and nothing is settled for just anybody by mistake")
    func missing() throws {
        #expect(try load([:]).settlement == nil)
        let settings = try #require(try load(whole).settlement)
        #expect(settings.limits.tokens.count == 1)
        #expect(settings.limits.payees?.count == 1)
        for key in whole.keys {
            var less = whole
            less[key] = nil
            let error = #expect(throws: ConfigurationError.self) { try load(less) }
            #expect(error?.message.contains(key) == true, "\(key): \(String(describing: error))")
        }
        for (key, value) in [
            ("x402.tokens", "0x036CbD53842c5426634e7929541eC2318f3dCF7E"), ("x402.payees", "bob"),
            ("x402.chainID", "0"), ("x402.maximumFeeGwei", "0"), ("x402.confirmations", "0"),
        ] {
            var wrong = whole
            wrong[key] = value
            let error = #expect(throws: ConfigurationError.self) { try load(wrong) }
            #expect(error?.message.contains(key) == true, "\(key): \(String(describing: error))")
        }
        var anybody = whole
        anybody["x402.payees"] = "*"
        #expect(try load(anybody).settlement?.limits.payees == nil)
    }

    @Test(
        "XEX-2: what calls are sold for: tokens with their worth, the payee, the cap; what is missing or wrong is named"
    )
    func sale() throws {
        let sold = [
            "x402.chainURL": "http://127.0.0.1:8545", "x402.chainID": "84532",
            "x402.assets": "usdc:0x036CbD53842c5426634e7929541eC2318f3dCF7e:USDC:2:usd=10000:sat=1040",
            "x402.payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C", "x402.reserveCaps": "usdc=5000000",
        ]
        let settings = try #require(try load(sold).settlement)
        #expect(settings.sale?.assets.count == 1)
        #expect(settings.sale?.reserveCaps == ["usdc": 5_000_000])
        #expect(settings.sale?.facilitatorURL == nil)
        // What is sold for is settled, and nothing else for anybody.
        #expect(settings.limits.tokens.count == 1)
        #expect(settings.limits.payees?.count == 1)
        for key in ["x402.chainURL", "x402.chainID", "x402.assets", "x402.payTo"] {
            var less = sold
            less[key] = nil
            #expect(throws: ConfigurationError.self, "\(key)") { try load(less) }
        }
        for (key, value) in [
            ("x402.assets", "usdc"), ("x402.assets", "\(sold["x402.assets"] ?? ""),\(sold["x402.assets"] ?? "")"),
            ("x402.payTo", "me"), ("x402.reserveCaps", "usdt=1"), ("x402.reserveCaps", "usdc=0"),
            ("x402.reserveCaps", "usdc=1,usdc=2"),
        ] {
            var wrong = sold
            wrong[key] = value
            let error = #expect(throws: ConfigurationError.self) { try load(wrong) }
            #expect(error?.message.contains(key) == true, "\(key): \(String(describing: error))")
        }
    }

    @Test("XEX-11: a node that sells over x402 lists it, without being a facilitator too")
    func catalogue() async throws {
        try await World.with { world in
            let body: JSONValue = [
                "name": "tea", "upstream": "http://127.0.0.1:9", "prices": [["path": "/*", "amount": "2"]],
                "accept": ["x402-cashu", "cashu"], "reserveX402": false, "summary": "Tea",
                "discovery": ["query": ["kind": "green"], "output": ["type": "text"]], "listing": ["tags": ["leaves"]],
            ]
            #expect(try await world.seller.call(.POST, "/api/services", body).status == 201)
            let shown = try await world.seller.call(.GET, "/api/services/tea").json
            #expect(shown["discovery"]?["query"]?["kind"] == "green")
            #expect(shown["accept"]?.arrayValue?.count == 2)
            // What is taken in ecash is listed once the mint's terms are known, which are fetched beside the start.
            var page: JSONValue = [:]
            for _ in 0..<300 {
                let listed = try await world.get(world.seller.url + "/x402/discovery/resources?limit=1")
                #expect(listed.status == 200)
                page = try JSONValue.parse(Array(listed.text.utf8))
                if page["pagination"]?["total"] != 0 { break }
                try await Task.sleep(for: .milliseconds(200))
            }
            #expect(page["pagination"]?["total"] == 1)
            #expect(page["items"]?[0]?["accepts"]?[0]?["scheme"] == "cashu")
            let item = page["items"]?[0]
            #expect(item?["metadata"]?["description"] == "Tea" && item?["description"] == "Tea")
            #expect(item?["serviceName"] == "tea" && item?["tags"] == ["leaves"])
            #expect(item?["extensions"]?["bazaar"]?["info"]?["input"]?["queryParams"] == ["kind": "green"])
            // This node has no chain: what it can't take it does not put on sale.
            let exact: JSONValue = [
                "name": "coffee", "upstream": "http://127.0.0.1:9", "prices": [["path": "/*", "amount": "2"]],
                "accept": ["x402-exact"],
            ]
            #expect(try await world.seller.call(.POST, "/api/services", exact).status == 400)
        }
    }

    @Test("A running node says what it settles and with which account; one without a chain is no facilitator")
    func routes() async throws {
        let chainPort = try await FreePorts.some(1)[0]
        var settings = whole
        settings["x402.chainURL"] = "http://127.0.0.1:\(chainPort)"
        try await World.with(sellerSettings: settings.map { "\($0)=\($1)" }) { world in
            let facts = try await world.seller.call(.GET, "/api/node").json
            let account = try #require(facts["settlementAccount"]?.stringValue)
            let supported = try await world.get(world.seller.url + "/x402/supported")
            #expect(supported.status == 200)
            #expect(supported.text.contains("eip155:84532"))
            #expect(supported.text.contains(account))
            #expect(try await world.get(world.seller.url + "/x402/discovery/resources").status == 200)
            #expect(try await world.get(world.buyer.url + "/x402/supported").status == 404)
            #expect(try await world.get(world.buyer.url + "/x402/discovery/resources").status == 200)
            #expect(try await world.buyer.call(.GET, "/api/node").json["settlementAccount"] == nil)
        }
    }
}
