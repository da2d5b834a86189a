import Foundation
import Logging
import Storage
import TestSupport
import Testing

private struct Refused: Error {}

@Suite struct CommittedTests {
    @Test("What is remembered is what is on the disk, whatever writes wait together, fail or overtake each other")
    func coherent() async throws {
        let folder = try TemporaryFolder()
        let table = Migration(
            id: "counts-1",
            sql: "CREATE TABLE counts (id INTEGER PRIMARY KEY, count INTEGER NOT NULL) STRICT"
        )
        let database = try Database(
            path: folder.path + "/a.sqlite",
            migrations: [table],
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        let keys: Int64 = 3
        try await database.write { connection in
            for key in 0..<keys { try connection.execute("INSERT INTO counts VALUES (?, 0)", .integer(key)) }
        }
        let known = Committed<Int64, Int64>(2)
        let added = await withTaskGroup(of: (key: Int64, isHit: Bool)?.self) { group in
            for number in 0..<Int64(600) {
                group.addTask {
                    let key = number % keys
                    // Some come while others wait, some after.
                    if number % 7 == 0 { try? await Task.sleep(for: .milliseconds(number % 50)) }
                    let outcome = try? await database.write { connection in
                        let row = try connection.first("SELECT count FROM counts WHERE id = ?", .integer(key))?.int64(0)
                        let here = known[key]
                        #expect(here == nil || here == row)
                        let next = try #require(here ?? row) + 1
                        let write = known.begin(key)
                        try connection.execute(
                            "UPDATE counts SET count = ? WHERE id = ?",
                            .integer(next),
                            .integer(key)
                        )
                        if number % 5 == 0 { throw Refused() }
                        return (write, next, here != nil)
                    }
                    guard let (write, value, isHit) = outcome else { return nil }
                    known.end(write, key, value)
                    return (key, isHit)
                }
            }
            return await group.reduce(into: [Int64: (count: Int64, hits: Int)]()) { added, one in
                guard let one else { return }
                added[one.key, default: (0, 0)].count += 1
                if one.isHit { added[one.key, default: (0, 0)].hits += 1 }
            }
        }
        #expect(added.values.reduce(0) { $0 + $1.count } == 480)
        for key in 0..<keys {
            let row = try await database.read { connection in
                try connection.first("SELECT count FROM counts WHERE id = ?", .integer(key))?.int64(0)
            }
            #expect(row == added[key]?.count)
            #expect(known[key] == nil || known[key] == row)
        }
        #expect(added.values.reduce(0) { $0 + $1.hits } > 0)
        await database.close()
    }

    @Test("A write that began later keeps the outcome of an earlier one out; one that failed leaves nothing")
    func overtaken() {
        let known = Committed<String, Int>(8)
        let first = known.begin("a")
        #expect(known["a"] == nil)
        let second = known.begin("a")
        known.end(first, "a", 1)
        #expect(known["a"] == nil)
        known.end(second, "a", 2)
        #expect(known["a"] == 2)
        // Begun and never ended.
        _ = known.begin("a")
        known.end(second, "a", 2)
        #expect(known["a"] == nil)
        let other = known.begin("b")
        known.removeAll()
        known.end(other, "b", 3)
        #expect(known["b"] == nil)
    }
}
