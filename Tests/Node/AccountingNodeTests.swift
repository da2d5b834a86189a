import CanonicalJSON
import Cryptography
import Delegation
import Encodings
import Foundation
import HTTPSignatures
import NIOHTTP1
import SignedDocuments
import Storage
import TestSupport
import Testing

/// Three nodes: one keeps the account, another's agent pays, a third sells. The delegate of a delegate spends.
@Suite("An account at another node", .serialized)
struct AccountingNodeTests {
    private struct Setting: Sendable {
        let world: World
        /// Keeps the account.
        let bank: TestedNode
        let way: LossyWay
        let bankDID: String
        /// A stranger to every node, given 100 sat by the bank.
        let planner: Ed25519.PrivateKey
        let plannerChain: String
        /// An agent of the buyer's node, given 6 of them by the planner.
        let workerChain: String
        let cids: [String]
        let url: String

        /// What the bank says is spent under each link.
        func spent() async throws -> [String?] {
            let listed = try await bank.command("delegations", "list", "--json").json.array("delegations")
            return cids.map { cid in listed.first { $0["cid"]?.stringValue == cid }?["spent"]?.stringValue }
        }

        func pay(_ path: String) async throws -> Program.Outcome {
            try await world.buyer.command(
                "pay",
                url + path,
                "--max",
                "5sat",
                "--delegation",
                workerChain,
                "--json"
            )
        }

        /// What the buyer has, also where it is locked to a seller beforehand.
        func balance() async throws -> UInt64 {
            let wallet = try await world.buyer.command("wallet", "balance", "--json").json
            return try wallet.array("mints").reduce(0) { sum, part in
                sum + (UInt64(try part.string("available")) ?? 0) + (UInt64(try part.string("locked")) ?? 0)
            }
        }
    }

    private func with(
        asksForTickets: Bool = true,
        _ body: @escaping @Sendable (Setting) async throws -> Void
    ) async throws {
        try await World.with { world in
            #expect(try await world.fund(300).status == 200)
            let ports = try await FreePorts.some(2)
            let bank = TestedNode(
                "bank",
                directory: world.folder.path + "/k",
                port: ports[0],
                http: world.http,
                settings: ["http.publicURL=http://127.0.0.1:\(ports[1])"]
            )
            let way = LossyWay(to: ports[0], http: world.http)
            try await way.whileServing(port: ports[1]) {
                do {
                    try await bank.make(simulatorURL: world.simulatorURL)
                    try await bank.start()
                    try await body(setting(world, bank, way, asksForTickets: asksForTickets))
                    await bank.kill()
                } catch {
                    await bank.kill()
                    throw error
                }
            }
        }
    }

