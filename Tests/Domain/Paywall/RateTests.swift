import Encodings
import Paywall
import TestSupport
import Testing

@Suite("Rates of a source")
struct RateTests {
    private let start = Timestamp(secondsSince1970: 1_800_000_000)

    private func document(_ entries: String..., text: String) throws -> [String: UInt64] {
        try RateDocument(entries).rates(in: Array(text.utf8))
    }

    @Test(
        "PRC-9: the price of a bitcoin is found by its pointer, as text or number, and rounded in the seller's favour"
    )
    func read() throws {
        #expect(try document("usd=/usd", text: #"{"usd":"100000"}"#) == ["usd": 10_000])
        #expect(try document("usd=/usd", text: #"{"usd":100000}"#) == ["usd": 10_000])
        // 10^9 / 67000.12 is 14925.346…
        #expect(try document("usd=/data/amount", text: #"{"data":{"amount":"67000.12"}}"#) == ["usd": 14_926])
        #expect(try document("usd=/data/amount", text: #"{"data":{"amount":67000.12}}"#) == ["usd": 14_926])
        #expect(try document("eur=/a~1b/1/~0", text: #"{"a/b":[0,{"~":50000}]}"#) == ["eur": 20_000])
        // A yen has no hundredths.
        #expect(
            try document("jpy=/jpy", "usd=/usd", text: #"{"jpy":10000000,"usd":"1"}"#) == [
                "jpy": 10_000, "usd": 1_000_000_000,
            ]
        )
    }

    @Test(
        "PRC-9: what is no price is no rate",
        arguments: [
            "", "[]", "{}", #"{"usd":null}"#, #"{"usd":0}"#, #"{"usd":"0.00"}"#, #"{"usd":-5}"#, #"{"usd":"-5"}"#,
            #"{"usd":"1e5"}"#, #"{"usd":1e300}"#, #"{"usd":"67 000"}"#, #"{"usd":"67.000.12"}"#, #"{"usd":".5"}"#,
            #"{"usd":"5."}"#, #"{"usd":"NaN"}"#, #"{"usd":"1234567890123456789"}"#, #"{"usd":{"usd":5}}"#,
            #"{"usd":5"#, #"{"usd":true}"#,
        ]
    )
    func unreadable(text: String) throws {
        #expect(throws: PriceError.self) { try document("usd=/usd", text: text) }
    }

    @Test("PRC-9: entries that name no unit and pointer are refused, and so is a document that is too long")
    func entries() throws {
        for entry in [
            "", "usd", "usd=", "usd=usd", "USD=/usd", "us=/usd", "=/usd", "usd=/\(String(repeating: "a", count: 256))",
        ] {
            #expect(throws: PriceError.self) { try RateDocument([entry]) }
        }
        #expect(throws: PriceError.self) { try RateDocument([]) }
        #expect(throws: PriceError.self) { try RateDocument(["usd=/a", "usd=/b"]) }
        let long = #"{"usd":5,"x":""# + String(repeating: "x", count: RateDocument.maximumBytes) + #""}"#
        #expect(throws: PriceError.self) { try document("usd=/usd", text: long) }
    }

    @Test("PRC-9: a rate counts until it is too old, and the fixed table never counts for a unit of the source")
    func age() throws {
        var book = RateBook(
            fixed: try PriceRates(["usd=99", "eur=77"]),
            units: ["usd"],
            bounds: RateBounds(maximumAgeSeconds: 60, maximumChangePercent: 10)
        )
        let price = Price(amount: 3, unit: "usd")
        #expect(throws: PriceError.self) { try book.rates(now: start).msat(price) }
        #expect(book.isStale("usd", now: start))
        #expect(!book.isStale("eur", now: start))
        #expect(try book.rates(now: start).msat(Price(amount: 2, unit: "eur")) == 154)
        #expect(book.take(RateReading(msatPerUnit: ["usd": 1000, "gbp": 5], at: start), now: start) == [])
        #expect(try book.rates(now: start.adding(seconds: 60)).msat(price) == 3000)
        #expect(!book.isStale("usd", now: start.adding(seconds: 60)))
        #expect(throws: PriceError.self) { try book.rates(now: start.adding(seconds: 61)).msat(price) }
        #expect(book.isStale("usd", now: start.adding(seconds: 61)))
        // What the source was not asked for is nothing.
        #expect(throws: PriceError.self) { try book.rates(now: start).msat(Price(amount: 1, unit: "gbp")) }
        // An old reading, as of a file that nobody writes any more, brings nothing back; nor does one from the future.
        #expect(
            book.take(RateReading(msatPerUnit: ["usd": 1000], at: start), now: start.adding(seconds: 61)).count == 1
        )
        let future = RateReading(msatPerUnit: ["usd": 1000], at: start.adding(seconds: 200))
        #expect(book.take(future, now: start.adding(seconds: 61)).count == 1)
        #expect(book.isStale("usd", now: start.adding(seconds: 61)))
    }

    @Test("PRC-9: a rate that jumps is not taken, up or down, and the one before holds until it is too old")
    func deviation() throws {
        var book = RateBook(
            fixed: PriceRates(),
            units: ["usd"],
            bounds: RateBounds(maximumAgeSeconds: 60, maximumChangePercent: 10)
        )
        func take(_ msat: UInt64, after seconds: Int64) -> Bool {
            let now = start.adding(seconds: seconds)
            return book.take(RateReading(msatPerUnit: ["usd": msat], at: now), now: now).isEmpty
        }
        #expect(take(1000, after: 0))
        #expect(!take(1101, after: 1))
        #expect(!take(899, after: 2))
        #expect(!take(0, after: 3))
        #expect(!take(.max, after: 4))
        #expect(book.last("usd")?.msat == 1000)
        #expect(take(1100, after: 5))
        #expect(take(990, after: 6))
        // It must not be walked away with either: what was refused leaves no trace.
        #expect(!take(1100, after: 7))
        #expect(book.isStale("usd", now: start.adding(seconds: 67)))
        // A reading without the unit says so and leaves the rate.
        #expect(book.take(RateReading(msatPerUnit: [:], at: start), now: start.adding(seconds: 10)).count == 1)
        #expect(book.last("usd")?.msat == 990)
    }

    @Test("PRC-9: sat and msat stay what they are, whatever a source says")
    func definitions() throws {
        var book = RateBook(fixed: PriceRates(), units: ["sat", "msat"])
        _ = book.take(RateReading(msatPerUnit: ["sat": 5, "msat": 5], at: start), now: start)
        #expect(try book.rates(now: start).msat(Price(amount: 2, unit: "sat")) == 2000)
        #expect(try book.rates(now: start.adding(seconds: 10_000)).msat(Price(amount: 2, unit: "msat")) == 2)
    }
}
