internal import Cashu
internal import Cryptography
internal import Foundation
internal import Hummingbird
internal import Logging
internal import Mint
internal import Storage
internal import Workers

/// A mint in this process, on a database in a folder, whose invoices are paid the moment they are made.
struct MintSetting {
    let folder: URL
    let seed: [UInt8]

    private init(folder: URL, seed: [UInt8] = SecureRandom.bytes(32)) {
        self.folder = folder
        self.seed = seed
    }

    /// A mint in a folder that stays; the one that is there where there is one.
    init(keptIn folder: URL) throws {
        let file = folder.appending(path: "seed")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        if let seed = try? Data(contentsOf: file), seed.count == 32 {
            self.init(folder: folder, seed: Array(seed))
        } else {
            self.init(folder: folder)
            try Data(seed).write(to: file)
        }
    }

    /// Makes a folder, runs `work`, and takes it away again.
    static func with<T>(_ work: (MintSetting) async throws -> T) async throws -> T {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mintmark-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try await work(MintSetting(folder: folder))
    }

    /// Serves the mint over HTTP while `work` runs.
    /// - Parameters:
    ///   - isAudited: whether the books are held against each other at the end.
    ///   - signatory: who signs, where not this process.
    func serving<T: Sendable>(
        isAudited: Bool = true,
        signatory: (@Sendable (WorkerPool) -> any Signatory)? = nil,
        _ work: @escaping @Sendable (Mint, Int) async throws -> T
    ) async throws -> T {
        let database = try openDatabase()
        let workers = WorkerPool(threads: 2)
        let mint = try await openMint(database, workers, signatory?(workers))
        let router = Router()
        MintRoutes(mint).add(to: router.group("mint"))
        let result = try await LocalServers.with(router.buildResponder()) { port in try await work(mint, port) }
        if isAudited {
            let audit = try await mint.audit()
            guard audit.isSound else { throw BenchmarkError(audit.findings.joined(separator: "; ")) }
        }
        await workers.stop()
        await database.close()
        return result
    }

    /// Seconds from nothing to a mint that could answer.
    func secondsToOpen() async throws -> Double {
        let clock = ContinuousClock()
        let began = clock.now
        let database = try openDatabase()
        let workers = WorkerPool(threads: 1)
        _ = try await openMint(database, workers)
        let seconds = Timing.inSeconds(clock.now - began)
        await workers.stop()
        await database.close()
        return seconds
    }

    var databasePath: String { folder.appending(path: "node.sqlite").path }

    /// Bytes of the file, with its log.
    func databaseBytes() -> Double {
        [databasePath, databasePath + "-wal"].reduce(0) { sum, path in
            let attributes = try? FileManager.default.attributesOfItem(atPath: path)
            return sum + ((attributes?[.size] as? NSNumber)?.doubleValue ?? 0)
        }
    }

    func openDatabase() throws -> Database {
        try Database(path: databasePath, migrations: Mint.migrations, logger: LocalServers.logger)
    }

    private func openMint(
        _ database: Database,
        _ workers: WorkerPool,
        _ signatory: (any Signatory)? = nil
    ) async throws -> Mint {
        try await Mint(
            store: SQLiteMintStore(database: database),
            signatory: signatory ?? InProcessSignatory(seed: seed, workers: workers),
            lightning: try PrepaidLightning(),
            workers: workers,
            clock: .system,
            configuration: MintConfiguration(units: [.init(unit: .sat, maximumAmount: 100_000_000)]),
            logger: LocalServers.logger
        )
    }
}
