import Encodings
import Market
import Records
import SignedDocuments
import Synchronization
import TestSupport
import Testing

@testable import Gossip
@testable import Trading

@Suite("What a node knows of liveness", .timeLimit(.minutes(2)))
struct LivenessBookTests {
    private static let seller = Sample.signer(1)
    private static let key = RecordKey(author: seller.did, kind: "listing", name: "weather")

    private static func shelf() throws -> Shelf { try Shelf(kinds: Listing.kind, LivenessReport.kind) }

    private static func book(
        _ shelf: Shelf,
        calls: [LivenessResult] = []
    ) -> LivenessBook {
        LivenessBook(
            cache: shelf.database,
            records: shelf.store,
            own: Sample.signer(99).did,
            clock: shelf.clock
        ) { keys, _ in Dictionary(keys.map { ($0, calls) }, uniquingKeysWith: { $1 }) }
    }

    /// What a node says of the listing, as a record.
    private static func word(
        _ state: LivenessState,
        by rater: UInt8,
        sequence: UInt64 = 1,
        shelf: Shelf,
        of services: [String] = ["weather"]
    ) throws -> Record {
        let entries = services.map { service in
            LivenessReport.Entry(
                seller: seller.did,
                service: service,
                state: state,
                good: state == .alive ? 1 : 0,
                failed: state == .alive ? 0 : 3,
                last: shelf.now
            )
        }
        return try .sign(
            try #require(LivenessReport(telling: entries)).body,
            of: LivenessReport.kind,
            name: LivenessReport.name,
            sequence: sequence,
            created: shelf.now,
            by: Sample.signer(rater)
        )
    }

    private static func probe(_ shelf: Shelf, _ why: ProbeTarget.Why) async throws {
        let store = ProbeStore(database: shelf.database)
        try await store.end(store.begin(key, host: "h", at: shelf.now), why, milliseconds: 30)
    }

    @Test(
        "[LIV-9] Others' word sinks what is not known here, ends when they are trusted no more, and loses to one probe of this node's own"
    )
    func others() async throws {
        let shelf = try Self.shelf()
        let book = Self.book(shelf)
        func state() async throws -> LivenessState? {
            // What others say is read now and then.
            shelf.pass(seconds: 11)
            return try await book.standings(of: [Self.key])[Self.key]?.state
        }
        #expect(try await state() == .unknown)
        try await shelf.keep(try Self.word(.dead, by: 20, shelf: shelf))
        #expect(try await state() == .unknown)
        try await shelf.keep(try Self.word(.dead, by: 21, shelf: shelf))
        #expect(try await state() == .dead)
        try await shelf.store.apply(AdmissionPolicy(trustedIssuers: [Sample.signer(20).did]))
        #expect(try await state() == .unknown)
        try await shelf.store.apply(AdmissionPolicy(trustedIssuers: [Sample.signer(20).did, Sample.signer(21).did]))
        #expect(try await state() == .dead)
        try await Self.probe(shelf, .answered)
        #expect(try await state() == .alive)
    }

    @Test(
        "[LIV-9] A flood of results takes one voice a node and no more room than the kind has; what is over it displaces nothing"
    )
    func flood() async throws {
        let shelf = try Self.shelf()
        try await shelf.keep(try Sample.record(Sample.listing(), created: shelf.now))
        let names = (0..<96).map { "s\($0)" }
        for sequence in UInt64(1)...60 {
            try await shelf.keep(
                try Self.word(.dead, by: 20, sequence: sequence, shelf: shelf, of: names + ["weather"])
            )
        }
        let totals = try await shelf.store.totals()
        #expect(totals.first { $0.kind == "liveness" }?.records == 1)
        #expect(totals.first { $0.kind == "listing" }?.records == 1)
        let known = try await Self.book(shelf).standings(of: [
            RecordKey(author: Self.seller.did, kind: "listing", name: "s1")
        ])
        #expect(known.values.first?.others.dead == 1 && known.values.first?.state == .unknown)
        // Of a kind for issuers alone nobody else's is kept or passed on.
        #expect(LivenessReport.kind.authors == .issuers)
        #expect(LivenessReport.kind.recordsPerAuthor == 1 && LivenessReport.kind.totalBytes == 8 << 20)
    }