    private func setting(_ world: World, _ bank: TestedNode, _ way: LossyWay, asksForTickets: Bool) async throws
        -> Setting
    {
        func done(_ outcome: Program.Outcome) throws -> JSONValue {
            guard outcome.status == 0 else { throw ServerProcess.NotReady(description: "\(outcome)") }
            return outcome.json
        }
        let bankDID = try await bank.call(.GET, "/api/node").json.string("did")
        let folder = world.folder.path
        let planner = try done(await Program.run(["agent", "key", folder + "/planner.key", "--json"])).string("did")
        _ = try done(
            await world.buyer.command("agent", "register", "worker", "--capability", "pay,invoke", "--json")
        )
        let worker = try await world.buyer.call(.GET, "/api/agents/worker").json.object("agent").string("did")
        let first = try done(
            await bank.command(
                "delegate",
                "--to",
                planner,
                "--budget",
                "100sat",
                "--depth",
                "3",
                "--per-call",
                "10sat",
                "--out",
                folder + "/planner.json",
                "--json"
            )
        )
        let second = try done(
            await Program.run(
                [
                    "delegate", "--key", folder + "/planner.key", "--under", folder + "/planner.json", "--to", worker,
                    "--budget", "6sat", "--for", "1h", "--out", folder + "/worker.json", "--json",
                ]
            )
        )
        var offer = [
            "service", "add", "weather", "--upstream", "http://127.0.0.1:\(world.upstreamPort)", "--price", "2sat",
            "--trust-root", bankDID, "--require-delegation", "--data", world.seller.directory,
        ]
        if asksForTickets { offer.append("--require-ticket") }
        _ = try done(await Program.run(offer + ["--json"]))
        let seed = try String(contentsOfFile: folder + "/planner.key", encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        return Setting(
            world: world,
            bank: bank,
            way: way,
            bankDID: bankDID,
            planner: try Ed25519.PrivateKey(seed: Hex.decode(seed)),
            plannerChain: folder + "/planner.json",
            workerChain: folder + "/worker.json",
            cids: [try first.string("cid"), try second.string("cid")],
            url: world.seller.url + "/s/weather/now/"
        )
    }

    @Test("[DLG-7] [DLG-9] a delegate's delegate pays a third node with a ticket of the first, debited once")
    func tickets() async throws {
        try await with { setting in
            let paid = try await setting.pay("1")
            #expect(paid.status == 0, "\(paid)")
            let named = paid.json["payment"]?["receipt"]?["delegation"]
            #expect(named?["checked"]?.stringValue == "ticket", "\(paid)")
            #expect(named?["chain"]?.arrayValue?.compactMap(\.stringValue) == setting.cids)
            #expect(setting.way.debits.map(\.ticket) == [named?["ticket"]?.stringValue])
            #expect(try await setting.spent() == ["2", "2"])

            try await words(setting, paid)
            // The answer is lost on the way: the same call is asked for again, and is one debit with one ticket.
            setting.way.lose(1)
            let again = try await setting.pay("2")
            #expect(again.status == 0, "\(again)")
            let debits = setting.way.debits
            #expect(debits.count == 3 && debits[1].ticket != nil && debits[1].ticket == debits[2].ticket, "\(debits)")
            #expect(again.json["payment"]?["receipt"]?["delegation"]?["ticket"]?.stringValue == debits[1].ticket)
            #expect(try await setting.spent() == ["4", "4"])

            #expect(try await setting.pay("3").status == 0)
            let balance = try await setting.balance()
            let over = try await setting.pay("4")
            #expect(over.status == 2 && "\(over)".contains("budget-exceeded"), "\(over)")
            #expect(try await setting.spent() == ["6", "6"])
            #expect(try await setting.balance() == balance)
            #expect(setting.world.upstream.total == 3)

            // A restart of the account's node forgets nothing.
            await setting.bank.kill()
            try await setting.bank.start()
            #expect(try await setting.pay("5").status == 2)
            #expect(try await setting.spent() == ["6", "6"])
            #expect(try await setting.bank.call(.POST, "/api/audit", [:]).json["findings"]?.arrayValue?.count == 0)
        }
    }

    /// The seller's word on the invocation, as seller and buyer show it, and as anybody checks it.
    private func words(_ setting: Setting, _ paid: Program.Outcome) async throws {
        let id = try #require(paid.json["payment"]?["receiptID"]?.stringValue)
        let path = setting.world.folder.path + "/call.json"
        var shown: [String] = []
        for node in [setting.world.seller, setting.world.buyer] {
            let word = try await node.command("receipt", "show", id, "--invocation", "--json")
            #expect(word.status == 0, "\(word)")
            shown.append(word.output)
            // Who acted, and on whose authority, is told from it: the seller keeps its links, and the file has them.
            try Data(word.output.utf8).write(to: URL(filePath: path))
            let blamed = try await node.command("delegations", "blame", path, "--json")
            #expect(blamed.status == 0 && blamed.json["invocation"]?["allowed"]?.stringValue == "2sat", "\(blamed)")
            #expect(try await node.command("delegations", "blame", id).status == 0)
        }
        #expect(shown[0] == shown[1])
        let good = try await Program.run(["verify", path, "--root", setting.bankDID, "--json"])
        #expect(good.status == 0 && good.json["links"]?.stringValue == "2", "\(good)")
        let stranger = DIDKey(Ed25519.PrivateKey().publicKey).string
        let other = try await Program.run(["verify", path, "--root", stranger, "--json"])
        #expect(other.status == 2 && other.json["reasons"]?[0]?["code"]?.stringValue == "untrusted-root", "\(other)")
        var changed = try #require(JSONValue.parse(Array(shown[0].utf8)).objectValue)
        changed["assertion"] = changed["invocation"]
        try Data(JSONValue.object(changed).serialized()).write(to: URL(filePath: path))
        let mixed = try await Program.run(["verify", path, "--json"])
        #expect(mixed.status == 2 && mixed.json["reasons"]?[0]?["code"]?.stringValue == "receipt-malformed", "\(mixed)")
    }

    @Test("[DLG-11] while the account's node is away nothing is paid; who asks for no ticket says call-limit")
    func away() async throws {
        try await with(asksForTickets: false) { setting in
            await setting.bank.kill()
            let balance = try await setting.balance()
            let refused = try await setting.pay("1")
            #expect(refused.status != 0 && "\(refused)".contains("accounting-unreachable"), "\(refused)")
            #expect(try await setting.balance() == balance)
            #expect(setting.world.upstream.total == 0)

            // Whoever calls without a ticket is checked by the limit of a call alone.
            let bare = try await bareCall(setting, amount: 2, path: "2")
            #expect(bare.status == 200, "\(bare.text)")
            let id = try #require(bare.headers.first(name: "Agent-Receipt-ID"))
            let receipt = try await setting.world.get(setting.world.seller.url + "/receipts/" + id)
            let named = try JSONValue.parse(receipt.body)["delegation"]
            #expect(named?["checked"]?.stringValue == "call-limit" && named?["ticket"] == nil, "\(receipt.text)")
            let dear = try await bareCall(setting, amount: 11, path: "3")
            #expect(dear.status == 403 && dear.code == "over-call-limit", "\(dear.text)")

            let asking = try await setting.world.seller.command(
                "service",
                "add",
                "weather",
                "--replace",
                "--upstream",
                "http://127.0.0.1:\(setting.world.upstreamPort)",
                "--price",
                "2sat",
                "--trust-root",
                setting.bankDID,
                "--require-delegation",
                "--require-ticket"
            )
            #expect(asking.status == 0, "\(asking)")
            let missing = try await bareCall(setting, amount: 2, path: "4")
            #expect(missing.status == 403 && missing.code == "ticket-missing", "\(missing.text)")
            #expect(setting.world.upstream.total == 1)
        }
    }

    /// A paid call of the planner's, with its chain and no ticket.
    private func bareCall(_ setting: Setting, amount: UInt64, path: String) async throws -> PlainAnswer {
        let url = setting.url + path
        let file = try DelegationFile(bytes: Array(Data(contentsOf: URL(filePath: setting.plannerChain))))
        let now = WallClock.system.now()
        let invocation = try Invocation.issue(
            by: setting.planner,
            subject: DIDKey(parsing: setting.bankDID),
            command: .paidCall,
            arguments: CallArguments(
                amount: amount,
                unit: "sat",
                depth: 1,
                method: "GET",
                target: url,
                digest: Hashing.sha256([]),
                call: SecureRandom.bytes(16)
            ).pairs,
            proofs: file.chain.cids,
            expires: now.adding(seconds: 60)
        )
        let header = try DelegatedCall(invocation: invocation, chain: file.chain, ticket: nil).encodedHeader()
        let token = try await setting.world.buyer.command(
            "wallet",
            "send",
            "2sat",
            "--mint",
            setting.world.seller.url + "/mint",
            "--json"
        )
        let shown = [("Agent-Delegation", header), ("X-Cashu", try token.json.string("token"))]
        let signed = try HTTPSignatures.sign(
            RequestFacts(method: "GET", targetURI: url, headers: shown.map { (name: $0.0, value: $0.1) }),
            key: setting.planner,
            created: now,
            expires: now.adding(seconds: 30)
        )
        return try await setting.world.get(
            url,
            headers: shown + [("Signature-Input", signed.signatureInput), ("Signature", signed.signature)]
        )
    }
}
