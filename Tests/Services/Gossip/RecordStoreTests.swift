import Encodings
import Passports
import Records
import SignedDocuments
import TestSupport
import Testing

@testable import Gossip

@Suite("The store of records", .timeLimit(.minutes(2)))
struct RecordStoreTests {
    @Test(
        "[REC-6] a later record takes the place of the one before; an earlier one that is replayed does not, whatever came first"
    )
    func replaceable() async throws {
        let records = try (1...4).map { try Sample.record("\($0)", sequence: $0) }
        let twin = try Sample.record("twin", sequence: 4)
        let last = min(records[3].id, twin.id) == twin.id ? twin : records[3]
        var random = SeededRandom(seed: 1)
        for _ in 0..<6 {
            let node = try TestNode()
            for record in (records + [twin]).shuffled(using: &random) {
                await node.take([record], passport: try Sample.passport())
            }
            #expect(try await node.ids() == [last.id])
            #expect(await node.take([records[1]]) == [.superseded])
            #expect(await node.take([last]) == [.duplicate])
            #expect(try await node.store.record(last.key) == last)
            await node.store.close()
        }
    }

    @Test(
        "Tombstone: what is deleted does not come back by replay, not when it came late, not after newer ones, until it is past"
    )
    func resurrection() async throws {
        let reality = Reality()
        let kind = Sample.kind(perAuthor: 3)
        let node = try TestNode(kinds: [kind], reality: reality)
        let (record, tombstone) = (try Sample.record(kind: kind), try Sample.tombstone(kind: kind))
        let passport = try Sample.passport()
        // The tombstone comes first, as on a node that was away.
        #expect(await node.take([tombstone], passport: passport) == [nil])
        #expect(await node.take([record], passport: passport) == [.superseded])
        #expect(try await node.store.record(record.key) == nil)
        var query = RecordQuery(kind: "note")
        query.includesTombstones = true
        #expect(try await node.store.records(query) == [tombstone])
        // A flood of the author's own does not wash it away.
        let flood = try (0..<20).map {
            try Sample.record(kind: kind, name: "flood\($0)", created: Sample.now.adding(seconds: $0))
        }
        await node.take(flood)
        #expect(await node.take([record]) == [.superseded])
        #expect(try await node.store.records(query).count == 4)
        // Until the record could live no longer the tombstone is here.
        reality.pass(seconds: 86_400)
        try await node.store.sweep()
        #expect(try await node.store.version(of: record.key) == tombstone.version)
        #expect(await node.take([record]) == [.expired])
        reality.pass(seconds: 86_399)
        #expect(try await node.store.sweep() == 3)
        reality.pass(seconds: 1)
        #expect(try await node.store.sweep() == 1)
        #expect(try await node.store.totals() == [])
        await node.store.close()
    }

    @Test(
        "[REC-16] quota flood by one author: the newest stay, the same ones on every node, in whatever order they came"
    )
    func authorQuota() async throws {
        let kind = Sample.kind(perAuthor: 9)
        let records = try (0..<40).map {
            // Two at each instant, so that the id has to decide.
            try Sample.record(kind: kind, name: "n\($0)", created: Sample.now.adding(seconds: Int64($0 / 2)))
        }
        let newest = Set(
            records.sorted { ($0.created, $0.id) < ($1.created, $1.id) }.suffix(9).map(\.id)
        )
        var random = SeededRandom(seed: 2)
        for _ in 0..<4 {
            let node = try TestNode(kinds: [kind])
            for record in records.shuffled(using: &random) {
                _ = await node.take([record], passport: try Sample.passport())
            }
            #expect(Set(try await node.ids()) == newest)
            let old = try #require(records.first)
            #expect(await node.take([old]) == [.overQuota])
            await node.store.close()
        }
    }

    @Test("[REC-16] quota flood of a kind: whoever has most gives way; others, and other kinds, lose nothing")
    func kindQuota() async throws {
        let (kind, other) = (Sample.kind(bytes: 40_000), Sample.kind("notice", bytes: 40_000))
        let node = try TestNode(kinds: [kind, other])
        let quiet = Sample.author(2)
        let kept = try [Sample.record("quiet", kind: kind, by: quiet), Sample.record("quiet", kind: other, by: quiet)]
        await node.take(kept, passport: try Sample.passport(of: quiet))
        let passport = try Sample.passport()
        var refused = 0
        for number in 0..<100 {
            let record = try Sample.record(
                String(repeating: "x", count: 1_000),
                kind: kind,
                name: "n\(number)",
                created: Sample.now.adding(seconds: Int64(number % 7)),
                by: Sample.author()
            )
            if await node.take([record], passport: passport) == [.overQuota] { refused += 1 }
            let total = try await node.store.totals().first { $0.kind == "note" }
            #expect((total?.bytes ?? 0) <= 40_000)
        }
        #expect(refused > 0)
        #expect(Set(try await node.ids()).isSuperset(of: kept.map(\.id)))
        // Many authors with a little each: the room is the room.
        for number in UInt8(10)..<60 {
            let signer = Sample.author(number)
            await node.take(
                [try Sample.record(String(repeating: "y", count: 1_500), kind: kind, by: signer)],
                passport: try Sample.passport(of: signer)
            )
        }
        let totals = try await node.store.totals()
        #expect(totals.allSatisfy { $0.bytes <= 40_000 } && totals.count == 2)
        #expect(try await node.store.record(kept[1].key) == kept[1])
        let all = try await node.store.records(RecordQuery(kind: "note"))
        let bytes = try #require(totals.first { $0.kind == "note" }?.bytes)
        #expect(all.reduce(0) { $0 + $1.bytes.count } == bytes)
        await node.store.close()
    }

