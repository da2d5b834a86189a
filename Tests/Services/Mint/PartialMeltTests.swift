import CanonicalJSON
import Cashu
import Encodings
import Lightning
import Mint
import Synchronization
import Testing

@Suite("Mint: parts of an invoice (NUT-15), and invoices that settle by themselves")
struct PartialMeltTests {
    private func fixture() async throws -> MintFixture {
        let fixture = try await MintFixture(
            MintConfiguration(
                units: [.init(unit: .sat), .init(unit: .msat, maximumAmount: 10_000_000)],
                feeReserve: .init(permille: 10, minimumMsat: 2_000)
            )
        )
        fixture.lightning.state.withLock { $0.paysParts = true }
        return fixture
    }

    private func quote(_ fixture: MintFixture, _ request: String, _ part: UInt64, _ unit: CurrencyUnit = .sat)
        async throws -> MeltQuote
    {
        try await fixture.mint.requestMeltQuote(
            MeltQuoteRequest(request: request, unit: unit, partialMillisatoshi: part)
        )
    }

    @Test("The quote is for the part, the node pays the part, also where the mint is restarted in between")
    func paysThePart() async throws {
        let fixture = try await fixture()
        let request = try fixture.lightning.foreignInvoice(amountMsat: 100_000)
        let quote = try await quote(fixture, request, 40_500)
        #expect((quote.amount, quote.feeReserve) == (41, 2))
        let proofs = try await fixture.issue([32, 16])
        try await fixture.reopen()
        fixture.lightning.set(.pends)
        #expect(try await fixture.melt(quote, proofs).state == .pending)
        #expect(fixture.lightning.state.withLock { $0.parts } == [40_500])
        #expect(fixture.lightning.lastMaximumFeeMsat == 2_000)
        // The node knows nothing of it: it is sent again, the same part.
        try fixture.lightning.setPayment(request, nil)
        fixture.lightning.set(.settles(feeMsat: 1_000))
        try await fixture.reopen()
        try await fixture.mint.recoverPendingMelts()
        #expect(try await fixture.look(quote).state == .paid)
        #expect(fixture.lightning.state.withLock { $0.parts } == [40_500, 40_500])
        try await fixture.requireSound()
    }

    @Test("A part that fails, as the others did not come, gives everything back")
    func failing() async throws {
        let fixture = try await fixture()
        let request = try fixture.lightning.foreignInvoice(amountMsat: 100_000)
        let quote = try await quote(fixture, request, 40_000)
        let proofs = try await fixture.issue([32, 16])
        fixture.lightning.set(.fails)
        #expect(await code { try await fixture.melt(quote, proofs) } == .lightningPaymentFailed)
        #expect(try await fixture.states(proofs) == [.unspent, .unspent])
        try await fixture.requireSound()
    }

    @Test("One mint pays one part of an invoice")
    func onePart() async throws {
        let fixture = try await fixture()
        let request = try fixture.lightning.foreignInvoice(amountMsat: 100_000)
        let first = try await quote(fixture, request, 40_000)
        let second = try await quote(fixture, request, 60_000)
        fixture.lightning.set(.pends)
        #expect(try await fixture.melt(first, fixture.issue([32, 16])).state == .pending)
        let more = try await fixture.issue([64])
        #expect(await code { try await fixture.melt(second, more) } == .quotePending)
        #expect(try await fixture.states(more) == [.unspent])
    }

    @Test("Parts that are none, and invoices of the mint's own, are refused; the whole as a part is the whole")
    func refused() async throws {
        let fixture = try await fixture()
        let request = try fixture.lightning.foreignInvoice(amountMsat: 100_000)
        for part in [0, 100_001, .max] as [UInt64] {
            #expect(await code { try await quote(fixture, request, part) } == .amountDiffersFromInvoice)
        }
        #expect(try await quote(fixture, request, 100_000).amount == 100)
        #expect(try await quote(fixture, request, 99_999, .msat).amount == 99_999)
        let own = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 100, unit: .sat))
        #expect(await code { try await quote(fixture, own.request, 50_000) } == .malformedRequest)
    }

    @Test("`/v1/info` says 15 where the node can, and only there; where it cannot, a part is refused")
    func info() async throws {
        let fixture = try await fixture()
        #expect(
            try fixture.mint.info.nuts["15"]
                == ["methods": [["method": "bolt11", "unit": "sat"], ["method": "bolt11", "unit": "msat"]]]
        )
        #expect(try fixture.mint.info.paysParts(.msat) && !(try fixture.mint.info.paysParts(.usd)))
        fixture.lightning.state.withLock { $0.paysParts = false }
        #expect(try fixture.mint.info.nuts["15"] == nil)
        let request = try fixture.lightning.foreignInvoice(amountMsat: 100_000)
        #expect(await code { try await quote(fixture, request, 40_000) } == .malformedRequest)
    }

    @Test("The request on the wire, as NUT-15 writes it")
    func wire() throws {
        let text = #"{"request":"lnbc1","unit":"sat","options":{"mpp":{"amount":50000}}}"#
        let request = try MeltQuoteRequest(json: JSONValue.parse(text))
        #expect(request.partialMillisatoshi == 50_000)
        #expect(request.json == (try JSONValue.parse(text)))
        for bad in [#"{"amount":-1}"#, #"{"amount":"5"}"#, "{}", "5"] {
            let text = #"{"request":"lnbc1","unit":"sat","options":{"mpp":"# + bad + "}}"
            #expect(throws: (any Error).self) { try MeltQuoteRequest(json: JSONValue.parse(text)) }
        }
    }

    @Test("An invoice that the node says was paid is asked about, and its quote is paid with nobody asking")
    func settledByItself() async throws {
        let fixture = try await fixture()
        let mint = try fixture.mint
        let running = Task { await mint.run() }
        defer { running.cancel() }
        let quote = try await mint.requestMintQuote(MintQuoteRequest(amount: 100, unit: .sat))
        let hash = try BOLT11Invoice(decoding: quote.request).paymentHash
        while fixture.lightning.state.withLock({ $0.ears == nil }) { await Task.yield() }
        // A hint alone pays nothing.
        fixture.lightning.state.withLock { $0.ears }?.yield(hash)
        fixture.lightning.state.withLock { $0.ears }?.yield([1, 2, 3])
        try fixture.lightning.receive(quote.request)
        fixture.lightning.state.withLock { $0.ears }?.yield(hash)
        for _ in 0..<500 {
            if try await mint.store.mintQuote(quote.quote.string)?.state == .paid { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("the quote is not paid")
    }
}
