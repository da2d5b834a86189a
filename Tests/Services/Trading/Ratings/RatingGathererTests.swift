import CanonicalJSON
import Encodings
import Market
import Receipts
import Records
import SignedDocuments
import Storage
import TestSupport
import Testing

@testable import Trading

@Suite("Ratings of others, gathered", .timeLimit(.minutes(2))) struct RatingGathererTests {
    private static let seller: UInt8 = 50

    @Test(
        "[REP-12] [REP-18] A seed's ratings give its sellers a value, what is new is fetched alone, and a restart keeps all"
    )
    func gathered() async throws {
        let feed = Feed(20)
        let here = try GatheringNode(seeds: [feed.did])
        try feed.buy(3, from: Self.seller)
        #expect(try await here.score(Self.seller).value == 0)
        try await here.hear(feed)
        #expect(try await here.gatherer.round() == [.init(judge: feed.did, counted: 3)])
        let score = try await here.score(Self.seller)
        // The seed has half of the walk's beginnings, and gives all that goes on to the one that it bought from.
        #expect(abs(score.trust - 0.3 * 0.5 * 0.7) < 1e-5 && score.value > 0 && score.good == 0)
        let why = try await here.book.why(Sample.signer(Self.seller).did)
        #expect(why.paths.map(\.through) == [[feed.did, Sample.signer(Self.seller).did]])
        #expect(why.paths.first?.beginsAtSeed == true && why.judges == 1)
        // Nothing new: nobody is asked.
        here.shelf.pass(seconds: 100)
        #expect(try await here.gatherer.round() == [] && here.web.asked.count == 1)
        try feed.buy(1, from: 51)
        try await here.hear(feed, 2)
        #expect(try await here.gatherer.round() == [.init(judge: feed.did, counted: 1)])
        #expect(here.web.asked.last?.hasSuffix("?from=3") == true)
        #expect(try await here.score(51).value > 0)
        let again = try GatheringNode(seeds: [feed.did], on: (here.shelf, here.folder))
        for seller in [Self.seller, 51] {
            let (before, after) = (try await here.score(seller), try await again.score(seller))
            #expect(abs(before.trust - after.trust) < 1e-5 && after.value > 0)
        }
        let told = try await again.store.gathered()
        #expect(told.map(\.counted) == [4] && told.map(\.receipts) == [4] && told.first?.why == nil)
        // It was seen to the end: the new process asks for nothing again.
        again.shelf.pass(seconds: 100)
        #expect(try await again.gatherer.round() == [])
    }

    @Test("[REP-18] Whom no trust reaches is not asked; whom a seed bought from is")
    func reached() async throws {
        let (seed, stranger) = (Feed(20), Feed(30))
        let here = try GatheringNode(seeds: [seed.did])
        try stranger.buy(2, from: Self.seller)
        try await here.hear(stranger)
        #expect(try await here.gatherer.round() == [] && here.web.asked.isEmpty)
        try seed.buy(1, from: 30)
        try await here.hear(seed)
        #expect(try await here.gatherer.round().map(\.judge) == [seed.did])
        #expect(try await here.score(Self.seller).value == 0)
        #expect(try await here.gatherer.round().map(\.judge) == [stranger.did])
        let way = try await here.book.why(Sample.signer(Self.seller).did).paths.first?.through
        #expect(way == [seed.did, stranger.did, Sample.signer(Self.seller).did])
    }

    @Test("[REP-17] A replay, a wash trade, another's receipt and an unpaid one count for nothing, and it is told why")
    func refused() async throws {
        let (feed, other) = (Feed(20), BuyingNode(30))
        let here = try GatheringNode(seeds: [feed.did])
        let good = try feed.buying.rated(1, from: Self.seller)
        var bent = good.json
        bent["receipt"] = .object(try feed.buying.receipt(9, from: 52).document)
        feed.show([good, good])
        // The same receipt, rated otherwise.
        feed.show([try feed.buying.rated(1, from: Self.seller, .failed)])
        feed.show([
            try feed.buying.rated(2, from: 20), try other.rated(3, from: 51),
            try feed.buying.rated(4, from: 53, amount: 0),
            // A key that another node vouches for as well.
            try feed.buying.rated(5, from: 54, passport: feed.buying.passport(by: other.node)),
        ])
        feed.show([.object(bent)])
        try await here.hear(feed)
        let visit = try #require(try await here.gatherer.round().first)
        #expect(visit.counted == 1 && visit.why == nil)
        #expect(
            visit.refused == [
                "repeated": 2, "same-operator": 1, "bad-passport": 2, "not-paid": 1, "bad-rating": 1,
            ]
        )
        #expect(try await here.store.gathered().first?.refused == visit.refused)
        for seller: UInt8 in [20, 51, 52, 53, 54] {
            let why = try await here.book.why(Sample.signer(seller).did)
            #expect(why.judges == 0, "\(seller)")
        }
        #expect(try await here.score(Self.seller).trust > 0)
    }

    enum Lie: CaseIterable { case rewritten, leftOut, cut, otherRoot }

    @Test(
        "[REP-19] Who shows something else than it signed, or than it showed, loses what it shows from then on, for 30 days",
        arguments: Lie.allCases
    )
    func lied(_ lie: Lie) async throws {
        let feed = Feed(20)
        let here = try GatheringNode(seeds: [feed.did])
        try feed.buy(3, from: Self.seller)
        try await here.hear(feed)
        #expect(try await here.gatherer.round().first?.counted == 3)
        here.shelf.pass(seconds: 100)
        let honest = feed.all
        try feed.buy(2, from: 51)
        let record = try feed.record(2, at: here.shelf.now)
        switch lie {
        case .rewritten: feed.change(4, to: .object(try feed.buying.rated(4, from: 52).json))
        case .leftOut: feed.change(3, to: feed.all[4])
        case .cut: feed.cut(to: 2)
        case .otherRoot: feed.change(1, to: .object(try feed.buying.rated(1, from: 52).json))
        }
        let isOwnRecord = lie == .cut || lie == .otherRoot
        try await here.shelf.keep(isOwnRecord ? feed.record(2, at: here.shelf.now) : record)
        let visit = try #require(try await here.gatherer.round().first)
        #expect(visit.why == "contradicted" && visit.counted == 0)
        let told = try #require(try await here.store.gathered().first)
        #expect(told.contradictedAt == here.shelf.now && told.counted == 3 && told.receipts == 3)
        #expect(try await here.score(Self.seller).value > 0)
        for seller: UInt8 in [51, 52] { #expect(try await here.score(seller).value == 0) }
        // Be it honest again, it is not asked before the time is over.
        feed.cut(to: 0)
        feed.show(honest)
        try feed.buy(1, from: 53)
        here.shelf.pass(seconds: RatingStore.distrustSeconds - 1)
        try await here.hear(feed, 3)
        #expect(try await here.gatherer.round() == [])
        here.shelf.pass(seconds: 1)
        #expect(try await here.gatherer.round().first?.counted == 1)
        #expect(try await here.score(53).value > 0)
    }

    @Test(
        "[REP-18] Of very many the latest are read, after an edge that the root proves; a false edge is a contradiction"
    )
    func latest() async throws {
        let feed = Feed(20)
        let here = try GatheringNode(seeds: [feed.did], maximumRows: 2)
        try feed.buy(3, from: Self.seller)
        try feed.buy(2, from: 51)
        try await here.hear(feed)
        #expect(try await here.gatherer.round().first?.counted == 2)
        #expect(here.web.asked.last?.hasSuffix("?from=3") == true)
        #expect(try await here.score(51).trust > 0)
        #expect(try await here.score(Self.seller).trust == 0)
        let other = try GatheringNode(seeds: [feed.did], maximumRows: 2)
        try await other.shelf.keep(feed.record(1, at: other.shelf.now))
        other.web.put(feed.host) { from in
            feed.page(
                from: from,
                edge: [.string(String(repeating: "0", count: 64)), .string(String(repeating: "1", count: 64))]
            )
        }
        #expect(try await other.gatherer.round().first?.why == "contradicted")
        #expect(try await other.score(51).trust == 0)
    }

    @Test("[REP-18] Of one judge and of all so many ratings are kept, the latest")
    func kept() async throws {
        let (one, two) = (Feed(20), Feed(30))
        let here = try GatheringNode(seeds: [one.did, two.did], store: (perJudge: 3, all: 4))
        try one.buy(2, from: 51)
        try one.buy(3, from: 52)
        try await here.hear(one)
        #expect(try await here.gatherer.round().first?.counted == 5)
        #expect(try await here.store.calls().map(\.judged) == Array(repeating: Sample.signer(52).did, count: 3))
        try two.buy(3, from: 53)
        try await here.hear(two)
        #expect(try await here.gatherer.round().first?.counted == 3)
        let kept = try await here.store.calls()
        #expect(kept.map(\.judge) == [one.did, two.did, two.did, two.did])
    }

    @Test(
        "[REP-18] What is no page, or more than one visit takes, or not there, changes nothing and is tried again later"
    )
    func failures() async throws {
        let feed = Feed(20, rowsPerPage: 1)
        let here = try GatheringNode(seeds: [feed.did])
        let row = JSONValue.object(try feed.buying.rated(1, from: Self.seller).json)
        feed.show(Array(repeating: row, count: RatingGatherer.maximumPages + 1))
        try await here.hear(feed)
        #expect(try await here.gatherer.round().first?.why == "too-much")
        #expect(here.web.asked.count == RatingGatherer.maximumPages)
        #expect(try await here.score(Self.seller).trust == 0)
        here.shelf.pass(seconds: RatingGatherer.retrySeconds - 1)
        #expect(try await here.gatherer.round() == [])
        let broken: [@Sendable (Int) throws -> JSONObject] = [
            { _ in throw MarketError(.notRunning, "nobody is there") },
            { _ in [:] },
            { _ in feed.page(from: 1) },
            { from in
                var page = feed.page(from: from)
                page["receipts"] = []
                return page
            },
            { from in
                var page = feed.page(from: from)
                page["receipts"] = [["rating": 1]]
                return page
            },
            { from in
                var page = feed.page(from: from)
                page["receipts"] = .array(Array(repeating: row, count: ReceiptShelf.maximumRows + 1))
                return page
            },
            { from in feed.page(from: from, edge: ["00"]) },
        ]
        for (number, answer) in broken.enumerated() {
            here.shelf.pass(seconds: RatingGatherer.retrySeconds)
            here.web.put(feed.host, answer)
            let why = try await here.gatherer.round().first?.why
            #expect(why == (number == 0 ? "unreachable" : "malformed"), "\(number)")
        }
        #expect(try await here.store.gathered().first?.counted == 0)
        here.shelf.pass(seconds: RatingGatherer.retrySeconds)
        feed.cut(to: 1)
        try await here.hear(feed, 2)
        #expect(try await here.gatherer.round().first?.counted == 1)
        #expect(try await here.store.gathered().first?.why == nil)
    }
}
