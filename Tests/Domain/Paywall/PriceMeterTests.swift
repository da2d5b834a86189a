import Encodings
import Paywall
import TestSupport
import Testing

@Suite("Prices by measure")
struct PriceMeterTests {
    private func code(_ body: () throws -> Void) -> PriceError.Code? {
        do {
            try body()
            return nil
        } catch {
            return (error as? PriceError)?.code
        }
    }

    private func meter(_ measure: PriceMeasure, _ amount: UInt64, per: UInt64 = 1) throws -> PriceMeter {
        try PriceMeter(measure, per: per, tiers: [.init(amount: amount)])
    }

    private func rule(
        _ fixed: UInt64 = 0,
        _ meters: [PriceMeter],
        maximum: UInt64 = 100,
        free: UInt64? = nil
    ) throws -> PriceRule {
        try PriceRule(
            pathPattern: "/*",
            price: Price(amount: fixed),
            metering: meters.isEmpty ? nil : PriceMetering(meters: meters, maximum: maximum),
            freeCallsPerDay: free
        )
    }

    @Test("PRC-3: a meter's sum is rounded up once, and each part is priced by its tier")
    func costs() throws {
        let bytes = try meter(.responseBytes, 1, per: 1024)
        #expect(bytes.cost(0) == 0)
        #expect(bytes.cost(1) == 1)
        #expect(bytes.cost(1024) == 1)
        #expect(bytes.cost(1025) == 2)
        let tiers = try PriceMeter(
            .calls,
            per: 2,
            tiers: [.init(from: 0, amount: 3), .init(from: 10, amount: 1), .init(from: 20, amount: 0)],
            period: .day
        )
        #expect(tiers.cost(1) == 2)
        #expect(tiers.cost(10) == 15)
        #expect(tiers.cost(1, used: 9) == 2)
        #expect(tiers.cost(1, used: 10) == 1)
        #expect(tiers.cost(2, used: 9) == 2)
        #expect(tiers.cost(12, used: 9) == 7)
        #expect(tiers.cost(5, used: 20) == 0)
    }

    @Test("GWY-14: the seconds that an amount pays for are the most that cost no more")
    func secondsPaid() throws {
        let even = try rule(1, [meter(.seconds, 3), meter(.calls, 2)])
        #expect((0...15).map { even.secondsPaid(by: $0) } == [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4])
        #expect(try rule(0, [meter(.seconds, 1, per: 60)]).secondsPaid(by: 2) == 120)
        #expect(try rule(0, [meter(.seconds, 0)]).secondsPaid(by: 2) == nil)
        #expect(try rule(0, [meter(.responseBytes, 1)]).secondsPaid(by: 2) == nil)
        #expect(try rule(5, []).secondsPaid(by: 2) == nil)
        let most = try rule(0, [meter(.seconds, 1, per: Price.maximumAmount)], maximum: Price.maximumAmount)
        #expect(most.secondsPaid(by: Price.maximumAmount) == .max)
        var random = SeededRandom(seed: 14)
        for _ in 0..<500 {
            let cost = UInt64.random(in: 1...50, using: &random)
            let per = UInt64.random(in: 1...50, using: &random)
            let amount = UInt64.random(in: 0...1000, using: &random)
            let rule = try rule(0, [meter(.seconds, cost, per: per)], maximum: 5000)
            let seconds = try #require(rule.secondsPaid(by: amount))
            let meter = try #require(rule.metering?.meters.first)
            #expect(meter.cost(seconds) <= amount)
            #expect(meter.cost(seconds + 1) > amount)
        }
    }

    @Test("PRC-3: one call of many costs what its pieces cost, but for the rounding, and never overflows")
    func properties() throws {
        var random = SeededRandom(seed: 3)
        let tiers = try PriceMeter(
            .responseBytes,
            per: 7,
            tiers: [.init(from: 0, amount: 5), .init(from: 100, amount: 3), .init(from: 101, amount: 11)],
            period: .month
        )
        for _ in 0..<500 {
            let used = UInt64.random(in: 0...150, using: &random)
            let first = UInt64.random(in: 0...150, using: &random)
            let second = UInt64.random(in: 0...150, using: &random)
            let whole = tiers.cost(first + second, used: used)
            let parts = tiers.cost(first, used: used) + tiers.cost(second, used: used + first)
            #expect(whole <= parts && parts <= whole + 1)
        }
        let dear = try PriceMeter(.seconds, tiers: [.init(amount: Price.maximumAmount)])
        #expect(dear.cost(.max, used: .max) == .max)
    }

