import Encodings
import Foundation
import Ledger
import Logging
import Storage
import TestSupport
import Testing

private struct Refused: Error {}

@Suite struct DatabaseTests {
    private let folder: TemporaryFolder
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private let things = Migration(
        id: "things-1",
        sql: "CREATE TABLE things (id INTEGER PRIMARY KEY, bytes BLOB) STRICT"
    )

    init() throws { folder = try TemporaryFolder() }

    private func open(_ name: String = "a.sqlite", migrations: [Migration]? = nil) throws -> Storage.Database {
        try Database(path: folder.path + "/" + name, migrations: migrations ?? [things], logger: logger)
    }

    private func count(_ database: Storage.Database) async throws -> Int64 {
        try await database.read { try $0.first("SELECT count(*) FROM things")?.int64(0) ?? -1 }
    }

    private static func size(_ path: String) throws -> Int {
        try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int ?? 0
    }

    @Test("Every commit is flushed: synchronous reads back as FULL after GRDB has opened the pool")
    func durability() async throws {
        let database = try open()
        let pragmas = try await database.write { connection in
            [try connection.first("PRAGMA synchronous")?[0], try connection.first("PRAGMA journal_mode")?[0]]
        }
        #expect(pragmas == [.integer(2), .text("wal")])
        await database.close()
    }

