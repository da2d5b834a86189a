import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import Identity
import NIOHTTP1
import Storage
import TestSupport
import Testing

@testable import Node

/// Backup, restore, and the fence, with processes as a user runs them.
@Suite("Backup and restore", .serialized)
struct BackupTests {
    private func bytes(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path))) }

    private func passphrase(_ node: TestedNode) -> [String: String] {
        ["MINTMARK_PASSPHRASE_FILE": node.directory + "/passphrase"]
    }

    /// The recovery words of a node that does not run.
    private func words(of node: TestedNode) throws -> String {
        let secret = try String(contentsOfFile: node.directory + "/passphrase", encoding: .utf8)
        let passphrase = Array(secret.trimmingCharacters(in: .newlines).utf8)
        let directory = try DataDirectory(path: node.directory)
        return try NodeKeys.words(in: directory, passphrase: passphrase).words.joined(separator: " ")
    }

    @Test(
        "[BAK-1] [BAK-4] [BAK-5] [BAK-8] [BAK-9] [BAK-10] [BAK-12] A backup of a working node comes up elsewhere, takes no money until confirmed, and spends no secret twice"
    )
    func wholeWay() async throws {
        try await World.with { world in
            let seller = world.seller
            let file = world.folder.path + "/seller.backup"
            let buyerFile = world.folder.path + "/buyer.backup"
            _ = try await world.fund(256)
            let added = try await seller.command(
                "service",
                "add",
                "weather",
                "--json",
                "--upstream",
                "http://127.0.0.1:\(world.upstreamPort)",
                "--price",
                "2sat"
            )
            #expect(added.status == 0, "\(added)")
            // While it works: calls go on during the backup.
            let calls = Task {
                for number in 0..<20 {
                    _ = try? await world.buyer.pay("\(seller.url)/s/weather/now/\(number)", key: "busy-\(number)")
                }
            }
            let made = try await seller.command("backup", file, "--json")
            #expect(made.status == 0 && made.json["ok"]?.boolValue == true, "\(made)")
            let buyerMade = try await world.buyer.command("backup", buyerFile)
            #expect(buyerMade.status == 0 && buyerMade.output.contains("bytes, as of"), "\(buyerMade)")
            _ = await calls.value
            let again = try await seller.command("backup", file, "--json")
            #expect(again.status == 1 && again.json["error"]?.stringValue?.contains("already") == true, "\(again)")
            let leftovers = try FileManager.default.contentsOfDirectory(atPath: world.folder.path)
                .filter { $0.contains(".partial") }
            #expect(leftovers == [])
            #expect(!FileManager.default.fileExists(atPath: seller.directory + "/backup-copy.sqlite"))

            // Time goes on after the copies: more is spent.
            _ = try await world.fund(64)
            let token = try await world.buyer.command(
                "wallet",
                "send",
                "21sat",
                "--mint",
                seller.url + "/mint",
                "--json"
            )
            #expect(token.status == 0, "\(token)")
            await seller.kill()
            await world.buyer.kill()

            try await restoreBuyer(world, buyerFile)
            try await restoreSeller(world, file)
        }
    }

    private func restoreSeller(_ world: World, _ file: String) async throws {
        let seller = world.seller
        let home = world.folder.path + "/r"
        let refused = try await Program.run(
            ["restore", file, "--json", "--data", seller.directory],
            environment: passphrase(seller)
        )
        #expect(refused.status == 1 && refused.json["error"]?.stringValue?.contains("not empty") == true, "\(refused)")
        let restored = try await Program.run(
            ["restore", file, "--json", "--data", home],
            environment: passphrase(seller)
        )
        #expect(restored.status == 0, "\(restored)")
        #expect(!FileManager.default.fileExists(atPath: home + "/passphrase"))
        #expect(try bytes(home + "/operator-token") != bytes(seller.directory + "/operator-token"))
        #expect(try bytes(home + "/config.json") == bytes(seller.directory + "/config.json"))

        let node = ServerProcess(
            "restored",
            ["serve", "--json", "--data", home],
            environment: passphrase(seller),
            logPath: home + ".log"
        )
        try await node.start()
        let mint = seller.url + "/mint/v1"
        for path in ["/health", "/s/weather/now", "/mint/v1/mint/quote/bolt11/x", "/mint/v1/swap"] {
            let answer = try await world.get(seller.url + path)
            #expect(answer.status == 503 && answer.headers.first(name: "Retry-After") == "60", "\(path): \(answer)")
        }
        #expect(try await world.get(mint + "/keys").status == 200)
        #expect(try await world.get(mint + "/info").status == 200)
        #expect(try await world.get(seller.url + "/status/1").status != 503)

        let command = { (arguments: [String]) in
            try await Program.run(arguments + ["--data", home], environment: passphrase(seller))
        }
        let spend = try await command(["wallet", "fund", "1sat", "--json"])
        #expect(spend.status == 1 && spend.json["code"]?.stringValue == "restored-copy", "\(spend)")
        let status = try await command(["restore", "status", "--json"])
        #expect(status.json["reason"]?.stringValue == "restored", "\(status)")
        #expect(status.json["ageSeconds"]?.int64Value != nil)
        #expect(status.json["atStake"]?["ecashOfOurMint"]?.stringValue?.hasSuffix(" sat") == true, "\(status)")
        let unasked = try await command(["restore", "confirm", "--json"])
        #expect(unasked.status == 64, "\(unasked)")

        // The fence outlives the process, and its audit is clean.
        await node.kill()
        try await node.start()
        let stillUp = try await command(["restore", "status", "--json"])
        #expect(stillUp.json["fenced"]?.boolValue == true)
        let confirmed = try await command(["restore", "confirm", "--yes", "--json"])
        #expect(confirmed.status == 0 && confirmed.json["confirmed"]?.boolValue == true, "\(confirmed)")
        #expect(try await world.get(seller.url + "/health").status == 200)
        let audit = try await command(["status", "--audit", "--json"])
        #expect(audit.status == 0, "\(audit)")
        // Offline acceptance is another question.
        let stop = "SELECT value FROM gateway_settings WHERE key = 'offline-stop'"
        #expect(try Books(path: home + "/node.sqlite").text(stop) != nil)
        let offline = try await command(["restore", "confirm", "--offline", "--json"])
        #expect(offline.status == 0, "\(offline)")
        #expect(try Books(path: home + "/node.sqlite").text(stop) == nil)
        #expect(await node.stop() == 0)
        try await node.start()
        #expect(try await world.get(seller.url + "/health").status == 200)
        await node.kill()
    }

    /// With the words, and the seller's mint as it was: no secret of the gap is used again.
    private func restoreBuyer(_ world: World, _ file: String) async throws {
        let home = world.folder.path + "/w"
        let old = Books(path: world.buyer.directory + "/node.sqlite")
        let counter = "SELECT coalesce(max(next), 0) FROM wallet_counters"
        let used = try old.number(counter)
        let words = try words(of: world.buyer)
        let wrong = try await Program.run(
            ["restore", file, "--words", "--json", "--data", home],
            input: "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about\n"
        )
        #expect(wrong.status == 1 && wrong.json["error"]?.stringValue?.contains("words of") == true, "\(wrong)")
        #expect(!FileManager.default.fileExists(atPath: home))
        let restored = try await Program.run(
            ["restore", file, "--words", "--json", "--data", home],
            input: words + "\n"
        )
        #expect(restored.status == 0, "\(restored)")
        #expect(FileManager.default.fileExists(atPath: home + "/passphrase"))
        let books = Books(path: home + "/node.sqlite")
        #expect(try books.number(counter) < used)
        // No node runs: the command opens it for its own length.
        let confirmed = try await Program.run(["restore", "confirm", "--yes", "--json", "--data", home])
        #expect(confirmed.status == 0 && confirmed.json["confirmed"]?.boolValue == true, "\(confirmed)")
        #expect(try books.number("SELECT min(next) FROM wallet_counters") == 2 << 20)
        let status = try await Program.run(["restore", "status", "--data", home])
        #expect(status.output.contains("is the latest"), "\(status)")

        // The mint still knows the gap's coins: what was funded since comes back, and new ones are made beside them.
        try await world.seller.start()
        let back = try await Program.run(
            ["wallet", "restore", "--mint", world.seller.url + "/mint", "--json", "--data", home]
        )
        #expect(back.status == 0, "\(back)")
        let coins = "SELECT hex(y) FROM wallet_proofs WHERE state = 'unspent' AND seller IS NULL"
        let before = Set(try books.texts(coins))
        let funded = try await Program.run(
            ["wallet", "fund", "32sat", "--mint", world.seller.url + "/mint", "--json", "--data", home]
        )
        #expect(funded.status == 0, "\(funded)")
        #expect(try books.number("SELECT min(next) FROM wallet_counters") > 2 << 20)
        // [BAK-13] and a restore from nothing but the words finds those of the new generation too.
        let third = world.folder.path + "/x"
        let bare = try await Program.run(["init", "--restore", "--json", "--data", third], input: words + "\n")
        #expect(bare.status == 0, "\(bare)")
        let config = try Data(contentsOf: URL(filePath: world.buyer.directory + "/config.json"))
        try config.write(to: URL(filePath: third + "/config.json"))
        let found = try await Program.run(
            ["wallet", "restore", "--mint", world.seller.url + "/mint", "--json", "--data", third]
        )
        #expect(found.status == 0, "\(found)")
        let made = Set(try books.texts(coins)).subtracting(before)
        #expect(!made.isEmpty)
        #expect(made.isSubset(of: Set(try Books(path: third + "/node.sqlite").texts(coins))))
        await world.seller.kill()
    }

    @Test("[BAK-2] [BAK-3] [BAK-5] A backup that was changed or cut at any place is refused, and nothing is left of it")
    func damaged() async throws {
        let folder = try TemporaryFolder()
        let made = try await Program.run(["init", "--json", "--data", folder.path + "/n"])
        #expect(made.status == 0, "\(made)")
        let file = folder.path + "/whole.backup"
        let backup = try await Program.run(
            ["backup", file, "--json", "--data", folder.path + "/n"],
            environment: ["MINTMARK_LIGHTNING_BACKEND": "none"]
        )
        #expect(backup.status == 0, "\(backup)")
        let whole = try bytes(file)
        let words = try Mnemonic(words: try made.json.string("words"))
        let keys = RestoreKeys.words(words, newPassphrase: Array("long enough".utf8), keepsPassphrase: false)
        let target = folder.path + "/t"
        var random = SeededRandom(seed: 7)
        var damages: [[UInt8]] = (0..<60).map { _ in
            var bytes = whole
            let place = Int.random(in: 0..<bytes.count, using: &random)
            bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            return bytes
        }
        damages += (0..<20).map { _ in Array(whole.prefix(Int.random(in: 0..<whole.count, using: &random))) }
        damages += [whole + [0], [], Array(whole.dropLast())]
        for (number, bytes) in damages.enumerated() {
            let path = folder.path + "/damaged"
            try Data(bytes).write(to: URL(filePath: path))
            #expect(throws: (any Error).self, "damage \(number)") {
                try BackupRestore.restore(path, into: target, keys: keys) { _, _ in }
            }
            let left = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasPrefix("t") }
            #expect(left == [], "damage \(number)")
        }
        let restored = try BackupRestore.restore(file, into: target, keys: keys) { _, _ in }
        #expect(restored.node == made.json["did"]?.stringValue)
    }
}
