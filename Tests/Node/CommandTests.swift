import AsyncHTTPClient
import CanonicalJSON
import Foundation
import NIOCore
import NIOHTTP1
import Passports
import Receipts
import SignedDocuments
import TestSupport
import Testing

/// Every command of the tour, as a user types it, against processes that run.
@Suite("The commands of the tour", .serialized)
struct CommandTests {
    /// A file in the world's folder.
    private func write(_ value: JSONValue, to name: String, in world: World) throws -> String {
        let path = world.folder.path + "/" + name
        try Data(value.serialized()).write(to: URL(filePath: path))
        return path
    }

    private func sold(_ world: World, _ more: String...) async throws {
        let arguments =
            ["service", "add", "weather", "--json", "--upstream", "http://127.0.0.1:\(world.upstreamPort)"]
            + ["--price", "2sat", "--price", "GET /fail/*=3sat"] + more + ["--data", world.seller.directory]
        let added = try await Program.run(arguments)
        #expect(added.status == 0, "\(added)")
    }

    @Test("Who has not the operator's token issues no credential, changes no status and reaches no operator's route")
    func operatorToken() async throws {
        try await World.with { world in
            let node = world.buyer
            let token = try String(contentsOfFile: node.directory + "/operator-token", encoding: .utf8)
                .trimmingCharacters(in: .whitespacesAndNewlines)
            let made = try await node.command("agent", "register", "planner", "--json")
            let passport = try made.json.object("passport").string("id")
            let status: JSONValue = [
                "credentialId": .string(passport),
                "credentialStatus": [["type": "BitstringStatusListEntry", "status": true]],
            ]
            let credential: JSONValue = [
                "credential": [
                    "@context": ["https://www.w3.org/ns/credentials/v2"], "type": ["VerifiableCredential"],
                    "credentialSubject": ["id": "did:example:subject"],
                ]
            ]
            func post(_ path: String, _ body: JSONValue, _ authorization: String?) async throws -> UInt {
                var request = HTTPClientRequest(url: node.url + path)
                request.method = .POST
                request.headers.add(name: "content-type", value: "application/json")
                if let authorization { request.headers.add(name: "authorization", value: authorization) }
                request.body = .bytes(body.serialized())
                return try await world.http.execute(request, timeout: .seconds(30)).status.code
            }
            for (path, body) in [
                ("/credentials/status", status), ("/credentials/issue", credential), ("/api/agents", ["name": "x"]),
                ("/api/wallet/fund", ["amount": "1"]),
            ] {
                for authorization in [
                    nil, "Bearer ", "Bearer \(token)x", "Basic \(token)", "Bearer " + token.dropLast(),
                ] {
                    #expect(try await post(path, body, authorization) == 401, "\(path) \(authorization ?? "")")
                }
            }
            let list = try await node.command("passport", "show", passport, "--json")
            #expect(list.status == 0, "\(list)")
            #expect(try await post("/credentials/issue", credential, "Bearer \(token)") == 201)
            #expect(try await post("/credentials/status", status, "Bearer \(token)") == 200)
        }
    }

