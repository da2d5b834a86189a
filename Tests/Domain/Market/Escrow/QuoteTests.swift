import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import SignedDocuments
import TestSupport
import Testing

@testable import Market

/// What a piece of code is refused with; nil where it is not.
func code(_ body: () throws -> Void) -> TradeRefusal.Code? {
    do {
        try body()
        return nil
    } catch let error as TradeRefusal {
        return error.code
    } catch {
        return TradeRefusal.Code(rawValue: "other: \(error)")
    }
}

@Suite struct QuoteTests {
    private let sample: TradeSample
    private let now = TradeSample.start

    init() throws { sample = try TradeSample() }

    @Test("[QUO-1] [QUO-2] [QUO-3] [QUO-5] Each document is read back as it was signed")
    func readsBack() throws {
        let asked = try Signed<QuoteRequest>.sign(sample.asked(), by: TradeSample.buyer, now: TradeSample.stamp(now))
        #expect(try Signed<QuoteRequest>(bytes: asked.bytes) == asked)
        for mode in Listing.Escrow.allCases {
            let quote = try sample.quote(mode) { $0.sla = [UInt8](repeating: 4, count: 32) }
            #expect(try Signed<Quote>(bytes: quote.bytes) == quote)
            let taken = try sample.acceptance(quote)
            #expect(try Signed<Acceptance>(bytes: taken.bytes) == taken)
            #expect(try EscrowTerms(quote: quote, acceptance: taken).locktime == now + quote.content.lockSeconds)
        }
    }

    @Test("[QUO-1] The digest is of what was said: signed again, it is the same; another word, another digest")
    func digests() throws {
        let first = try sample.quote()
        let again = try Signed<Quote>.sign(sample.offer(), by: TradeSample.provider, now: TradeSample.stamp(now + 9))
        #expect(first.digest == again.digest)
        #expect(first.document != again.document)
        #expect(try sample.quote { $0.price = 21 }.digest != first.digest)
    }

