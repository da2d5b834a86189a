import CanonicalJSON
import TestSupport
import Testing

/// Nodes as processes: what a seller tells whom nobody knows counts where an entry node stamped it.
@Suite("Stamps for listings", .serialized, .timeLimit(.minutes(5)))
struct PostageNodeTests {
    @Test(
        "[PST-1] [PST-3] a seller that nobody knows is found by those that trust the entry node which stamped its listing"
    )
    func stamped() async throws {
        try await GossipNodes.with(4) { nodes in
            let (entry, seller, trusting, other) = (nodes.places[0], nodes.places[1], nodes.places[2], nodes.places[3])
            let address = try await entry.address()
            let did = try #require(try await entry.command("status").json["did"]?.stringValue)
            let url = "http://127.0.0.1:\(nodes.httpPorts[0])/s/postage"
            try nodes.configure(1, bootstrap: [address], ["entry": .string(url)])
            try nodes.configure(2, bootstrap: [address], ["entryNodes": [.string(did)]])
            try nodes.configure(3, bootstrap: [address], [:])
            try await entry.process.start()
            let upstream = try #require(
                try await entry.command("gossip", "postage", "2sat").json["upstream"]?.stringValue
            )
            let sale = ["service", "add", "postage", "--upstream", upstream, "--price", "0sat", "--unlisted"]
            #expect(try await Program.run(sale + ["--json", "--data", entry.directory]).status == 0)
            for place in [seller, trusting, other] { try await place.process.start() }
            for place in [seller, trusting, other] {
                try await GossipNodes.until { try await !place.connected().isEmpty }
            }
            let added = try await seller.command(
                "service",
                "add",
                "weather",
                "--upstream",
                "http://127.0.0.1:9",
                "--price",
                "2sat",
                "--summary",
                "Weather"
            )
            #expect(added.status == 0, "\(added)")
            func found(_ place: GossipNodes.Place) async throws -> Int {
                try await place.command("market", "search", "weather").json.array("listings").count
            }
            try await GossipNodes.until { try await found(trusting) == 1 }
            #expect(try await found(entry) == 1)
            #expect(try await found(other) == 0)
            // What is taken back needs a stamp as well, and gets one.
            #expect(try await seller.command("service", "remove", "weather").status == 0)
            try await GossipNodes.until { try await found(trusting) == 0 }
            // The address without its code opens nothing; what is no record is told so.
            let wrong = try await seller.command(
                "pay",
                "\(upstream.dropLast())",
                "-X",
                "POST",
                "-d",
                "{}",
                "--max",
                "1sat"
            )
            #expect(wrong.status != 0)
            let refused = try await seller.command("pay", url, "-X", "POST", "-d", "{}", "--max", "1sat")
            #expect("\(refused)".contains("malformed"))
        }
    }
}
