import CanonicalJSON
import Cryptography
import Foundation
import Identity
import NIOHTTP1
import SignedDocuments
import TestSupport
import Testing

/// A node whose issuer and mint keys are with a `mintmark vault` process, as an operator sets it up and as it fails.
@Suite("A node with a vault", .serialized)
struct VaultCommandTests {
    private func vault(_ world: World) -> ServerProcess {
        ServerProcess(
            "vault",
            ["vault", "serve", "--json", "--vault", world.folder.path + "/v"],
            logPath: world.folder.path + "/v.log"
        )
    }

    private func run(_ arguments: String..., in world: World) async throws -> Program.Outcome {
        try await Program.run(["vault"] + arguments + ["--json", "--vault", world.folder.path + "/v"])
    }

    private func passphrase(_ folder: String) throws -> [UInt8] {
        let text = try String(contentsOfFile: folder + "/passphrase", encoding: .utf8)
        return Array(text.trimmingCharacters(in: .newlines).utf8)
    }

    private func keys(_ folder: String) throws -> NodeKeys {
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: folder + "/vault.json")))
        return try NodeKeys.open(file: bytes, passphrase: try passphrase(folder))
    }

    private func start(_ world: World, _ vault: ServerProcess) async throws {
        let adopted = try await run("adopt", "--data", world.seller.directory, in: world)
        #expect(adopted.status == 0, "\(adopted)")
        try await vault.start()
        async let seller: Void = world.seller.start()
        async let buyer: Void = world.buyer.start()
        _ = try await (seller, buyer)
        // Over Lightning a buyer would go round the mint while it is away, and a refund is a call that is good once more.
        try await world.sell("--accept", "cashu")
        #expect(try await world.fund(200).status == 200)
    }

    @Test("adopt, serve, sell, kill -9, lock: the node sells, holds no key, refuses with 503, and comes back")
    func wholeWay() async throws {
        try await World.with(starts: false) { world in
            let vault = vault(world)
            let before = try keys(world.seller.directory)
            do {
                try await start(world, vault)
                try await checkFiles(world, before)
                try await checkCalls(world, vault)
            } catch {
                await vault.kill()
                throw error
            }
            await vault.kill()
        }
    }

    private func checkFiles(_ world: World, _ before: NodeKeys) async throws {
        let (node, vault) = (world.seller.directory, world.folder.path + "/v")
        let left = try keys(node)
        #expect(left.mintSeed == nil && left.place?.socket == vault + "/vault.sock")
        #expect(left.walletSeed == before.walletSeed)
        #expect(throws: DocumentError.self) { try left.node.key.sign(.note([1])) }
        let kept = try keys(vault)
        #expect(kept.mintSeed == before.mintSeed && kept.node.did == before.node.did)
        #expect(try passphrase(vault) != passphrase(node))
        // No file of the node's opens with the vault's passphrase, and none holds the secrets in the clear.
        #expect(throws: IdentityError.self) {
            let bytes = [UInt8](try Data(contentsOf: URL(filePath: node + "/vault.json")))
            _ = try NodeKeys.open(file: bytes, passphrase: try passphrase(vault))
        }
        let secrets = [try #require(before.mintSeed), try #require((before.node.key as? Ed25519.PrivateKey)?.seed)]
        for name in try FileManager.default.subpathsOfDirectory(atPath: node) {
            guard let data = FileManager.default.contents(atPath: node + "/" + name) else { continue }
            for secret in secrets { #expect(data.firstRange(of: Data(secret)) == nil, "\(name)") }
        }
        // A vault's folder is no node's.
        for command in [["init"], ["serve"]] {
            let refused = try await Program.run(command + ["--data", vault])
            #expect(refused.status != 0, "\(refused)")
        }
        let again = try await run("adopt", "--data", node, in: world)
        #expect(again.status != 0)
    }

    private func checkCalls(_ world: World, _ vault: ServerProcess) async throws {
        let url = world.seller.url + "/s/weather/now/today"
        let first = try await world.buyer.pay(url, key: "first")
        #expect(first.status == 200 && first.receiptID != nil, "\(first)")
        let status = try await run("status", in: world)
        #expect(status.json["isLocked"] == false, "\(status)")
        #expect((status.json["issuerSignatures"]?.int64Value ?? 0) > 0 && (status.json["outputs"]?.int64Value ?? 0) > 0)
        #expect(vault.log().contains("PaidCallReceipt"))

        await vault.kill()
        try await refusesAll(world, url, key: "second")
        try await vault.start()
        try await paysAgain(world, url, key: "second")

        let locked = try await run("lock", in: world)
        #expect(locked.status == 0, "\(locked)")
        try await refusesAll(world, url, key: "third")
        let wrong = try await Program.run(
            ["vault", "unlock", "--json", "--vault", world.folder.path + "/v"],
            environment: ["MINTMARK_VAULT_PASSPHRASE": "not the passphrase"]
        )
        #expect(wrong.status != 0 && wrong.output.contains("does not open"), "\(wrong)")
        try await refusesAll(world, url, key: "third")
        let unlocked = try await run("unlock", in: world)
        #expect(unlocked.status == 0, "\(unlocked)")
        try await paysAgain(world, url, key: "third")

        // The node can be started anew as well, and is let in where it was before.
        await world.seller.kill()
        try await world.seller.start()
        try await paysAgain(world, url, key: "fourth")
        for node in [world.seller, world.buyer] {
            #expect(try await node.call(.POST, "/api/audit").json["findings"]?.arrayValue == [], "\(node.name)")
        }
    }

    /// Calls, passports and the mint: each says 503, soon, and nothing is taken.
    private func refusesAll(_ world: World, _ url: String, key: String) async throws {
        for _ in 0..<1000 {
            if try await world.get(url).status == 503 { break }
            try await Task.sleep(for: .milliseconds(10))
        }
        let asked = try await world.get(url)
        #expect(asked.status == 503 && asked.code == "key-unavailable", "\(asked.text)")
        #expect(asked.headers.first(name: "retry-after") != nil)
        let agent = try await world.seller.call(.POST, "/api/agents", ["name": .string("agent-" + key)])
        #expect(agent.status == 503 && agent.code == "key-unavailable", "\(agent)")
        let held = try await held(world)
        let paid = try await world.buyer.pay(url, key: key)
        #expect(paid.status != 200, "\(paid)")
        #expect(try await self.held(world) == held)
        // Everything that needs no key goes on.
        #expect(try await world.get(world.seller.url + "/mint/v1/keys").status == 200)
        #expect(try await world.seller.call(.GET, "/api/node").status == 200)
    }

    /// All that the buyer's wallet has, in whatever state.
    private func held(_ world: World) async throws -> Int {
        let mints = try await world.buyer.call(.GET, "/api/wallet/balance").json["mints"]?.arrayValue ?? []
        return mints.reduce(0) { sum, mint in
            ["available", "locked", "pending", "sent"].reduce(sum) { $0 + (Int(mint[$1]?.stringValue ?? "") ?? 0) }
        }
    }

    private func paysAgain(_ world: World, _ url: String, key: String) async throws {
        for _ in 0..<500 {
            let paid = try await world.buyer.pay(url, key: key)
            if paid.status == 200 { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        let last = try await world.buyer.pay(url, key: key)
        #expect(last.status == 200, "\(last)")
    }

    @Test("kill -9 of the vault among paid calls: each is served in the end, and both nodes' books are sound")
    func killedAmongCalls() async throws {
        try await World.with(starts: false) { world in
            let vault = vault(world)
            do {
                try await start(world, vault)
                let url = world.seller.url + "/s/weather/now/today"
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<7 {
                        group.addTask {
                            // The same key until its outcome is known; what was not served was refunded, and is paid anew.
                            var (attempt, last) = (0, "")
                            for _ in 0..<500 {
                                let paid = try await world.buyer.pay(url, key: "call-\(number)-\(attempt)")
                                if paid.status == 200 { return }
                                if paid.status != nil || paid.body.contains("ended as refunded") { attempt += 1 }
                                last = "\(paid)"
                                try await Task.sleep(for: .milliseconds(50))
                            }
                            Issue.record("call \(number) was never served: \(last)")
                        }
                    }
                    group.addTask {
                        for _ in 0..<3 {
                            let before = world.upstream.total
                            for _ in 0..<500 where world.upstream.total == before {
                                try await Task.sleep(for: .milliseconds(5))
                            }
                            await vault.kill()
                            try await vault.start()
                        }
                    }
                    try await group.waitForAll()
                }
                for node in [world.seller, world.buyer] {
                    #expect(try await node.call(.POST, "/api/audit").json["findings"]?.arrayValue == [], "\(node.name)")
                }
            } catch {
                await vault.kill()
                throw error
            }
            await vault.kill()
        }
    }
}
