import AsyncHTTPClient
import CanonicalJSON
import Foundation
import NIOCore
import NIOHTTP1
import TestSupport
import Testing

/// Nodes as processes: one sells, the others hear of it.
@Suite("Listings over gossip", .serialized, .timeLimit(.minutes(5)))
struct MarketNodeTests {
    /// What a node finds.
    private static func found(_ place: GossipNodes.Place, _ words: String...) async throws -> [JSONValue] {
        let answer = try await Program.run(["market", "search"] + words + ["--json", "--data", place.directory])
        guard answer.status == 0 else { return [] }
        return try answer.json.array("listings")
    }

    private static func add(_ place: GossipNodes.Place, _ name: String, _ more: String...) async throws {
        let added = try await Program.run(
            ["service", "add", name, "--upstream", "http://127.0.0.1:9", "--price", "2sat"] + more
                + ["--json", "--data", place.directory]
        )
        #expect(added.status == 0, "\(added)")
    }

    /// The second and the third node know the first one, and hear what its issuer tells.
    private static func begin(_ nodes: GossipNodes) async throws -> String {
        let did = try #require(try await nodes.places[0].command("status").json["did"]?.stringValue)
        for number in 1...2 {
            try nodes.configure(
                number,
                bootstrap: [try await nodes.places[0].address()],
                ["trustedIssuers": [.string(did)]]
            )
        }
        return did
    }

    @Test(
        "[LST-7] [LST-8] [LST-9] What is put on sale is found elsewhere, also by a late joiner, changes after a restart, and is gone when it is removed"
    )
    func told() async throws {
        try await GossipNodes.with(3) { nodes in
            let (seller, buyer, late) = (nodes.places[0], nodes.places[1], nodes.places[2])
            let did = try await Self.begin(nodes)
            try await seller.process.start()
            try await buyer.process.start()
            try await GossipNodes.until { try await !buyer.connected().isEmpty }
            try await Self.add(seller, "secret", "--summary", "Weather of today", "--unlisted")
            try await Self.add(
                seller,
                "weather",
                "--summary",
                "Weather of today",
                "--tag",
                "forecast",
                "--sla",
                "p95=500ms"
            )
            try await GossipNodes.until { try await !Self.found(buyer, "weather", "forecast").isEmpty }
            // The secret one was first, and it would be here by now.
            let listings = try await Self.found(buyer, "weather")
            #expect(listings.count == 1)
            let listing = try #require(listings.first)
            #expect(listing["author"]?.stringValue == did)
            #expect(listing["name"] == "weather")
            #expect(listing["urls"] == [.string("http://127.0.0.1:\(nodes.httpPorts[0])/s/weather")])
            let price = try listing.object("listing").array("prices")[0]
            #expect(price == ["path": "/*", "amount": "2", "unit": "sat", "per": "call"])
            #expect(try listing.object("listing").object("sla") == ["percentile": 95, "latencyMilliseconds": 500])
            // One that comes later gets it by repair.
            try await late.process.start()
            try await GossipNodes.until { try await Self.found(late, "weather").count == 1 }
            // After a restart the next one still goes before it.
            #expect(await seller.process.stop() == 0)
            try await seller.process.start()
            try await GossipNodes.until { try await !buyer.connected().isEmpty }
            try await Self.add(seller, "weather", "--summary", "Weather of tomorrow", "--replace")
            try await GossipNodes.until { try await !Self.found(buyer, "tomorrow").isEmpty }
            let later = try #require(try await Self.found(buyer, "weather").first)
            #expect(try later.int64("sequence") > listing.int64("sequence"))
            let own = try await seller.command("market", "list").json.array("listings")
            #expect(own.map { $0["name"]?.stringValue } == ["weather"])
            #expect(own[0]["state"] == "listed")
            #expect(try await seller.command("service", "remove", "weather").status == 0)
            try await GossipNodes.until {
                let (one, two) = (try await Self.found(buyer, "weather"), try await Self.found(late, "weather"))
                return one.isEmpty && two.isEmpty
            }
            #expect(try await seller.command("market", "list").json.array("listings").isEmpty)
        }
    }

    @Test("[LST-13] Everybody may ask, with an ETag; what is misspelt is said; and the record is the signed one")
    func asked() async throws {
        try await GossipNodes.with(2 + 1) { nodes in
            let (seller, buyer) = (nodes.places[0], nodes.places[1])
            let did = try await Self.begin(nodes)
            try await seller.process.start()
            try await buyer.process.start()
            try await Self.add(seller, "secret", "--summary", "Weather of today", "--unlisted")
            try await Self.add(seller, "weather", "--summary", "Weather of today")
            try await GossipNodes.until { try await !Self.found(buyer, "weather").isEmpty }
            let http = HTTPClient(eventLoopGroupProvider: .singleton)
            // The card knows as little of what is not listed.
            let card = try await http.execute(
                HTTPClientRequest(url: "http://127.0.0.1:\(nodes.httpPorts[0])/.well-known/agent-card.json"),
                timeout: .seconds(30)
            )
            let told = String(buffer: try await card.body.collect(upTo: 1 << 20))
            #expect(told.contains("/s/weather") && !told.contains("secret"), "\(told)")
            let base = "http://127.0.0.1:\(nodes.httpPorts[1])/market/listings"
            func get(_ path: String, etag: String? = nil) async throws -> (status: Int, etag: String?, json: JSONValue)
            {
                var request = HTTPClientRequest(url: base + path)
                if let etag { request.headers.add(name: "If-None-Match", value: etag) }
                let response = try await http.execute(request, timeout: .seconds(30))
                let body = [UInt8](buffer: try await response.body.collect(upTo: 1 << 20))
                return (
                    Int(response.status.code), response.headers.first(name: "ETag"),
                    body.isEmpty ? .null : try JSONValue.parse(body)
                )
            }
            do {
                let search = try await get("?q=weather&max=5sat")
                #expect(search.status == 200)
                #expect(try search.json.array("listings").count == 1)
                #expect(try await get("?q=weather&max=5sat", etag: search.etag).status == 304)
                #expect(try await get("?q=chess", etag: search.etag).status == 200)
                #expect(try await get("?q=weather&max=1sat").json.array("listings").isEmpty)
                for wrong in [
                    "?query=weather", "?q=weather&max=cheap", "?limit=101", "?limit=-1", "?author=me", "?q=%2B%2B",
                ] {
                    let answer = try await get(wrong)
                    #expect(answer.status == 400 && answer.json["code"] == "invalid-query", "\(wrong)")
                }
                let one = try await get("/\(did)/weather")
                #expect(one.status == 200)
                #expect(one.json["type"] == "MintmarkRecord" && one.json["author"]?.stringValue == did)
                #expect(try await get("/\(did)/weather", etag: one.etag).status == 304)
                #expect(try await get("/\(did)/chess").status == 404)
                #expect(try await get("/me/weather").status == 400)
                let shown = try await buyer.command("market", "show", "\(did)/weather").json
                #expect(shown["record"] == one.json)
                let id = try #require(shown["id"]?.stringValue)
                #expect(try await buyer.command("market", "show", id).json["record"] == one.json)
                #expect(try await buyer.command("market", "show", "\(did)/chess").status != 0)
            } catch {
                try await http.shutdown()
                throw error
            }
            try await http.shutdown()
        }
    }
}
