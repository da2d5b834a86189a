internal import AuditLog
internal import CanonicalJSON
internal import Cryptography
internal import Encodings
internal import Foundation
internal import Logging
internal import NIOHTTP1
internal import Storage
internal import TransparencyLog

/// How many documents a second the transparency log takes, durable, how long a payment's write waits beside that, how soon after
/// it is made a document is proven, and how long a proof takes out of a large log.
struct LogBenchmark {
    /// Documents of the size of a receipt that wait in the outbox.
    var documents = 40_000
    /// Entries in the log that proofs are taken from.
    var entries = 1_000_000
    var proofs = 2_000
    /// Documents that are made at a running node, and waited for until they are proven.
    var made = 40

    func run() async throws -> [Measure] { try await [appends()] + beside() + delay() + inclusion() }

    private static let logger = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }

    private static func log(
        in folder: URL,
        key: Ed25519.PrivateKey,
        _ fill: (Database) async throws -> Void
    ) async throws -> (Database, AuditLog) {
        let database = try Database(
            path: folder.path + "/log.sqlite",
            migrations: AuditLogTables.migrations,
            logger: logger
        )
        try await fill(database)
        let log = try await AuditLog(
            database: database,
            key: key,
            origin: "node.example/log",
            sources: [Outbox()],
            clock: .system,
            logger: logger
        )
        return (database, log)
    }

    private static func inFolder<T>(_ body: (URL) async throws -> T) async throws -> T {
        let folder = FileManager.default.temporaryDirectory.appending(path: "log-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try await body(folder)
    }

    private func appends() async throws -> Measure {
        try await Self.inFolder { folder in
            let (database, log) = try await Self.log(in: folder, key: Ed25519.PrivateKey()) { try await post($0) }
            let start = ContinuousClock.now
            let added = try await log.drain()
            let seconds = Timing.inSeconds(ContinuousClock.now - start)
            await database.close()
            guard added == documents else { throw BenchmarkError("\(added) of \(documents) were logged") }
            return Measure(name: "log-append", value: Double(added) / seconds, unit: "1/s", yardstick: 20_000)
        }
    }

    private func post(_ database: Database) async throws {
        let document = JSONValue.object([
            "type": ["PaidCallReceipt"], "digest": .string(String(repeating: "a", count: 900)),
        ]).serialized()
        try await database.write { [documents] connection in
            for index in 0..<documents {
                try Outbox.post(kind: "receipt", reference: "r\(index)", document: document, in: connection)
            }
        }
    }

    /// A small durable write, as a payment's is, again and again: alone, and while all that waits is logged beside it.
    private func beside() async throws -> [Measure] {
        try await Self.inFolder { folder in
            let (database, log) = try await Self.log(in: folder, key: Ed25519.PrivateKey()) { database in
                try await database.write { try $0.execute("CREATE TABLE payments (at INTEGER) STRICT") }
            }
            func write() async throws -> Double {
                let start = ContinuousClock.now
                try await database.write { try $0.execute("INSERT INTO payments (at) VALUES (?)", .int(1)) }
                return Timing.inSeconds(ContinuousClock.now - start) * 1000
            }
            var (alone, loaded): ([Double], [Double]) = ([], [])
            for _ in 0..<1_000 { alone.append(try await write()) }
            try await post(database)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await log.drain() }
                while try await log.status().waiting > 0 { loaded.append(try await write()) }
                try await group.waitForAll()
            }
            await database.close()
            (alone, loaded) = (alone.sorted(), loaded.sorted())
            let note = "\(loaded.count) writes while \(documents) documents were logged; yardstick: alone"
            return [("p50", 50), ("p99", 99)].map { name, percent in
                Measure(
                    name: "log-beside-write-\(name)",
                    value: loaded.isEmpty ? nil : loaded[loaded.count * percent / 100],
                    unit: "ms",
                    yardstick: alone[alone.count * percent / 100],
                    note: note
                )
            }
        }
    }

    /// From the answer that brings a passport to the log's proof that it holds it.
    private func delay() async throws -> [Measure] {
        try await TradingNodes.measures("log-proof-after", "ms", with: 1) { market in
            let node = market.issuer
            var times: [Double] = []
            for number in 0..<made {
                let answer = try await node.call(.POST, "/api/agents", ["name": .string("logged-\(number)")])
                let start = ContinuousClock.now
                let id = try answer.object("passport").string("id").dropFirst("urn:uuid:".count)
                while try await market.get(node.url + "/log/proof/\(id)") != 200 {
                    guard ContinuousClock.now - start < .seconds(30) else {
                        throw BenchmarkError("\(id) is not logged")
                    }
                    try await Task.sleep(for: .milliseconds(5))
                }
                times.append(Timing.inSeconds(ContinuousClock.now - start) * 1000)
                // Not in step with the node's own rounds.
                try await Task.sleep(for: .milliseconds(37 * (number % 13)))
            }
            times.sort()
            return [
                Measure(name: "log-proof-after-p50", value: times[times.count / 2], unit: "ms"),
                Measure(name: "log-proof-after-worst", value: times.last, unit: "ms", yardstick: 1_000),
            ]
        }
    }

    private func inclusion() async throws -> [Measure] {
        try await Self.inFolder { folder in
            let key = Ed25519.PrivateKey()
            let (database, log) = try await Self.log(in: folder, key: key) { try await fill($0, key: key) }
            var times: [Double] = []
            let noteKey = try log.verifierKey
            for index in 0..<proofs {
                let start = ContinuousClock.now
                guard let entry = try await log.entries(of: "r\(index)").first else { throw BenchmarkError("no entry") }
                let proof = try await log.proof(of: entry)
                times.append(Timing.inSeconds(ContinuousClock.now - start) * 1000)
                try proof.verify(entry: entry.entry, log: noteKey)
            }
            await database.close()
            times.sort()
            return [
                Measure(
                    name: "log-proof-of-\(entries)-median",
                    value: times[times.count / 2],
                    unit: "ms",
                    yardstick: 1
                ),
                Measure(
                    name: "log-proof-of-\(entries)-p99",
                    value: times[times.count * 99 / 100],
                    unit: "ms",
                    yardstick: 1
                ),
            ]
        }
    }

    /// Puts the tiles of a tree of ``entries`` into the store, and the rows of those that are asked for.
    private func fill(_ database: Database, key: Ed25519.PrivateKey) async throws {
        var edge: [Int: [UInt8]] = [:]
        var size: UInt64 = 0
        let step = entries / proofs
        while size < entries {
            let count = min(65_536, entries - Int(size))
            let hashes = (0..<count).map { Hashing.sha256(Array("\(size + UInt64($0))".utf8)) }
            let (before, known) = (size, edge)
            let change = try TiledTree.append(hashes.map { MerkleTree.leaf($0) }, to: size) { level, _ in known[level] }
            size = change.size
            for tile in change.tiles { edge[tile.level] = tile.hashes }
            for level in edge.keys where (size >> UInt64(8 * level)) & 255 == 0 { edge[level] = nil }
            try await database.write { connection in
                for tile in change.tiles {
                    try connection.execute(
                        "INSERT OR REPLACE INTO audit_tiles (level, number, hashes) VALUES (?, ?, ?)",
                        .int(tile.level),
                        try .amount(tile.number),
                        .blob(tile.hashes)
                    )
                }
                for place in 0..<count where (Int(before) + place) % step == 0 {
                    let index = Int(before) + place
                    try connection.execute(
                        """
                        INSERT INTO audit_entries (position, entry, salt, kind, reference) VALUES (?, ?, ?, 'receipt', ?)
                        """,
                        .int(index),
                        .blob(hashes[place]),
                        .blob([UInt8](repeating: 0, count: 16)),
                        .text("r\(index / step)")
                    )
                }
            }
        }
        let last = edge
        let total = size
        let root = try await database.read { connection in
            try TiledTree.root(size: total) { level, number in
                try last[level]
                    ?? connection.first(
                        "SELECT hashes FROM audit_tiles WHERE level = ? AND number = ?",
                        .int(level),
                        try .amount(number)
                    )?.blob(0)
            }
        }
        let note = try Checkpoint(origin: "node.example/log", size: size, root: root).signed(by: key)
        try await database.write { connection in
            try connection.execute(
                "INSERT INTO audit_head (id, origin, size, note, at) VALUES (1, 'node.example/log', ?, ?, 0)",
                try .amount(total),
                .text(note.string)
            )
        }
    }
}
