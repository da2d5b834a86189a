import Encodings
import Foundation
import Logging
import TestSupport
import Testing

@testable import Storage

/// When the fence goes up, and when it does not.
@Suite struct EpochFenceTests {
    private let folder: TemporaryFolder
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init() throws { folder = try TemporaryFolder() }

    /// One life of a node: opens, runs `body`, and ends cleanly or as a crash would.
    private func live(
        _ name: String = "node",
        stopsCleanly: Bool = true,
        _ body: (EpochFence, Storage.Database) async throws -> Void = { _, _ in }
    ) async throws -> EpochFence.Raised? {
        let directory = try DataDirectory(path: folder.path + "/" + name)
        let database = try Database(path: directory.file("node.sqlite"), migrations: [], logger: logger)
        let fence = try await EpochFence.open(in: directory, database: database, clock: .system)
        try await body(fence, database)
        if stopsCleanly { try await fence.advance() }
        await database.close()
        return fence.raised
    }

    private func path(_ file: String, _ name: String = "node") -> String { folder.path + "/\(name)/\(file)" }

    private func copy(_ from: String, _ to: String) throws {
        try? FileManager.default.removeItem(atPath: to)
        try FileManager.default.copyItem(atPath: from, toPath: to)
    }

    @Test("[BAK-6] Stops, crashes and a crash between the database and the file put up no fence")
    func noFence() async throws {
        #expect(try await live() == nil)
        #expect(try await live() == nil)
        #expect(try await live(stopsCleanly: false) == nil)
        // The database is one epoch ahead of the file.
        try copy(path("epoch"), path("epoch.before"))
        #expect(try await live(stopsCleanly: false) == nil)
        try copy(path("epoch.before"), path("epoch"))
        #expect(try await live() == nil)
    }

    @Test(
        "[BAK-6] [BAK-7] An older database put back is found out, stays so over restarts, and the right one works at once"
    )
    func olderCopy() async throws {
        _ = try await live()
        try copy(path("node.sqlite"), path("older"))
        _ = try await live()
        try copy(path("node.sqlite"), path("latest"))

        try copy(path("older"), path("node.sqlite"))
        for _ in 0..<3 {
            let raised = try #require(try await live())
            #expect(raised.reason == "older-copy")
            #expect(raised.copyAt.map { copyAt in raised.lastAt.map { $0 >= copyAt } ?? false } == true)
        }
        try copy(path("latest"), path("node.sqlite"))
        #expect(try await live() == nil)
    }

    @Test("[BAK-6] A copy made while the node ran is older than what a clean stop leaves")
    func copyOfARunningNode() async throws {
        let copied = path("while-running")
        _ = try await live { _, database in try await database.copy(to: copied) }
        try copy(copied, path("node.sqlite"))
        #expect(try await live()?.reason == "older-copy")
    }

    @Test("[BAK-6] A missing file, a missing database and a database of another branch are found out")
    func missing() async throws {
        _ = try await live()
        try copy(path("node.sqlite"), path("kept"))
        try FileManager.default.removeItem(atPath: path("epoch"))
        #expect(try await live()?.reason == "epoch-missing")

        _ = try await live("second")
        try FileManager.default.removeItem(atPath: path("node.sqlite", "second"))
        #expect(try await live("second")?.reason == "database-missing")

        // The same copy lives on in two places; then one's database is put into the other.
        _ = try await live("third")
        for file in ["node.sqlite", "epoch"] {
            _ = try DataDirectory(path: folder.path + "/fourth")
            try copy(path(file, "third"), path(file, "fourth"))
        }
        for _ in 0..<3 { #expect(try await live("third") == nil) }
        for _ in 0..<2 { #expect(try await live("fourth") == nil) }
        try copy(path("node.sqlite", "third"), path("node.sqlite", "fourth"))
        #expect(try await live("fourth")?.reason == "other-branch")
    }

    @Test("[BAK-11] A copy of the same epoch is not found out after a crash; removing the file `epoch` says so by hand")
    func notFoundOut() async throws {
        _ = try await live(stopsCleanly: false) { _, database in
            try await database.copy(to: self.path("same-epoch"))
            try await database.write { try $0.execute("INSERT INTO storage_meta VALUES ('spent', 'yes')") }
        }
        for ending in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path("node.sqlite" + ending)) }
        try copy(path("same-epoch"), path("node.sqlite"))
        try copy(path("epoch"), path("epoch.kept"))
        #expect(try await live(stopsCleanly: false) == nil)
        for ending in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path("node.sqlite" + ending)) }
        try copy(path("same-epoch"), path("node.sqlite"))
        try FileManager.default.removeItem(atPath: path("epoch"))
        #expect(try await live()?.reason == "epoch-missing")
    }

    @Test("[BAK-9] A confirmation takes the fence down for good, with what it runs in the same transaction")
    func confirmation() async throws {
        _ = try await live()
        try FileManager.default.removeItem(atPath: path("epoch"))
        let raised = try await live { fence, database in
            struct Refused: Error {}
            await #expect(throws: Refused.self) { try await fence.confirm { _ in throw Refused() } }
            #expect(fence.raised != nil)
            // An advance does not slip the file past the fence.
            try await fence.advance()
            #expect(!FileManager.default.fileExists(atPath: self.path("epoch")))
            try await fence.confirm { try $0.execute("INSERT INTO storage_meta VALUES ('ran', 'yes')") }
            #expect(try await database.fact("ran") == "yes")
        }
        #expect(raised == nil)
        #expect(try await live() == nil)
    }

    @Test("A damaged file is an error that says what to do, not a fence that a crash could have put up")
    func damaged() async throws {
        _ = try await live()
        for text in ["", "epoch", "epoch 1 2 3 4\n", "epoch x \(String(repeating: "0", count: 32)) 4\n"] {
            try Data(text.utf8).write(to: URL(filePath: path("epoch")))
            let error = await #expect(throws: StorageError.self) { _ = try await self.live() }
            #expect(error?.code == .corrupt && error?.message.contains("remove it") == true)
        }
    }

    @Test("A copy of a database that is written to holds whole transactions, and nothing is overwritten")
    func copies() async throws {
        let directory = try DataDirectory(path: folder.path + "/busy")
        let schema = Migration(id: "things-1", sql: "CREATE TABLE things (id INTEGER PRIMARY KEY) STRICT")
        let database = try Database(path: directory.file("node.sqlite"), migrations: [schema], logger: logger)
        let writing = Task {
            var id = 0
            while !Task.isCancelled {
                let first = id
                try await database.write { connection in
                    for id in first..<first + 3 { try connection.execute("INSERT INTO things VALUES (?)", .int(id)) }
                }
                id += 3
            }
        }
        for number in 0..<5 {
            let target = directory.file("copy-\(number)")
            try await database.copy(to: target)
            await #expect(throws: StorageError.self) { try await database.copy(to: target) }
            let copied = try Database(path: target, migrations: [schema], logger: logger)
            let count = try await copied.read { try $0.first("SELECT count(*) FROM things")?.int64(0) ?? -1 }
            #expect(count % 3 == 0)
            await copied.close()
            var facts = stat()
            #expect(stat(target, &facts) == 0 && facts.st_mode & 0o777 == 0o600)
        }
        writing.cancel()
        _ = try? await writing.value
        await database.close()
    }
}
