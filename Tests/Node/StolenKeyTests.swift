import CanonicalJSON
import Encodings
import Foundation
import Storage
import TestSupport
import Testing

/// What a key signed that was stolen later: it counts where a witness saw it before, and nowhere else.
@Suite("A stolen key, by commands", .serialized)
struct StolenKeyTests {
    /// Restarts a node with a witness that its log goes to and that its operator trusts.
    private func trust(_ witness: String, _ node: TestedNode) async throws {
        await node.kill()
        let config = URL(filePath: node.directory + "/config.json")
        var settings = try JSONValue.parse(Array(Data(contentsOf: config))).requireObject()
        settings["log"] = ["witnesses": .array([.string(witness)])]
        try Data(JSONValue.object(settings).serialized()).write(to: config)
        try await node.start()
    }

    private func witness(_ node: TestedNode, in place: String) async throws -> (process: ServerProcess, line: String) {
        let home = place + "/w"
        let made = try await Program.run(["witness", "init", "--name", "w.example/1", "--data", home, "--json"])
        let logKey = try await node.command("log", "show", "--json").json.string("key")
        let added = try await Program.run([
            "witness", "add", node.url + "/log", "--key", logKey, "--data", home, "--json",
        ])
        #expect(added.status == 0, "\(added)")
        let process = ServerProcess(
            "witness",
            ["witness", "run", "--json", "--port", "0", "--every", "1", "--data", home],
            logPath: place + "/w.log"
        )
        let url = try await process.start().string("url")
        return (process, "\(try made.json.string("key")) \(url)")
    }

