import CFaultyDisk
import Foundation
import Logging
import Synchronization
import TestSupport
import Testing

@testable import Storage

/// Faults injected below SQLite, at each call in turn: what was acknowledged is there after a restart, what failed is
/// there whole or not at all, and a disk that lied once is not trusted again.
@Suite struct DiskFaultTests {
    struct Fault: Sendable, CustomTestStringConvertible {
        var name: String
        var operation: Int32
        var kind: Int32
        /// Whether the store may go on once there is room.
        var isPassing: Bool
        var testDescription: String { name }

        static let all = [
            Fault(name: "EIO at write", operation: FAULTY_DISK_WRITE, kind: FAULTY_DISK_EIO, isPassing: false),
            Fault(name: "ENOSPC at write", operation: FAULTY_DISK_WRITE, kind: FAULTY_DISK_ENOSPC, isPassing: true),
            Fault(name: "short write", operation: FAULTY_DISK_WRITE, kind: FAULTY_DISK_SHORT_WRITE, isPassing: false),
            Fault(name: "EIO at fsync", operation: FAULTY_DISK_SYNC, kind: FAULTY_DISK_EIO, isPassing: false),
            Fault(
                name: "EIO at fsync, and the pages are gone",
                operation: FAULTY_DISK_SYNC,
                kind: FAULTY_DISK_LOST_SYNC,
                isPassing: false
            ),
        ]
    }

    private let folder: TemporaryFolder
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private static let schema = Migration(
        id: "things-1",
        sql: "CREATE TABLE things (id INTEGER PRIMARY KEY, bytes BLOB) STRICT"
    )

    init() throws {
        folder = try TemporaryFolder()
        #expect(faulty_disk_install() == 0)
    }

    private func open(_ folder: String) throws -> Storage.Database {
        try Database(path: folder + "/a.sqlite", migrations: [Self.schema], logger: logger)
    }

