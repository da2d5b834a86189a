import AuditLog
import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import Logging
import Storage
import TestSupport
import Testing
import TransparencyLog

/// A store with a log on it.
struct LogSetting: Sendable {
    static let origin = "node.example/log"
    static let key = try? Ed25519.PrivateKey(seed: [UInt8](repeating: 4, count: 32))

    let database: Database
    let log: AuditLog

    init(
        _ folder: TemporaryFolder,
        origin: String = origin,
        key: Ed25519.PrivateKey? = key,
        clock: WallClock = .system
    ) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        database = try Database(
            path: folder.path + "/a.sqlite",
            migrations: AuditLogTables.migrations,
            logger: logger
        )
        log = try await AuditLog(
            database: database,
            key: try #require(key),
            origin: origin,
            sources: [Outbox()],
            clock: clock,
            logger: logger
        )
    }

    func post(_ count: Int, from first: Int = 0) async throws {
        try await database.write { connection in
            for index in first..<first + count {
                try Outbox.post(
                    kind: "receipt",
                    reference: "id-\(index)",
                    document: Self.document(index).serialized(),
                    in: connection
                )
            }
        }
    }

    /// Not in canonical order, as documents come.
    static func document(_ index: Int) -> JSONValue { ["z": .integer(Int64(index)), "a": "b"] }

    /// A document's proof holds against the latest checkpoint.
    func prove(_ index: Int) async throws {
        let entry = try #require(try await log.entries(of: "id-\(index)").first)
        try await log.proof(of: entry).verify(entry: entry.entry, log: log.verifierKey)
    }

    /// All entries as a stranger reads them, and the root they give.
    func readAll() async throws -> (entries: [[UInt8]], root: [UInt8]) {
        let size = try Checkpoint(text: log.checkpoint.text).size
        var entries: [[UInt8]] = []
        while UInt64(entries.count) < size {
            let number = UInt64(entries.count / 256)
            let width = Int(min(256, size - number * 256))
            let bundle = try #require(try await log.tile(TilePath(.entries, number: number, width: width)))
            entries += try EntryBundle.decode(bundle)
        }
        var tree = MerkleFrontier()
        for entry in entries { tree.append(leaf: MerkleTree.leaf(entry)) }
        return (entries, tree.root)
    }
}

