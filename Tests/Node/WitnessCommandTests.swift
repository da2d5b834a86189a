import CanonicalJSON
import Foundation
import TestSupport
import Testing

/// A witness beside a node that runs, as their operators see them.
@Suite("A witness, by commands", .serialized)
struct WitnessCommandTests {
    @Test("[LOG-7] [LOG-8] [LOG-9] it cosigns a node's log; set back to an older copy the node stops and loses nothing")
    func witnessed() async throws {
        try await World.with { world in
            let (node, place) = (world.seller, world.folder.path)
            let home = place + "/w"
            let made = try await Program.run(["witness", "init", "--name", "w.example/1", "--data", home, "--json"])
            let key = try made.json.string("key")
            let log = try await node.command("log", "show", "--json")
            let logKey = try log.json.string("key")
            let added = try await Program.run([
                "witness", "add", node.url + "/log", "--key", logKey, "--data", home, "--json",
            ])
            #expect(added.status == 0, "\(added)")
            let witness = ServerProcess(
                "witness",
                ["witness", "run", "--json", "--port", "0", "--every", "1", "--data", home],
                logPath: place + "/w.log"
            )
            let url = try await witness.start().string("url")
            defer { Task { await witness.kill() } }

            await node.kill()
            let config = URL(filePath: node.directory + "/config.json")
            var settings = try JSONValue.parse(Array(Data(contentsOf: config))).requireObject()
            settings["log"] = ["witnesses": .array([.string("\(key) \(url)")])]
            try Data(JSONValue.object(settings).serialized()).write(to: config)
            try await node.start()
            let passport = try await node.command("agent", "register", "first", "--json").json.object("passport")
            let id = try passport.string("id")
            try Data(JSONValue.object(passport).serialized()).write(to: URL(filePath: place + "/p.json"))
            var proof = try await node.command("log", "proof", id, "--witnessed")
            for _ in 0..<100 where proof.status != 0 {
                try await Task.sleep(for: .milliseconds(200))
                proof = try await node.command("log", "proof", id, "--witnessed")
            }
            try Data(proof.output.utf8).write(to: URL(filePath: place + "/p.tlog-proof"))
            func verify(before: String) async throws -> Program.Outcome {
                try await Program.run([
                    "log", "verify", place + "/p.tlog-proof", "--document", place + "/p.json", "--key", logKey,
                    "--witness", key, "--quorum", "1", "--before", before, "--json",
                ])
            }
            #expect(try await verify(before: "2100-01-01T00:00:00Z").status == 0)
            let late = try await verify(before: "2020-01-01T00:00:00Z")
            #expect(late.status == 2 && late.json["code"]?.stringValue == "witnessed-too-late", "\(late)")

            // The folder as it is now, put back after more was logged and witnessed.
            await node.kill()
            let files = FileManager.default
            try files.removeItem(atPath: node.directory + "/node.sock")
            try files.copyItem(atPath: node.directory, toPath: place + "/copy")
            try await node.start()
            let second = try await node.command("agent", "register", "second", "--json").json.object("passport")
            for _ in 0..<100
            where try await node.command("log", "proof", second.string("id"), "--witnessed").status != 0 {
                try await Task.sleep(for: .milliseconds(200))
            }
            await node.kill()
            try files.removeItem(atPath: node.directory)
            try files.moveItem(atPath: place + "/copy", toPath: node.directory)
            try await node.start()
            var shown = try await node.command("log", "show", "--json").json
            for _ in 0..<100 where shown["halted"] == nil {
                try await Task.sleep(for: .milliseconds(200))
                shown = try await node.command("log", "show", "--json").json
            }
            #expect(shown["halted"]?.stringValue?.contains("w.example/1") == true, "\(shown)")
            #expect(shown["evidence"]?.stringValue?.contains("w.example/1") == true)
            var fence = try await node.command("restore", "status", "--json").json
            for _ in 0..<50 where fence["fenced"]?.boolValue != true {
                try await Task.sleep(for: .milliseconds(200))
                fence = try await node.command("restore", "status", "--json").json
            }
            #expect(fence["reason"]?.stringValue == "log-rewritten", "\(fence)")
            // Polled, the witness has seen the rewind too, and keeps what proves it.
            var alarms: [JSONValue] = []
            for _ in 0..<100 where alarms.isEmpty {
                try await Task.sleep(for: .milliseconds(200))
                alarms = try JSONValue.parse(try await world.get(url + "/alarms").body)["alarms"]?.arrayValue ?? []
            }
            #expect(alarms.first?["kind"]?.stringValue == "rewind", "\(alarms)")
            #expect(try files.contentsOfDirectory(atPath: home).contains { $0.hasPrefix("evidence-rewind-") })
        }
    }
}
