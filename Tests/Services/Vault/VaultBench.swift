import Cryptography
import Encodings
import Foundation
import Identity
import Logging
import Storage
import TestSupport
import Workers

@testable import Vault

/// A vault in this process, on a socket in a folder of its own.
final class VaultBench: Sendable {
    static let passphrase = Array("correct horse".utf8)
    let folder: TemporaryFolder
    let directory: DataDirectory
    let keys: NodeKeys
    let workers = WorkerPool(threads: 2)

    var path: String { folder.path + "/v.sock" }

    init(seed: UInt8 = 1) throws {
        folder = try TemporaryFolder()
        try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: folder.path)
        directory = try DataDirectory(path: folder.path + "/vault")
        keys = try NodeKeys.create(
            in: directory,
            words: try Mnemonic(entropy: [UInt8](repeating: seed, count: 16)),
            passphrase: Self.passphrase,
            parameters: try Self.cheap(),
            now: Timestamp(secondsSince1970: 1_795_219_200)
        )
    }

    static func cheap() throws -> Sealing.PassphraseParameters {
        try Sealing.PassphraseParameters(salt: [UInt8](repeating: 9, count: 16), n: 1024, r: 1, p: 1)
    }

    static var quiet: Logger {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }

    func keeper(_ limits: VaultLimits = VaultLimits(), uptime: (@Sendable () -> UInt64)? = nil) throws -> VaultKeeper {
        let directory = directory
        let opening: VaultKeeper.Opening = { try NodeKeys.open(in: directory, passphrase: $0) }
        let now = Timestamp(secondsSince1970: 1_795_219_200)
        return try VaultKeeper(
            keys: keys,
            limits: limits,
            workers: workers,
            logger: Self.quiet,
            now: now,
            uptime: uptime,
            opening: opening
        )
    }

    func listen(_ limits: VaultLimits = VaultLimits()) async throws -> VaultServer {
        try await VaultServer.listen(at: path, keeper: try keeper(limits))
    }

    func connect() async throws -> SocketVault {
        try await SocketVault.open(path: path, patienceSeconds: 5, logger: Self.quiet)
    }

    /// Runs `body` with a vault that listens and a node's line to it.
    func serving(
        _ limits: VaultLimits = VaultLimits(),
        _ body: (VaultServer, SocketVault) async throws -> Void
    ) async throws {
        let server = try await listen(limits)
        let vault = try await connect()
        do {
            try await body(server, vault)
        } catch {
            await vault.close()
            await server.close()
            throw error
        }
        await vault.close()
        await server.close()
        await workers.stop()
    }

    /// Waits for a condition that another task brings about.
    static func until(_ what: String, _ condition: () async throws -> Bool) async throws {
        for _ in 0..<3000 {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw Late(what: what)
    }

    struct Late: Error { let what: String }
}