    @Test("PRC-1, PRC-4: a price is exact where all is known beforehand, else the maximum")
    func quotes() throws {
        let fixed = try rule(3, []).quote()
        #expect(fixed.price == Price(amount: 3) && !fixed.isMaximum)
        let metered = try rule(3, [meter(.responseBytes, 1, per: 10), meter(.requestBytes, 2)]).quote(
            QuoteFacts(requestBytes: 5)
        )
        #expect(metered.amount == 100 && metered.isMaximum)
        #expect(
            metered.explanation == [
                "fixed = 3 sat", "responseBytes: at 1 sat per 10, known after the call",
                "requestBytes: 5 at 2 sat each = 10 sat", "at most 100 sat, charged beforehand",
            ]
        )
        let known = try rule(3, [meter(.requestBytes, 2)])
        #expect(known.quote(QuoteFacts(requestBytes: 5)).amount == 13)
        #expect(known.quote(QuoteFacts(requestBytes: 5)).isMaximum == false)
        #expect(known.quote().amount == 100 && known.quote().isMaximum)
        let capped = known.quote(QuoteFacts(requestBytes: 50))
        #expect(capped.amount == 100 && capped.isCapped && !capped.isMaximum)
        #expect(capped.explanation.last == "100 sat, the maximum")
        #expect(known.quote(QuoteFacts(requestBytes: .max)).amount == 100)
    }

    @Test("PRC-2, PRC-5: what was measured is charged, never more than was quoted")
    func charges() throws {
        let rule = try rule(
            1,
            [meter(.responseBytes, 1, per: 1000), meter(.seconds, 2), meter(.reported("x-tokens"), 1, per: 10)]
        )
        let quote = rule.quote(QuoteFacts(requestBytes: 9))
        var measured = MeasuredCall(
            requestBytes: 9,
            responseBytes: 2001,
            milliseconds: 1001,
            reported: ["x-tokens": 41, "other": 1000]
        )
        let charge = rule.charge(quote, measured: measured)
        #expect(charge.amount == 1 + 3 + 4 + 5)
        #expect(!charge.isMaximum && !charge.isCapped)
        measured.reported = [:]
        #expect(rule.charge(quote, measured: measured).amount == 1 + 3 + 4)
        measured.responseBytes = .max
        let capped = rule.charge(quote, measured: measured)
        #expect(capped.amount == 100 && capped.isCapped)
        // A quote of before the rule was changed keeps its word.
        var old = quote
        old.amount = 5
        #expect(rule.charge(old, measured: measured).amount == 5)
        let exact = try self.rule(7, []).quote()
        #expect(rule.charge(exact, measured: measured) == exact)
        for (text, value) in [
            ("0", 0), ("41", 41), ("9999999999999999", 9_999_999_999_999_999), ("", nil), ("-1", nil), ("1.5", nil),
            (" 1", nil), ("1e3", nil), ("12345678901234567", nil), ("٣", nil),
        ] as [(String, UInt64?)] {
            #expect(MeasuredCall.reportedValue(text) == value, "\(text)")
        }
    }

    @Test(
        "PRC-5: no measurement whatever makes a call cost more than was charged beforehand, or less than its fixed part"
    )
    func bounds() throws {
        var random = SeededRandom(seed: 5)
        for _ in 0..<300 {
            let fixed = UInt64.random(in: 0...20, using: &random)
            let rule = try rule(
                fixed,
                [
                    meter(.responseBytes, UInt64.random(in: 0...50, using: &random), per: 100),
                    meter(.requestBytes, UInt64.random(in: 0...3, using: &random)),
                ],
                maximum: UInt64.random(in: 20...60, using: &random)
            )
            let size = UInt64.random(in: 0...30, using: &random)
            let quote = rule.quote(QuoteFacts(requestBytes: Bool.random(using: &random) ? size : nil))
            let charge = rule.charge(
                quote,
                measured: MeasuredCall(
                    requestBytes: size,
                    responseBytes: UInt64.random(in: 0...500, using: &random),
                    milliseconds: 0
                )
            )
            #expect(charge.amount <= quote.amount && charge.amount >= fixed)
        }
    }

    @Test(
        "PRC-3, PRC-4: tiers and free calls count what the passport used; without one nothing was used and nothing is free"
    )
    func usage() throws {
        let tiered = try PriceMeter(
            .calls,
            tiers: [.init(from: 0, amount: 3), .init(from: 2, amount: 1)],
            period: .day
        )
        let rule = try rule(0, [tiered], free: 2)
        #expect(rule.quote().amount == 3)
        #expect(rule.quote(QuoteFacts(used: [.calls: 2])).amount == 1)
        #expect(rule.quote(QuoteFacts(used: [.seconds: 2])).amount == 3)
        let free = rule.quote(QuoteFacts(freeCallsToday: 1))
        #expect(free.amount == 0 && free.isFreeByQuota && free.price.isFree)
        #expect(free.explanation == ["free quota: at 2 calls a day = 0 sat", "0 sat"])
        #expect(rule.charge(free, measured: MeasuredCall(requestBytes: 9, responseBytes: 9, milliseconds: 9)) == free)
        let paid = rule.quote(QuoteFacts(freeCallsToday: 2))
        #expect(paid.amount == 3 && !paid.isFreeByQuota)
        let metered = try self.rule(
            0,
            [
                PriceMeter(
                    .responseBytes,
                    tiers: [.init(from: 0, amount: 3), .init(from: 10, amount: 1)],
                    period: .month
                )
            ]
        )
        let quote = metered.quote()
        let call = MeasuredCall(requestBytes: 0, responseBytes: 4, milliseconds: 0)
        #expect(metered.charge(quote, measured: call).amount == 12)
        #expect(metered.charge(quote, measured: call, used: [.responseBytes: 9]).amount == 6)
    }

    @Test("PRC-3: days and months are those of UTC")
    func periods() throws {
        for (now, day, month) in [
            ("2028-02-29T23:59:59Z", "2028-02-29T00:00:00Z", "2028-02-01T00:00:00Z"),
            ("2028-03-01T00:00:00Z", "2028-03-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("1969-12-31T10:00:00Z", "1969-12-31T00:00:00Z", "1969-12-01T00:00:00Z"),
        ] {
            let instant = try Timestamp(rfc3339: now)
            #expect(PricePeriod.day.start(instant) == (try Timestamp(rfc3339: day)))
            #expect(PricePeriod.month.start(instant) == (try Timestamp(rfc3339: month)))
        }
    }

    @Test("PRC-1, PRC-2, PRC-3: rules that can't be are refused with a reason")
    func badRules() throws {
        let one = PriceMeter.Tier(amount: 1)
        let bad: [(PriceError.Code, () throws -> Void)] = [
            (.badMeter, { _ = try PriceMeter(.seconds, per: 0, tiers: [one]) }),
            (.badMeter, { _ = try PriceMeter(.seconds, tiers: []) }),
            (.badMeter, { _ = try PriceMeter(.seconds, tiers: [.init(from: 1, amount: 1)]) }),
            (.badMeter, { _ = try PriceMeter(.seconds, tiers: [one, one], period: .day) }),
            (.badMeter, { _ = try PriceMeter(.seconds, tiers: [one, .init(from: 5, amount: 1)]) }),
            (.badMeter, { _ = try PriceMeter(.seconds, tiers: [one], period: .day) }),
            (.badMeter, { _ = try PriceMeter(.reported("X-Tokens"), tiers: [one]) }),
            (.badMeter, { _ = try PriceMeter(.reported(""), tiers: [one]) }),
            (.badMeter, { _ = try PriceMeter(.reported("a b"), tiers: [one]) }),
            (.badAmount, { _ = try PriceMeter(.seconds, tiers: [.init(amount: 1 << 53)]) }),
            (.badMeter, { _ = try PriceMetering(meters: [], maximum: 1) }),
            (.badMeter, { _ = try PriceMetering(meters: [meter(.seconds, 1), meter(.seconds, 2)], maximum: 1) }),
            (.badAmount, { _ = try PriceMetering(meters: [meter(.seconds, 1)], maximum: 0) }),
            (.badAmount, { _ = try rule(101, [meter(.seconds, 1)]) }),
            (.badAmount, { _ = try rule(1, [], free: 0) }),
            (
                .contradiction,
                { _ = try PriceList([rule(1, [meter(.seconds, 1)]), rule(1, [meter(.seconds, 2)])]) }
            ),
            (.contradiction, { _ = try PriceList([rule(1, []), rule(1, [], free: 3)]) }),
        ]
        for (index, (expected, make)) in bad.enumerated() { #expect(code(make) == expected, "\(index)") }
        let list = try PriceList([rule(1, [meter(.seconds, 1)])])
        #expect(try list.price(method: "GET", path: RequestPath("/x")) == Price(amount: 100))
        #expect(try list.rule(method: "HEAD", path: RequestPath("/x"))?.price == Price(amount: 1))
    }

    @Test("PRC-6: rates are the operator's, conversions are rounded up, and without a rate there is none")
    func rates() throws {
        let rates = try PriceRates(["usd=10400"])
        #expect(try rates.msat(Price(amount: 3, unit: "usd")) == 31_200)
        #expect(try rates.converted(Price(amount: 3, unit: "usd"), to: "sat") == Price(amount: 32))
        #expect(try rates.converted(Price(amount: 1, unit: "msat"), to: "sat") == Price(amount: 1))
        #expect(try rates.converted(Price(amount: 0, unit: "msat"), to: "sat") == Price(amount: 0))
        #expect(try rates.converted(Price(amount: 2000), to: "msat") == Price(amount: 2_000_000, unit: "msat"))
        #expect(try rates.converted(Price(amount: 11), to: "usd") == Price(amount: 2, unit: "usd"))
        #expect(try rates.converted(Price(amount: 5, unit: "eur"), to: "eur") == Price(amount: 5, unit: "eur"))
        #expect(code { _ = try rates.msat(Price(amount: 1, unit: "eur")) } == .badRate)
        #expect(code { _ = try rates.converted(Price(amount: 1), to: "eur") } == .badRate)
        #expect(code { _ = try rates.msat(Price(amount: Price.maximumAmount)) } == .badAmount)
        for entry in ["usd", "usd=", "=1", "usd=0", "usd=-1", "usd=1.5", "sat=1000", "msat=1", "usd=1=2", "usd= 1"] {
            #expect(code { _ = try PriceRates([entry]) } == .badRate, "\(entry)")
        }
        #expect(code { _ = try PriceRates(["usd=1", "usd=2"]) } == .badRate)
    }
}