    @Test("[QUO-1] A changed member, an unknown one, another's signature and a large text are refused")
    func refusesForged() throws {
        let quote = try sample.quote()
        var cheaper = quote.document
        cheaper["price"] = "1"
        #expect(code { _ = try Signed<Quote>(document: cheaper) } == .badSignature)
        var more = quote.document
        more["hello"] = 1
        #expect(code { _ = try Signed<Quote>(document: more) } == .malformed)
        #expect(
            code { _ = try Signed<Quote>.sign(sample.offer(), by: TradeSample.stranger, now: TradeSample.stamp(now)) }
                == .wrongSigner
        )
        #expect(code { _ = try Signed<Quote>(bytes: [UInt8](repeating: 0x20, count: 32_769)) } == .tooLarge)
        #expect(code { _ = try Signed<Acceptance>(document: quote.document) } == .malformed)
    }

    @Test(
        "[QUO-2] [QUO-3] A member that is missing or of another form is named",
        arguments: [
            ("price", "020"), ("price", 20), ("price", "0"), ("unit", "sat sat sat sat sat"),
            ("mint", "http://mint.example"),
            ("mint", "https://mint.example/"), ("escrow", "trust"), ("deliverWithin", 0), ("deliverWithin", 604_801),
            ("lockKey", "02ff"), ("calls", 0), ("calls", 10_001), ("validUntil", -1), ("nonce", "AA"),
            ("request", "abc"), ("service", "Weather"), ("buyer", "did:web:example"), ("time", "now"), ("chunks", 2),
            ("arbiters", []),
        ] as [(String, JSONValue)]
    )
    func namesMembers(_ name: String, _ value: JSONValue) throws {
        var document = try sample.quote().document
        document[name] = value
        do {
            _ = try Signed<Quote>(document: document)
            Issue.record("taken")
        } catch {
            #expect(error.code == .malformed)
            #expect(error.message.contains("`\(name)`"))
        }
    }

    @Test("[ESC-3] [ESC-4] A quote whose times leave too little room is none")
    func margins() throws {
        #expect(code { _ = try sample.quote { $0.lockSeconds = 899 } } == .margin)
        #expect(code { _ = try sample.quote(.stream) { $0.lockSeconds = 899 } } == .margin)
        // W is the arbiter's ten minutes and ten more.
        #expect(code { _ = try sample.quote(.arbiter) { $0.lockSeconds = 1_499 } } == .margin)
        #expect(try sample.quote(.arbiter) { $0.lockSeconds = 1_500 }.content.lockSeconds == 1_500)
    }

    @Test("[QUO-4] A quote that answers something else than was asked is refused")
    func checksAnswer() throws {
        func answer(_ now: UInt64 = TradeSample.start, _ change: (inout Quote) -> Void) -> TradeRefusal.Code? {
            code {
                try sample.quote(.key, change).content.check(
                    answering: sample.asked(),
                    from: TradeSample.provider.did,
                    now: now
                )
            }
        }
        #expect(answer { _ in } == nil)
        #expect(answer { $0.request = [UInt8](repeating: 1, count: 32) } == .mismatch)
        #expect(answer { $0.service = "maps" } == .mismatch)
        #expect(answer { $0.price = 101 } == .unsuitable)
        #expect(answer { $0.unit = .usd } == .unsuitable)
        #expect(
            answer {
                $0.deliverWithinSeconds = 401; $0.lockSeconds = 1_001
            } == .unsuitable
        )
        #expect(answer(TradeSample.start + 3_601) { $0.deliverWithinSeconds = 1 } != nil)
        #expect(
            answer {
                $0.time += 31; $0.validUntil += 31
            } == .fromFuture
        )
        let stream = try sample.quote(.stream) { $0.price = 34 }
        #expect(
            code { try stream.content.check(answering: sample.asked(), from: TradeSample.provider.did, now: now) }
                == .unsuitable
        )
        #expect(
            code {
                try sample.quote().content.check(answering: sample.asked(), from: TradeSample.arbiter.did, now: now)
            }
                == .mismatch
        )
    }

    @Test("[QUO-5] [ESC-1] An acceptance of another quote, by another buyer, or with times of its own makes no job")
    func acceptances() throws {
        let quote = try sample.quote()
        let other = try sample.quote { $0.price = 1 }
        func terms(_ change: (inout Acceptance) -> Void) -> TradeRefusal.Code? {
            code { _ = try EscrowTerms(quote: quote, acceptance: sample.acceptance(quote, change)) }
        }
        #expect(terms { _ in } == nil)
        #expect(code { _ = try EscrowTerms(quote: quote, acceptance: sample.acceptance(other)) } == .mismatch)
        #expect(terms { $0.deliverBy += 1 } == .mismatch)
        #expect(terms { $0.locktime -= 600 } == .mismatch)
        #expect(terms { $0.arbiter = TradeSample.arbiter.did } == .mismatch)
        #expect(terms { $0.request = [UInt8](repeating: 0, count: 32) } == .mismatch)
        #expect(terms { $0.refundKey = TradeSample.point(sample.providerKey) } == .mismatch)
        let stranger = try sample.acceptance(quote, by: TradeSample.stranger) { $0.buyer = TradeSample.stranger.did }
        #expect(code { _ = try EscrowTerms(quote: quote, acceptance: stranger) } == .mismatch)
        let ruled = try sample.quote(.arbiter)
        let nobody = try sample.acceptance(ruled) { $0.arbiter = nil }
        #expect(code { _ = try EscrowTerms(quote: ruled, acceptance: nobody) } == .mismatch)
        let taken = try sample.acceptance(quote)
        #expect(code { try taken.content.check(quote, now: now + 31) } == .expired)
        #expect(code { try taken.content.check(quote, now: now - 31) } == .fromFuture)
        #expect(code { try taken.content.check(quote, now: now + 30) } == nil)
    }

    @Test("[QUO-6] A quote used once more than it is good for is refused, and a place taken twice is one job")
    func usesOfQuote() throws {
        var uses = QuoteUses()
        let quote = try sample.quote { $0.calls = 2 }
        let first = try sample.acceptance(quote)
        #expect(try uses.take(first, of: quote))
        #expect(try !uses.take(first, of: quote))
        // Signed anew it is still the same acceptance.
        let again = try Signed<Acceptance>.sign(first.content, by: TradeSample.buyer, now: TradeSample.stamp(now + 2))
        #expect(try !uses.take(again, of: quote))
        #expect(code { _ = try uses.take(sample.acceptance(quote, nonce: 6), of: quote) } == .sequenceUsed)
        #expect(try uses.take(sample.acceptance(quote) { $0.sequence = 1 }, of: quote))
        #expect(code { _ = try uses.take(sample.acceptance(quote) { $0.sequence = 2 }, of: quote) } == .overCalls)
        #expect(
            code { _ = try EscrowTerms(quote: quote, acceptance: sample.acceptance(quote) { $0.sequence = 2 }) }
                == .overCalls
        )
    }

    @Test("[ESC-2] A mint's clock an hour off, none, or a slow answer, is refused; half a minute is taken")
    func clocks() throws {
        let here = Timestamp(secondsSince1970: 1_000_000)
        func clock(_ told: UInt64?, after milliseconds: Int64 = 100) throws(TradeRefusal) -> MintClock {
            try MintClock(told: told, sent: here, received: here.adding(milliseconds: milliseconds))
        }
        #expect(code { _ = try clock(1_003_600) } == .clockSkew)
        #expect(code { _ = try clock(996_400) } == .clockSkew)
        #expect(code { _ = try clock(1_000_031) } == .clockSkew)
        #expect(code { _ = try clock(nil) } == .clockSkew)
        #expect(code { _ = try clock(.max) } == .clockSkew)
        #expect(code { _ = try clock(1_000_000, after: 30_001) } == .clockSkew)
        #expect(try clock(1_000_029).seconds(at: here) == 1_000_029)
        #expect(try clock(999_972).seconds(at: here.adding(seconds: 60)) == 1_000_032)
    }
}