    private func newFolder(_ name: String) throws -> String {
        let path = folder.path + "/" + name
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    /// The files as a crash would leave them, opened elsewhere: the shared memory is gone, so the log is read anew.
    private func reopened(_ crashed: String) throws -> Storage.Database {
        let copy = try newFolder("after-\(UUID().uuidString)")
        for name in ["a.sqlite", "a.sqlite-wal"] where FileManager.default.fileExists(atPath: crashed + "/" + name) {
            try FileManager.default.copyItem(atPath: crashed + "/" + name, toPath: copy + "/" + name)
        }
        return try open(copy)
    }

    private func insert(_ id: Int, in database: Storage.Database) async throws {
        // Two rows a transaction, of several pages: half of it must never be found.
        try await database.write { connection in
            try connection.execute("INSERT INTO things VALUES (?, zeroblob(9000))", .int(2 * id))
            try connection.execute("INSERT INTO things VALUES (?, zeroblob(10))", .int(2 * id + 1))
        }
    }

    private func ids(_ database: Storage.Database) async throws -> Set<Int> {
        Set(try await database.read { try $0.rows("SELECT id FROM things").map { try $0.int(0) } })
    }

    @Test("Each fault at each of the log's first calls", arguments: Fault.all)
    func faultsInTheLog(_ fault: Fault) async throws {
        // A commit above is one flush and about eight writes; the first of the log's life flush its header too.
        let skips = fault.operation == FAULTY_DISK_SYNC ? Array(0...4) : Array(stride(from: 0, to: 30, by: 3))
        for skip in skips {
            let place = try newFolder("\(fault.operation)-\(fault.kind)-\(skip)")
            let database = try open(place)
            #expect(faulty_disk_arm(place, "-wal", fault.operation, fault.kind, skip, 1) == 1)
            var kept: Set<Int> = []
            var failures: [StorageError.Code] = []
            for id in 0..<12 {
                do {
                    try await insert(id, in: database)
                    kept.insert(id)
                } catch let error as StorageError {
                    failures.append(error.code)
                }
            }
            #expect(faulty_disk_disarm(place) == 1)
            if fault.isPassing {
                #expect(failures == [.full] && kept.count == 11, "skip \(skip): \(failures)")
                #expect(database.refusal == nil)
            } else {
                // Nothing is taken after it, though the disk works again; nor is anything shown.
                #expect(failures.count == 12 - kept.count && Set(failures) == [.ioFailure], "skip \(skip)")
                #expect(kept == Set(0..<kept.count))
                #expect(database.refusal?.code == .ioFailure)
                await #expect(throws: StorageError.self) { _ = try await self.ids(database) }
                await #expect(throws: StorageError.self) { try await database.requireWritable() }
            }
            await database.close()

            let again = try reopened(place)
            let found = try await ids(again)
            for id in kept { #expect(found.contains(2 * id) && found.contains(2 * id + 1), "\(id) is lost") }
            for id in found { #expect(found.contains(id ^ 1), "half of \(id / 2) is there") }
            // At most the commit that was told "the disk failed" may be there all the same.
            #expect(found.count <= 2 * kept.count + (fault.operation == FAULTY_DISK_SYNC ? 2 : 0))
            let check = try await again.read { try $0.first("PRAGMA integrity_check")?.text(0) }
            #expect(check == "ok")
            #expect(again.refusal == nil)
            try await insert(100, in: again)
            await again.close()
        }
    }

    @Test("Writes that wait together fail together, and each is told")
    func groupCommit() async throws {
        let place = try newFolder("group")
        let database = try open(place)
        try await insert(0, in: database)
        #expect(faulty_disk_arm(place, "-wal", FAULTY_DISK_SYNC, FAULTY_DISK_LOST_SYNC, 0, 1) == 1)
        let kept = await withTaskGroup(of: Int?.self) { group in
            for id in 1...64 {
                group.addTask {
                    do {
                        try await self.insert(id, in: database)
                        return id
                    } catch {
                        return nil
                    }
                }
            }
            return await group.reduce(into: Set<Int>()) { if let id = $1 { $0.insert(id) } }
        }
        #expect(faulty_disk_disarm(place) == 1)
        #expect(kept == [])
        await database.close()
        let again = try reopened(place)
        #expect(try await ids(again) == [0, 1])
        await again.close()
    }

    @Test("A full disk is said until there is room, and then the store goes on")
    func fullDisk() async throws {
        let place = try newFolder("full")
        let database = try open(place)
        try await insert(0, in: database)
        #expect(faulty_disk_arm(place, "-wal", FAULTY_DISK_WRITE, FAULTY_DISK_ENOSPC, 0, -1) == 1)
        await #expect(throws: StorageError.self) { try await self.insert(1, in: database) }
        #expect(database.refusal?.code == .full)
        do {
            try await database.requireWritable()
            Issue.record("a full disk was taken for a good one")
        } catch let error as StorageError {
            #expect(error.code == .full)
        }
        // A body with nothing to write proves no room.
        try await database.write { try $0.execute("DELETE FROM things WHERE id = -1") }
        #expect(database.refusal?.code == .full)
        // What is there can still be read.
        #expect(try await ids(database) == [0, 1])
        #expect(faulty_disk_disarm(place) > 0)
        try await database.requireWritable()
        #expect(database.refusal == nil)
        try await insert(1, in: database)
        await database.close()
    }

    @Test("A checkpoint that fails stops the store, though SQLite passes over it; nothing is lost", arguments: [1, 2])
    func checkpoints(operation: Int32) async throws {
        let place = try newFolder("checkpoint-\(operation)")
        let database = try open(place)
        #expect(faulty_disk_arm(place, "a.sqlite", operation, FAULTY_DISK_EIO, 0, 1) == 1)
        var kept: [Int] = []
        var failure: (any Error)?
        for id in 0..<120 where failure == nil {
            do {
                // About 256 pages each, so that the log is over its mark after some thirty. The checkpoint runs beside the
                // commits that follow.
                if id > 32 { try await Task.sleep(for: .milliseconds(20)) }
                try await database.write { connection in
                    try connection.execute("INSERT INTO things VALUES (?, zeroblob(1048576))", .int(id))
                }
                kept.append(id)
            } catch {
                failure = error
            }
        }
        #expect(faulty_disk_disarm(place) == 1)
        #expect((failure as? StorageError)?.code == .ioFailure)
        // The commit that set off the checkpoint was on the disk, and was told so.
        #expect(kept.count >= 30)
        await database.close()
        let again = try reopened(place)
        #expect(try await ids(again) == Set(kept))
        await again.close()
    }

    @Test("A file that cannot be written at its opening is refused with a sentence, and opens once the disk is well")
    func opening() async throws {
        let place = try newFolder("opening")
        #expect(faulty_disk_arm(place, "-wal", FAULTY_DISK_SYNC, FAULTY_DISK_EIO, 0, 1) == 1)
        do {
            _ = try open(place)
            Issue.record("a store was opened on a failing disk")
        } catch let error as StorageError {
            #expect(error.code == .ioFailure)
            #expect(error.message.contains("check the disk"))
        }
        #expect(faulty_disk_disarm(place) == 1)
        let database = try open(place)
        try await insert(1, in: database)
        await database.close()
    }
}