@Suite struct AuditLogTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test("[LOG-1] [LOG-3] What waits is logged once, in order; what is served gives the signed root")
    func drains() async throws {
        var setting = try await LogSetting(folder)
        #expect(try await setting.log.drain() == 0)
        #expect(try Checkpoint(text: setting.log.checkpoint.text).size == 0)
        var seen: [Checkpoint] = []
        var posted = 0
        for count in [1, 254, 1, 300, 700] {
            try await setting.post(count, from: posted)
            posted += count
            #expect(try await setting.log.status().waiting == count)
            #expect(try await setting.log.drain() == count)
            #expect(try await setting.log.drain() == 0)
            let head = try Checkpoint.verify(setting.log.checkpoint, log: setting.log.verifierKey)
            #expect(head.size == UInt64(posted) && head.origin == LogSetting.origin)
            let read = try await setting.readAll()
            #expect(read.entries.count == posted && read.root == head.root)
            // Each tree begins with each that was signed before ([LOG-5]).
            for old in seen {
                try MerkleTree.verifyConsistency(
                    oldSize: old.size,
                    oldRoot: old.root,
                    size: head.size,
                    root: head.root,
                    proof: await setting.log.consistencyProof(from: old.size)
                )
            }
            seen.append(head)
            await setting.database.close()
            // The address that the node has now is not the log's name ([LOG-3]).
            setting = try await LogSetting(folder, origin: "elsewhere.example/log")
            #expect(try Checkpoint(text: setting.log.checkpoint.text) == head)
        }
        await setting.database.close()
        let other = try Ed25519.PrivateKey(seed: [UInt8](repeating: 5, count: 32))
        await #expect(throws: LogError.self) { _ = try await LogSetting(folder, key: other) }
    }

    @Test("[LOG-2] [LOG-4] Whoever holds a document proves it with the salt; no other document, log or kind will do")
    func proves() async throws {
        let setting = try await LogSetting(folder)
        try await setting.post(600)
        try await setting.log.drain()
        let key = try setting.log.verifierKey
        var salts: Set<[UInt8]> = []
        for index in [0, 255, 256, 431, 599] {
            let entry = try #require(try await setting.log.entries(of: "id-\(index)").first)
            #expect(entry.index == UInt64(index) && entry.kind == "receipt")
            salts.insert(entry.salt)
            let proof = try LogProof(try await setting.log.proof(of: entry).string)
            let salt = try #require(proof.extra)
            let document = try LogSetting.document(index).canonicalized()
            try proof.verify(entry: SaltedEntry(salt: salt, document: document).entry, log: key)
            let other = try LogSetting.document(index + 1).canonicalized()
            #expect(throws: LogError.self) {
                try proof.verify(entry: SaltedEntry(salt: salt, document: other).entry, log: key)
            }
            #expect(throws: LogError.self) {
                try proof.verify(
                    entry: SaltedEntry(salt: salt, document: document).entry,
                    log: NoteKey(name: "other.example/log", key: key.key)
                )
            }
        }
        #expect(salts.count == 5)
        #expect(try await setting.log.entries(of: "id-0").first?.document == nil)
        try await setting.database.write { connection in
            let document = LogSetting.document(7).serialized()
            try Outbox.post(kind: "status", reference: "id-0", document: document, isOnlyCopy: true, in: connection)
        }
        try await setting.log.drain()
        let kept = try await setting.log.entries(of: "id-0")
        #expect(kept.map(\.kind) == ["receipt", "status"])
        #expect(kept.last?.document == LogSetting.document(7).serialized())
        #expect(try await setting.log.entries(of: "id-600").isEmpty)
        await setting.database.close()
    }

    @Test("[LOG-3] Only what a checkpoint covers is served, in tiles of the width that is asked for")
    func tiles() async throws {
        let setting = try await LogSetting(folder)
        try await setting.post(300)
        try await setting.log.drain()
        try await setting.post(50, from: 300)
        for (path, length) in [
            (TilePath(.hashes(level: 0), number: 0), 8192), (TilePath(.hashes(level: 0), number: 1, width: 44), 1408),
            (TilePath(.hashes(level: 0), number: 1, width: 10), 320),
            (TilePath(.hashes(level: 1), number: 0, width: 1), 32),
            (TilePath(.entries, number: 1, width: 44), 44 * 34),
        ] {
            #expect(try await setting.log.tile(path)?.count == length, "\(path)")
        }
        for path in [
            TilePath(.hashes(level: 0), number: 1, width: 45), TilePath(.hashes(level: 0), number: 2, width: 1),
            TilePath(.hashes(level: 1), number: 0, width: 2), TilePath(.hashes(level: 7), number: 0, width: 1),
            TilePath(.entries, number: 1, width: 45), TilePath(.entries, number: 1),
            TilePath(.entries, number: .max, width: 1),
        ] {
            #expect(try await setting.log.tile(path) == nil, "\(path)")
        }
        await setting.database.close()
    }

    @Test("[LOG-5] Two logs on one store, and drains at once: nothing is logged twice, no tree is signed over another")
    func races() async throws {
        let setting = try await LogSetting(folder)
        let second = try await AuditLog(
            database: setting.database,
            key: try #require(LogSetting.key),
            origin: LogSetting.origin,
            sources: [Outbox()],
            clock: .system,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        try await setting.post(1000)
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<8 {
                group.addTask { _ = try? await (index % 2 == 0 ? setting.log : second).drain() }
            }
        }
        _ = try? await setting.log.drain()
        _ = try? await second.drain()
        let rows = try await setting.database.read { connection in
            try connection.rows("SELECT reference FROM audit_entries ORDER BY position").map { try $0.text(0) }
        }
        #expect(rows == (0..<1000).map { "id-\($0)" })
        await setting.database.close()
        let again = try await LogSetting(folder)
        let read = try await again.readAll()
        #expect(read.entries.count == 1000)
        #expect(try Checkpoint(text: again.log.checkpoint.text).root == read.root)
        await again.database.close()
    }

    @Test("[LOG-1] A document that is no JSON stays in the outbox and is told of; what came before it is logged")
    func badDocument() async throws {
        let setting = try await LogSetting(folder)
        try await setting.post(256)
        try await setting.database.write { connection in
            try Outbox.post(kind: "receipt", reference: "bad", document: [1, 2], in: connection)
        }
        await #expect(throws: (any Error).self) { try await setting.log.drain() }
        #expect(try await setting.log.status().size == 256)
        #expect(try await setting.log.status().waiting == 1)
        await setting.database.close()
    }

    @Test("[LOG-11] What waits is promised at once, over a restart too, and logged as the very entry that was promised")
    func promised() async throws {
        var setting = try await LogSetting(folder)
        try await setting.post(3)
        let promised = try await setting.log.promisable("id-1")
        #expect(promised.map(\.kind) == ["receipt"])
        #expect(try await setting.log.promisable("id-3").isEmpty)
        await setting.database.close()
        setting = try await LogSetting(folder)
        #expect(try await setting.log.promisable("id-1") == promised)
        try await setting.log.drain()
        let entry = try #require(try await setting.log.entries(of: "id-1").first)
        #expect([entry.entry] == promised.map(\.entry) && [entry.salt] == promised.map(\.salt))
        let document = try LogSetting.document(1).canonicalized()
        #expect(try SaltedEntry(salt: entry.salt, document: document).entry == entry.entry)
        #expect(try await setting.log.promisable("id-1") == promised)
        await setting.database.close()
    }
}
