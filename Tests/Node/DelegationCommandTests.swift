import CanonicalJSON
import Cryptography
import Delegation
import Encodings
import Foundation
import NIOHTTP1
import SignedDocuments
import Storage
import TestSupport
import Testing

/// Delegations as a user types them: given, spent, blamed, taken back.
@Suite("Delegations by command", .serialized)
struct DelegationCommandTests {
    private func registered(_ name: String, _ node: TestedNode) async throws {
        let made = try await node.command("agent", "register", name, "--capability", "pay", "--json")
        #expect(made.status == 0, "\(made)")
    }

    private func sold(_ world: World, root: String) async throws -> String {
        try await world.sell("--trust-root", root, "--require-delegation", "--require-ticket")
        return world.seller.url + "/s/weather/now"
    }

    /// Waits for what the node does by itself every few seconds.
    private func until(_ condition: () async throws -> Bool) async throws -> Bool {
        for _ in 0..<100 {
            if try await condition() { return true }
            try await Task.sleep(for: .milliseconds(250))
        }
        return false
    }

    @Test("[DLG-13] given, passed on, spent within the budget, blamed link by link, taken back; over two nodes")
    func tour() async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            let buyer = world.buyer
            let root = try await buyer.call(.GET, "/api/node").json.string("did")
            let url = try await sold(world, root: root)
            try await registered("planner", buyer)
            try await registered("worker", buyer)
            let given = try await buyer.command(
                "delegate",
                "--to",
                "planner",
                "--can",
                "/pay",
                "--budget",
                "100sat",
                "--depth",
                "3",
                "--for",
                "2h",
                "--per-call",
                "10sat",
                "--json"
            )
            #expect(given.status == 0, "\(given)")
            let first = try given.json.string("cid")
            let passed = try await buyer.command(
                "delegate",
                "--to",
                "worker",
                "--under",
                first,
                "--budget",
                "5sat",
                "--for",
                "1h",
                "--json"
            )
            #expect(passed.status == 0, "\(passed)")
            let second = try passed.json.string("cid")

            // Without a delegation the service does not serve.
            let without = try await buyer.command("pay", url + "/1", "--max", "5sat", "--json")
            #expect(without.status == 2, "\(without)")
            for number in 1...2 {
                let paid = try await buyer.command(
                    "pay",
                    url + "/\(number)",
                    "--max",
                    "5sat",
                    "--delegation",
                    second,
                    "--json"
                )
                #expect(paid.status == 0, "\(paid)")
                let named = paid.json["payment"]?["receipt"]?["delegation"]
                #expect(named?["checked"]?.stringValue == "ticket", "\(paid)")
                #expect(named?["chain"]?.arrayValue?.compactMap(\.stringValue) == [first, second])
            }
            // 2 and 2 of 5 are spent: one sat is not enough for a third, and nothing moves.
            let over = try await buyer.command("pay", url + "/3", "--max", "5sat", "--delegation", second, "--json")
            #expect(over.status == 2 && over.json["code"]?.stringValue == "budget-exceeded", "\(over)")
            #expect(try await buyer.spent(of: first) == "4")
            // The planner, above, has more.
            let above = try await buyer.command("pay", url + "/4", "--max", "5sat", "--delegation", first, "--json")
            #expect(above.status == 0, "\(above)")
            #expect(try await buyer.spent(of: first) == "6")
            let tree = try await buyer.command("delegations", "tree")
            #expect(tree.output.contains("planner") && tree.output.contains("└─ worker"), "\(tree)")