    @Test("Agents: register, list, show, renew, and a key of the agent's own")
    func agents() async throws {
        try await World.with { world in
            let buyer = world.buyer
            let registered = try await buyer.command(
                "agent",
                "register",
                "planner",
                "--capability",
                "pay,invoke",
                "--spend-limit",
                "5000sat/day",
                "--operator",
                "Example AG",
                "--json"
            )
            #expect(registered.status == 0, "\(registered)")
            #expect(registered.json["agent"]?["name"]?.stringValue == "planner")
            let first = try registered.json.object("passport")

            let key = world.folder.path + "/scout.key"
            let made = try await Program.run(["agent", "key", key, "--json"])
            #expect(made.status == 0, "\(made)")
            let again = try await Program.run(["agent", "key", key, "--json"])
            #expect(again.status == 64)
            #expect(again.json["ok"]?.boolValue == false)
            let scout = try await buyer.command("agent", "register", "scout", "--key", key, "--json")
            #expect(scout.status == 0, "\(scout)")
            #expect(scout.json["agent"]?["did"]?.stringValue == made.json["did"]?.stringValue)
            #expect(
                scout.json["agent"]?["keyHeldBy"]?.stringValue != registered.json["agent"]?["keyHeldBy"]?.stringValue
            )

            let listed = try await buyer.command("agent", "list", "--json")
            let names = try listed.json.array("agents").compactMap { $0["name"]?.stringValue }
            #expect(Set(names) == ["planner", "scout"])
            let shown = try await buyer.command("agent", "show", "planner", "--json")
            #expect(shown.json["agent"]?["spendLimit"]?["amountMinor"]?.stringValue == "5000", "\(shown)")
            #expect(try shown.json.array("passports").count == 1)

            let renewed = try await buyer.command("agent", "renew", "planner", "--json")
            #expect(renewed.status == 0, "\(renewed)")
            #expect(try renewed.json.object("passport")["id"] != first["id"])
            #expect(
                try Passport(document: renewed.json.object("passport")).agentID == Passport(document: first).agentID
            )

