import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import SignedDocuments
import TestSupport
import Testing

@testable import Market

@Suite struct BidTests {
    private let sample: TradeSample
    private let call: Signed<OpenCall>
    private let start = TradeSample.start

    init() throws {
        sample = try TradeSample()
        call = try sample.call()
    }

    private func bid(
        _ signer: DocumentSigner,
        price: UInt64 = 20,
        salt: UInt8 = 1,
        call digest: [UInt8]? = nil
    ) throws -> Bid {
        try sample.bid(signer, on: digest ?? call.digest, price: price, salt: salt)
    }

    private func sign<Content: TradeContent>(_ content: Content, _ signer: DocumentSigner) throws -> Signed<Content> {
        let signed = try Signed<Content>.sign(content, by: signer, now: TradeSample.stamp(start))
        return try Signed(bytes: signed.bytes)
    }

    private func commit(_ bid: Bid, _ signer: DocumentSigner, in book: inout BidBook) throws {
        try book.commit(sign(BidCommitment(to: bid, time: start), signer), now: start + 5)
    }

    @Test("[QUO-7] [QUO-8] Bids that were committed to are shown after all are in, and the best wins")
    func wholeCall() throws {
        #expect(try Signed<OpenCall>(bytes: call.bytes) == call)
        var book = BidBook(call)
        let cheap = try bid(TradeSample.provider, price: 10)
        let dear = try bid(TradeSample.arbiter, price: 19)
        try commit(cheap, TradeSample.provider, in: &book)
        try commit(cheap, TradeSample.provider, in: &book)
        try commit(dear, TradeSample.arbiter, in: &book)
        #expect(code { try book.reveal(sign(cheap, TradeSample.provider), now: start + 10) } == .fromFuture)
        try book.reveal(sign(cheap, TradeSample.provider), now: start + 11)
        try book.reveal(sign(dear, TradeSample.arbiter), now: start + 20)
        #expect(book.ranked { _ in 1_000_000 }.map(\.content.price) == [10, 19])
        // Half as much trust makes it twice as dear.
        #expect(book.ranked { $0 == TradeSample.provider.did ? 500_000 : 1_000_000 }.map(\.content.price) == [19, 10])
        #expect(book.ranked { $0 == TradeSample.provider.did ? 0 : 1_000_000 }.map(\.content.price) == [19])
        #expect(book.withheld(now: start + 21).isEmpty)
    }

    @Test("[QUO-8] A bid copied from another is refused, as a commitment and when it is shown")
    func copied() throws {
        var book = BidBook(call)
        let original = try bid(TradeSample.provider)
        try commit(original, TradeSample.provider, in: &book)
        var stolen = BidCommitment(to: original, time: start)
        stolen.bidder = TradeSample.stranger.did
        #expect(code { try book.commit(sign(stolen, TradeSample.stranger), now: start + 5) } == .mismatch)
        // With the same numbers and salt, but its own name, it was never bound to it.
        var copy = original
        copy.bidder = TradeSample.stranger.did
        #expect(copy.commitment != original.commitment)
        #expect(code { try book.reveal(sign(copy, TradeSample.stranger), now: start + 11) } == .mismatch)
    }

    @Test("[QUO-8] A bid that is withheld is told once the time is over, and one shown too late does not count")
    func withheld() throws {
        var book = BidBook(call)
        let late = try bid(TradeSample.provider)
        try commit(late, TradeSample.provider, in: &book)
        #expect(book.withheld(now: start + 20).isEmpty)
        #expect(code { try book.reveal(sign(late, TradeSample.provider), now: start + 21) } == .expired)
        #expect(book.withheld(now: start + 21) == [TradeSample.provider.did])
        #expect(book.ranked { _ in 1_000_000 }.isEmpty)
    }

    @Test("[QUO-8] A bid replayed from another call, changed after the commitment, or beyond the call is refused")
    func replayed() throws {
        var book = BidBook(call)
        let before = try bid(TradeSample.provider, call: [UInt8](repeating: 3, count: 32))
        #expect(code { try commit(before, TradeSample.provider, in: &book) } == .mismatch)
        try commit(bid(TradeSample.provider, price: 30), TradeSample.provider, in: &book)
        #expect(
            code { try commit(bid(TradeSample.provider, price: 9), TradeSample.provider, in: &book) } == .sequenceUsed
        )
        let lower = try sign(bid(TradeSample.provider, price: 29), TradeSample.provider)
        #expect(code { try book.reveal(lower, now: start + 11) } == .mismatch)
        try commit(bid(TradeSample.arbiter, price: 101), TradeSample.arbiter, in: &book)
        let dear = try sign(bid(TradeSample.arbiter, price: 101), TradeSample.arbiter)
        #expect(code { try book.reveal(dear, now: start + 11) } == .unsuitable)
        #expect(
            code {
                let late = try sign(BidCommitment(to: bid(TradeSample.stranger), time: start), TradeSample.stranger)
                try book.commit(late, now: start + 11)
            } == .expired
        )
        #expect(code { try commit(bid(TradeSample.buyer), TradeSample.buyer, in: &book) } == .mismatch)
    }

    @Test("[QUO-9] Price ÷ trust is compared exactly, at the ends of the numbers too")
    func scores() throws {
        func score(_ price: UInt64, _ trust: UInt64) throws -> BidScore {
            try #require(BidScore(price: price, trustPPM: trust))
        }
        #expect(try score(1, 3) == score(3, 9))
        #expect(try score(.max, 1_000_000) < score(.max, 999_999))
        #expect(try !(score(.max, 1) < score(.max - 1, 1)))
        #expect(try score(333_333, 999_999) == score(1, 3))
        #expect(BidScore(price: 1, trustPPM: 0) == nil)
        #expect(BidScore(price: 1, trustPPM: 1_000_001) == nil)
    }

    @Test(
        "[QUO-7] A call leaves time to show the bids, ends within a day, and says what is wanted in words of one form"
    )
    func form() throws {
        func refused(_ change: (inout OpenCall) -> Void) -> Bool {
            var changed = call.content
            change(&changed)
            return code { _ = try sign(changed, TradeSample.buyer) } == .malformed
        }
        #expect(!refused { _ in })
        #expect(refused { $0.revealUntil = $0.commitUntil + 3 })
        #expect(!refused { $0.revealUntil = $0.time + 86_400 })
        #expect(refused { $0.revealUntil = $0.time + 86_401 })
        for words in [[], ["Weather"], ["two words"], ["a", "a"], [""], (1...13).map { "w\($0)" }] {
            #expect(refused { $0.words = words }, "\(words)")
        }
        #expect(refused { $0.method = "get" })
        #expect(refused { $0.target = "today" })
        #expect(refused { $0.target = "/" + String(repeating: "x", count: 2_048) })
    }

    @Test("[QUO-8] Where a bid is honoured is bound with its price, and is a node's address and nothing else")
    func place() throws {
        let said = try bid(TradeSample.provider)
        for change in [
            { (bid: inout Bid) in bid.service = "meteo" }, { $0.node = ListingURL("https://other.example") ?? $0.node },
            { $0.price += 1 }, { $0.deliverWithinSeconds += 1 },
        ] {
            var other = said
            change(&other)
            #expect(other.commitment != said.commitment)
        }
        for url in ["https://node.example/", "https://node.example/s/weather", "http://node.example", "ftp://x"] {
            var document = try sign(said, TradeSample.provider).document
            document["node"] = .string(url)
            #expect(code { _ = try Signed<Bid>(unchecked: document) } == .malformed, "\(url)")
        }
    }
}