            // Who was it? At the buyer and at the seller, from the receipt alone.
            let receipt = try await buyer.command("pay", url + "/5", "--max", "5sat", "--delegation", first, "--json")
            let id = try #require(receipt.json["payment"]?["receiptID"]?.stringValue)
            let sound = try await buyer.command("delegations", "blame", id)
            #expect(sound.status == 0 && sound.output.contains("Every link holds"), "\(sound)")
            #expect(try await world.seller.command("delegations", "blame", id).status == 0)
            let revoked = try await buyer.command("delegations", "revoke", "planner", "--yes")
            #expect(revoked.status == 0, "\(revoked)")
            let late = try await buyer.command("pay", url + "/6", "--max", "5sat", "--delegation", second, "--json")
            #expect(late.status == 2 && late.json["code"]?.stringValue == "key-revoked", "\(late)")
            let workers = try await buyer.command("pay", url + "/7", "--max", "5sat", "--delegation", first, "--json")
            #expect(workers.status == 2, "\(workers)")
            let file = world.folder.path + "/receipt.json"
            let named = try #require(receipt.json["payment"]?["receipt"])
            try Data(named.serialized()).write(to: URL(filePath: file))
            #expect(try await buyer.command("delegations", "revoke", first, "--yes").status == 0)
            // The delegation was taken back after the call. The key was taken back, and nobody has said since when it was stolen.
            let blamed = try await buyer.command("delegations", "blame", file, "--json")
            #expect(blamed.status == 2 && blamed.json["failures"]?.arrayValue?.count == 1, "\(blamed)")
            #expect(blamed.json["links"]?[0]?["takenBack"]?["counts"]?.boolValue == true, "\(blamed)")
            let failure = blamed.json["failures"]?[0]
            let planner = try await buyer.call(.GET, "/api/agents/planner").json.object("agent").string("did")
            #expect(
                failure?["code"]?.stringValue == "key-revoked" && failure?["key"]?.stringValue == planner,
                "\(blamed)"
            )
            #expect(failure?["name"]?.stringValue == "planner")
            // A key that an agent leaves behind is in the list that others read, as one that was taken back.
            let left = try await buyer.call(.GET, "/api/agents/worker").json.object("agent").string("did")
            #expect(try await buyer.command("agent", "rotate", "worker", "--json").status == 0)
            let list = try await world.get(buyer.url + "/delegations/revocations")
            #expect(list.text.contains(left), "\(list.text)")
            #expect(try await buyer.call(.POST, "/api/audit", [:]).json["findings"]?.arrayValue?.count == 0)
        }
    }

    @Test("[DLG-14] an agent's spend limit holds over what it pays itself and what it lets others spend, together")
    func spendLimit() async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            let buyer = world.buyer
            let made = try await buyer.command(
                "agent",
                "register",
                "planner",
                "--capability",
                "pay",
                "--spend-limit",
                "9sat/day",
                "--json"
            )
            try await registered("worker", buyer)
            try await world.sell("--trust-root", try made.json.object("agent").string("did"))
            let url = world.seller.url + "/s/weather/now"
            let given = try await buyer.command(
                "delegate",
                "--as",
                "planner",
                "--to",
                "worker",
                "--budget",
                "100sat",
                "--json"
            )
            let cid = try given.json.string("cid")
            func pay(_ number: Int, _ option: String, _ value: String) async throws -> Program.Outcome {
                try await buyer.command("pay", url + "/\(number)", "--max", "5sat", option, value, "--json")
            }
            #expect(try await pay(1, "--agent", "planner").status == 0)
            for number in 2...4 { #expect(try await pay(number, "--delegation", cid).status == 0) }
            // 2 of the 9 by itself, 6 by the worker: one more call would be 10, whoever makes it.
            let worker = try await pay(5, "--delegation", cid)
            #expect(worker.status == 2 && worker.json["code"]?.stringValue == "budget-exceeded", "\(worker)")
            let planner = try await pay(6, "--agent", "planner")
            #expect(planner.status == 2 && planner.json["code"]?.stringValue == "limit-exceeded", "\(planner)")
            #expect(world.upstream.total == 4)
            #expect(try await buyer.call(.POST, "/api/audit", [:]).json["findings"]?.arrayValue?.count == 0)
        }
    }

    @Test("[DLG-14] an agent's spend limit holds over two sellers: what one was paid is missing at the other")
    func twoSellers() async throws {
        try await World.with { world in
            let buyer = world.buyer
            let second = TestedNode(
                "second seller",
                directory: world.folder.path + "/c",
                port: try #require(try await FreePorts.some(1).first),
                http: world.http,
                settings: []
            )
            try await second.make(simulatorURL: world.simulatorURL)
            try await second.start()
            do {
                try await checkTwoSellers(world, second)
            } catch {
                await second.kill()
                throw error
            }
            await second.kill()
            #expect(try await buyer.call(.POST, "/api/audit", [:]).json["findings"]?.arrayValue?.count == 0)
        }
    }

    private func checkTwoSellers(_ world: World, _ second: TestedNode) async throws {
        let buyer = world.buyer
        for mint in [world.seller.url, second.url] {
            let body: JSONValue = ["amount": "100", "mint": .string(mint + "/mint")]
            let funded = try await buyer.call(.POST, "/api/wallet/fund", body)
            #expect(funded.status == 200, "\(funded)")
        }
        let made = try await buyer.command(
            "agent",
            "register",
            "planner",
            "--capability",
            "pay",
            "--spend-limit",
            "9sat/day",
            "--json"
        )
        let planner = try made.json.object("agent").string("did")
        try await registered("worker", buyer)
        try await world.sell("--trust-root", planner, "--require-delegation", "--require-ticket")
        let sold = try await second.command(
            "service",
            "add",
            "weather",
            "--upstream",
            "http://127.0.0.1:\(world.upstreamPort)",
            "--price",
            "2sat",
            "--trust-root",
            planner,
            "--require-delegation",
            "--require-ticket"
        )
        #expect(sold.status == 0, "\(sold)")
        // Its budget is far above the limit: what stops it is the limit alone.
        let given = try await buyer.command(
            "delegate",
            "--as",
            "planner",
            "--to",
            "worker",
            "--budget",
            "100sat",
            "--json"
        )
        let cid = try given.json.string("cid")
        func pay(_ seller: TestedNode, _ number: Int) async throws -> Program.Outcome {
            let url = "\(seller.url)/s/weather/now/\(number)"
            return try await buyer.command("pay", url, "--max", "5sat", "--delegation", cid, "--json")
        }
        for number in 1...3 {
            let paid = try await pay(world.seller, number)
            #expect(paid.status == 0, "\(paid)")
            #expect(paid.json["payment"]?["receipt"]?["delegation"]?["checked"]?.stringValue == "ticket", "\(paid)")
        }
        let fourth = try await pay(second, 4)
        #expect(fourth.status == 0, "\(fourth)")
        // 6 there and 2 here: another call would be 10, at either of them; neither is asked for it.
        for seller in [second, world.seller] {
            let over = try await pay(seller, 5)
            #expect(over.status == 2 && over.json["code"]?.stringValue == "budget-exceeded", "\(over)")
        }
        #expect(try await buyer.spent(of: cid) == "8")
        #expect(world.upstream.total == 4)
    }

    @Test(
        "[DLG-17] a call on a delegation is paid with ecash in any dialect, its debit exact; over Lightning it is not"
    )
    func dialects() async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            let buyer = world.buyer
            let root = try await buyer.call(.GET, "/api/node").json.string("did")
            try await world.sell(
                "--trust-root",
                root,
                "--require-delegation",
                "--require-ticket",
                "--accept",
                "payment-cashu,x402-cashu,l402"
            )
            try await registered("planner", buyer)
            let given = try await buyer.command("delegate", "--to", "planner", "--budget", "100sat", "--json")
            let cid = try given.json.string("cid")
            let url = world.seller.url + "/s/weather/now"
            func pay(_ number: Int, via: String) async throws -> Program.Outcome {
                try await buyer.command(
                    "pay",
                    "\(url)/\(number)",
                    "--max",
                    "5sat",
                    "--delegation",
                    cid,
                    "--via",
                    via,
                    "--json"
                )
            }
            for (number, via, way) in [(1, "payment", "payment-cashu"), (2, "x402", "x402-cashu")] {
                let paid = try await pay(number, via: via)
                #expect(paid.status == 0 && paid.json["payment"]?["way"]?.stringValue == way, "\(paid)")
                let named = paid.json["payment"]?["receipt"]?["delegation"]
                #expect(named?["checked"]?.stringValue == "ticket", "\(paid)")
                #expect(try await buyer.spent(of: cid) == String(2 * number))
            }
            // An invoice would be paid before the seller has seen the chain.
            let ahead = try await pay(3, via: "l402")
            #expect(ahead.status != 0 && "\(ahead)".contains("a call on a delegation is paid with ecash"), "\(ahead)")
            #expect(try await buyer.spent(of: cid) == "4")
            #expect(world.upstream.total == 2)
            #expect(try await buyer.call(.POST, "/api/audit", [:]).json["findings"]?.arrayValue?.count == 0)
        }
    }

    @Test("[DLG-12] what was not charged comes back by itself, also where the node is killed on the way")
    func released() async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            let buyer = world.buyer
            let root = try await buyer.call(.GET, "/api/node").json.string("did")
            let url = try await sold(world, root: root)
            try await registered("planner", buyer)
            let given = try await buyer.command("delegate", "--to", "planner", "--budget", "100sat", "--json")
            let cid = try given.json.string("cid")
            // Nobody listens there any more: the call is refunded.
            let closed = try await world.seller.command(
                "service",
                "add",
                "weather",
                "--replace",
                "--upstream",
                "http://127.0.0.1:9",
                "--price",
                "2sat",
                "--trust-root",
                root
            )
            #expect(closed.status == 0, "\(closed)")
            let failed = try await buyer.command("pay", url + "/1", "--max", "5sat", "--delegation", cid, "--json")
            #expect(failed.status != 0, "\(failed)")
            await buyer.kill()
            try await buyer.start()
            #expect(try await until { try await buyer.spent(of: cid) == "0" })
            #expect(try await buyer.call(.POST, "/api/audit", [:]).json["findings"]?.arrayValue?.count == 0)
        }
    }

    @Test("a stranger passes its chain on without a node; anybody checks it offline, with the root alone")
    func offline() async throws {
        let folder = try TemporaryFolder()
        let root = Ed25519.PrivateKey()
        let key = folder.path + "/scout.key"
        let made = try await Program.run(["agent", "key", key, "--json"])
        let scout = try DIDKey(parsing: made.json.string("did"))
        let now = WallClock.system.now()
        let link = try Delegation.issue(
            by: root,
            to: scout,
            subject: DIDKey(root.publicKey),
            command: Command("/pay"),
            policy: PaymentLimits(unit: "sat", depth: 2).policy(),
            expires: now.adding(seconds: 3600),
            terms: ProfileTerms(
                budget: Budget(10, unit: "sat"),
                accounting: AccountingNode(did: DIDKey(root.publicKey), url: "http://127.0.0.1:1")
            )
        )
        let chain = folder.path + "/chain.json"
        try Data(DelegationFile(DelegationChain([link])).document.serialized()).write(to: URL(filePath: chain))
        let friend = DIDKey(Ed25519.PrivateKey().publicKey).string
        let mine = folder.path + "/mine.json"
        let passed = try await Program.run(
            [
                "delegate", "--key", key, "--under", chain, "--to", friend, "--budget", "5sat", "--for", "30m", "--out",
                mine,
            ]
        )
        #expect(passed.status == 0, "\(passed)")
        let good = try await Program.run(["verify", mine, "--root", DIDKey(root.publicKey).string, "--json"])
        #expect(good.status == 0 && good.json["links"]?.stringValue == "2", "\(good)")
        let other = try await Program.run(["verify", mine, "--root", friend, "--json"])
        #expect(other.status == 2 && other.json["reasons"]?[0]?["code"]?.stringValue == "untrusted-root", "\(other)")
        let wider = try await Program.run(
            ["delegate", "--key", key, "--under", chain, "--to", friend, "--budget", "11sat"]
        )
        #expect(wider.status != 0 && wider.errors.contains("budget-widened"), "\(wider)")
    }
}
