import Cashu
import Mint
import Storage
import TestSupport
import Testing
import Workers

@testable import Wallet

/// A world with a second mint on the same Lightning network.
final class TwoMints: Sendable {
    let world: WalletWorld
    let otherURL: MintURL
    let otherMint: Mint
    let otherAPI: LocalMint

    private struct Connector: MintConnector {
        let apis: [MintURL: LocalMint]
        let missing: LocalMint
        func mint(at url: MintURL) -> any MintAPI { apis[url] ?? missing }
    }

    init(feePPK: UInt64 = 0, otherFeePPK: UInt64 = 0) async throws {
        world = try await WalletWorld(feePPK: feePPK)
        let database = try Database(
            path: world.folder.path + "/other-mint.sqlite",
            migrations: Mint.migrations,
            logger: WalletWorld.logger
        )
        let mint = try await Mint(
            database: database,
            seed: [UInt8](repeating: 0x6B, count: 32),
            lightning: world.lightning,
            workers: WorkerPool(threads: 1),
            clock: world.time.clock,
            configuration: MintConfiguration(units: [.init(unit: .sat, inputFeePPK: otherFeePPK)]),
            logger: WalletWorld.logger
        )
        otherURL = try MintURL("http://127.0.0.1:3339/mint")
        otherMint = mint
        otherAPI = LocalMint(url: otherURL) { mint }
    }

    /// A wallet that knows where both mints are, and trusts those named.
    func wallet(_ name: String, trusts: [MintURL] = [], funded: UInt64 = 0) async throws -> TestWallet {
        let connector = Connector(apis: [world.url: world.api, otherURL: otherAPI], missing: world.api)
        let wallet = try await world.wallet(name, connector: connector)
        for mint in trusts { try await wallet.wallet.addMint(mint.string) }
        if funded > 0, let first = trusts.first { _ = try await wallet.wallet.fund(funded, at: first) }
        return wallet
    }

    func available(_ wallet: TestWallet, _ mint: MintURL) async throws -> UInt64 {
        try await wallet.wallet.balances().first { $0.mint == mint }?.available ?? 0
    }

    /// - Throws: where the books of a mint or a wallet do not add up.
    func requireSound(_ wallets: TestWallet...) async throws {
        for wallet in wallets { try await world.requireSound(wallet) }
        let findings = try await otherMint.audit().findings
        guard findings.isEmpty else { throw Unsound(findings: findings) }
    }

    struct Unsound: Error { var findings: [String] }
}
