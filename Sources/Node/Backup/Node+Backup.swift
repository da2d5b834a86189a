internal import CanonicalJSON
internal import Cryptography
internal import Encodings
internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import Identity
internal import NIOCore
internal import SignedDocuments
internal import Storage
internal import Synchronization

/// Makes backups of a node that goes on working ([BAK-1]): one at a time.
final class BackupMaker: Sendable {
    /// How far a backup is; the last one of a stream says how it ended.
    enum Step: Sendable {
        case copying
        case sealing(done: UInt64, of: UInt64)
        case ended(path: String, bytes: UInt64, createdAt: Timestamp)
        case failed(BackupError)
    }

    private static let copyName = "backup-copy.sqlite"

    private let directory: DataDirectory
    private let database: Database
    private let nodeKeys: NodeKeys
    private let clock: WallClock
    private let isBusy = Mutex(false)

    init(directory: DataDirectory, database: Database, nodeKeys: NodeKeys, clock: WallClock) {
        self.directory = directory
        self.database = database
        self.nodeKeys = nodeKeys
        self.clock = clock
    }

    /// Begins a backup. It goes on to its end whether or not anybody follows the stream.
    /// - Throws: `BackupError` where it cannot even begin.
    func begin(_ path: String) throws -> AsyncStream<Step> {
        guard path.hasPrefix("/"), path.utf8.count <= 4000 else {
            throw BackupError(
                .notPermitted,
                "a backup needs the whole path of its file, such as /media/stick/node.backup"
            )
        }
        try Self.requireFree(path)
        guard
            isBusy.withLock({ isBusy in
                defer { isBusy = true }
                return !isBusy
            })
        else {
            throw BackupError(.busy, "another backup is being made: wait until it is done")
        }
        // Only the latest step matters to a slow follower.
        let (steps, announce) = AsyncStream.makeStream(of: Step.self, bufferingPolicy: .bufferingNewest(8))
        Task.detached { [self] in
            do {
                announce.yield(try await make(path) { announce.yield($0) })
            } catch let error as BackupError {
                announce.yield(.failed(error))
            } catch {
                announce.yield(.failed(BackupError(.notPermitted, "the backup failed: \(error)")))
            }
            isBusy.withLock { $0 = false }
            announce.finish()
        }
        return steps
    }

    private static func requireFree(_ path: String) throws {
        var facts = stat()
        guard lstat(path, &facts) != 0 else {
            throw BackupError(.exists, "\(path) is there already; a backup overwrites nothing: choose another name")
        }
    }

    private func make(_ path: String, _ announce: @escaping @Sendable (Step) -> Void) async throws -> Step {
        announce(.copying)
        let copy = directory.file(Self.copyName)
        // What a killed process left.
        unlink(copy)
        defer { unlink(copy) }
        let createdAt = clock.now()
        try await database.copy(to: copy)
        guard let vaultBytes = FileManager.default.contents(atPath: directory.file(NodeFiles.vault)) else {
            throw BackupError(.notPermitted, "\(directory.file(NodeFiles.vault)) cannot be read")
        }
        let header = BackupHeader(
            node: nodeKeys.node.did.string,
            createdAt: createdAt,
            salt: SecureRandom.bytes(16),
            vault: [UInt8](vaultBytes)
        )
        let configuration = FileManager.default.contents(atPath: directory.file("config.json")).map { [UInt8]($0) }
        let backupKey = nodeKeys.backupKey
        return try await withCheckedThrowingContinuation { continuation in
            let thread = Thread {
                continuation.resume(
                    with: Result {
                        let bytes = try Self.write(
                            header,
                            configuration: configuration,
                            copy: copy,
                            backupKey: backupKey,
                            to: path,
                            announce
                        )
                        return Step.ended(path: path, bytes: bytes, createdAt: createdAt)
                    }
                )
            }
            thread.name = "mintmark-backup"
            thread.start()
        }
    }

    /// Writes the file under another name, flushes it, and only then gives it its own ([BAK-4]).
    private static func write(
        _ header: BackupHeader,
        configuration: [UInt8]?,
        copy: String,
        backupKey: [UInt8],
        to path: String,
        _ announce: (Step) -> Void
    ) throws -> UInt64 {
        let temporary = path + ".partial-" + Hex.encode(SecureRandom.bytes(4))
        do {
            let source = try SequentialFile.reading(copy)
            let manifest = BackupManifest(configuration: configuration, databaseBytes: try source.size)
            let file = try SequentialFile.creating(temporary)
            var writer = try BackupWriter(file, header: header, backupKey: backupKey)
            try writer.writeAll(manifest, database: source) { done in
                announce(.sealing(done: done, of: manifest.databaseBytes))
            }
            let bytes = try SequentialFile.reading(temporary).size
            // Where the name was taken meanwhile this fails; a plain rename would overwrite.
            guard link(temporary, path) == 0 else {
                throw errno == EEXIST
                    ? BackupError(.exists, "\(path) is there already; a backup overwrites nothing: choose another name")
                    : SequentialFile.failure("make", path)
            }
            unlink(temporary)
            try SequentialFile.syncFolder(of: path)
            return bytes
        } catch {
            unlink(temporary)
            throw error
        }
    }
}

/// `POST /api/backup`: the answer is a line of JSON for each step.
struct BackupRoutes: Sendable {
    let maker: BackupMaker

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        let maker = maker
        group.post("backup") { request, _ in
            do {
                let object = try await OperatorResponses.object(request)
                let steps = try maker.begin(try object.string("path"))
                return Response(
                    status: .ok,
                    headers: [.contentType: "application/x-ndjson", .cacheControl: "no-store"],
                    body: ResponseBody { writer in
                        for await step in steps {
                            try await writer.write(ByteBuffer(bytes: Self.json(step).serialized() + [0x0A]))
                        }
                        try await writer.finish(nil)
                    }
                )
            } catch {
                return OperatorResponses.problem(OperatorProblem.of(error))
            }
        }
    }

    private static func json(_ step: BackupMaker.Step) -> JSONValue {
        switch step {
        case .copying: ["step": "copying"]
        case .sealing(let done, let total):
            ["step": "sealing", "bytes": .string(String(done)), "of": .string(String(total))]
        case .ended(let path, let bytes, let createdAt):
            [
                "step": "done", "ok": true, "file": .string(path), "bytes": .string(String(bytes)),
                "createdAt": .string(createdAt.rfc3339),
            ]
        case .failed(let error):
            ["step": "failed", "ok": false, "error": .string(error.message), "code": .string(error.code.rawValue)]
        }
    }
}
