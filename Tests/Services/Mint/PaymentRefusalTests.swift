import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Lightning
import Mint
import TestSupport
import Testing

/// What a mint must refuse of quotes, minting and melting, over HTTP, with the code of the specification's list.
@Suite("Refusals of mint and melt") struct PaymentRefusalTests {
    private static let unknown = "019e6d5a-2347-7000-8322-05d51d498303"

    @Test("mint quotes: units, limits, amounts that are none, descriptions too long")
    func mintQuotes() async throws {
        let fixture = try await MintFixture(
            MintConfiguration(units: [.init(unit: .sat, minimumAmount: 2, maximumAmount: 100)])
        )
        let long = String(repeating: "d", count: 5000)
        let cases: [(String, Int64)] = [
            (#"{"amount":8,"unit":"eur"}"#, 11013), (#"{"amount":8,"unit":"msat"}"#, 11013),
            (#"{"amount":1,"unit":"sat"}"#, 11006), (#"{"amount":101,"unit":"sat"}"#, 11006),
            (#"{"amount":0,"unit":"sat"}"#, 11006), (#"{"amount":18446744073709551615,"unit":"sat"}"#, 11006),
            (#"{"amount":-1,"unit":"sat"}"#, 10000), (#"{"amount":"8","unit":"sat"}"#, 10000),
            (#"{"amount":18446744073709551616,"unit":"sat"}"#, 10000), (#"{"amount":8}"#, 10000),
            (#"{"amount":8,"unit":"sat","description":"\#(long)"}"#, 10000), (#"{"unit":"sat"}"#, 10000),
        ]
        try await fixture.serve { client in
            for (body, code) in cases {
                let answer = try await client.post("mint/quote/bolt11", body)
                #expect((answer.status, answer.code) == (400, code), "\(body.prefix(80)): \(answer.detail ?? "")")
            }
        }
        #expect(try await fixture.mint.store.unpaidMintQuoteCount() == 0)
    }

    @Test("minting: unknown, unpaid, other sums (96 for a quote of 64), issued, expired, outputs signed or twice")
    func minting() async throws {
        let fixture = try await MintFixture(MintConfiguration(units: [.init(unit: .sat), .init(unit: .msat)]))
        let quote = try await fixture.paidQuote(64)
        let issued = try await fixture.paidQuote(4)
        let used = try fixture.secrets([4])
        _ = try await fixture.mint.mint(fixture.mintBody(issued, used))
        let unpaid = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 4, unit: .sat))
        let unknown = MintRequest(
            quote: try QuoteID(Self.unknown),
            outputs: try fixture.secrets([4]).map { try $0.output() }
        ).json.serialized()
        let msat = try fixture.keyset(.msat).id
        let cases: [(String, Int64, [UInt8])] = [
            ("unknown", 20007, unknown), ("unpaid", 20001, try fixture.mintBody(unpaid, fixture.secrets([4]))),
            ("96 for 64", 11005, try fixture.mintBody(quote, fixture.secrets([64, 32]))),
            ("32 for 64", 11005, try fixture.mintBody(quote, fixture.secrets([32]))),
            ("issued", 20002, try fixture.mintBody(issued, fixture.secrets([4]))),
            ("an output signed before", 11003, try fixture.mintBody(quote, used + fixture.secrets([32, 16, 8, 4]))),
            ("an output twice", 11008, try fixture.mintBody(quote, fixture.twice(32))),
            ("another unit", 11010, try fixture.mintBody(quote, fixture.secrets([64], of: msat))),
            (
                "outputs of two units", 11009,
                try fixture.mintBody(
                    quote,
                    fixture.secrets([32]) + fixture.secrets([32], of: msat)
                )
            ),
            ("no outputs", 10000, try fixture.mintBody(quote, [])),
            ("an output of 3", 11006, try fixture.mintBody(quote, [fixture.secret(61), fixture.secret(3)])),
        ]
        try await fixture.serve { client in
            for (name, code, body) in cases {
                let answer = try await client.post("mint/bolt11", body)
                #expect((answer.status, answer.code) == (400, code), "\(name): \(answer.detail ?? "")")
            }
            try await fixture.mint.rotate(.sat)
            fixture.time.advance(seconds: 4000)
            let late = try await client.post("mint/bolt11", fixture.mintBody(unpaid, fixture.secrets([4])))
            #expect(late.code == 20007)
            let old = try #require(try fixture.mint.allKeysets.first).id
            let inactive = try await client.post("mint/bolt11", fixture.mintBody(quote, fixture.secrets([64], of: old)))
            #expect(inactive.code == 12002)
            let good = try await client.post("mint/bolt11", fixture.mintBody(quote, fixture.secrets([64])))
            #expect(good.status == 200)
        }
        try await fixture.requireSound()
    }

    @Test(
        "melt quotes: no amount 11011, another amount 11012, unit 11013, limits 11006, expired 20007, not an invoice 10000"
    )
    func meltQuotes() async throws {
        let fixture = try await MintFixture(
            MintConfiguration(units: [.init(unit: .sat, minimumAmount: 2, maximumAmount: 100)])
        )
        let open = try fixture.lightning.foreignInvoice(amountMsat: nil)
        let good = try fixture.lightning.foreignInvoice(amountMsat: 50_000)
        let small = try fixture.lightning.foreignInvoice(amountMsat: 1000)
        let large = try fixture.lightning.foreignInvoice(amountMsat: 101_000)
        let short = try fixture.lightning.foreignInvoice(amountMsat: 50_000, expirySeconds: 10)
        let options = #","options":{"amountless":{"amount_msat":60000}}"#
        fixture.time.advance(seconds: 11)
        let cases: [(String, String, Int64)] = [
            ("no amount", #"{"request":"\#(open)","unit":"sat"}"#, 11011),
            ("another amount", #"{"request":"\#(good)","unit":"sat"\#(options)}"#, 11012),
            ("a unit", #"{"request":"\#(good)","unit":"usd"}"#, 11013),
            ("too small", #"{"request":"\#(small)","unit":"sat"}"#, 11006),
            ("too large", #"{"request":"\#(large)","unit":"sat"}"#, 11006),
            ("expired", #"{"request":"\#(short)","unit":"sat"}"#, 20007),
            ("no invoice", #"{"request":"lnbc1","unit":"sat"}"#, 10000),
            ("nothing", #"{"unit":"sat"}"#, 10000),
        ]
        try await fixture.serve { client in
            for (name, body, code) in cases {
                let answer = try await client.post("melt/quote/bolt11", body)
                #expect((answer.status, answer.code) == (400, code), "\(name): \(answer.detail ?? "")")
            }
        }
        #expect(try await fixture.mint.store.unpaidMeltQuoteCount() == 0)
    }

    @Test("melting: too little, spent, twice, forged, another unit, blank outputs signed or twice; nothing is paid")
    func melting() async throws {
        let fixture = try await MintFixture(MintConfiguration(units: [.init(unit: .sat), .init(unit: .msat)]))
        let coins = try await fixture.issue([64, 32, 4])
        let msat = try await fixture.issue([1 << 16], unit: .msat)
        let used = try fixture.secrets([4])
        _ = try await fixture.swap([coins[2]], into: used)
        let (quote, _) = try await fixture.meltQuote(60)
        var forged = coins[0]
        forged.signature = coins[1].signature
        let unknown = MeltRequest(quote: try QuoteID(Self.unknown), inputs: [coins[0]]).json.serialized()
        let cases: [(String, Int64, [UInt8])] = [
            ("unknown", 20007, unknown), ("too little", 11005, try fixture.meltBody(quote, [coins[1]])),
            ("spent", 11001, try fixture.meltBody(quote, [coins[0], coins[2]])),
            ("twice", 11007, try fixture.meltBody(quote, [coins[0], coins[0]])),
            ("forged", 10001, try fixture.meltBody(quote, [forged])),
            ("another unit", 11010, try fixture.meltBody(quote, msat)),
            ("two units", 11009, try fixture.meltBody(quote, [coins[0]] + msat)),
            ("a blank output signed before", 11003, try fixture.meltBody(quote, [coins[0]], blanks: used)),
            ("a blank output twice", 11008, try fixture.meltBody(quote, [coins[0]], blanks: fixture.twice(1))),
            (
                "blank outputs of another unit", 11010,
                try fixture.meltBody(
                    quote,
                    [coins[0]],
                    blanks: fixture.secrets([1], of: fixture.keyset(.msat).id)
                )
            ),
            ("nothing", 10000, try fixture.meltBody(quote, [])),
        ]
        try await fixture.serve { client in
            for (name, code, body) in cases {
                let answer = try await client.post("melt/bolt11", body)
                #expect((answer.status, answer.code) == (400, code), "\(name): \(answer.detail ?? "")")
            }
            #expect(try await client.get("melt/quote/bolt11/\(quote.quote)").json["state"] == "UNPAID")
            fixture.time.advance(seconds: 3601)
            let late = try await client.post("melt/bolt11", fixture.meltBody(quote, [coins[0]]))
            #expect(late.code == 20007)
        }
        #expect(fixture.lightning.payCount == 0)
        #expect(try await fixture.states(coins) == [.unspent, .unspent, .spent])
        try await fixture.requireSound()
    }

    @Test("while it pays: the quote reads PENDING, its coins 11002, its blank outputs 11004, a second payment 20005")
    func whileItPays() async throws {
        let fixture = try await MintFixture()
        let coins = try await fixture.issue([64, 64])
        let (quote, request) = try await fixture.meltQuote(60)
        let twin = try await fixture.mint.requestMeltQuote(MeltQuoteRequest(request: request, unit: .sat))
        let blanks = try fixture.secrets([64])
        fixture.lightning.set(.pends)
        try await fixture.serve { client in
            let body = try fixture.meltBody(quote, [coins[0]], blanks: blanks)
            #expect(try await client.post("melt/bolt11", body).json["state"] == "PENDING")
            #expect(try await client.get("melt/quote/bolt11/\(quote.quote)").json["state"] == "PENDING")
            #expect(try await client.post("swap", fixture.swapBody([coins[0]])).code == 11002)
            #expect(try await client.post("swap", fixture.swapBody([coins[1]], blanks)).code == 11004)
            #expect(try await client.post("melt/bolt11", fixture.meltBody(quote, [coins[1]])).code == 20005)
            #expect(try await client.post("melt/bolt11", fixture.meltBody(twin, [coins[1]])).code == 20005)
            #expect(try await client.post("melt/bolt11", fixture.meltBody(twin, [coins[0]])).code != nil)
            // A stale FAILED: the status says settled in the end, and that is what counts, after a restart too.
            try await fixture.reopen()
        }
        let preimage = try fixture.lightning.preimage(request)
        try fixture.lightning.setPayment(request, .settled(preimage: preimage, feeMsat: 9_000_000))
        try await fixture.serve { client in
            // Routing cost more than the reserve: the payer's part ends there.
            let looked = try await client.get("melt/quote/bolt11/\(quote.quote)")
            #expect(looked.json["state"] == "PAID")
            #expect(try await client.post("melt/bolt11", fixture.meltBody(twin, [coins[1]])).code == 20006)
            #expect(try await client.post("melt/bolt11", fixture.meltBody(quote, [coins[1]])).code == 20006)
            #expect(try await client.post("swap", fixture.swapBody([coins[0]])).code == 11001)
        }
        #expect(fixture.lightning.payCount == 1)
        #expect(try await fixture.states(coins) == [.spent, .unspent])
        try await fixture.requireSound()
    }

    @Test("an invoice that was paid elsewhere is 20006, a failed payment 20004 with everything free again")
    func otherEnds() async throws {
        let fixture = try await MintFixture()
        let coins = try await fixture.issue([64])
        let (paid, paidRequest) = try await fixture.meltQuote(60)
        let (quote, _) = try await fixture.meltQuote(60)
        try fixture.lightning.setPayment(
            paidRequest,
            .settled(preimage: fixture.lightning.preimage(paidRequest), feeMsat: 0)
        )
        try await fixture.serve { client in
            #expect(try await client.post("melt/bolt11", fixture.meltBody(paid, coins)).code == 20006)
            for behaviour in [TestLightning.Payment.fails, .throwsBeforeSending] {
                fixture.lightning.set(behaviour)
                let answer = try await client.post("melt/bolt11", fixture.meltBody(quote, coins))
                #expect(answer.code == 20004)
                #expect(try await client.get("melt/quote/bolt11/\(quote.quote)").json["state"] == "UNPAID")
            }
        }
        #expect(try await fixture.states(coins) == [.unspent])
        try await fixture.requireSound()
    }

    @Test("settled inside against a request for the same quote's ecash, at once: issued once, paid once")
    func insideRace() async throws {
        let fixture = try await MintFixture()
        for round in 0..<6 {
            let own = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 8, unit: .sat))
            let coins = try await fixture.issue([8, 8])
            let melts = try await [coins[0], coins[1]].asyncMap { coin in
                let request = MeltQuoteRequest(request: own.request, unit: .sat)
                return ("melt/bolt11", try fixture.meltBody(try await fixture.mint.requestMeltQuote(request), [coin]))
            }
            let mints = try (0..<2).map { _ in ("mint/bolt11", try fixture.mintBody(own, fixture.secrets([8]))) }
            let requests = round.isMultiple(of: 2) ? melts + mints : mints + melts
            let answers = Collected<(String, Int, Int64?)>()
            try await fixture.serve { client in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (path, body) in requests {
                        group.addTask {
                            let answer = try await client.post(path, body)
                            await answers.append((path, answer.status, answer.code))
                        }
                    }
                    try await group.waitForAll()
                }
                // Whatever the order was, the ecash is there once.
                for _ in 0..<2 {
                    let late = try await client.post("mint/bolt11", fixture.mintBody(own, fixture.secrets([8])))
                    await answers.append(("mint/bolt11", late.status, late.code))
                }
            }
            let seen = await answers.values
            #expect(seen.filter { $0.0 == "melt/bolt11" && $0.1 == 200 }.count == 1)
            #expect(seen.filter { $0.0 == "mint/bolt11" && $0.1 == 200 }.count == 1)
            #expect(seen.allSatisfy { $0.1 == 200 || [20001, 20002, 20005, 20006].contains($0.2 ?? 0) }, "\(seen)")
        }
        #expect(fixture.lightning.payCount == 0)
        try await fixture.requireSound()
    }
}

extension Array where Element: Sendable {
    func asyncMap<T>(_ transform: (Element) async throws -> T) async rethrows -> [T] {
        var result: [T] = []
        for element in self { result.append(try await transform(element)) }
        return result
    }
}