            let twice = try await buyer.command("agent", "register", "planner", "--json")
            #expect(twice.status == 1)
            #expect(twice.json["code"]?.stringValue == "agent-exists", "\(twice)")
            let nobody = try await buyer.command("agent", "show", "nobody", "--json")
            #expect(nobody.status == 1)
            let text = try await buyer.command("agent", "list")
            #expect(text.output.contains("planner") && text.output.contains("CAPABILITIES"))
        }
    }

    @Test("Passports: show, verify with and without a network, suspend, restore, revoke")
    func passports() async throws {
        try await World.with { world in
            let buyer = world.buyer
            _ = try await buyer.command("agent", "register", "planner", "--capability", "invoke", "--json")
            let shown = try await buyer.command("passport", "show", "planner", "--json")
            #expect(shown.status == 0, "\(shown)")
            let passport = try Passport(document: shown.json.requireObject())
            let file = try write(shown.json, to: "passport.json", in: world)

            let offline = try await Program.run(["verify", file, "--issuer", passport.issuer.string, "--json"])
            #expect(offline.status == 0, "\(offline)")
            #expect(offline.json["ok"]?.boolValue == true)
            #expect(offline.json["unchecked"]?.stringValue?.contains("revoked") == true)
            let piped = try await Program.run(["verify", "-", "--json"], input: shown.output)
            #expect(piped.status == 0, "\(piped)")
            let live = try await buyer.command("passport", "verify", file, "--capability", "invoke", "--json")
            #expect(live.status == 0, "\(live)")
            #expect(live.json["valid"]?.boolValue == true)
            let incapable = try await buyer.command("passport", "verify", file, "--capability", "fly", "--json")
            #expect(incapable.status == 2)
            #expect(reasons(incapable) == ["capability-missing"])

            var forged = try shown.json.requireObject()
            forged["validUntil"] = "2099-01-01T00:00:00Z"
            let forgery = try write(.object(forged), to: "forged.json", in: world)
            for arguments in [
                ["verify", forgery, "--json"], ["passport", "verify", forgery, "--json", "--data", buyer.directory],
            ] {
                let refused = try await Program.run(arguments)
                #expect(refused.status == 2, "\(refused)")
                #expect(reasons(refused).contains("bad-signature"))
            }
            let late = try await Program.run(["verify", file, "--at", "2099-01-01T00:00:00Z", "--json"])
            #expect(late.status == 2)
            #expect(reasons(late) == ["expired"])

            let suspended = try await buyer.command("passport", "suspend", "planner", "--json")
            #expect(suspended.status == 0, "\(suspended)")
            #expect(reasons(try await buyer.command("passport", "verify", file, "--json")) == ["suspended"])
            #expect(try await buyer.command("passport", "restore", "planner", "--json").status == 0)
            #expect(try await buyer.command("passport", "verify", file, "--json").status == 0)

            let unasked = try await buyer.command(
                "passport",
                "revoke",
                "planner",
                "--reason",
                "keyCompromise",
                "--json"
            )
            #expect(unasked.status == 64)
            #expect(unasked.output.contains("--yes"))
            #expect(try await buyer.command("passport", "verify", file, "--json").status == 0)
            let revoked = try await buyer.command(
                "passport",
                "revoke",
                "planner",
                "--reason",
                "keyCompromise",
                "--yes",
                "--json"
            )
            #expect(revoked.status == 0, "\(revoked)")
            let after = try await buyer.command("passport", "verify", file, "--json")
            #expect(after.status == 2)
            #expect(reasons(after) == ["revoked"])
            let unrevokable = try await buyer.command("passport", "restore", "planner", "--json")
            #expect(unrevokable.status == 1, "\(unrevokable)")
            let unrenewable = try await buyer.command("agent", "renew", "planner", "--json")
            #expect(unrenewable.status == 1, "\(unrenewable)")

            // The published lists say so to anybody, with no node to ask.
            var lists: [String] = []
            for (number, entry) in passport.status.enumerated() {
                let list = try await world.get(entry.listURL)
                #expect(list.status == 200)
                let path = world.folder.path + "/list-\(number).json"
                try Data(list.body).write(to: URL(filePath: path))
                lists += ["--status", path]
            }
            let listed = try await Program.run(["verify", file, "--json"] + lists)
            #expect(listed.status == 2)
            #expect(reasons(listed) == ["revoked"], "\(listed)")
        }
    }

    @Test("Passports in other forms: shown, verified offline, presented with chosen claims; DIDs")
    func passportForms() async throws {
        try await World.with { world in
            let buyer = world.buyer
            _ = try await buyer.command("agent", "register", "planner", "--capability", "pay", "--json")
            for form in ["eddsa-rdfc-2022", "ecdsa-jcs-2019", "vc+jwt", "dc+sd-jwt"] {
                let shown = try await buyer.command("passport", "show", "planner", "--form", form)
                #expect(shown.status == 0, "\(shown)")
                let checked = try await Program.run(["verify", "-", "--json"], input: shown.output)
                #expect(checked.status == 0 && checked.json["form"]?.stringValue == form, "\(checked)")
                let path = world.folder.path + "/form.txt"
                try Data(shown.output.utf8).write(to: URL(filePath: path))
                #expect(try await buyer.command("passport", "verify", path, "--json").status == 0)
            }
            let ask = ["--audience", "https://shop.example", "--nonce", "n-1"]
            let arguments = ["passport", "present", "planner", "--claims", "agentName"] + ask
            let shown = try await Program.run(arguments + ["--data", buyer.directory])
            #expect(shown.status == 0, "\(shown)")
            let held = try await Program.run(["verify", "-", "--json"] + ask, input: shown.output)
            #expect(held.status == 0 && held.json["capabilities"] == "", "\(held)")
            let other = try await Program.run(
                ["verify", "-", "--json", "--audience", "https://evil.example", "--nonce", "n-1"],
                input: shown.output
            )
            #expect(other.status == 2 && reasons(other) == ["wrong-audience"])
            let whole = try await Program.run(
                ["passport", "present", "planner", "--form", "vc+jwt"] + ask + ["--data", buyer.directory]
            )
            let presented = try await Program.run(["verify", "-", "--json"] + ask, input: whole.output)
            #expect(presented.status == 0 && presented.json["kind"] == "presentation", "\(presented)")
            #expect(try await buyer.command("did", "show", "--json").json["issuers"]?.arrayValue?.count == 2)
        }
    }

    private func reasons(_ outcome: Program.Outcome) -> [String] {
        (outcome.json["reasons"]?.arrayValue ?? []).compactMap { $0["code"]?.stringValue }
    }

    @Test("Services are sold, wallets filled, calls paid, receipts verified")
    func selling() async throws {
        try await World.with { world in
            let (buyer, seller) = (world.buyer, world.seller)
            try await sold(world)
            let twice = try await seller.command(
                "service",
                "add",
                "weather",
                "--upstream",
                "http://127.0.0.1:1",
                "--price",
                "1sat",
                "--json"
            )
            #expect(twice.status == 1)
            #expect(twice.json["code"]?.stringValue == "service-exists", "\(twice)")
            let listed = try await seller.command("service", "list", "--json")
            #expect(try listed.json.array("services").compactMap { $0["name"]?.stringValue } == ["weather"])
            let unpaid = try await world.get(seller.url + "/s/weather/now/1")
            #expect(unpaid.status == 402)
            #expect(unpaid.headers.first(name: "X-Cashu")?.hasPrefix("creqA") == true)

            // Without ecash it would pay over the wallet's own Lightning account, which the simulated network fills.
            let url = seller.url + "/s/weather/now/1"
            let poor = try await buyer.command("pay", url, "--max", "5sat", "--via", "cashu", "--json")
            #expect(poor.status != 0)
            #expect(poor.json["error"]?.stringValue?.isEmpty == false, "\(poor)")
            let funded = try await buyer.command("wallet", "fund", "1000sat", "--mint", seller.url + "/mint", "--json")
            #expect(funded.status == 0, "\(funded)")
            #expect(funded.json["testMoney"]?.boolValue == true)

            let dear = try await buyer.command("pay", seller.url + "/s/weather/now/1", "--max", "1sat", "--json")
            #expect(dear.status == 2, "\(dear)")
            let receipt = world.folder.path + "/receipt.json"
            let body = world.folder.path + "/body"
            let paid = try await buyer.command(
                "pay",
                seller.url + "/s/weather/now/1",
                "--max",
                "5sat",
                "--idempotency-key",
                "one",
                "--receipt",
                receipt,
                "--json"
            )
            #expect(paid.status == 0, "\(paid)")
            #expect(paid.json["status"]?.int64Value == 200)
            #expect(paid.json["body"]?.stringValue == world.upstream.answer("one"))
            #expect(paid.json["payment"]?["amount"]?.stringValue == "2")
            let again = try await buyer.command(
                "pay",
                seller.url + "/s/weather/now/1",
                "--max",
                "5sat",
                "--idempotency-key",
                "one",
                "-o",
                body
            )
            #expect(again.status == 0, "\(again)")
            #expect(try String(contentsOfFile: body, encoding: .utf8) == world.upstream.answer("one"))
            #expect(world.upstream.calls("one") == 1)
            let other = try await buyer.command(
                "pay",
                seller.url + "/s/weather/now/2",
                "--max",
                "5sat",
                "--idempotency-key",
                "one",
                "--json"
            )
            #expect(other.status == 1, "\(other)")

            let sellerDID = try await seller.command("status", "--json").json.string("did")
            let verified = try await Program.run(["verify", receipt, "--seller", sellerDID, "--json"])
            #expect(verified.status == 0, "\(verified)")
            let wrongSeller = try await buyer.command("status", "--json").json.string("did")
            #expect(try await Program.run(["verify", receipt, "--seller", wrongSeller, "--json"]).status == 2)
            let id = try #require(paid.json["payment"]?["receiptID"]?.stringValue)
            for node in [buyer, seller] {
                let shown = try await node.command("receipt", "show", id, "--json")
                #expect(shown.status == 0, "\(node.name): \(shown)")
                #expect(try Receipt(document: shown.json.requireObject()).id == id)
            }
            #expect(try await buyer.command("receipt", "show", "no-such-receipt", "--json").status == 1)
            let bought = try await buyer.command("receipt", "list", "--json").json.array("receipts")
            let sold = try await seller.command("receipt", "list", "--json").json.array("receipts")
            #expect(bought.count == 1 && sold.count == 1)
            #expect(bought.first?["id"] == sold.first?["id"] && sold.first?["side"] == "sold", "\(sold)")

            let failed = try await buyer.command("pay", seller.url + "/s/weather/fail/1", "--max", "5sat", "--json")
            #expect(failed.status == 1, "\(failed)")
            #expect(failed.output.contains("refunded"), "\(failed)")
            let posted = try await buyer.command(
                "pay",
                seller.url + "/s/weather/now/3",
                "--max",
                "5sat",
                "-d",
                "{\"city\":\"Bern\"}",
                "-H",
                "Content-Type: application/json",
                "-i"
            )
            #expect(posted.status == 0, "\(posted)")
            #expect(posted.output.hasPrefix("HTTP/1.1 200"))

            let balance = try await buyer.command("wallet", "balance", "--json")
            let mine = try balance.json.array("mints").first ?? .null
            let total = ["available", "locked", "pending"].reduce(0) { $0 + (Int(mine[$1]?.stringValue ?? "") ?? 0) }
            #expect(total == 1000 - 4, "\(balance)")

            let removed = try await seller.command("service", "remove", "weather", "--json")
            #expect(removed.status == 0, "\(removed)")
            #expect(try await world.get(seller.url + "/s/weather/now/1").status == 404)
            #expect(try await seller.command("service", "remove", "weather", "--json").status == 1)
            for node in [buyer, seller] {
                let audit = try await node.command("status", "--audit", "--json")
                #expect(audit.status == 0, "\(audit)")
            }
        }
    }

    @Test("Tokens are sent and received once; the history says so")
    func tokens() async throws {
        try await World.with { world in
            let (buyer, seller) = (world.buyer, world.seller)
            let mint = seller.url + "/mint"
            #expect(try await buyer.command("wallet", "fund", "100sat", "--mint", mint).status == 0)
            let sent = try await buyer.command("wallet", "send", "21sat", "--mint", mint, "--json")
            #expect(sent.status == 0, "\(sent)")
            let token = try sent.json.string("token")
            #expect(token.hasPrefix("cashuB"))
            let received = try await seller.command("wallet", "receive", "-", "--json", input: token)
            #expect(received.status == 0, "\(received)")
            #expect(received.json["amount"]?.stringValue == "21")
            let twice = try await seller.command("wallet", "receive", token, "--json")
            #expect(twice.status == 1)
            #expect(twice.json["code"]?.stringValue == "token-spent", "\(twice)")
            let garbage = try await seller.command("wallet", "receive", "cashuBgarbage", "--json")
            #expect(garbage.status == 1)
            let much = try await buyer.command("wallet", "send", "5000sat", "--mint", mint, "--json")
            #expect(much.status == 2, "\(much)")
            let history = try await buyer.command("wallet", "history", "--json")
            #expect(try history.json.array("entries").count >= 2, "\(history)")
            let text = try await seller.command("wallet", "balance")
            #expect(text.output.contains("21") && text.output.contains("TEST MONEY"), "\(text)")
        }
    }

    @Test("With no node running a command starts one for its own length, under the directory's lock")
    func withoutNode() async throws {
        try await World.with(starts: false) { world in
            let (buyer, seller) = (world.buyer, world.seller)
            let status = try await seller.command("status", "--audit", "--json")
            #expect(status.status == 0, "\(status)")
            #expect(status.json["running"]?.boolValue == false)
            #expect(status.json["publicURL"]?.stringValue == seller.url)
            #expect(try await seller.command("agent", "register", "planner", "--json").status == 0)
            #expect(try await seller.command("agent", "list", "--json").json.array("agents").count == 1)
            try await sold(world)
            #expect(try await seller.command("wallet", "balance", "--json").status == 0)

            try await seller.start()
            #expect(try await seller.command("status", "--json").json["running"]?.boolValue == true)
            // What was done before the node ran is there: no second writer, one database.
            #expect(try await seller.command("service", "list", "--json").json.array("services").count == 1)
            let funded = try await buyer.command("wallet", "fund", "50sat", "--mint", seller.url + "/mint", "--json")
            #expect(funded.status == 0, "\(funded)")
            let paid = try await buyer.command(
                "pay",
                seller.url + "/s/weather/now/1",
                "--max",
                "5sat",
                "--idempotency-key",
                "k",
                "--json"
            )
            #expect(paid.status == 0, "\(paid)")
            #expect(paid.json["body"]?.stringValue == world.upstream.answer("k"))
            #expect(await seller.process.stop() == 0)
            #expect(!FileManager.default.fileExists(atPath: seller.directory + "/node.sock"))
        }
    }

    @Test("Wrong usage is status 64, no node 3, and --help teaches by example")
    func usage() async throws {
        let folder = try TemporaryFolder()
        let missing = try await Program.run(["wallet", "balance", "--json", "--data", folder.path + "/none"])
        #expect(missing.status == 3)
        #expect(missing.json["error"]?.stringValue?.contains("mintmark init") == true, "\(missing)")
        #expect(try await Program.run(["serve", "--data", folder.path + "/none"]).status == 3)
        for wrong in [
            ["frobnicate"], ["pay", "http://127.0.0.1:1/"], ["wallet", "fund", "0sat"], ["wallet", "fund", "-1"],
            ["agent", "register"], ["service", "add", "x", "--upstream", "http://127.0.0.1:1"],
        ] {
            let outcome = try await Program.run(wrong)
            #expect(outcome.status == 64, "\(wrong): \(outcome)")
        }
        for command in [
            [], ["init"], ["serve"], ["agent"], ["agent", "register"], ["passport"], ["passport", "revoke"],
            ["service"],
            ["service", "add"], ["wallet"], ["wallet", "fund"], ["pay"], ["receipt"], ["verify"], ["status"], ["demo"],
        ] {
            let help = try await Program.run(command + ["--help"])
            #expect(help.status == 0)
            let example = (["mintmark"] + command).joined(separator: " ")
            #expect(help.output.contains(example), "\(example): \(help)")
        }
        let garbage = folder.path + "/garbage"
        try Data("{\"type\":[\"Something\"]}".utf8).write(to: URL(filePath: garbage))
        #expect(try await Program.run(["verify", garbage, "--json"]).status == 1)
        #expect(try await Program.run(["verify", folder.path + "/none", "--json"]).status == 64)
    }

    @Test("init makes keys once, shows the words once, and brings a node back from them")
    func initialising() async throws {
        let folder = try TemporaryFolder()
        let made = try await Program.run(["init", "--json", "--data", folder.path + "/a"])
        #expect(made.status == 0, "\(made)")
        let words = try made.json.string("words")
        #expect(words.split(separator: " ").count == 12)
        let again = try await Program.run(["init", "--json", "--data", folder.path + "/a"])
        #expect(again.status == 1)
        #expect(again.json["words"] == nil)
        let restored = try await Program.run(
            ["init", "--restore", "--json", "--data", folder.path + "/b"],
            input: words
        )
        #expect(restored.status == 0, "\(restored)")
        #expect(restored.json["did"] == made.json["did"])
        #expect(restored.json["words"] == nil)
        let wrong = try await Program.run(
            ["init", "--restore", "--json", "--data", folder.path + "/c"],
            input: words.replacingOccurrences(of: words.prefix { $0 != " " }, with: "zzzz")
        )
        #expect(wrong.status == 1)
        #expect(wrong.json["error"]?.stringValue?.contains("zzzz") == true, "\(wrong)")
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/c/vault.json"))
        let deep = try await Program.run(
            ["init", "--json", "--data", folder.path + "/" + String(repeating: "d", count: 100)]
        )
        #expect(deep.status == 64, "\(deep)")
        for file in ["vault.json", "passphrase", "operator-token"] {
            let attributes = try FileManager.default.attributesOfItem(atPath: folder.path + "/a/" + file)
            #expect(attributes[.posixPermissions] as? Int == 0o600, "\(file)")
        }
    }
}
