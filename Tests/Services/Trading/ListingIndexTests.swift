import CanonicalJSON
import Encodings
import Market
import Records
import SignedDocuments
import Storage
import TestSupport
import Testing

@testable import Gossip
@testable import Trading

@Suite("The index of listings", .timeLimit(.minutes(2)))
struct ListingIndexTests {
    @Test(
        "[LST-11] The system's SQLite has FTS5, and words are found in any English form, without accents, in any order"
    )
    func words() async throws {
        let shelf = try Shelf()
        let text = "Forecasts of the weather for cities, such as Zürich"
        try await shelf.keep(
            try Sample.record(
                Sample.listing(text) {
                    $0.title = "Sky"; $0.tags = ["climate"]
                }
            )
        )
        for words in [
            "weather", "WEATHER city", "forecast", "zurich ZÜRICH", "sky", "climate weather", "wea-ther weather",
        ] {
            // Of these nothing has `wea` or `ther`.
            let expected = words.hasPrefix("wea-")
            let found = try await shelf.index.search(ListingQuery(words))
            #expect(found.listings.count == 1, "\(words)")
            #expect(found.matchesSomeWords == expected, "\(words)")
        }
        #expect(try await shelf.names("tomorrow") == [])
    }

    @Test("[LST-11] Where nothing has all words, those with some are found, and it is said")
    func someWords() async throws {
        let shelf = try Shelf()
        try await shelf.keep(
            try Sample.record(Sample.listing("Weather of today"), name: "a"),
            try Sample.record(Sample.listing("Maps of today"), name: "b")
        )
        let all = try await shelf.index.search(ListingQuery("maps today"))
        #expect(all.listings.map(\.record.key.name) == ["b"])
        #expect(!all.matchesSomeWords)
        let some = try await shelf.index.search(ListingQuery("maps weather"))
        #expect(Set(some.listings.map(\.record.key.name)) == ["a", "b"])
        #expect(some.matchesSomeWords)
        let none = try await shelf.index.search(ListingQuery("chess poker"))
        #expect(none.listings.isEmpty && !none.matchesSomeWords)
    }

    @Test(
        "[LST-11] What means something to FTS5 means nothing in a search",
        arguments: [
            "weather NOT today", "weather OR chess", "\"weather today\"", "NEAR(weather today, 1)", "weather*", "wea*",
            "name:weather", "{name title}: weather", "^weather", "weather AND", "- weather", "weather\" OR \"x",
            "weather)", "(weather", "weather + today", "'; DROP TABLE listings; --", "weather\u{0}today", "%", "\"\"\"",
        ]
    )
    func operators(_ text: String) async throws {
        let shelf = try Shelf()
        try await shelf.keep(
            try Sample.record(Sample.listing("weather today"), name: "a"),
            try Sample.record(Sample.listing("weather or chess"), name: "b"),
            try Sample.record(Sample.listing("not near and or"), name: "c")
        )
        let words = ListingQuery(text).words
        guard !words.isEmpty else {
            #expect(await code { _ = try await shelf.index.search(ListingQuery(text)) } == .invalidQuery)
            return
        }
        let texts = ["a": "a weather today", "b": "b weather or chess", "c": "c not near and or"]
        func has(_ name: String, _ word: String) -> Bool {
            texts[name]?.split(separator: " ").contains { $0 == word.lowercased() } == true
        }
        let all = texts.keys.filter { name in words.allSatisfy { has(name, $0) } }
        let some = texts.keys.filter { name in words.contains { has(name, $0) } }
        #expect(Set(try await shelf.names(text)) == Set(all.isEmpty && words.count > 1 ? some : all), "\(words)")
        #expect(try await shelf.index.count() == 3)
    }

    @Test("[LST-11] A search has its bounds")
    func bounds() async throws {
        let shelf = try Shelf()
        func isRefused(_ query: ListingQuery) async -> Bool {
            await code { _ = try await shelf.index.search(query) } == .invalidQuery
        }
        #expect(await !isRefused(ListingQuery(String(repeating: "a", count: 256))))
        #expect(await isRefused(ListingQuery(String(repeating: "a", count: 257))))
        #expect(await !isRefused(ListingQuery((0..<12).map { "w\($0)" }.joined(separator: " "))))
        #expect(await isRefused(ListingQuery((0..<13).map { "w\($0)" }.joined(separator: " "))))
        let changes: [(inout ListingQuery) -> Void] = [
            { $0.count = 0 }, { $0.count = 101 }, { $0.tags = [String](repeating: "a", count: 9) }, { $0.tags = [""] },
            { $0.dialect = String(repeating: "a", count: 513) }, { $0.maximumPrice = (.max, "sat") },
            { $0.maximumPrice = (1, "") }, { $0.minimumUptimePPM = 1_000_001 }, { $0.maximumLatencyMilliseconds = 0 },
        ]
        for (number, change) in changes.enumerated() {
            var query = ListingQuery()
            change(&query)
            #expect(await isRefused(query), "\(number)")
        }
    }

