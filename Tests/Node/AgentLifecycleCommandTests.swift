import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import HTTPSignatures
import NIOHTTP1
import Passports
import SignedDocuments
import TestSupport
import Testing

/// Agents that lose a key, move, and come by themselves: by commands, at nodes that run.
@Suite("Agents' lives, by commands", .serialized)
struct AgentLifecycleCommandTests {
    @Test(
        "[PASS-16] [MOVE-2] [REG-1] [REG-3] a key is recovered, an agent moves to another node, one joins and is approved"
    )
    func lives() async throws {
        try await World.with(sellerSettings: ["agents.registration=approved"]) { world in
            let (here, there, place) = (world.seller, world.buyer, world.folder.path)
            let made = try await here.command("agent", "register", "planner", "--json").json
            let recovered = try await here.command(
                "agent",
                "recover",
                "planner",
                "--since",
                "2026-01-01T00:00:00Z",
                "--yes",
                "--json"
            )
            #expect(recovered.status == 0, "\(recovered)")
            let did = try recovered.json.object("agent").string("did")
            #expect(try made.object("agent").string("did") != did)
            let old = try await here.command("agent", "show", "planner", "--json").json.array("passports")
            #expect(old.contains { $0["reason"] == "keyCompromise" && $0["state"] == "revoked" }, "\(old)")

            // A key file of the agent's own, and the one after it.
            for name in ["k1", "k2", "k3"] { _ = try await Program.run(["agent", "key", "\(place)/\(name)"]) }
            let joined = try await Program.run([
                "agent", "join", here.url, "scout", "--key", place + "/k1", "--next", place + "/k2", "--capability",
                "pay",
                "--json",
            ])
            let request = try joined.json.object("request").string("id")
            #expect(joined.json["passport"] == nil, "\(joined)")
            #expect(try await here.command("agent", "requests", "--json").json.array("requests").count == 1)
            let approved = try await here.command("agent", "approve", request, "--json")
            #expect(approved.status == 0, "\(approved)")
            let asked = try await Program.run(["agent", "join", here.url, "--request", request, "--json"])
            #expect(asked.json["passport"]?["credentialSubject"]?["agentName"]?.stringValue == "scout", "\(asked)")
            let rotated = try await here.command(
                "agent",
                "rotate",
                "scout",
                "--key",
                place + "/k2",
                "--next",
                place + "/k3",
                "--json"
            )
            #expect(rotated.status == 0, "\(rotated)")
            let thief = try await here.command("agent", "rotate", "scout", "--key", place + "/k1", "--json")
            #expect(thief.json["code"]?.stringValue == "key-not-committed", "\(thief)")

            let node = try await there.command("status", "--json").json
            let destination = try node["did"]?.stringValue ?? node.object("node").string("did")
            try Data("a long passphrase\n".utf8).write(to: URL(filePath: place + "/pass"))
            let environment = ["MINTMARK_EXPORT_PASSPHRASE_FILE": place + "/pass"]
            let file = place + "/planner.agent"
            let exported = try await Program.run(
                ["agent", "export", "planner", file, "--to", destination, "--yes", "--data", here.directory, "--json"],
                environment: environment
            )
            #expect(exported.status == 0, "\(exported)")
            #expect(try await here.command("agent", "renew", "planner", "--json").status != 0)
            let imported = try await Program.run(
                ["agent", "import", file, "--data", there.directory, "--json"],
                environment: environment
            )
            #expect(try imported.json.object("agent").string("did") == did, "\(imported)")
        }
    }

    @Test("[REG-4] paid: an agent registers through a priced service of the node, and not beside it")
    func paid() async throws {
        try await World.with(sellerSettings: ["agents.registration=paid", "agents.registrationCapabilities=pay"]) {
            world in
            let (seller, place) = (world.seller, world.folder.path)
            let upstream = try await seller.command("agent", "registration", "--json").json.string("upstream")
            let added = try await seller.command(
                "service",
                "add",
                "register",
                "--upstream",
                upstream,
                "--price",
                "5sat",
                "--json"
            )
            #expect(added.status == 0, "\(added)")
            let funded = try await world.buyer.command("wallet", "fund", "100sat", "--mint", seller.url + "/mint")
            #expect(funded.status == 0, "\(funded)")
            _ = try await Program.run(["agent", "key", place + "/k1"])
            let key = try Ed25519.PrivateKey(
                seed: Hex.decode(String(contentsOfFile: place + "/k1", encoding: .utf8).prefix(64).description)
            )
            let beside = try await Program.run(["agent", "join", seller.url, "scout", "--key", place + "/k1", "--json"])
            #expect(beside.json["code"]?.stringValue == "registration-closed", "\(beside)")
            let asked = try await seller.call(.POST, "/api/agents/challenge", [:]).json
            let challenge = try asked.string("challenge")
            let body: JSONValue = [
                "name": "scout", "capabilities": ["pay"], "did": .string(DIDKey(key.publicKey).string),
                "challenge": .string(challenge),
                "signature": .string(
                    try PossessionProof.sign(
                        .registration,
                        challenge: challenge,
                        node: try DIDKey(parsing: asked.string("node")),
                        key: key
                    )
                ),
            ]
            let paid = try await world.buyer.command(
                "pay",
                seller.url + "/s/register",
                "--max",
                "10sat",
                "-X",
                "POST",
                "-d",
                String(decoding: body.serialized(), as: UTF8.self)
            )
            #expect(paid.status == 0 && paid.output.contains("AgentPassportCredential"), "\(paid)")
            let listed = try await seller.command("agent", "list", "--json").json.array("agents")
            #expect(listed.map { $0["name"]?.stringValue } == ["scout"])
        }
    }

    @Test("the passphrase comes by a file descriptor, or as systemd's credential")
    func passphrases() async throws {
        let folder = try TemporaryFolder()
        let pass = folder.path + "/mintmark-passphrase"
        try Data("correct horse battery\n".utf8).write(to: URL(filePath: pass))
        let data = folder.path + "/n"
        let made = try await Program.run(
            ["init", "--data", data, "--json"],
            environment: ["MINTMARK_PASSPHRASE_FILE": pass]
        )
        #expect(made.status == 0, "\(made)")
        let opened = try await Program.run(
            ["agent", "list", "--data", data, "--json"],
            environment: ["CREDENTIALS_DIRECTORY": folder.path]
        )
        #expect(opened.status == 0, "\(opened)")
        let typed = try await Program.run(
            ["agent", "list", "--data", data, "--json"],
            environment: ["MINTMARK_PASSPHRASE_FD": "0"],
            input: "correct horse battery\n"
        )
        #expect(typed.status == 0, "\(typed)")
        let wrong = try await Program.run(
            ["agent", "list", "--data", data, "--json"],
            environment: ["MINTMARK_PASSPHRASE_FD": "0"],
            input: "wrong\n"
        )
        #expect(wrong.status != 0 && wrong.output.contains("passphrase"), "\(wrong)")
    }
}
