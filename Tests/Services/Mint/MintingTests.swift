import CanonicalJSON
import Cashu
import Encodings
import Ledger
import Mint
import Synchronization
import TestSupport
import Testing

@Suite struct MintingTests {
    private func state(_ quote: MintQuote, _ fixture: MintFixture) async throws -> MintQuote {
        try MintQuote(json: .parse(try await fixture.mint.mintQuote(quote.quote.string), limits: .amounts))
    }

    @Test("A quote goes from unpaid to paid to issued, in the old words and the new ones")
    func wayOfAQuote() async throws {
        let fixture = try await MintFixture()
        let request = MintQuoteRequest(amount: 10, unit: .sat, description: "for tests")
        let quote = try await fixture.mint.requestMintQuote(request)
        #expect(quote.state == .unpaid)
        #expect(quote.expiry == UInt64(MintFixture.start.secondsSince1970 + 3600))
        // A UUID of version 7 (NUT-04).
        #expect(quote.quote.string.utf8.count == 36)
        #expect(Array(quote.quote.string)[14] == "7")
        #expect(try await state(quote, fixture).state == .unpaid)
        let secrets = try fixture.secrets([2, 8])
        #expect(await code { try await fixture.mint.mint(fixture.mintBody(quote, secrets)) } == .quoteNotPaid)
        try fixture.lightning.receive(quote.request)
        let paid = try await state(quote, fixture)
        #expect((paid.state, paid.amountPaid, paid.amountIssued) == (.paid, 10, 0))
        let proofs = try fixture.unblind(try await fixture.mint.mint(fixture.mintBody(quote, secrets)), secrets)
        #expect(proofs.map(\.amount) == [2, 8])
        let issued = try await state(quote, fixture)
        #expect((issued.state, issued.amountPaid, issued.amountIssued) == (.issued, 10, 10))
        try await fixture.requireSound()
    }

    @Test("A quote is issued once: 20002 afterwards, and of 16 different requests at once one wins")
    func once() async throws {
        let fixture = try await MintFixture()
        for _ in 0..<4 {
            let quote = try await fixture.paidQuote(64)
            let codes = await withTaskGroup(of: MintErrorCode?.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        await code { try await fixture.mint.mint(fixture.mintBody(quote, fixture.secrets([64]))) }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(codes.filter { $0 == nil }.count == 1)
            #expect(codes.filter { $0 == .quoteAlreadyIssued }.count == 15)
            let late = try fixture.mintBody(quote, fixture.secrets([64]))
            #expect(await code { try await fixture.mint.mint(late) } == .quoteAlreadyIssued)
        }
        let audit = try await fixture.mint.audit()
        #expect(audit.findings == [])
        #expect(audit.keysets.map(\.issued) == [256])
    }

    @Test("Outputs that are not worth the quote exactly are refused, and the quote stays paid")
    func otherAmount() async throws {
        let fixture = try await MintFixture()
        let quote = try await fixture.paidQuote(64)
        for wrong in [[UInt64(64), 32], [32], [1]] {
            let body = try fixture.mintBody(quote, fixture.secrets(wrong))
            #expect(await code { try await fixture.mint.mint(body) } == .transactionNotBalanced)
        }
        let none = MintRequest(quote: quote.quote, outputs: []).json.serialized()
        #expect(await code { try await fixture.mint.mint(none) } == .malformedRequest)
        _ = try await fixture.mint.mint(fixture.mintBody(quote, fixture.secrets([64])))
    }

    @Test("A paid quote can be minted long after its expiry; an unpaid one is expired")
    func expiry() async throws {
        let fixture = try await MintFixture()
        let paid = try await fixture.paidQuote(4)
        let unpaid = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 4, unit: .sat))
        fixture.time.advance(seconds: 3601)
        let body = try fixture.mintBody(unpaid, fixture.secrets([4]))
        #expect(await code { try await fixture.mint.mint(body) } == .quoteExpired)
        _ = try await fixture.mint.mint(fixture.mintBody(paid, fixture.secrets([4])))
        #expect(
            await code { try await fixture.mint.mintQuote("019e6d5a-2347-7000-8322-05d51d498303") } == .quoteExpired
        )
    }

    @Test("What was paid and not minted survives a restart and is a liability")
    func restartBetweenPaymentAndMinting() async throws {
        let fixture = try await MintFixture()
        let quote = try await fixture.paidQuote(32)
        #expect(try await state(quote, fixture).state == .paid)
        try await fixture.reopen()
        let audit = try await fixture.mint.audit()
        #expect(audit.accounts.first { $0.account.name == "mint:unissued" }?.balance == 32)
        _ = try await fixture.mint.mint(fixture.mintBody(quote, fixture.secrets([32])))
        try await fixture.requireSound()
    }

    @Test("With the backend away: no new quote (503), a look tells the last state, minting an unpaid one is 503")
    func backendAway() async throws {
        let fixture = try await MintFixture()
        let quote = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 4, unit: .sat))
        fixture.lightning.setAway(true)
        #expect(
            await status { try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 4, unit: .sat)) } == 503
        )
        #expect(try await state(quote, fixture).state == .unpaid)
        let body = try fixture.mintBody(quote, fixture.secrets([4]))
        #expect(await status { try await fixture.mint.mint(body) } == 503)
        fixture.lightning.setAway(false)
        try fixture.lightning.receive(quote.request)
        _ = try await fixture.mint.mint(body)
    }

    @Test("Open quotes are bounded (503); expired ones are forgotten after a last look, late payments kept")
    func openQuotes() async throws {
        let fixture = try await MintFixture(MintConfiguration(limits: .init(openQuotes: 3)))
        let request = MintQuoteRequest(amount: 4, unit: .sat)
        let late = try await fixture.mint.requestMintQuote(request)
        _ = try await fixture.mint.requestMintQuote(request)
        _ = try await fixture.mint.requestMintQuote(request)
        #expect(await status { try await fixture.mint.requestMintQuote(request) } == 503)
        try await fixture.mint.forgetExpiredQuotes()
        #expect(await status { try await fixture.mint.requestMintQuote(request) } == 503)
        fixture.time.advance(seconds: 3600 + 86_400 + 1)
        try fixture.lightning.receive(late.request)
        try await fixture.mint.forgetExpiredQuotes()
        #expect(try await fixture.mint.store.unpaidMintQuoteCount() == 0)
        #expect(try await state(late, fixture).state == .paid)
        _ = try await fixture.mint.requestMintQuote(request)
        try await fixture.requireSound()
    }

    @Test("A payment below the invoice's amount does not make a quote paid")
    func underpaid() async throws {
        let fixture = try await MintFixture()
        let quote = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 4, unit: .sat))
        let stored = try #require(try await fixture.mint.store.mintQuote(quote.quote.string))
        fixture.lightning.state.withLock { $0.paidInvoices[stored.paymentHash] = 3999 }
        #expect(try await state(quote, fixture).state == .unpaid)
        fixture.lightning.state.withLock { $0.paidInvoices[stored.paymentHash] = 4000 }
        #expect(try await state(quote, fixture).state == .paid)
    }
}
