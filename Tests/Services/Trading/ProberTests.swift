import Encodings
import Market
import Records
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Trading

/// What a prober's questions are answered with.
private final class Answers: Sendable {
    private let asked = Mutex<[String]>([])
    private static let good = ProbeAnswer.status(402, .init(offers: 1))
    private let given = Mutex<(answer: ProbeAnswer, prefix: String)>((good, ""))
    /// Held back while there is a gate.
    private let gate = Mutex<(AsyncStream<Void>, AsyncStream<Void>.Continuation)?>(nil)

    var count: Int { asked.withLock { $0.count } }
    var urls: [String] { asked.withLock { $0 } }

    /// From now on; of the URLs alone that begin so.
    func answer(_ answer: ProbeAnswer, to prefix: String = "") { given.withLock { $0 = (answer, prefix) } }

    func hold() { gate.withLock { $0 = AsyncStream.makeStream(of: Void.self) } }
    func release() { gate.withLock { $0?.1.finish() } }

    func ask(_ target: ProbeTarget) async -> (ProbeAnswer, Int64?) {
        asked.withLock { $0.append(target.url) }
        if let stream = gate.withLock({ $0?.0 }) { for await _ in stream {} }
        let given = given.withLock { $0 }
        return (target.url.hasPrefix(given.prefix) ? given.answer : Self.good, 12)
    }

    func waitFor(_ count: Int) async {
        while self.count < count { await Task.yield() }
    }
}

@Suite("The prober", .timeLimit(.minutes(2)))
struct ProberTests {
    private static func prober(
        _ shelf: Shelf,
        _ answers: Answers,
        perHour: Int = 60,
        own: DocumentSigner = Sample.signer(99),
        seed: UInt64 = 1
    ) -> Prober {
        Prober(
            cache: shelf.database,
            index: shelf.index,
            perHour: perHour,
            own: own.did,
            clock: shelf.clock,
            random: SeededRandom(seed: seed),
            logger: Sample.logger,
            ask: { await answers.ask($0) }
        )
    }

    /// So many sellers with one listing each, on hosts of their own.
    private static func fill(_ shelf: Shelf, sellers: Int) async throws {
        for number in 1...sellers {
            try await shelf.keep(
                try Sample.record(
                    Sample.listing(url: "https://h\(number).example/s/weather"),
                    created: shelf.now,
                    lifetimeSeconds: 7 * 86_400,
                    by: Sample.signer(UInt8(number))
                )
            )
        }
    }

