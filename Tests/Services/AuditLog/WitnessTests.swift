import AuditLog
import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import Logging
import Storage
import Synchronization
import TestSupport
import Testing
import TransparencyLog

/// A witness with a store of its own, and what it shouted.
final class WitnessSetting: Sendable {
    static let key = try? Ed25519.PrivateKey(seed: [UInt8](repeating: 6, count: 32))

    let database: Database
    let witness: Witness
    private let heard: AlarmList
    var shouted: [WitnessAlarm] { heard.all }

    init(_ folder: TemporaryFolder) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        database = try Database(path: folder.path + "/w.sqlite", migrations: WitnessTables.migrations, logger: logger)
        let heard = AlarmList()
        witness = try Witness(
            database: database,
            key: try #require(Self.key),
            name: "w.example/1",
            clock: .system,
            logger: logger
        ) { heard.add($0) }
        self.heard = heard
    }

    /// Answers a log's paths, as its routes do.
    static func door(_ log: AuditLog) -> @Sendable (String) async throws -> [UInt8] {
        { path in
            if path == "checkpoint" { return Array(log.checkpoint.string.utf8) }
            let tile = try TilePath(afterTile: String(path.dropFirst(5)))
            guard let bytes = try await log.tile(tile) else { throw LogError(.missingTile, path) }
            return bytes
        }
    }

    /// Answers what a log asks of the witness, as its routes do.
    var exchange: Cosigning.Exchange {
        { [witness] url, body, _ in
            guard let body else {
                let note = try await witness.logs().first { url.hasSuffix($0.id) }?.cosigned
                return (note == nil ? 404 : 200, Array((note?.string ?? "").utf8))
            }
            do {
                let request = try AddCheckpoint(String(decoding: body, as: UTF8.self))
                return (200, Array(try await witness.add(request).line.utf8))
            } catch let refusal as WitnessRefusal {
                guard case .conflict(let size) = refusal.kind else { return (refusal.status, []) }
                return (409, Array("\(size)\n".utf8))
            }
        }
    }

    /// - Parameter meanwhile: is done while an answer is under way.
    func cosigning(_ log: AuditLog, meanwhile: @escaping @Sendable () async throws -> Void = {}) -> Cosigning {
        Cosigning(
            log: log,
            witnesses: [LogWitness(key: witness.verifierKey, url: "http://w.example")],
            exchange: { [exchange] url, body, limit in
                let answer = try await exchange(url, body, limit)
                try await meanwhile()
                return answer
            },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }
}

/// A clock that a test sets, at the beginning of an hour.
private final class SetClock: Sendable {
    private let time = Mutex(Timestamp(secondsSince1970: 1_800_000_000))
    var wall: WallClock { WallClock { self.time.withLock { $0 } } }
    func advance(_ seconds: Int64) { time.withLock { $0 = $0.adding(seconds: seconds) } }
}

private final class AlarmList: Sendable {
    private let alarms = Mutex<[WitnessAlarm]>([])
    var all: [WitnessAlarm] { alarms.withLock { $0 } }
    func add(_ alarm: WitnessAlarm) { alarms.withLock { $0.append(alarm) } }
}

