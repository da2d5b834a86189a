import Foundation
import TestSupport
import Testing

@testable import Node

@Suite("Which Lightning node a node has: settings")
struct LightningSettingsTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func load(_ flags: [String: String], _ environment: [String: String] = [:]) throws -> NodeConfiguration {
        try NodeConfiguration.load(dataDirectory: folder.path, flags: flags, environment: environment)
    }

    private func file(_ bytes: [UInt8], mode: Int = 0o600) throws -> String {
        let path = folder.path + "/secret"
        try Data(bytes).write(to: URL(filePath: path))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        return path
    }

    @Test("Nothing set: the simulated network, as before")
    func simulated() throws {
        let configuration = try load([:])
        #expect(configuration.lightningNode == nil)
        #expect((configuration.network, configuration.lightning) == (.simulated, .simulated))
        #expect((configuration.feeReservePermille, configuration.feeReserveSat) == (10, 2))
        #expect(try load(["lightning.backend": "none"]).lightningNode == nil)
    }

    @Test("A node needs its address, its secret and its network, and the refusal names what is missing")
    func missing() throws {
        let path = try file(Array("0201".utf8))
        let whole = [
            "lightning.backend": "lnd", "network": "regtest", "lightning.url": "https://127.0.0.1:8080",
            "lightning.secretFile": path,
        ]
        #expect(try load(whole).lightningNode?.url == "https://127.0.0.1:8080")
        for (name, word) in [
            ("network", "network"), ("lightning.url", "lightning.url"), ("lightning.secretFile", "macaroon"),
        ] {
            var less = whole
            less[name] = nil
            let error = #expect(throws: ConfigurationError.self) { try load(less) }
            #expect(error?.message.contains(word) == true, "\(name): \(String(describing: error))")
        }
        var wrong = whole
        wrong["network"] = "simulated"
        #expect(throws: ConfigurationError.self) { try load(wrong) }
        for (key, value) in whole where key != "lightning.backend" && key != "network" {
            #expect(throws: ConfigurationError.self, "\(key) without a node") { try load([key: value]) }
        }
    }

    @Test("A secret is read from its file or the environment: text trimmed, a macaroon file as hex; never a flag")
    func secrets() throws {
        func secret(_ bytes: [UInt8], _ environment: [String: String] = [:]) throws -> String? {
            let flags = [
                "lightning.backend": "cln", "network": "signet", "lightning.url": "https://h",
                "lightning.secretFile": try file(bytes),
            ]
            return try load(flags, environment).lightningNode?.secret()
        }
        #expect(try secret(Array("rune=\n".utf8)) == "rune=")
        #expect(try secret([2, 1, 3, 0xFF]) == "020103ff")
        #expect(try secret(Array("file".utf8), ["MINTMARK_LIGHTNING_SECRET": "environment"]) == "file")
        #expect(throws: ConfigurationError.self) { try secret([]) }
        #expect(throws: ConfigurationError.self) { try secret(Array(repeating: 0x41, count: 16_385)) }
        let flags = ["lightning.backend": "phoenixd", "network": "testnet", "lightning.url": "http://127.0.0.1:9740"]
        let node = try load(flags, ["MINTMARK_LIGHTNING_SECRET": " pass \n"]).lightningNode
        #expect(try node?.secret() == "pass")
        let error = #expect(throws: ConfigurationError.self) { try load(["lightning.secret": "hunter2"]) }
        #expect(error?.message.contains("hunter2") == false)
        let missing = try load(flags.merging(["lightning.secretFile": folder.path + "/nowhere"]) { $1 }).lightningNode
        let gone = #expect(throws: ConfigurationError.self) { try missing?.secret() }
        #expect(gone?.message.contains("/nowhere") == true)
    }

    @Test("A secret that others can read is noticed")
    func openFiles() throws {
        let flags = ["lightning.backend": "lnbits", "network": "mainnet", "lightning.url": "https://h"]
        for (mode, isOpen) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            let path = try file([0x41], mode: mode)
            let node = try load(flags.merging(["lightning.secretFile": path]) { $1 }).lightningNode
            #expect(node?.isSecretOpen == isOpen)
        }
    }

    @Test("phoenixd's own fee is covered by the default reserve, whatever the amount")
    func reserve() throws {
        let configuration = try load(
            ["lightning.backend": "phoenixd", "network": "mainnet", "lightning.url": "http://127.0.0.1:9740"],
            ["MINTMARK_LIGHTNING_SECRET": "x"]
        )
        for sat in [1, 10, 499, 500, 699, 700, 701, 1000, 12_345, 1_000_000] as [UInt64] {
            let share = (sat * 1000 * configuration.feeReservePermille + 999) / 1000
            let reserve = max(share, configuration.feeReserveSat * 1000)
            #expect(reserve >= 4_000 + sat * 4 + 4, "\(sat) sat")
        }
        #expect(try load(["lightning.feeReserveSat": "9", "lightning.feeReservePermille": "0"]).feeReserveSat == 9)
        #expect(throws: ConfigurationError.self) { try load(["lightning.feeReservePermille": "1001"]) }
    }
}