    @Test(
        "[DLG-18] [PASS-16] [LOG-9] a call counts after the theft where a witness saw it before; told an earlier theft, not"
    )
    func blamed() async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            let (buyer, seller, place) = (world.buyer, world.seller, world.folder.path)
            let (process, line) = try await witness(seller, in: place)
            defer { Task { await process.kill() } }
            for node in [seller, buyer] { try await trust(line, node) }
            let made = try await buyer.command("agent", "register", "planner", "--capability", "pay", "--json")
            let planner = try made.json.object("agent").string("did")
            #expect(try await buyer.command("agent", "register", "worker", "--capability", "pay").status == 0)
            try await world.sell("--trust-root", planner)
            let given = try await buyer.command(
                "delegate",
                "--as",
                "planner",
                "--to",
                "worker",
                "--budget",
                "50sat",
                "--json"
            )
            let cid = try given.json.string("cid")
            let start = WallClock.system.now().adding(seconds: -1)
            let url = seller.url + "/s/weather/now/1"
            let paid = try await buyer.command("pay", url, "--max", "5sat", "--delegation", cid, "--json")
            let id = try #require(paid.json["payment"]?["receiptID"]?.stringValue, "\(paid)")
            let proof = place + "/call.tlog-proof"
            var seen = try await seller.command("log", "proof", id, "--witnessed")
            for _ in 0..<100 where seen.status != 0 {
                try await Task.sleep(for: .milliseconds(200))
                seen = try await seller.command("log", "proof", id, "--witnessed")
            }
            try Data(seen.output.utf8).write(to: URL(filePath: proof))
            // A cosignature tells whole seconds.
            try await Task.sleep(for: .seconds(2))
            let theft = WallClock.system.now()
            let recovered = try await buyer.command(
                "agent",
                "recover",
                "planner",
                "--since",
                theft.rfc3339,
                "--yes",
                "--json"
            )
            #expect(recovered.status == 0, "\(recovered)")
            func blame(_ node: TestedNode, _ more: String...) async throws -> Program.Outcome {
                try await Program.run(["delegations", "blame", id, "--json"] + more + ["--data", node.directory])
            }
            // Nobody here has seen the call before the theft; the seller's log shows that somebody has.
            let bare = try await blame(buyer)
            #expect(bare.status == 2 && bare.json["failures"]?[0]?["code"]?.stringValue == "key-revoked", "\(bare)")
            #expect(bare.json["failures"]?[0]?["key"]?.stringValue == planner, "\(bare)")
            let proven = try await blame(buyer, "--proof", proof)
            #expect(proven.status == 0 && proven.json["isSound"]?.boolValue == true, "\(proven)")
            #expect(proven.json["links"]?[0]?["takenBack"]?["counts"]?.boolValue == true, "\(proven)")
            #expect(proven.json["links"]?[0]?["takenBack"]?["since"]?.stringValue == theft.rfc3339, "\(proven)")
            // A proof of something else is refused, not passed over.
            let other = try await buyer.command("log", "proof", try made.json.object("passport").string("id"))
            try Data(other.output.utf8).write(to: URL(filePath: place + "/other.tlog-proof"))
            #expect(try await blame(buyer, "--proof", place + "/other.tlog-proof").status == 1)
            // The seller, told of the theft, has the proof in its own log.
            let told = try await seller.command(
                "delegations",
                "revoke",
                planner,
                "--since",
                theft.rfc3339,
                "--yes",
                "--json"
            )
            #expect(told.status == 0, "\(told)")
            #expect(try await blame(seller).status == 0)
            // It was stolen before the call, as it turns out. A later instant doesn't take that back.
            for since in [start, theft] {
                let again = try await buyer.command(
                    "delegations",
                    "revoke",
                    planner,
                    "--since",
                    since.rfc3339,
                    "--yes",
                    "--json"
                )
                #expect(again.status == 0, "\(again)")
                let found = try await blame(buyer, "--proof", proof)
                #expect(found.status == 2 && found.json["witnessedAt"] != nil, "\(found)")
                #expect(found.json["failures"]?[0]?["code"]?.stringValue == "key-revoked", "\(found)")
            }
            let ahead = WallClock.system.now().adding(seconds: 600).rfc3339
            #expect(try await buyer.command("delegations", "revoke", planner, "--since", ahead, "--yes").status == 1)
        }
    }

    @Test("[DLG-18] a planned rotation, and a delegation taken back, do not reach back to the calls of before")
    func movedOn() async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            let buyer = world.buyer
            let made = try await buyer.command("agent", "register", "planner", "--capability", "pay", "--json")
            #expect(try await buyer.command("agent", "register", "worker", "--capability", "pay").status == 0)
            try await world.sell("--trust-root", try made.json.object("agent").string("did"))
            let given = try await buyer.command(
                "delegate",
                "--as",
                "planner",
                "--to",
                "worker",
                "--budget",
                "50sat",
                "--json"
            )
            let cid = try given.json.string("cid")
            let url = world.seller.url + "/s/weather/now/1"
            let paid = try await buyer.command("pay", url, "--max", "5sat", "--delegation", cid, "--json")
            let id = try #require(paid.json["payment"]?["receiptID"]?.stringValue, "\(paid)")
            #expect(try await buyer.command("delegations", "revoke", cid, "--yes").status == 0)
            for agent in ["planner", "worker"] {
                #expect(try await buyer.command("agent", "rotate", agent).status == 0)
            }
            // [LOG-1]: both stand in the log, the chain as its holder has it.
            let file = try await buyer.command("delegations", "export", cid)
            try Data(file.output.utf8).write(to: URL(filePath: world.folder.path + "/chain.json"))
            let issued = try await buyer.command("log", "proof", world.folder.path + "/chain.json", "--json")
            #expect(try issued.json.array("entries").map { $0["kind"]?.stringValue } == ["delegation"], "\(issued)")
            let both = try await buyer.command("log", "proof", cid, "--json").json.array("entries")
            #expect(both.map { $0["kind"]?.stringValue } == ["delegation", "revocation"])
            #expect(both.last?["document"]?["target"]?.stringValue == cid)
            let blamed = try await buyer.command("delegations", "blame", id)
            #expect(blamed.status == 0 && blamed.output.contains("since, the call counts"), "\(blamed)")
            // Revoked by hand: the worker's old key is the actor's, which stands in no link.
            let worker = try await buyer.command("delegations", "blame", id, "--json").json.object("actor").string(
                "did"
            )
            #expect(try await buyer.command("delegations", "revoke", worker, "--yes").status == 0)
            let stolen = try await buyer.command("delegations", "blame", id, "--json")
            #expect(stolen.status == 2 && stolen.json["failures"]?.arrayValue?.count == 1, "\(stolen)")
            #expect(stolen.json["failures"]?[0]?["key"]?.stringValue == worker, "\(stolen)")
        }
    }
}