    @Test("Authors are bounded as well: more than there may be are turned away, and room comes back")
    func authorCount() async throws {
        let reality = Reality()
        var limits = RecordStore.Limits()
        limits.authors = 3
        let node = try TestNode(reality: reality, storeLimits: limits)
        for number in UInt8(1)...4 {
            let signer = Sample.author(number)
            let codes = await node.take(
                [try Sample.record(by: signer)],
                passport: try Sample.passport(of: signer)
            )
            #expect(codes == [number == 4 ? .overQuota : nil])
        }
        reality.pass(seconds: 90_000)
        try await node.store.sweep()
        let late = try Sample.record(created: Sample.now.adding(seconds: 90_000), by: Sample.author(4))
        let passport = try Sample.passport(of: Sample.author(4), from: Sample.now.adding(seconds: 90_000))
        #expect(await node.take([late], passport: passport) == [nil])
        await node.store.close()
    }

    @Test(
        "[REC-15] a revoked author's records go, what is replayed of them stays away, and a passport of a later date brings the author back"
    )
    func revoked() async throws {
        let reality = Reality()
        let node = try TestNode(reality: reality)
        let records = try (0..<5).map { try Sample.record(name: "n\($0)") }
        await node.take(records, passport: try Sample.passport())
        let other = try Sample.record(by: Sample.author(2))
        await node.take([other], passport: try Sample.passport(of: Sample.author(2)))
        reality.pass(seconds: 10)
        // The list that this node has still shows the passport good.
        #expect(try await node.intake.revoke(Sample.author().did, at: Sample.now.adding(seconds: 10)) == 5)
        #expect(try await node.ids() == [other.id])
        #expect(await node.take([records[0]], passport: try Sample.passport()) == [.revoked])
        let stamp = try Stamp.sign(records[0], amount: 5, unit: "sat", created: Sample.now, by: Sample.entry)
        #expect(await node.take([records[0]], stamp: stamp) == [.revoked])
        reality.pass(seconds: 10)
        let renewed = try Sample.passport(from: Sample.now.adding(seconds: 20))
        #expect(await node.take([records[0]], passport: renewed) == [nil])
        #expect(try await node.store.author(Sample.author().did)?.revokedAt == nil)
        await node.store.close()
    }

    @Test(
        "[REC-13] records stop counting when the passport ends, and count again with the next; a restart changes nothing"
    )
    func lapses() async throws {
        let reality = Reality()
        let folder = try TemporaryFolder()
        let node = try TestNode(reality: reality, folder: folder)
        let record = try Sample.record(created: Sample.now.adding(seconds: 200))
        await node.take([record], passport: try Sample.passport())
        #expect(try await node.ids() == [record.id])
        reality.pass(seconds: 86_400)
        #expect(try await node.ids() == [])
        #expect(try await node.store.record(record.key) == nil)
        #expect(try await node.store.pieces([record.id]).isEmpty)
        // It is here already, and counts by what comes with it; so it goes on to others.
        let renewed = try Sample.passport(from: Sample.now.adding(seconds: 80_000))
        #expect(await node.take([record], passport: renewed) == [nil])
        #expect(await node.take([record], passport: renewed) == [.duplicate])
        #expect(try await node.ids() == [record.id])
        await node.store.close()

        let again = try TestNode(reality: reality, folder: folder)
        #expect(try await again.ids() == [record.id])
        #expect(try await again.store.record(record.key) == record)
        // The passport is known: what the author says next needs none with it.
        #expect(await again.take([try Sample.record("more", sequence: 2, created: record.created)]) == [nil])
        // Whom the operator trusts no more does not count, and does again.
        try await again.intake.setPolicy(AdmissionPolicy(trustedIssuers: []))
        #expect(try await again.ids() == [])
        try await again.intake.setPolicy(AdmissionPolicy(trustedIssuers: [Sample.issuer.did]))
        #expect(try await again.ids().count == 1)
        await again.store.close()
    }

    @Test("A query pages through records by time, of one author or all")
    func pages() async throws {
        let node = try TestNode()
        for number in UInt8(1)...2 {
            let signer = Sample.author(number)
            let records = try (0..<25).map {
                try Sample.record(name: "n\($0)", created: Sample.now.adding(seconds: Int64($0 / 5)), by: signer)
            }
            await node.take(records, passport: try Sample.passport(of: signer))
        }
        var query = RecordQuery(kind: "note")
        query.count = 7
        var seen: [Record] = []
        while case let page = try await node.store.records(query), let last = page.last {
            seen += page
            query.after = ReconciliationItem(
                timestamp: UInt64(last.created.millisecondsSince1970),
                id: last.id
            )
        }
        #expect(try await node.ids() == seen.map(\.id))
        #expect(seen.count == 50)
        #expect(try await node.store.records(RecordQuery(kind: "note", author: Sample.author(2).did)).count == 25)
        #expect(try await node.store.records(RecordQuery(kind: "other")).isEmpty)
        #expect(try await node.store.missing(seen.map(\.id)).isEmpty)
        await node.store.close()
    }
}
