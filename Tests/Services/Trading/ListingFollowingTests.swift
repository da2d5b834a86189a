import CanonicalJSON
import Encodings
import Market
import Passports
import Records
import SignedDocuments
import Storage
import TestSupport
import Testing

@testable import Gossip
@testable import Trading

@Suite("The index follows the store", .timeLimit(.minutes(2)))
struct ListingFollowingTests {
    @Test("[LST-10] A listing that is replaced, taken back, expired or of an author who counts no more is not found")
    func ends() async throws {
        let shelf = try Shelf()
        let first = try Sample.record(Sample.listing("first"))
        try await shelf.keep(first)
        #expect(try await shelf.names("first") == ["weather"])
        try await shelf.keep(try Sample.record(Sample.listing("second"), sequence: 2))
        #expect(try await shelf.names("first") == [])
        #expect(try await shelf.names("second") == ["weather"])
        #expect(try await shelf.keep(first) == [.superseded])
        #expect(await code { _ = try await shelf.index.listing(first.id) } == .unknownListing)
        // Nobody is trusted for a while.
        try await shelf.store.apply(AdmissionPolicy(trustedIssuers: []))
        #expect(try await shelf.names() == [])
        try await shelf.store.apply(AdmissionPolicy(trustedIssuers: [Sample.signer(1).did]))
        #expect(try await shelf.names() == ["weather"])
        // By time alone, before anything is swept.
        shelf.pass(seconds: 86_400)
        #expect(try await shelf.names() == [])
        #expect(try await shelf.index.count() == 1)
        try await shelf.store.sweep()
        #expect(try await shelf.index.count() == 0)
        try await shelf.keep(try Sample.record(Sample.listing("third"), sequence: 3, created: shelf.now))
        #expect(try await shelf.names("third") == ["weather"])
        try await shelf.keep(try Sample.tombstone(sequence: 4, created: shelf.now))
        #expect(try await shelf.index.count() == 0)
    }

    @Test("[LST-10] An agent's listings are gone with its passport")
    func revoked() async throws {
        let shelf = try Shelf()
        let agent = Sample.signer(3)
        let passport = try ProvenPassport(try Sample.passport(of: agent))
        let record = try Sample.record(Sample.listing(), by: agent)
        let kept = try await shelf.store.insert([.init(RecordEnvelope(record: record), .passport(passport))])
        #expect(kept == [nil])
        #expect(try await shelf.names() == ["weather"])
        try await shelf.store.revoke(agent.did, at: shelf.now)
        #expect(try await shelf.names() == [])
        #expect(try await shelf.index.count() == 0)
        let again = try await shelf.store.insert([.init(RecordEnvelope(record: record), .passport(passport))])
        #expect(again.map { $0?.code } == [.revoked])
        #expect(try await shelf.names() == [])
    }

    @Test("[LST-10] What came before the index was there, or while it was not read, is found after a start")
    func begins() async throws {
        let folder = try TemporaryFolder()
        let clock = WallClock { Sample.now }
        let store = try RecordStore(
            path: folder.path + "/cache.sqlite",
            kinds: RecordKinds([Listing.kind]),
            clock: clock,
            logger: Sample.logger
        )
        let before = try Sample.record(Sample.listing("before"), name: "a")
        #expect(try await store.insert([.init(RecordEnvelope(record: before), .issuer)]) == [nil])
        await store.close()
        var shelf = try Shelf(folder: folder)
        #expect(try await shelf.names("before") == ["a"])
        try await shelf.keep(try Sample.record(Sample.listing("unread"), name: "b"))
        await shelf.database.close()
        shelf = try Shelf(folder: folder)
        #expect(try await shelf.index.follow() == 1)
        #expect(Set(try await shelf.names()) == ["a", "b"])
        #expect(try await shelf.index.follow() == 0)
    }

    @Test(
        "[LST-10] In whatever order things happen, what is found is what is in the store and counts",
        arguments: UInt64(1)...12
    )
    func anyOrder(seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        let kind = RecordKind(
            "listing",
            maximumBodyBytes: Listing.maximumBodyBytes,
            maximumLifetimeSeconds: Listing.maximumLifetimeSeconds,
            recordsPerAuthor: 4,
            totalBytes: 9_000
        )
        let shelf = try Shelf(kinds: kind)
        let authors = (1...4).map { Sample.signer($0) }
        let words = ["weather", "maps", "chess", "news"]
        for step in 0..<80 {
            let author = authors[Int.random(in: 0..<4, using: &random)]
            let name = "s\(Int.random(in: 0..<6, using: &random))"
            let sequence = UInt64.random(in: 1...9, using: &random)
            switch Int.random(in: 0..<12, using: &random) {
            case 0..<6:
                let said = words.shuffled(using: &random).prefix(2).joined(separator: " ")
                let seconds = Int64.random(in: 100...40_000, using: &random)
                let record = try Sample.record(
                    Sample.listing(said),
                    name: name,
                    sequence: sequence,
                    created: shelf.now,
                    lifetimeSeconds: seconds,
                    by: author
                )
                try await shelf.keep(record)
            case 6, 7:
                try await shelf.keep(
                    try Sample.tombstone(name: name, sequence: sequence, created: shelf.now, by: author)
                )
            case 8: shelf.pass(seconds: Int64.random(in: 1...20_000, using: &random))
            case 9: try await shelf.store.sweep()
            case 10:
                let trusted = authors.filter { _ in Bool.random(using: &random) }
                try await shelf.store.apply(AdmissionPolicy(trustedIssuers: Set(trusted.map(\.did))))
            default: try await shelf.store.revoke(author.did, at: shelf.now)
            }
            if Bool.random(using: &random) { try await shelf.index.follow() }
            try await compare(shelf, words: words, "step \(step)")
        }
        // As good as one that is made of the store alone.
        try await shelf.database.write { connection in
            try connection.execute("INSERT INTO listing_words (listing_words, rank) VALUES ('integrity-check', 1)")
            for table in ["listing_prices", "listing_facets"] {
                let lost = try connection.first(
                    "SELECT count(*) FROM \(table) WHERE listing NOT IN (SELECT id FROM listings)"
                )
                #expect(try lost?.int(0) == 0)
            }
        }
    }

    private func compare(_ shelf: Shelf, words: [String], _ place: String) async throws {
        var query = RecordQuery(kind: Listing.kind.name)
        query.count = RecordQuery.maximumCount
        let records = try await shelf.store.records(query)
        #expect(Set(try await shelf.found()) == Set(records.map(\.key)), "\(place)")
        for word in words {
            let expected = records.filter { $0.body?["description"]?.stringValue?.contains(word) == true }
            #expect(Set(try await shelf.found(word)) == Set(expected.map(\.key)), "\(place): \(word)")
        }
    }
}
