import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Lightning
import Mint
import Storage
import TestSupport
import Testing

/// Requests that come again because their answer was lost (NUT-19), over HTTP.
@Suite("Replays (NUT-19)") struct ReplayTests {
    @Test("swap, mint, batch and melt answer the same body with the same answer, also after a restart and a rotation")
    func same() async throws {
        let fixture = try await MintFixture()
        let coins = try await fixture.issue([8, 64])
        let single = try await fixture.paidQuote(4)
        let pair = [try await fixture.paidQuote(1), try await fixture.paidQuote(2)]
        let (melt, _) = try await fixture.meltQuote(60)
        let bodies: [(String, [UInt8])] = [
            ("swap", try fixture.swapBody([coins[0]], fixture.secrets([1, 1, 2, 4]))),
            ("mint/bolt11", try fixture.mintBody(single, fixture.secrets([4]))),
            ("mint/bolt11/batch", try fixture.batchBody(pair, fixture.secrets([1, 2]))),
            ("melt/bolt11", try fixture.meltBody(melt, [coins[1]], blanks: fixture.secrets([1, 1, 1]))),
        ]
        let firsts = Collected<JSONValue>()
        try await fixture.serve { client in
            for (path, body) in bodies {
                let first = try await client.post(path, body)
                #expect(first.status == 200, "\(path): \(first.detail ?? "")")
                await firsts.append(first.json)
                let again = try await client.post(path, body)
                #expect((again.status, again.json) == (200, first.json), "\(path)")
            }
        }
        let payments = fixture.lightning.payCount
        try await fixture.mint.rotate(.sat)
        try await fixture.reopen()
        let answers = await firsts.values
        try await fixture.serve { client in
            for ((path, body), first) in zip(bodies, answers) {
                let again = try await client.post(path, body)
                #expect((again.status, again.json) == (200, first), "\(path)")
                // One byte more, and it is another request.
                let other = try await client.post(path, body + [0x20])
                #expect(other.status == 400, "\(path)")
            }
        }
        #expect(fixture.lightning.payCount == payments)
        let audit = try await fixture.mint.audit()
        #expect(audit.findings == [])
        #expect(audit.keysets.map(\.redeemed).reduce(0, +) == 72)
    }

    @Test("32 times the same body at once: one swap, the same answer for all")
    func together() async throws {
        let fixture = try await MintFixture()
        let coin = try await fixture.issue([8])
        let body = try fixture.swapBody(coin)
        let quote = try await fixture.paidQuote(16)
        let minting = try fixture.mintBody(quote, fixture.secrets([16]))
        try await fixture.serve { client in
            for (path, body) in [("swap", body), ("mint/bolt11", minting)] {
                let answers = try await all(Array(repeating: body, count: 32), to: path, client)
                #expect(answers.allSatisfy { $0.status == 200 && $0.json == answers[0].json }, "\(path)")
            }
        }
        let audit = try await fixture.mint.audit()
        #expect(audit.findings == [])
        #expect(audit.keysets.map(\.issued) == [8 + 8 + 16])
    }

    @Test("a refusal is never kept: the same body works once what stood in its way is gone")
    func refusalsAreNotKept() async throws {
        let fixture = try await MintFixture()
        let quote = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 4, unit: .sat))
        let minting = try fixture.mintBody(quote, fixture.secrets([4]))
        let coin = try await fixture.issue([64])
        let (melt, _) = try await fixture.meltQuote(60)
        let melting = try fixture.meltBody(melt, coin)
        fixture.lightning.set(.fails)
        try await fixture.serve { client in
            #expect(try await client.post("mint/bolt11", minting).code == 20001)
            try fixture.lightning.receive(quote.request)
            #expect(try await client.post("mint/bolt11", minting).status == 200)

            #expect(try await client.post("melt/bolt11", melting).code == 20004)
            fixture.lightning.set(.settles(feeMsat: 0))
            let paid = try await client.post("melt/bolt11", melting)
            #expect((paid.status, paid.json["state"]) == (200, "PAID"))
        }
        try await fixture.requireSound()
    }

    @Test("a poisoned cache: neither another's inputs, outputs nor quote get an answer, nor do they spoil the true one")
    func poison() async throws {
        let fixture = try await MintFixture()
        let coins = try await fixture.issue([4, 4, 4])
        let secrets = try fixture.secrets([4])
        let body = try fixture.swapBody([coins[0]], secrets)
        let quote = try await fixture.paidQuote(2)
        let owned = try fixture.secrets([2])
        let minting = try fixture.mintBody(quote, owned)
        try await fixture.serve { client in
            let first = try await client.post("swap", body)
            // Same input, other output; same output, other input; both taken from the true request but for one more input.
            #expect(try await client.post("swap", fixture.swapBody([coins[0]])).code == 11001)
            #expect(try await client.post("swap", fixture.swapBody([coins[1]], secrets)).code == 11003)
            let wider = try fixture.swapBody([coins[0], coins[2]], secrets + fixture.secrets([4]))
            #expect([11001, 11003].contains(try await client.post("swap", wider).code))
            #expect(try await client.post("swap", body).json == first.json)

            let minted = try await client.post("mint/bolt11", minting)
            #expect(try await client.post("mint/bolt11", fixture.mintBody(quote, fixture.secrets([2]))).code == 20002)
            #expect(try await client.post("mint/bolt11", minting).json == minted.json)
            // The body of one route is nothing to another.
            #expect(try await client.post("mint/bolt11/batch", minting).code == 10000)
        }
        #expect(try await fixture.states(coins) == [.spent, .unspent, .unspent])
        try await fixture.requireSound()
    }

    @Test(
        "a melt under way, asked again, tells its state; once paid, the change; after a failure another body's payment is its own"
    )
    func melts() async throws {
        let fixture = try await MintFixture()
        let coins = try await fixture.issue([64, 64])
        let (quote, _) = try await fixture.meltQuote(60)
        let first = try fixture.meltBody(quote, [coins[0]], blanks: fixture.secrets([1, 1, 1]))
        let second = try fixture.meltBody(quote, [coins[1]], blanks: fixture.secrets([1, 1, 1]))
        try await fixture.serve { client in
            fixture.lightning.set(.fails)
            #expect(try await client.post("melt/bolt11", first).code == 20004)
            fixture.lightning.set(.pends)
            #expect(try await client.post("melt/bolt11", second).json["state"] == "PENDING")
            #expect(try await client.post("melt/bolt11", second).json["state"] == "PENDING")
            #expect(try await client.post("melt/bolt11", first).code == 20005)
            let preimage = try fixture.lightning.preimage(try #require(quote.request))
            try fixture.lightning.setPayment(
                try #require(quote.request),
                .settled(preimage: preimage, feeMsat: 1000)
            )
            try await fixture.mint.recoverPendingMelts()
            let paid = try await client.post("melt/bolt11", second)
            #expect(paid.json["state"] == "PAID")
            #expect(paid.json["change"]?.arrayValue?.count == 2)
            #expect(try await client.post("melt/bolt11", first).code == 20006)
        }
        #expect(try await fixture.states(coins) == [.unspent, .spent])
        #expect(fixture.lightning.payCount == 2)
        try await fixture.requireSound()
    }

    @Test("after the lifetime a swap's answer is forgotten: 11001, and NUT-09 still has the signatures")
    func lifetime() async throws {
        let fixture = try await MintFixture(MintConfiguration(answerLifetimeSeconds: 600))
        let secrets = try fixture.secrets([4])
        let body = try await fixture.swapBody(fixture.issue([4]), secrets)
        let answer = try await fixture.mint.swap(body)
        fixture.time.advance(seconds: 599)
        try await fixture.mint.forgetOldAnswers()
        #expect(try await fixture.mint.swap(body) == answer)
        fixture.time.advance(seconds: 601)
        #expect(await code { try await fixture.mint.swap(body) } == .proofsAlreadySpent)
        try await fixture.mint.forgetOldAnswers()
        #expect(try await fixture.answersKept() == 0)
        let request = RestoreRequest(outputs: try secrets.map { try $0.output() }).json.serialized()
        let restored = try RestoreResponse(json: .parse(try await fixture.mint.restore(request), limits: .amounts))
        #expect(restored.signatures.count == 1)
    }

    @Test("the memory of answers is bounded: the oldest go first, the newest stay")
    func bound() async throws {
        let fixture = try await MintFixture(MintConfiguration(answersKept: 3))
        var bodies: [[UInt8]] = []
        for _ in 0..<8 {
            let body = try await fixture.swapBody(fixture.issue([1]))
            _ = try await fixture.mint.swap(body)
            bodies.append(body)
            fixture.time.advance(seconds: 300)
        }
        try await fixture.mint.forgetOldAnswers()
        #expect(try await fixture.answersKept() == 3)
        for (index, body) in bodies.enumerated() {
            let refusal = await code { try await fixture.mint.swap(body) }
            #expect(refusal == (index < 5 ? .proofsAlreadySpent : nil), "\(index)")
        }
        // Counted once, then kept count of.
        let more = try await fixture.swapBody(fixture.issue([1]))
        _ = try await fixture.mint.swap(more)
        try await fixture.mint.forgetOldAnswers()
        #expect(try await fixture.answersKept() == 3)
        _ = try await fixture.mint.swap(more)
        try await fixture.requireSound()
    }

    @Test("the info tells the endpoints and the seconds")
    func info() async throws {
        let fixture = try await MintFixture(MintConfiguration(answerLifetimeSeconds: 77))
        try await fixture.serve { client in
            let info = try MintInfo(json: await client.get("info").json)
            for path in ["/v1/swap", "/v1/mint/bolt11", "/v1/mint/bolt11/batch", "/v1/melt/bolt11"] {
                #expect(info.cachesAnswers(path: path))
            }
            #expect(info.nuts["19"]?["ttl"]?.uint64Value == 77)
            #expect(info.maximumArrayLength == 1000)
            #expect(info.batchMinting == BatchMintSetting(maximumBatch: 100, methods: [.bolt11]))
            for number in [7, 8, 9, 10, 11, 12, 14, 20] { #expect(info.supports(number), "\(number)") }
        }
    }
}

extension MintFixture {
    func answersKept() async throws -> Int {
        try await database.read { try $0.first("SELECT count(*) FROM mint_answers")?.int(0) ?? 0 }
    }
}

/// What concurrent work gathers.
actor Collected<Value: Sendable> {
    private(set) var values: [Value] = []
    func append(_ value: Value) { values.append(value) }
}
