import Cashu
import Cryptography
import Encodings
import Logging
import Mint
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing
import Workers

@testable import Wallet

/// A clock that a test turns.
final class TestTime: Sendable {
    private let seconds = Mutex<Int64>(1_790_000_000)
    var now: Timestamp { Timestamp(secondsSince1970: seconds.withLock { $0 }) }
    func advance(seconds count: Int64) { seconds.withLock { $0 += count } }
    var clock: WallClock { WallClock { self.now } }
}

/// A mint and wallets that can be killed and started again, each on a database of its own.
final class WalletWorld: Sendable {
    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    static func signer(_ number: UInt8) -> DocumentSigner {
        DocumentSigner(
            (try? Ed25519.PrivateKey(seed: [UInt8](repeating: number, count: 32))) ?? Ed25519.PrivateKey()
        )
    }

    let folder: TemporaryFolder
    let time = TestTime()
    let lightning: LoopLightning
    let api: LocalMint
    let mint: Mint
    let mintDatabase: Database
    let url: MintURL

    private struct Connector: MintConnector {
        let api: LocalMint
        func mint(at url: MintURL) -> any MintAPI { api }
    }

    /// - Parameter reserveMsat: what a melt sets aside for routing; nil: the mint's own default.
    init(feePPK: UInt64 = 0, reserveMsat: UInt64? = nil) async throws {
        folder = try TemporaryFolder()
        let time = time
        lightning = try LoopLightning { time.now }
        mintDatabase = try Database(
            path: folder.path + "/mint.sqlite",
            migrations: Mint.migrations,
            logger: Self.logger
        )
        var configuration = MintConfiguration(
            units: [.init(unit: .sat, inputFeePPK: feePPK)],
            limits: .init(liabilityPageEntries: 4),
            subscriptions: .init(areOn: true)
        )
        if let reserveMsat { configuration.feeReserve = .init(permille: 0, minimumMsat: reserveMsat) }
        mint = try await Mint(
            database: mintDatabase,
            seed: [UInt8](repeating: 0x5A, count: 32),
            lightning: lightning,
            workers: WorkerPool(threads: 2),
            clock: time.clock,
            configuration: configuration,
            statementSigner: Self.signer(3),
            logger: Self.logger
        )
        url = try MintURL("http://127.0.0.1:3338/mint")
        let mint = mint
        api = LocalMint(url: url) { mint }
    }

    var connector: any MintConnector { Connector(api: api) }

    /// Opens a wallet, or opens it again.
    func wallet(
        _ name: String = "alice",
        file: String? = nil,
        attempts: Int = 1,
        maximumInputs: Int = 100,
        connector: (any MintConnector)? = nil,
        pace: WatchPace = WatchPace()
    ) async throws -> TestWallet {
        let database = try Database(
            path: folder.path + "/\(file ?? name).sqlite",
            migrations: Wallet.migrations,
            logger: Self.logger
        )
        let seed = Array(repeating: Array(name.utf8)[0], count: 64)
        let wallet = try await Wallet(
            database: database,
            seed: seed,
            mints: connector ?? self.connector,
            lightning: lightning,
            clock: time.clock,
            configuration: WalletConfiguration(attempts: attempts, maximumInputs: maximumInputs, pause: { _ in }),
            pace: pace,
            logger: Self.logger
        )
        return TestWallet(name: name, wallet: wallet, database: database)
    }

    /// A wallet with the mint added and `amount` in it.
    func funded(_ amount: UInt64, _ name: String = "alice", attempts: Int = 1) async throws -> TestWallet {
        let wallet = try await wallet(name, attempts: attempts)
        try await wallet.wallet.addMint(url.string)
        if amount > 0 { _ = try await wallet.wallet.fund(amount, at: url) }
        return wallet
    }

    /// Ecash in circulation by the mint's own books.
    func circulating() async throws -> UInt64 {
        try await mintDatabase.read { connection in
            let rows = try connection.rows(
                "SELECT credits - debits FROM ledger_accounts WHERE name LIKE 'mint:ecash:%'"
            )
            return try rows.map { try $0.uint64(0) }.reduce(0, +)
        }
    }

    /// - Throws: where the mint's books or the wallets' do not add up.
    func requireSound(_ wallets: TestWallet..., location: SourceLocation = #_sourceLocation) async throws {
        #expect(try await mint.audit().findings == [], sourceLocation: location)
        for wallet in wallets {
            #expect(try await wallet.wallet.audit() == [], sourceLocation: location)
        }
    }
}

struct TestWallet: Sendable {
    let name: String
    let wallet: Wallet
    let database: Database

    /// What is in the wallet: available, locked, in flight and sent.
    func balance() async throws -> WalletBalance? { try await wallet.balances().first }

    var available: UInt64 {
        get async throws { try await balance()?.available ?? 0 }
    }

    /// All that is ours by the coins: available, locked and in flight.
    var holdings: UInt64 {
        get async throws {
            guard let balance = try await balance() else { return 0 }
            return balance.available + balance.locked + balance.inFlight
        }
    }

    func close() async { await database.close() }
}

/// Runs `body` and answers the wallet error it throws.
func walletError(_ body: () async throws -> Void, location: SourceLocation = #_sourceLocation) async -> WalletError
    .Code?
{
    do {
        try await body()
        Issue.record("nothing was thrown", sourceLocation: location)
        return nil
    } catch let error as WalletError {
        return error.code
    } catch {
        Issue.record("\(error) is no wallet error", sourceLocation: location)
        return nil
    }
}