    @Test("[LST-11] All that a search asks for must hold")
    func filters() async throws {
        let shelf = try Shelf()
        let other = Sample.signer(2)
        try await shelf.keep(
            try Sample.record(
                Sample.listing(amount: 9) { listing in
                    listing.prices.append(Listing.Price(path: "/b", amount: 3))
                    listing.prices.append(Listing.Price(path: "/c", amount: 50, unit: "usd"))
                    listing.tags = ["maps", "today"]
                    listing.promise = Listing.Promise("p95=300ms,uptime=99.5")
                    listing.mints = [ListingURL("https://mint.example")].compactMap { $0 }
                },
                name: "a"
            ),
            try Sample.record(
                Sample.listing(amount: 5) { listing in
                    listing.dialects = ["l402"]
                    listing.callers = Listing.Callers(issuers: [other.did], capability: "invoke")
                    listing.promise = Listing.Promise("uptime=99")
                },
                name: "b",
                by: other
            )
        )
        let expected: [([String], (inout ListingQuery) -> Void)] = [
            (["a", "b"], { $0.maximumPrice = (5, "sat") }), (["a"], { $0.maximumPrice = (4, "sat") }),
            ([], { $0.maximumPrice = (2, "sat") }), (["a"], { $0.maximumPrice = (50, "usd") }),
            ([], { $0.maximumPrice = (50, "eur") }), (["a"], { $0.dialect = "cashu" }),
            (["b"], { $0.dialect = "l402" }),
            ([], { $0.dialect = "x402" }), (["a"], { $0.mint = "https://mint.example" }),
            (["a"], { $0.tags = ["maps"] }),
            (["a"], { $0.tags = ["maps", "today"] }), ([], { $0.tags = ["maps", "chess"] }),
            (["b"], { $0.capability = "invoke" }), ([], { $0.capability = "pay" }),
            (["a"], { $0.maximumLatencyMilliseconds = 300 }), ([], { $0.maximumLatencyMilliseconds = 299 }),
            (["a"], { $0.minimumUptimePPM = 995_000 }), (["a", "b"], { $0.minimumUptimePPM = 990_000 }),
            (["b"], { $0.author = other.did }), (["a", "b"], { _ in }),
            (
                [],
                { query in
                    query.dialect = "l402"; query.tags = ["maps"]
                }
            ),
        ]
        for (number, (names, change)) in expected.enumerated() {
            #expect(Set(try await shelf.names("", change)) == Set(names), "\(number)")
            #expect(Set(try await shelf.names("weather", change)) == Set(names), "\(number) with a word")
        }
    }

    @Test("[LST-12] The best comes first, and the parts of its score are its score")
    func ranking() async throws {
        let shelf = try Shelf()
        let early = Sample.now.adding(seconds: -80_000)
        try await shelf.keep(
            try Sample.record(Sample.listing("The weather, among much else that is told here", amount: 5), name: "b"),
            try Sample.record(Sample.listing("Sky", amount: 5), name: "weather"),
            try Sample.record(Sample.listing("The weather, among much else that is told here", amount: 2), name: "c"),
            try Sample.record(
                Sample.listing("The weather, among much else that is told here", amount: 5) { listing in
                    listing.input = ["type": "object"]
                    listing.promise = Listing.Promise("p95=300ms")
                },
                name: "d"
            ),
            try Sample.record(
                Sample.listing("The weather, among much else that is told here", amount: 5),
                name: "e",
                created: early
            )
        )
        // Without others a word that all have says nothing.
        for number in 0..<20 {
            try await shelf.keep(
                try Sample.record(Sample.listing("Chess \(number)"), name: "x\(number)", by: Sample.signer(2))
            )
        }
        var query = ListingQuery("weather")
        query.maximumPrice = (10, "sat")
        let found = try await shelf.index.search(query).listings
        #expect(found.map(\.record.key.name) == ["weather", "d", "c", "b", "e"])
        func points(_ name: String, _ part: String) throws -> Int64 {
            let listing = try #require(found.first { $0.record.key.name == name })
            return try #require(listing.parts.first { $0.name == part }?.points)
        }
        #expect(try points("weather", "words") > points("b", "words"))
        #expect(try points("b", "price") == 250 && points("c", "price") == 400)
        #expect(try points("d", "sla") == 100 && points("d", "schema") == 100 && points("b", "sla") == 0)
        #expect(try points("b", "fresh") == 200 && points("e", "fresh") == 173)
        #expect(found.map(\.points) == found.map(\.points).sorted(by: >))
        for listing in found {
            #expect(listing.parts.map(\.name) == ["words", "price", "sla", "schema", "fresh"])
            #expect(listing.parts.allSatisfy { !$0.why.isEmpty })
        }
        // What is not asked for is no part.
        let plain = try await shelf.index.search(ListingQuery()).listings
        #expect(plain.first?.parts.map(\.name) == ["sla", "schema", "fresh"])
    }

