internal import Cryptography
internal import Encodings
internal import Foundation
internal import Identity
internal import Logging
internal import Mint
internal import Node
internal import SignedDocuments
internal import Storage
internal import Vault
internal import Workers

/// What it costs that the keys are in another process: the same swaps with and without, taken in turns, and the time of one
/// signature of the issuer's over the socket. The vault shares the machine's cores with the mint and its clients.
struct VaultBenchmark {
    var swaps = 6_000
    var wideSwaps = 600
    var rounds = 2
    var signatures = 5_000

    func run() async throws -> [Measure] {
        guard let own = Bundle.main.executableURL?.resolvingSymlinksInPath() else { return [] }
        let mintmark = own.deletingLastPathComponent().appending(path: "mintmark")
        guard FileManager.default.isExecutableFile(atPath: mintmark.path) else {
            return [Measure(name: "vault-swap-1-1", value: nil, unit: "1/s", note: RunningNode.missing)]
        }
        let folder = FileManager.default.temporaryDirectory.appending(path: "mv-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (node, vault) = (folder.appending(path: "n").path, folder.appending(path: "v").path)
        let passphrase = Array(Hex.encode(SecureRandom.bytes(16)).utf8)
        _ = try NodeKeys.create(
            in: try DataDirectory(path: node),
            words: Mnemonic(),
            passphrase: passphrase,
            now: WallClock.system.now()
        )
        _ = try VaultProcess.adopt(
            node: node,
            passphrase: passphrase,
            into: vault,
            vaultPassphrase: passphrase,
            keepsPassphrase: true,
            socket: vault + "/vault.sock"
        )
        let process = ChildProcess(mintmark, ["vault", "serve", "--json", "--quiet", "--vault", vault], folder: folder)
        _ = try await process.start()
        defer { process.stop() }
        let line = try await SocketVault.open(path: vault + "/vault.sock", logger: LocalServers.logger)
        let measures = try await measure(line)
        await line.close()
        return measures
    }

    private func measure(_ vault: SocketVault) async throws -> [Measure] {
        var measures: [Measure] = []
        for (width, count) in [(1, swaps), (8, wideSwaps)] {
            var (with, without): ([Double], [Double]) = ([], [])
            for _ in 0..<rounds {
                let benchmark = SwapBenchmark(width: width, swaps: count)
                without.append(try await benchmark.perSecond(signing: nil))
                with.append(try await benchmark.perSecond { SocketSignatory(vault, workers: $0) })
            }
            measures.append(
                Measure(
                    name: "vault-swap-\(width)-\(width)",
                    value: with.reduce(0, +) / Double(rounds),
                    unit: "1/s",
                    yardstick: without.reduce(0, +) / Double(rounds)
                )
            )
        }
        let text = Array("node.example/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n".utf8)
        let own = Ed25519.PrivateKey()
        func microseconds(_ sign: () throws -> Void) throws -> Double {
            try Timing.seconds { for _ in 0..<signatures { try sign() } } / Double(signatures) * 1e6
        }
        measures.append(
            Measure(
                name: "vault-signature",
                value: try microseconds { _ = try vault.node.key.sign(.note(text)) },
                unit: "us",
                yardstick: try microseconds { _ = try own.sign(text) }
            )
        )
        return measures
    }
}