    @Test("[LIV-4] [LIV-11] The budget of an hour is kept to the letter, by many steps at once and over a restart")
    func budget() async throws {
        let (shelf, answers) = (try Shelf(), Answers())
        try await Self.fill(shelf, sellers: 40)
        let prober = Self.prober(shelf, answers, perHour: 12)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<60 { group.addTask { _ = try? await prober.step() } }
        }
        for _ in 0..<20 { try await prober.step() }
        #expect(answers.count == 12)
        #expect(Set(answers.urls).count == 12)
        // Another run on the same file.
        let second = Self.prober(shelf, answers, perHour: 12, seed: 2)
        for _ in 0..<20 { try await second.step() }
        #expect(answers.count == 12)
        shelf.pass(seconds: 3_599)
        try await second.step()
        #expect(answers.count == 12)
        shelf.pass(seconds: 1)
        for _ in 0..<20 { try await second.step() }
        #expect(answers.count == 24)
    }

    @Test("[LIV-11] A probe that a crash cut short counts for the budget and says nothing of whom it asked")
    func cutShort() async throws {
        let (shelf, answers) = (try Shelf(), Answers())
        try await Self.fill(shelf, sellers: 5)
        let prober = Self.prober(shelf, answers, perHour: 1)
        answers.hold()
        let task = Task { try await prober.step() }
        await answers.waitFor(1)
        task.cancel()
        answers.release()
        #expect(try await task.value == nil)
        let key = try await shelf.found()
        let entries = try await ProbeStore(database: shelf.database).entries(of: key)
        #expect(entries.values.flatMap { $0 }.count == 1)
        #expect(entries.values.flatMap { $0 }.compactMap(\.result).isEmpty)
        try await Self.prober(shelf, answers, perHour: 1).step()
        #expect(answers.count == 1)
    }

    @Test("[LIV-4] One at a time to a host, and eight at once in all, while they hang")
    func hanging() async throws {
        let (shelf, answers) = (try Shelf(), Answers())
        try await Self.fill(shelf, sellers: 20)
        for number in 0..<10 {
            try await shelf.keep(
                try Sample.record(
                    Sample.listing(url: "https://one.example/s/x\(number)"),
                    name: "x\(number)",
                    by: Sample.signer(50)
                )
            )
        }
        let prober = Self.prober(shelf, answers, perHour: 3_600)
        answers.hold()
        let tasks = (0..<8).map { _ in Task { try await prober.step() } }
        await answers.waitFor(8)
        #expect(try await prober.step() == nil)
        let hosts = answers.urls.map { $0.split(separator: "/")[1] }
        #expect(Set(hosts).count == 8)
        answers.release()
        for task in tasks { #expect(try await task.value?.why == .answered) }
    }

    @Test("[LIV-4] What a search showed is probed first; the node's own and what is no longer listed never")
    func choosing() async throws {
        let (shelf, answers) = (try Shelf(), Answers())
        try await Self.fill(shelf, sellers: 30)
        let own = Sample.signer(1)
        let prober = Self.prober(shelf, answers, own: own)
        let shown = RecordKey(author: Sample.signer(7).did, kind: "listing", name: "weather")
        await prober.show([shown, RecordKey(author: Sample.signer(7).did, kind: "listing", name: "gone")])
        var first: [RecordKey] = []
        for _ in 0..<29 { if let probed = try await prober.step() { first.append(probed.listing) } }
        #expect(first.count == 29 && Set(first).count == 29)
        #expect(first.prefix(6).contains(shown))
        #expect(!first.contains { $0.author == own.did })
    }

    @Test(
        "[LIV-4] [LIV-5] [LIV-7] A seller that is gone is asked ever more seldom, is dead after ten minutes and stays so, and sinks; one that is back rises"
    )
    func death() async throws {
        let (shelf, answers) = (try Shelf(), Answers())
        try await shelf.keep(
            try Sample.record(Sample.listing("Weather of today"), created: shelf.now, lifetimeSeconds: 7 * 86_400),
            try Sample.record(
                Sample.listing("Something of weather", url: "https://b.example/s/weather"),
                created: shelf.now,
                lifetimeSeconds: 7 * 86_400,
                by: Sample.signer(2)
            )
        )
        let prober = Self.prober(shelf, answers)
        let book = LivenessBook(
            cache: shelf.database,
            records: shelf.store,
            own: Sample.signer(99).did,
            clock: shelf.clock
        ) { _, _ in [:] }
        func found(aliveAlone: Bool = false) async throws -> FoundListings {
            let found = try await shelf.index.search(ListingQuery("weather"))
            let standings = try await book.standings(of: found.listings.map(\.record.key))
            return found.ranked(by: standings, aliveAlone: aliveAlone, count: 10)
        }
        let best = try #require(try await found().listings.first)
        let key = best.record.key
        answers.answer(.unreachable, to: best.urls[0].text)
        var probes: [Timestamp] = []
        // A day and a half, in steps of ten minutes.
        for step in 1...216 {
            shelf.pass(seconds: 600)
            await prober.show([key])
            if let probed = try await prober.step(), probed.listing == key { probes.append(shelf.now) }
            guard step == 9 else { continue }
            let report = try #require(try await book.report())
            #expect(report.entries.contains { $0.seller == key.author && $0.state == .dead && $0.good == 0 })
        }
        #expect((8...20).contains(probes.count), "\(probes.count)")
        let sunk = try await found()
        #expect(sunk.listings.last?.record.key == key)
        #expect(sunk.listings.last?.points == 0)
        #expect(sunk.listings.last?.parts.last?.name == "alive")
        #expect(sunk.listings.last?.parts.last?.why.hasPrefix("dead: failed ") == true)
        #expect(
            try await found(aliveAlone: true).listings.map(\.record.key) == [
                try #require(sunk.listings.first).record.key
            ]
        )
        answers.answer(.status(402, .init(offers: 1)))
        shelf.pass(seconds: 2 * 86_400)
        while try await prober.step()?.listing != key { shelf.pass(seconds: 60) }
        let back = try await found()
        #expect(back.listings.first { $0.record.key == key }?.parts.last?.points == 300)
        #expect(try await found(aliveAlone: true).listings.contains { $0.record.key == key })
    }

    @Test("[LIV-4] It runs at the plan's gaps until it is cancelled, and not at all with a budget of 0")
    func runs() async throws {
        let (shelf, answers) = (try Shelf(), Answers())
        try await Self.fill(shelf, sellers: 10)
        await Self.prober(shelf, answers, perHour: 0).run { _ in Issue.record("it waits for nothing") }
        let gaps = Mutex<[Int64]>([])
        let prober = Self.prober(shelf, answers, perHour: 40)
        await prober.run { gap in
            let count = gaps.withLock { gaps in
                gaps.append(gap)
                return gaps.count
            }
            if count > 20 { throw CancellationError() }
            await Task.yield()
        }
        #expect(Set(gaps.withLock { $0 }).count > 15)
        #expect((1...10).contains(answers.count))
    }

    @Test(
        "[LIV-11] Of a listing the latest 32 results are kept, and of all no more than there is room for, none older than two days"
    )
    func bounded() async throws {
        let shelf = try Shelf()
        let store = ProbeStore(database: shelf.database, maximumResults: 100)
        let keys = (1...9).map { RecordKey(author: Sample.signer(UInt8($0)).did, kind: "listing", name: "weather") }
        for round in 0..<100 {
            for key in keys.prefix(round < 50 ? 1 : 9) {
                let id = try await store.begin(key, host: "h", at: shelf.now)
                try await store.end(id, .answered, milliseconds: 1)
            }
        }
        let rows = try await shelf.database.read { try $0.first("SELECT count(*) FROM probe_results")?.int(0) }
        #expect((90...100).contains(rows ?? 0))
        let first = try await store.entries(of: [keys[0]])[keys[0]] ?? []
        #expect(first.count <= 32)
        shelf.pass(seconds: 2 * 86_400)
        _ = try await store.begin(keys[0], host: "h", at: shelf.now)
        let left = try await shelf.database.read { try $0.first("SELECT count(*) FROM probe_results")?.int(0) }
        #expect(left == 1)
    }

    @Test("[LIV-4] A seller with a thousand listings gets no more probes than one with a single one")
    func flood() async throws {
        let (shelf, answers) = (try Shelf(), Answers())
        try await Self.fill(shelf, sellers: 5)
        for number in 0..<200 {
            try await shelf.keep(
                try Sample.record(
                    Sample.listing(url: "https://f\(number).example/s/x"),
                    name: "x\(number)",
                    by: Sample.signer(60)
                )
            )
        }
        let prober = Self.prober(shelf, answers, perHour: 12)
        for _ in 0..<40 { try await prober.step() }
        #expect(answers.count == 12)
        let others = answers.urls.count { !$0.contains("//f") }
        #expect(others >= 4, "\(answers.urls)")
    }
}
