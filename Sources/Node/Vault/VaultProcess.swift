internal import Encodings
internal import Foundation
internal import Identity
internal import Logging
internal import NIOCore
internal import ServiceLifecycle
internal import SignedDocuments
internal import Storage
internal import UnixSignals
public import Vault
internal import Workers

/// `mintmark vault`: holds a node's issuer and mint keys in a process, and best as a user, of its own.
public final class VaultProcess: Sendable {
    /// The socket in the vault's folder, where none is named.
    public static let socketName = "vault.sock"

    private let directory: DataDirectory
    private let keeper: VaultKeeper
    private let workers: WorkerPool
    private let socket: String
    private let logger: Logger

    /// Whether a vault was made in the folder.
    public static func exists(in folder: String) -> Bool { NodeFiles.isVault(in: folder) }

    /// Moves the issuer's and the mint's keys of a node into a vault's folder. Afterwards the node's has neither.
    ///
    /// - Parameters:
    ///   - node: the node's data directory; it must not be running.
    ///   - folder: the vault's; new, or what an interrupted move left.
    ///   - keepsPassphrase: whether the vault's passphrase is kept in a file beside its keys.
    ///   - socket: where the vault will listen.
    /// - Returns: the node's DID.
    /// - Throws: an error whose text says what to do; the node's keys are where they were then.
    public static func adopt(
        node: String,
        passphrase: [UInt8],
        into folder: String,
        vaultPassphrase: [UInt8],
        keepsPassphrase: Bool,
        socket: String
    ) throws -> String {
        guard URL(filePath: node).standardizedFileURL != URL(filePath: folder).standardizedFileURL else {
            throw ConfigurationError("the vault needs another folder than the node's, best another user's")
        }
        guard !NodeFiles.isVault(in: node) else {
            throw ConfigurationError("\(node) is a vault's folder, not a node's")
        }
        let hasStranger = NodeFiles.exists(in: folder) && !NodeFiles.isVault(in: folder)
        guard !hasStranger else { throw ConfigurationError("\(folder) is a node's folder: a vault has one of its own") }
        let from = try DataDirectory(path: node)
        let into = try DataDirectory(path: folder)
        let notice = "This is the folder of a mintmark vault. `mintmark vault serve --vault \(folder)` runs it.\n"
        try into.replaceFile(NodeFiles.vaultMarker, with: Array(notice.utf8))
        if keepsPassphrase { try into.replaceFile(NodeFiles.passphrase, with: vaultPassphrase + [0x0A]) }
        let keys = try NodeKeys.move(
            from: from,
            passphrase: passphrase,
            into: into,
            vaultPassphrase: vaultPassphrase,
            socket: socket,
            now: WallClock.system.now()
        )
        return keys.node.did.string
    }

    /// Opens a vault's folder, which it holds until ``run(onReady:)`` ends.
    public static func open(
        in folder: String,
        passphrase: [UInt8],
        socket: String?,
        limits: VaultLimits
    ) throws -> VaultProcess {
        guard exists(in: folder) else {
            throw ConfigurationError("there is no vault in \(folder): make one with `mintmark vault adopt`")
        }
        // What is in memory here must not come to lie on a disk.
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
        let directory = try DataDirectory(path: folder)
        let logger = Logger(label: "mintmark.vault")
        let workers = WorkerPool(threads: System.coreCount)
        let keeper = try VaultKeeper(
            keys: try NodeKeys.open(in: directory, passphrase: passphrase),
            limits: limits,
            workers: workers,
            logger: logger,
            now: WallClock.system.now(),
            opening: { try NodeKeys.open(in: directory, passphrase: $0) }
        )
        return VaultProcess(
            directory: directory,
            keeper: keeper,
            workers: workers,
            socket: socket ?? directory.file(socketName),
            logger: logger
        )
    }

    private init(
        directory: DataDirectory,
        keeper: VaultKeeper,
        workers: WorkerPool,
        socket: String,
        logger: Logger
    ) {
        self.directory = directory
        self.keeper = keeper
        self.workers = workers
        self.socket = socket
        self.logger = logger
    }

    /// Serves until it is told to stop (SIGTERM, SIGINT).
    /// - Parameter onReady: told the path of the socket when it listens.
    public func run(onReady: @escaping @Sendable (_ socket: String) async -> Void) async throws {
        var group = ServiceGroupConfiguration(
            services: [.init(service: Serving(process: self, onReady: onReady))],
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger
        )
        group.maximumGracefulShutdownDuration = .seconds(10)
        try await ServiceGroup(configuration: group).run()
        await workers.stop()
        withExtendedLifetime(directory) {}
    }

    private struct Serving: Service {
        let process: VaultProcess
        let onReady: @Sendable (String) async -> Void

        func run() async throws {
            let server = try await VaultServer.listen(at: process.socket, keeper: process.keeper)
            await onReady(process.socket)
            try? await gracefulShutdown()
            await server.close()
        }
    }
}
