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
        @Sendable func add(to key: Int64, failing: Bool = false) async throws -> (value: Int64, isHit: Bool) {
            let (write, value, isHit) = try await database.write { connection in
                let row = try connection.first("SELECT count FROM counts WHERE id = ?", .integer(key))?.int64(0)
                let here = known[key]
                #expect(here == nil || here == row)
                let next = try #require(here ?? row) + 1
                let write = known.begin(key)
                try connection.execute("UPDATE counts SET count = ? WHERE id = ?", .integer(next), .integer(key))
                if failing { throw Refused() }
                return (write, next, here != nil)
            }
            known.end(write, key, value)
            return (value, isHit)
        }
        let added = await withTaskGroup(of: Int64?.self) { group in
            for number in 0..<Int64(600) {
                group.addTask {
                    let key = number % keys
                    // Some come while others wait, some after.
                    if number % 7 == 0 { try? await Task.sleep(for: .milliseconds(number % 50)) }
                    return (try? await add(to: key, failing: number % 5 == 0)) == nil ? nil : key
                }
            }
            return await group.reduce(into: [Int64: Int64]()) { added, key in
                if let key { added[key, default: 0] += 1 }
            }
        }
        #expect(added.values.reduce(0, +) == 480)
        for key in 0..<keys {
            let row = try await database.read { connection in
                try connection.first("SELECT count FROM counts WHERE id = ?", .integer(key))?.int64(0)
            }
            let count = try #require(added[key])
            #expect(row == count)
            #expect(known[key] == nil || known[key] == count)
            // One after the other: what the first left is found by the second.
            #expect(try await add(to: key).value == count + 1)
            let second = try await add(to: key)
            #expect(second == (count + 2, true))
        }
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
