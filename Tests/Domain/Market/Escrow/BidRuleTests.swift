import CanonicalJSON
import Encodings
import Records
import SignedDocuments
import TestSupport
import Testing

@testable import Market

@Suite struct BidRuleTests {
    private func rule(floor: UInt64 = 3, capacity: Int = 4, reputation: Int = 0) throws -> BidRule {
        try #require(
            BidRule(service: "weather", floor: floor, unit: "sat", capacity: capacity, reputation: reputation)
        )
    }

    @Test(
        "[QUO-12] With nothing open the floor is bid, the nearer to the list price the more is, and at capacity nothing"
    )
    func prices() throws {
        let rule = try rule()
        #expect((0...5).map { rule.price(listed: 11, used: $0, most: 100) } == [3, 5, 7, 9, nil, nil])
        #expect((0...3).map { rule.price(listed: 11, used: $0, most: 6) } == [3, 5, 6, 6])
        // A list price at or under the floor leaves the floor.
        #expect(rule.price(listed: 2, used: 3, most: 100) == 3)
        #expect(rule.price(listed: 11, used: 0, most: 2) == nil)
        #expect(rule.price(listed: 11, used: -1, most: 100) == nil)
        // At the ends of the numbers.
        let wide = try self.rule(floor: 1, capacity: 64)
        let most = Listing.maximumAmount
        #expect(wide.price(listed: most, used: 63, most: most) == 1 + (most - 1) / 64 * 63 + (most - 1) % 64 * 63 / 64)
        #expect(wide.price(listed: .max, used: 63, most: .max) == nil)
    }

    @Test("[QUO-12] A rule keeps its bounds, and one buyer gets half of the capacity")
    func bounds() throws {
        func make(_ service: String, _ floor: UInt64, _ unit: String, _ capacity: Int, _ reputation: Int) -> BidRule? {
            BidRule(service: service, floor: floor, unit: unit, capacity: capacity, reputation: reputation)
        }
        #expect(make("weather", 1, "sat", 64, 100) != nil)
        #expect(make("Weather", 1, "sat", 1, 0) == nil)
        #expect(make("weather", 0, "sat", 1, 0) == nil)
        #expect(make("weather", 1 << 53, "sat", 1, 0) == nil)
        #expect(make("weather", 1, "", 1, 0) == nil)
        #expect(make("weather", 1, "sat", 0, 0) == nil)
        #expect(make("weather", 1, "sat", 65, 0) == nil)
        #expect(make("weather", 1, "sat", 1, 101) == nil)
        #expect(make("weather", 1, "sat", 1, -1) == nil)
        #expect(try [1, 2, 3, 4].map { try rule(capacity: $0).capacityOfOneBuyer } == [1, 1, 2, 2])
    }

    @Test("[QUO-12] A service fits that has all the words of a call, whole and in any case")
    func words() {
        let service = Set(["weather-eu", "The Weather, today: 5 °C"].flatMap { MarketWords.of($0) })
        #expect(service == ["weather", "eu", "the", "today", "5", "c"])
        #expect(BidRule.fits(MarketWords.of("Weather TODAY weather"), service: service))
        #expect(!BidRule.fits(MarketWords.of("weather tomorrow"), service: service))
        #expect(!BidRule.fits(MarketWords.of("weath"), service: service))
        #expect(MarketWords.of("Ünder\u{0301} Straße 東京") == ["ünder\u{0301}", "straße", "東京"])
        #expect(MarketWords.of(" — ").isEmpty)
    }

    @Test("[QUO-11] A call and its bids travel as records of who signed them, under the call's digest; others are none")
    func records() throws {
        let sample = try TradeSample()
        let call = try sample.call()
        func refused(_ body: JSONObject, _ kind: RecordKind, _ name: String, _ signer: DocumentSigner) -> Bool {
            do {
                _ = try Record.sign(
                    body,
                    of: kind,
                    name: name,
                    sequence: 1,
                    created: TradeSample.stamp(TradeSample.start),
                    by: signer
                )
                return false
            } catch {
                return (error as? RecordRefusal)?.code == .malformed
            }
        }
        #expect(!refused(call.document, OpenCall.kind, call.name, TradeSample.buyer))
        #expect(refused(call.document, OpenCall.kind, call.name, TradeSample.stranger))
        #expect(refused(call.document, OpenCall.kind, "call", TradeSample.buyer))
        #expect(refused(["type": "MintmarkOpenCall"], OpenCall.kind, call.name, TradeSample.buyer))
        let bid = try sample.bid(TradeSample.provider, on: call.digest)
        let now = TradeSample.stamp(TradeSample.start)
        let shown = BidNews.bid(try .sign(bid, by: TradeSample.provider, now: now))
        let bound = BidNews.commitment(
            try .sign(BidCommitment(to: bid, time: TradeSample.start), by: TradeSample.provider, now: now)
        )
        for news in [shown, bound] {
            #expect(!refused(news.body, BidNews.kind, news.name, TradeSample.provider))
            #expect(refused(news.body, BidNews.kind, news.name, TradeSample.stranger))
            #expect(news.call == call.digest)
            #expect(BidNews.call(named: news.name) == call.digest)
        }
        #expect(shown.name != bound.name)
        #expect(refused(shown.body, BidNews.kind, bound.name, TradeSample.provider))
        #expect(refused(call.document, BidNews.kind, shown.name, TradeSample.buyer))
        // What is signed with another key than the record is found out when it is read.
        var forged = shown.body
        forged["proof"] = bound.body["proof"]
        let record = try Record.sign(
            forged,
            of: BidNews.kind,
            name: shown.name,
            sequence: 1,
            created: now,
            by: TradeSample.provider
        )
        #expect(throws: TradeRefusal.self) { try BidNews(record) }
    }
}