    @Test("[LST-1] Two sellers of one name are two, found and shown apart, and a squatter takes nothing's place")
    func squatting() async throws {
        let shelf = try Shelf()
        let (seller, squatter) = (Sample.signer(1), Sample.signer(2))
        try await shelf.keep(
            try Sample.record(Sample.listing("The weather"), by: seller),
            try Sample.record(Sample.listing("The weather", amount: 1), sequence: 9, by: squatter)
        )
        #expect(Set(try await shelf.found("weather").map(\.author)) == [seller.did, squatter.did])
        for (author, amount) in [(seller, UInt64(2)), (squatter, 1)] {
            let found = try await shelf.index.listing(of: author.did, named: "weather")
            #expect(found.listing.prices[0].amount == amount)
            #expect(found.record.author == author.did)
            #expect(try await shelf.index.listing(found.record.id).record == found.record)
        }
        // A tombstone of the one takes nothing of the other.
        try await shelf.keep(try Sample.tombstone(sequence: 10, by: squatter))
        #expect(try await shelf.found("weather").map(\.author) == [seller.did])
        #expect(await code { _ = try await shelf.index.listing(of: squatter.did, named: "weather") } == .unknownListing)
    }

    @Test("[LST-5] A listing of a private network is found only where local addresses are used")
    func local() async throws {
        for allowsLocal in [false, true] {
            let shelf = try Shelf(allowsLocal: allowsLocal)
            let mixed = try Sample.listing { listing in
                listing.urls += [ListingURL("http://127.0.0.1:8402/s/weather")].compactMap { $0 }
            }
            try await shelf.keep(
                try Sample.record(Sample.listing(url: "http://127.0.0.1:8402/s/weather"), name: "machine"),
                try Sample.record(Sample.listing(url: "https://10.0.0.1/s/weather"), name: "network"),
                try Sample.record(mixed, name: "mixed")
            )
            #expect(Set(try await shelf.names()) == (allowsLocal ? ["machine", "network", "mixed"] : ["mixed"]))
            let found = try await shelf.index.listing(of: Sample.signer(1).did, named: "mixed")
            #expect(found.urls.count == (allowsLocal ? 2 : 1))
            let hidden = await code {
                _ = try await shelf.index.listing(of: Sample.signer(1).did, named: "machine")
            }
            #expect(hidden == (allowsLocal ? nil : .unknownListing))
        }
    }

    @Test("[LST-11] A flood of one seller's listings leaves room for others, and is bounded by the author's quota")
    func flood() async throws {
        let kind = RecordKind(
            "listing",
            maximumBodyBytes: Listing.maximumBodyBytes,
            maximumLifetimeSeconds: Listing.maximumLifetimeSeconds,
            recordsPerAuthor: 40,
            totalBytes: 1 << 20
        )
        let shelf = try Shelf(kinds: kind)
        for number in 0..<60 {
            try await shelf.keep(
                try Sample.record(
                    Sample.listing("weather weather weather", amount: 0),
                    name: "weather-\(number)",
                    created: Sample.now.adding(seconds: Int64(number)),
                    by: Sample.signer(2)
                )
            )
        }
        try await shelf.keep(try Sample.record(Sample.listing("Maps and the weather"), name: "other"))
        #expect(try await shelf.index.count() == 41)
        let found = try await shelf.found("weather") { $0.count = 20 }
        #expect(found.count == 11)
        #expect(found.contains { $0.name == "other" })
        let own = try await shelf.found("weather") { query in
            query.author = Sample.signer(2).did
            query.count = 30
        }
        #expect(own.count == 30)
    }
}