    @Test("Writes that wait together share a commit, and one that throws undoes only itself")
    func groupCommit() async throws {
        let database = try open()
        let failed = await withTaskGroup(of: Bool.self) { group in
            for id in 0..<200 {
                group.addTask {
                    do {
                        try await database.write { connection in
                            try connection.execute("INSERT INTO things VALUES (?, NULL)", .int(id))
                            if id % 10 == 3 { throw Refused() }
                        }
                        return false
                    } catch {
                        return error is Refused
                    }
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(failed == 20)
        #expect(try await count(database) == 180)
        await database.close()
    }

    @Test("The log is emptied again and again under writes that never pause, and all of them are kept")
    func boundedLog() async throws {
        let database = try open()
        let log = folder.path + "/a.sqlite-wal"
        // 640 MB in transactions of 2 MB by four writers; the log is due for the first time after 32 MB and bounded by 128.
        let longest = try await withThrowingTaskGroup(of: Int.self) { group in
            for writer in 0..<4 {
                group.addTask {
                    var longest = 0
                    for id in 0..<80 {
                        try await database.write { connection in
                            try connection.execute(
                                "INSERT INTO things VALUES (?, zeroblob(2097152))",
                                .int(4 * id + writer)
                            )
                        }
                        longest = max(longest, try Self.size(log))
                    }
                    return longest
                }
            }
            return try await group.reduce(0, max)
        }
        #expect(longest < 140 << 20)
        #expect(try await count(database) == 320)
        await database.close()
        // One file holds all of it now.
        #expect(try Self.size(log) == 0)
        #expect(try await count(try open()) == 320)
    }

    @Test("What write has returned is there after the file is opened anew; values come back as they went in")
    func reopen() async throws {
        let bytes: [UInt8] = [0, 255, 7]
        var database = try open()
        try await database.write { try $0.execute("INSERT INTO things VALUES (?, ?)", .integer(.max), .blob(bytes)) }
        await database.close()
        database = try open()
        let row = try await database.read { try $0.first("SELECT id, bytes FROM things") }
        #expect(try row?.uint64(0) == UInt64(Int64.max))
        #expect(try row?.blob(1) == bytes)
        await database.close()
    }

    @Test("A row that is there already is a constraint error, and the transaction goes on")
    func constraint() async throws {
        let database = try open()
        let code = try await database.write { connection in
            try connection.execute("INSERT INTO things VALUES (1, NULL)")
            do {
                try connection.execute("INSERT INTO things VALUES (1, NULL)")
            } catch let error as StorageError {
                return error.code.rawValue
            }
            return "none"
        }
        #expect(code == StorageError.Code.constraint.rawValue)
        #expect(try await count(database) == 1)
        await database.close()
    }

    @Test("A full disk undoes the whole transaction, says so, and the store goes on when there is room")
    func fullDisk() async throws {
        let database = try open()
        try await database.write { try $0.execute("INSERT INTO things VALUES (1, NULL)") }
        let pages = try await database.write { try $0.first("PRAGMA page_count")?.int64(0) ?? 0 }
        try await database.write { _ = try $0.rows("PRAGMA max_page_count = \(pages)") }
        let error = await #expect(throws: StorageError.self) {
            try await database.write { connection in
                try connection.execute("INSERT INTO things VALUES (2, NULL)")
                try connection.execute("INSERT INTO things VALUES (3, zeroblob(1000000))")
            }
        }
        #expect(error?.code == .full)
        #expect(try await count(database) == 1)
        try await database.write { _ = try $0.rows("PRAGMA max_page_count = 1000000") }
        try await database.write { try $0.execute("INSERT INTO things VALUES (2, zeroblob(1000000))") }
        #expect(try await count(database) == 2)
        await database.close()
    }

    @Test("A file with a limit refuses what goes past it, also after a restart, and takes it once something is gone")
    func limit() async throws {
        func open() throws -> Storage.Database {
            try Database(
                path: folder.path + "/bounded.sqlite",
                migrations: [things],
                logger: logger,
                isRebuildable: true,
                maximumBytes: 1 << 20
            )
        }
        func grow(_ database: Storage.Database) async throws -> Bool {
            do {
                try await database.write { try $0.execute("INSERT INTO things (bytes) VALUES (zeroblob(50000))") }
                return true
            } catch let error as StorageError where error.code == .full {
                return false
            }
        }
        var database = try open()
        for _ in 0..<2 {
            var kept: Int64 = 0
            while try await grow(database) { kept += 1 }
            #expect(kept > 10 && kept < 22)
            #expect(try await count(database) == kept)
            await database.close()
            #expect(try Self.size(folder.path + "/bounded.sqlite") <= 1 << 20)
            database = try open()
            #expect(try await !grow(database))
            try await database.write { try $0.execute("DELETE FROM things") }
            #expect(try await grow(database))
            try await database.write { try $0.execute("DELETE FROM things") }
        }
        await database.close()
    }

    @Test("A file of a newer version, of another program, or with no database in it is left as it is")
    func foreignFiles() async throws {
        let database = try open(migrations: [things, Migration(id: "things-2", sql: "CREATE TABLE more (id INTEGER)")])
        await database.close()
        #expect(throws: StorageError.self) { try open() }
        do { _ = try open() } catch let error as StorageError { #expect(error.code == .newer) }

        let text = folder.path + "/text.sqlite"
        try Data("this is a letter, not a database, and it is long enough to be read as one".utf8).write(
            to: URL(filePath: text)
        )
        do {
            _ = try open("text.sqlite")
            Issue.record("a text file was opened as a database")
        } catch let error as StorageError {
            #expect(error.code == .foreign)
        }
        #expect(try String(contentsOfFile: text, encoding: .utf8).hasPrefix("this is a letter"))
    }

    @Test("A closed store says so")
    func closed() async throws {
        let database = try open()
        await database.close()
        let error = await #expect(throws: StorageError.self) { try await database.write { _ in } }
        #expect(error?.code == .closed)
    }

    @Test("A data directory is held once, is private, and its files are replaced whole")
    func dataDirectory() throws {
        let path = folder.path + "/node"
        var first: DataDirectory? = try DataDirectory(path: path)
        do {
            _ = try DataDirectory(path: path)
            Issue.record("the directory was taken twice")
        } catch {
            #expect(error.code == .locked)
            #expect(error.message.contains("pid \(ProcessInfo.processInfo.processIdentifier)"))
        }
        #expect(DataDirectory.isHeld(path: path))
        try first?.replaceFile("secret", with: [1, 2, 3])
        try first?.replaceFile("secret", with: [4])
        #expect(try [UInt8](Data(contentsOf: URL(filePath: path + "/secret"))) == [4])
        let mode = try FileManager.default.attributesOfItem(atPath: path + "/secret")[.posixPermissions] as? Int
        #expect(mode == 0o600)
        first = nil
        #expect(!DataDirectory.isHeld(path: path))

        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
        do {
            _ = try DataDirectory(path: path)
            Issue.record("a directory that others can read was taken")
        } catch {
            #expect(error.code == .notPermitted)
        }
    }
}
