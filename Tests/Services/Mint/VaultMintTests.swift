import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Foundation
import Identity
import Logging
import Mint
import Storage
import Synchronization
import TestSupport
import Testing
import Vault
import Workers

/// A vault process's keys on a real socket, which the test starts, ends and starts again.
private final class MintVault: Sendable {
    let folder: TemporaryFolder
    let workers = WorkerPool(threads: 2)
    private let keys: NodeKeys
    private let server = Mutex<VaultServer?>(nil)
    private let line = Mutex<SocketVault?>(nil)
    private static let passphrase = Array("correct horse".utf8)

    init() async throws {
        folder = try TemporaryFolder()
        try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: folder.path)
        keys = try NodeKeys.create(
            in: try DataDirectory(path: folder.path + "/vault"),
            words: try Mnemonic(entropy: [UInt8](repeating: 3, count: 16)),
            passphrase: Self.passphrase,
            parameters: try Sealing.PassphraseParameters(salt: [UInt8](repeating: 9, count: 16), n: 1024, r: 1, p: 1),
            now: MintFixture.start
        )
        try await start()
        let vault = try await SocketVault.open(
            path: folder.path + "/v.sock",
            patienceSeconds: 5,
            logger: MintFixture.logger
        )
        line.withLock { $0 = vault }
    }

    func start() async throws {
        let keys = keys
        let keeper = try VaultKeeper(
            keys: keys,
            workers: workers,
            logger: MintFixture.logger,
            now: MintFixture.start,
            opening: { _ in keys }
        )
        let server = try await VaultServer.listen(at: folder.path + "/v.sock", keeper: keeper)
        self.server.withLock { $0 = server }
    }

    /// Ends the vault: what waits for an answer gets none.
    func stop() async {
        await server.withLock { server in
            defer { server = nil }
            return server
        }?.close()
    }

    func signatory() throws -> SocketSignatory {
        SocketSignatory(try #require(line.withLock { $0 }), workers: workers)
    }

    func end() async {
        await line.withLock { $0 }?.close()
        await stop()
        await workers.stop()
    }
}

private final class Count: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }
    func add() { count.withLock { $0 += 1 } }
}

/// Whether the mint says that it may work later.
private func isRefused(_ error: any Error) -> Bool {
    let failure = MintFailure(sorting: error)
    return failure.status == 503 && failure.retryAfterSeconds != nil
}

@Suite("A mint whose keys are in a vault")
struct VaultMintTests {
    @Test("VLT-9: the signatory over a vault's socket keeps the port's promises")
    func conformance() async throws {
        let vault = try await MintVault()
        try await SignatoryConformance { try vault.signatory() }.run()
        await vault.end()
    }

    @Test("VLT-9: a vault that dies among swaps: each is done or refused with 503, and no value is lost or made")
    func deathAmongSwaps() async throws {
        let vault = try await MintVault()
        let signatory = try vault.signatory()
        let fixture = try await MintFixture(signatory: signatory)
        let keyset = try fixture.keyset().id
        var bodies: [(body: [UInt8], secrets: [BlindingSecret])] = []
        for _ in 0..<40 {
            let coins = try await fixture.issue([4, 8])
            let secrets = try fixture.secrets([1, 1, 2, 8], of: keyset)
            bodies.append((try fixture.swapBody(coins, secrets), secrets))
        }
        let mint = try fixture.mint
        let done = Count()
        let outcomes = try await withThrowingTaskGroup(of: (Int, [UInt8]?).self) { group in
            for (index, (body, _)) in bodies.enumerated() {
                group.addTask {
                    do {
                        let answer = try await mint.swap(body)
                        done.add()
                        return (index, answer)
                    } catch {
                        guard isRefused(error) else { throw error }
                        return (index, nil)
                    }
                }
            }
            group.addTask {
                while done.value < 5 { await Task.yield() }
                await vault.stop()
                return (-1, nil)
            }
            var outcomes: [Int: [UInt8]] = [:]
            for try await (index, answer) in group { outcomes[index] = answer }
            return outcomes
        }
        #expect(outcomes.count >= 5)
        // While it is away nothing is spent and nothing signed, and it is said at once.
        let late = try fixture.secrets([4], of: keyset)
        await #expect(throws: SignatoryUnavailable.self) {
            _ = try await signatory.sign(try late.map { try $0.output() })
        }
        try await fixture.requireSound()

        try await vault.start()
        var proofs: [Proof] = []
        for (index, (body, secrets)) in bodies.enumerated() {
            // The same body again: what was done is answered again, what was refused is done now.
            let answer = try await retried { try await mint.swap(body) }
            if let before = outcomes[index] { #expect(before == answer) }
            proofs += try fixture.unblind(answer, secrets)
        }
        #expect(proofs.map(\.amount).reduce(0, +) == 40 * 12)
        #expect(Set(proofs.map(\.secret)).count == 160)
        // And all of it can be spent, once.
        let last = try fixture.secrets([256, 128, 64, 32], of: keyset)
        _ = try await fixture.swap(proofs, into: last)
        try await fixture.requireSound()
        await vault.end()
    }

    private func retried<T>(_ body: () async throws -> T) async throws -> T {
        for _ in 0..<2000 {
            do {
                return try await body()
            } catch {
                guard isRefused(error) else { throw error }
                try await Task.sleep(for: .milliseconds(10))
            }
        }
        return try await body()
    }

    @Test("a quote that was paid while the vault is away is minted when it is back, once")
    func paidWhileAway() async throws {
        let vault = try await MintVault()
        let fixture = try await MintFixture(signatory: try vault.signatory())
        let mint = try fixture.mint
        let quote = try await fixture.paidQuote(8)
        let secrets = try fixture.secrets([8])
        let body = try fixture.mintBody(quote, secrets)
        await vault.stop()
        await #expect { _ = try await mint.mint(body) } throws: { isRefused($0) }
        try await vault.start()
        let proofs = try fixture.unblind(try await retried { try await mint.mint(body) }, secrets)
        #expect(proofs.map(\.amount) == [8])
        let other = try fixture.mintBody(quote, try fixture.secrets([8]))
        await #expect(throws: MintError.self) { _ = try await mint.mint(other) }
        try await fixture.requireSound()
        await vault.end()
    }

    @Test("a mint does not open on a vault with other keys than its database's")
    func otherKeys() async throws {
        let vault = try await MintVault()
        let fixture = try await MintFixture()
        await #expect(throws: MintSetupError.self) { try await fixture.reopen(signing: try vault.signatory()) }
        await vault.end()
    }
}