    @Test("[LIV-6] [LIV-7] Own paid calls win over probes, and count where there is no probe")
    func calls() async throws {
        let shelf = try Self.shelf()
        for _ in 0..<5 { try await Self.probe(shelf, .answered) }
        let failed = (0..<3).map {
            LivenessResult(at: shelf.now.adding(seconds: -600 * $0), outcome: .failed, source: .call)
        }
        let standing = try await Self.book(shelf, calls: failed).standings(of: [Self.key])[Self.key]
        #expect(standing?.state == .dead)
        let other = RecordKey(author: Sample.signer(2).did, kind: "listing", name: "chess")
        let good = LivenessResult(at: shelf.now, outcome: .good, source: .call, milliseconds: 9)
        #expect(try await Self.book(shelf, calls: [good]).standings(of: [other])[other]?.state == .alive)
    }

    @Test("[LIV-8] What is told is what probes of the last six hours showed, and nothing of what was bought where")
    func told() async throws {
        let shelf = try Self.shelf()
        let call = LivenessResult(at: shelf.now, outcome: .failed, source: .call)
        let book = Self.book(shelf, calls: [call])
        #expect(try await book.report() == nil)
        try await Self.probe(shelf, .busy)
        #expect(try await book.report() == nil)
        try await Self.probe(shelf, .answered)
        let report = try #require(try await book.report())
        #expect(report.entries.count == 1)
        let entry = try #require(report.entries.first)
        #expect(entry.seller == Self.seller.did && entry.service == "weather" && entry.state == .alive)
        #expect(entry.good == 1 && entry.failed == 0 && entry.latencyMilliseconds == 30)
        let record = try Record.sign(
            report.body,
            of: LivenessReport.kind,
            name: LivenessReport.name,
            sequence: 1,
            created: shelf.now,
            by: Sample.signer(99)
        )
        try RecordRules(RecordKinds([LivenessReport.kind])).check(record, now: shelf.now)
        shelf.pass(seconds: 6 * 3_600)
        #expect(try await book.report() == nil)
    }

    @Test("[LIV-7] What is dead comes last whatever it scores, and keeps its place in no filter")
    func ranking() async throws {
        let shelf = try Self.shelf()
        for (number, text) in ["weather weather weather", "weather", "weather"].enumerated() {
            try await shelf.keep(
                try Sample.record(
                    Sample.listing(text) { $0.title = number == 0 ? "Weather" : nil },
                    name: "s\(number)",
                    created: shelf.now,
                    by: Sample.signer(UInt8(number + 1))
                )
            )
        }
        let found = try await shelf.index.search(ListingQuery("weather"))
        let keys = found.listings.map(\.record.key)
        #expect(keys.count == 3 && keys[0].name == "s0")
        let dead = LivenessVerdict(
            (0..<3).map { .init(at: shelf.now.adding(seconds: $0 * -600), outcome: .failed) },
            now: shelf.now
        )
        let alive = LivenessVerdict([.init(at: shelf.now, outcome: .good)], now: shelf.now)
        let standings = [
            keys[0]: LivenessStanding(own: dead, others: .init()), keys[2]: .init(own: alive, others: .init()),
        ]
        let ranked = found.ranked(by: standings, count: 10)
        #expect(ranked.listings.map(\.record.key) == [keys[2], keys[1], keys[0]])
        #expect(ranked.listings.map(\.points).last == 0)
        #expect(ranked.listings.allSatisfy { $0.parts.last?.name == "alive" })
        #expect(found.ranked(by: standings, aliveAlone: true, count: 10).listings.map(\.record.key) == [keys[2]])
        #expect(found.ranked(by: standings, count: 1).listings.count == 1)
        // Where nothing is known nothing changes.
        #expect(found.ranked(by: [:], count: 10).listings.map(\.record.key) == keys)
    }
}
