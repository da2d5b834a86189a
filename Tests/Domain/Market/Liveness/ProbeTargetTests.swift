import CanonicalJSON
import SignedDocuments
import TestSupport
import Testing

@testable import Market

@Suite("What a probe asks, and what the answer means")
struct ProbeTargetTests {
    private static func listing(
        _ prices: [Listing.Price],
        url: String = "https://node.example/s/weather"
    ) throws -> Listing {
        Listing(urls: [try #require(ListingURL(url))], prices: prices)
    }

    private static func target(_ listing: Listing, seed: UInt64 = 1) -> ProbeTarget? {
        var random = SeededRandom(seed: seed)
        return ProbeTarget(listing, urls: listing.urls, using: &random)
    }

    @Test(
        "[LIV-1] It asks for a path that the listing prices",
        arguments: [
            ("/*", "/"), ("/today", "/today"), ("/now/*", "/now/"), ("/u/*/photo", "/u/1/photo"), ("/", "/"),
        ]
    )
    func paths(_ pattern: String, _ path: String) throws {
        let listing = try Self.listing([.init(path: pattern, amount: 2)])
        let target = try #require(Self.target(listing))
        #expect(target.url == "https://node.example/s/weather" + path)
        #expect(target.method == "GET")
        #expect(target.prices == ["sat": 2])
    }

    @Test(
        "[LIV-1] What is free is asked for only where asking has no effect, and what is no plain path never",
        arguments: [
            Listing.Price(methods: ["POST"], amount: 0), .init(path: "/a/../b", amount: 2),
            .init(path: "/a?b=1", amount: 2), .init(path: "/a#b", amount: 2), .init(path: "/./a", amount: 2),
        ]
    )
    func unasked(_ price: Listing.Price) throws {
        #expect(Self.target(try Self.listing([price])) == nil)
    }

    @Test("[LIV-1] A paid POST is asked for as such, and a free GET is made")
    func methods() throws {
        #expect(Self.target(try Self.listing([.init(methods: ["POST"], amount: 2)]))?.method == "POST")
        let free = try #require(Self.target(try Self.listing([.init(methods: ["GET", "POST"], amount: 0)])))
        #expect(free.method == "GET" && free.isFree)
    }

    @Test("[LIV-1] Of several prices and URLs each is asked for at times")
    func spread() throws {
        var listing = try Self.listing([.init(path: "/a", amount: 1), .init(path: "/b", amount: 2)])
        listing.urls.append(try #require(ListingURL("https://other.example/")))
        let asked = Set((1...40).compactMap { Self.target(listing, seed: $0)?.url })
        #expect(
            asked == [
                "https://node.example/s/weather/a", "https://node.example/s/weather/b", "https://other.example/a",
                "https://other.example/b",
            ]
        )
        var random = SeededRandom(seed: 1)
        #expect(ProbeTarget(listing, urls: [], using: &random) == nil)
    }

    @Test("[LIV-3] The price is the highest that the listing says for the very call, and no other's")
    func applying() throws {
        let listing = try Self.listing([
            .init(path: "/a", amount: 2), .init(path: "/*", amount: 5), .init(path: "/b/*", amount: 1_000),
            .init(methods: ["POST"], path: "/a", amount: 900), .init(path: "/a", amount: 7, unit: "usd"),
        ])
        for seed in UInt64(1)...40 {
            let target = try #require(Self.target(listing, seed: seed))
            switch target.url {
            case "https://node.example/s/weather/a" where target.method == "GET":
                #expect(target.prices == ["sat": 5, "usd": 7])
            case "https://node.example/s/weather/a": #expect(target.prices["sat"] == 900)
            case "https://node.example/s/weather/": #expect(target.prices == ["sat": 5])
            case "https://node.example/s/weather/b/": #expect(target.prices == ["sat": 1_000])
            default: Issue.record("\(target.url)")
            }
        }
    }

    private static func why(
        _ status: Int,
        offers: Int = 0,
        asked: [ProbeAnswer.Price] = [],
        said: ProbeAnswer.Price? = nil,
        price: Listing.Price = .init(amount: 20),
        callers: Bool = false
    ) throws -> ProbeTarget.Why {
        var listing = try listing([price])
        if callers { listing.callers = .init(issuers: [Sample.signer.did]) }
        let target = try #require(Self.target(listing))
        return target.why(.status(status, .init(offers: offers, asked: asked, said: said)))
    }

    @Test(
        "[LIV-2] A 402 that can be paid is alive; so is a gate where one is listed, and a free answer where it is free"
    )
    func alive() throws {
        #expect(try Self.why(402, offers: 1) == .answered)
        #expect(try Self.why(401, callers: true) == .gate)
        #expect(try Self.why(403, callers: true) == .gate)
        #expect(try Self.why(200, price: .init(amount: 0)) == .answered)
        for why in [ProbeTarget.Why.answered, .gate] { #expect(why.outcome == .good) }
    }

    @Test(
        "[LIV-2] No connection, an error, a redirect, nothing there, no paywall and a 402 that nobody can pay are failures"
    )
    func failures() throws {
        let target = try #require(Self.target(try Self.listing([.init(amount: 2)])))
        let found: [ProbeTarget.Why] = [
            target.why(.unreachable), target.why(.timeout), target.why(.forbidden), try Self.why(500),
            try Self.why(503), try Self.why(301), try Self.why(307), try Self.why(404), try Self.why(410),
            try Self.why(200), try Self.why(402),
        ]
        #expect(
            found == [
                .unreachable, .timeout, .forbidden, .serverError, .serverError, .redirect, .redirect, .notThere,
                .notThere, .noPaywall, .noOffer,
            ]
        )
        #expect(found.allSatisfy { $0.outcome == .failed })
    }

    @Test("[LIV-2] What says neither is held against nobody")
    func unclear() throws {
        for status in [400, 401, 403, 405, 408, 415, 422, 425, 429, 100] {
            #expect(try Self.why(status).outcome == .unclear, "\(status)")
        }
    }

    @Test("[LIV-3] A price above the listed one is a failure; the cheapest way counts, and a mint's fee is allowed")
    func prices() throws {
        func asked(_ prices: (UInt64, String)...) throws -> ProbeTarget.Why {
            try Self.why(402, offers: prices.count, asked: prices.map { .init($0.0, $0.1) })
        }
        #expect(try asked((20, "sat")) == .answered)
        // One and a tenth.
        #expect(try asked((23, "sat")) == .answered)
        #expect(try asked((24, "sat")) == .dear)
        #expect(try asked((20_000, "msat")) == .answered)
        #expect(try asked((24_000, "msat")) == .dear)
        #expect(try asked((500, "sat"), (20, "sat")) == .answered)
        #expect(try asked((500, "usd")) == .answered, "nothing to hold it against")
        #expect(try asked((500, "usd"), (500, "sat")) == .dear)
        #expect(try asked((.max, "msat")) == .dear)
        #expect(try Self.why(402, offers: 1, said: .init(20, "sat")) == .answered)
        #expect(try Self.why(402, offers: 1, said: .init(21, "sat")) == .dear)
        // It says one thing and asks for another.
        #expect(try Self.why(402, offers: 1, asked: [.init(500, "sat")], said: .init(20, "sat")) == .dear)
        let most = Listing.Price(amount: Listing.maximumAmount)
        #expect(try Self.why(402, offers: 1, asked: [.init(.max, "sat")], price: most) == .dear)
    }
}