@Suite("Witnesses and the logs they follow")
struct WitnessTests {
    private let folder: TemporaryFolder
    private let other: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        other = try TemporaryFolder()
    }

    @Test(
        "[LOG-7] [LOG-9] a log collects cosignatures; the witnessed proof and the checkpoint carry them, over a restart too"
    )
    func collects() async throws {
        let setting = try await LogSetting(folder)
        let witness = try await WitnessSetting(other)
        try await witness.witness.follow(setting.log.verifierKey, url: nil)
        let cosigning = witness.cosigning(setting.log)
        var size: UInt64 = 0
        for count in [0, 1, 300, 5] {
            try await setting.post(count, from: Int(size))
            size += UInt64(count)
            try await setting.log.drain()
            await cosigning.collect()
            let head = try Checkpoint.verify(
                setting.log.checkpoint,
                log: setting.log.verifierKey,
                witnesses: [witness.witness.verifierKey],
                quorum: 1
            )
            #expect(head.size == size)
        }
        let before = UInt64(Date().timeIntervalSince1970) + 100
        // What came since is not witnessed yet.
        try await setting.post(2, from: Int(size))
        try await setting.log.drain()
        let entry = try #require(try await setting.log.entries(of: "id-0").first)
        let proof = try #require(try await setting.log.witnessedProof(of: entry))
        let document = try LogSetting.document(0).canonicalized()
        try proof.verify(
            entry: SaltedEntry(salt: entry.salt, document: document).entry,
            log: setting.log.verifierKey,
            witnesses: [witness.witness.verifierKey],
            quorum: 1,
            before: before
        )
        let late = try #require(try await setting.log.entries(of: "id-307").first)
        #expect(try await setting.log.witnessedProof(of: late) == nil)
        let note = setting.log.witnessedCheckpoint
        await setting.database.close()
        let again = try await LogSetting(folder)
        #expect(again.log.witnessedCheckpoint == note && note?.signatures.count == 2)
        await witness.cosigning(again.log).collect()
        #expect(try await again.log.witnessedProof(of: late) != nil)
        #expect(witness.shouted.isEmpty)
        await again.database.close()
        await witness.database.close()
    }

    @Test(
        "[LOG-9] the earliest cosigned tree is what proves an entry: the last of each minute, after a week of each hour"
    )
    func earliest() async throws {
        let clock = SetClock()
        let setting = try await LogSetting(folder, clock: clock.wall)
        let witness = try await WitnessSetting(other)
        try await witness.witness.follow(setting.log.verifierKey, url: nil)
        let cosigning = witness.cosigning(setting.log)
        /// Logs one more entry and has it cosigned so many seconds after the last one.
        func add(_ index: Int, after seconds: Int64) async throws {
            clock.advance(seconds)
            try await setting.post(1, from: index)
            try await setting.log.drain()
            await cosigning.collect()
        }
        func size(proving index: Int) async throws -> UInt64? {
            let entry = try #require(try await setting.log.entries(of: "id-\(index)").first)
            guard let proof = try await setting.log.witnessedProof(of: entry) else { return nil }
            try proof.verify(
                entry: entry.entry,
                log: setting.log.verifierKey,
                witnesses: [witness.witness.verifierKey],
                quorum: 1
            )
            return try Checkpoint(text: proof.checkpoint.text).size
        }
        // Three in one minute, one in the next, one an hour later.
        for (index, seconds) in [(0, 0), (1, 20), (2, 20), (3, 30), (4, 3600)] as [(Int, Int64)] {
            try await add(index, after: seconds)
        }
        var sizes: [UInt64?] = []
        for index in 0..<5 { sizes.append(try await size(proving: index)) }
        #expect(sizes == [3, 3, 3, 4, 5])
        // A week later the first hour has its last one left; the second was the last of its own.
        try await add(5, after: 7 * 86_400 + 1)
        sizes = []
        for index in 0..<6 { sizes.append(try await size(proving: index)) }
        #expect(sizes == [4, 4, 4, 4, 5, 6])
        await setting.database.close()
        await witness.database.close()
    }

    @Test("[LOG-9] the checkpoint that an older version kept is still the proof")
    func migrated() async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let path = folder.path + "/old.sqlite"
        let old = try Database(path: path, migrations: Array(AuditLogTables.migrations.dropLast()), logger: logger)
        try await old.write { connection in
            try connection.execute("INSERT INTO audit_witnesses (key, size, at) VALUES ('w', 17, 1800000000000)")
            try connection.execute(
                "INSERT INTO audit_witnessed (id, note) VALUES (1, ?)",
                .text("node.example/log\n17\nAAAA\n\n\u{2014} node.example/log AAAAAAAA\n")
            )
        }
        await old.close()
        let new = try Database(path: path, migrations: AuditLogTables.migrations, logger: logger)
        let row = try await new.read { connection in
            try connection.first("SELECT size, at, note FROM audit_cosigned").map { row in
                (try row.int64(0), try row.int64(1), try row.text(2).hasPrefix("node.example/log\n17\n"))
            }
        }
        #expect(row?.0 == 17 && row?.1 == 1_800_000_000_000 && row?.2 == true)
        await new.close()
    }

    @Test("[LOG-7] a log that grows while a witness answers keeps what that has cosigned")
    func growing() async throws {
        let setting = try await LogSetting(folder)
        let witness = try await WitnessSetting(other)
        try await witness.witness.follow(setting.log.verifierKey, url: nil)
        try await setting.post(10)
        try await setting.log.drain()
        let entry = try #require(try await setting.log.entries(of: "id-3").first)
        for round in 1...2 {
            await witness.cosigning(setting.log) {
                try await setting.post(4, from: 100 * round)
                try await setting.log.drain()
            }.collect()
            let note = try #require(setting.log.witnessedCheckpoint)
            #expect(try Checkpoint(text: note.text).size == UInt64(round == 1 ? 10 : 14))
            #expect(note.signatures.count == 2)
            #expect(try Checkpoint(text: setting.log.checkpoint.text).size == UInt64(10 + 4 * round))
            let proof = try #require(try await setting.log.witnessedProof(of: entry))
            try proof.verify(entry: entry.entry, log: setting.log.verifierKey)
        }
        #expect(setting.log.halted == nil)
        await setting.database.close()
        await witness.database.close()
    }

    @Test("[LOG-10] what a witness cosigned of a log that was begun anew meanwhile is not the new one's")
    func begunAnewMeanwhile() async throws {
        let (third, fourth) = (try TemporaryFolder(), try TemporaryFolder())
        let setting = try await LogSetting(folder)
        let branch = try await LogSetting(third)
        let (ahead, slow) = (try await WitnessSetting(other), try await WitnessSetting(fourth))
        for witness in [ahead, slow] { try await witness.witness.follow(setting.log.verifierKey, url: nil) }
        try await branch.post(15)
        try await branch.log.drain()
        await ahead.cosigning(branch.log).collect()
        try await setting.post(10)
        try await setting.log.drain()
        await slow.cosigning(setting.log) {
            await ahead.cosigning(setting.log).collect()
            try await setting.log.beginAnew()
        }.collect()
        #expect(setting.log.origin == LogSetting.origin + "/2" && setting.log.halted == nil)
        #expect(setting.log.witnessedCheckpoint == nil)
        for database in [setting.database, branch.database, ahead.database, slow.database] { await database.close() }
    }

    @Test("[LOG-8] a log that was set back to an older copy takes no more entries, and loses none")
    func setBack() async throws {
        let setting = try await LogSetting(folder)
        let witness = try await WitnessSetting(other)
        try await witness.witness.follow(setting.log.verifierKey, url: nil)
        try await setting.post(300)
        try await setting.log.drain()
        await witness.cosigning(setting.log).collect()
        await setting.database.close()
        let path = folder.path + "/a.sqlite"
        let copy = try Data(contentsOf: URL(filePath: path))

        let later = try await LogSetting(folder)
        try await later.post(5, from: 300)
        try await later.log.drain()
        await witness.cosigning(later.log).collect()
        await later.database.close()

        for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
        try copy.write(to: URL(filePath: path))
        let rewound = try await LogSetting(folder)
        try await rewound.post(270, from: 400)
        struct Refusal: Error {}
        let isStopped = Mutex(false)
        await witness.cosigning(rewound.log).collect {
            #expect(rewound.log.halted == nil)
            isStopped.withLock { $0 = true }
            throw Refusal()
        }
        #expect(isStopped.withLock { $0 })
        let halt = try #require(rewound.log.halted)
        #expect(halt.evidence.map { (try? SignedNote($0)) != nil } == true)
        await #expect(throws: LogError.self) { _ = try await rewound.log.drain() }
        let status = try await rewound.log.status()
        #expect(status.waiting == 270 && status.size == 300)
        await rewound.database.close()
        // Over a restart too, though no witness is asked.
        let again = try await LogSetting(folder)
        #expect(again.log.halted?.reason == halt.reason)
        await #expect(throws: LogError.self) { _ = try await again.log.drain() }
        // [LOG-10]: begun anew it has another name, and takes what waited.
        try await again.prove(290)
        #expect(try await again.log.beginAnew() == LogSetting.origin + "/2")
        await #expect(throws: LogError.self) { try await again.log.beginAnew() }
        #expect(try await again.log.drain() == 270)
        try await again.prove(664)
        try await witness.witness.follow(again.log.verifierKey, url: nil)
        await witness.cosigning(again.log).collect()
        #expect(again.log.halted == nil && again.log.witnessedCheckpoint != nil)
        #expect(try Checkpoint(text: again.log.checkpoint.text).size == 270)
        await again.database.close()
        let third = try await LogSetting(folder)
        #expect(third.log.origin == LogSetting.origin + "/2" && third.log.halted == nil)
        let kept = try await third.database.read { try $0.first("SELECT count(*) FROM audit_past_entries")?.int(0) }
        #expect(kept == 300)
        await third.database.close()
        await witness.database.close()
    }

    @Test(
        "[LOG-8] a log that went on from an older copy is found out by each witness that saw more, forked or grown past it"
    )
    func forked() async throws {
        for grown in [5, 9] {
            let (folder, other, third) = (try TemporaryFolder(), try TemporaryFolder(), try TemporaryFolder())
            let setting = try await LogSetting(folder)
            let witness = try await WitnessSetting(other)
            try await witness.witness.follow(setting.log.verifierKey, url: nil)
            try await setting.post(15)
            try await setting.log.drain()
            await witness.cosigning(setting.log).collect()
            // The same key on another branch: of the same size, then larger.
            let branch = try await LogSetting(third)
            try await branch.post(10 + grown, from: 100)
            try await branch.log.drain()
            await witness.cosigning(branch.log).collect()
            #expect(branch.log.halted != nil, "\(grown)")
            #expect(witness.shouted.count == (grown == 5 ? 1 : 0))
            // Polled, it is found out either way, and told once.
            for _ in 0..<2 {
                let isWell = try await witness.witness.poll(
                    LogSetting.origin,
                    confirmSeconds: 0,
                    fetching: WitnessSetting.door(branch.log)
                )
                #expect(!isWell)
            }
            #expect(witness.shouted.map(\.kind) == [.fork])
            let evidence = try #require(witness.shouted.first)
            for text in [evidence.known, evidence.shown] {
                _ = try Checkpoint.verify(SignedNote(text), log: setting.log.verifierKey)
            }
            #expect(try await witness.witness.logs().first?.note?.text == setting.log.checkpoint.text)
            for database in [setting.database, branch.database, witness.database] { await database.close() }
        }
    }

    @Test("[LOG-7] polling follows a log by its tiles; one that shows a smaller tree is rewound")
    func polls() async throws {
        let setting = try await LogSetting(folder)
        let witness = try await WitnessSetting(other)
        try await witness.witness.follow(setting.log.verifierKey, url: "http://node.example/log")
        let small = try await LogSetting(try TemporaryFolder())
        try await small.post(3)
        try await small.log.drain()
        for count in [3, 600] {
            try await setting.post(count, from: count)
            try await setting.log.drain()
            #expect(
                try await witness.witness.poll(LogSetting.origin, fetching: WitnessSetting.door(setting.log))
            )
        }
        #expect(try await witness.witness.logs().first?.cosigned?.signatures.count == 2)
        let isWell = try await witness.witness.poll(
            LogSetting.origin,
            confirmSeconds: 0,
            fetching: WitnessSetting.door(small.log)
        )
        #expect(!isWell && witness.shouted.map(\.kind) == [.rewind])
        await #expect(throws: WitnessRefusal.self) {
            try await witness.witness.poll("other", fetching: WitnessSetting.door(small.log))
        }
        let stranger = try await LogSetting(
            try TemporaryFolder(),
            key: try Ed25519.PrivateKey(seed: [UInt8](repeating: 9, count: 32))
        )
        await #expect(throws: LogError.self) {
            try await witness.witness.poll(LogSetting.origin, fetching: WitnessSetting.door(stranger.log))
        }
        let key = try stranger.log.verifierKey
        await #expect(throws: LogError.self) { try await witness.witness.follow(key, url: nil) }
        for database in [setting.database, small.database, stranger.database, witness.database] {
            await database.close()
        }
    }

    @Test("[LOG-7] of two branches that ask at once only one is ever cosigned at a size")
    func races() async throws {
        let witness = try await WitnessSetting(other)
        let logs = try await [LogSetting(try TemporaryFolder()), LogSetting(try TemporaryFolder())]
        try await witness.witness.follow(logs[0].log.verifierKey, url: nil)
        for (index, setting) in logs.enumerated() {
            try await setting.post(20, from: 1000 * index)
            try await setting.log.drain()
        }
        let signed = await withTaskGroup(of: Int?.self) { group in
            for attempt in 0..<20 {
                let log = logs[attempt % 2].log
                group.addTask {
                    let request = AddCheckpoint(oldSize: 0, proof: [], checkpoint: log.checkpoint)
                    return (try? await witness.witness.add(request)) == nil ? nil : attempt % 2
                }
            }
            return await group.reduce(into: Set<Int>()) { set, found in if let found { set.insert(found) } }
        }
        #expect(signed.count == 1)
        for database in logs.map(\.database) + [witness.database] { await database.close() }
    }
}
