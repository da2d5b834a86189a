import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Ledger
import Lightning
import Mint
import Storage
import TestSupport
import Testing

@Suite struct MeltTests {
    @Test("A melt pays the invoice, spends its inputs and gives back what of the reserve was not used")
    func pays() async throws {
        let fixture = try await MintFixture(
            MintConfiguration(feeReserve: .init(permille: 10, minimumMsat: 10_000))
        )
        let proofs = try await fixture.issue([64, 32, 16])
        let (quote, request) = try await fixture.meltQuote(100)
        #expect((quote.amount, quote.feeReserve, quote.state) == (100, 10, .unpaid))
        fixture.lightning.set(.settles(feeMsat: 1_500))
        let blanks = try fixture.secrets([1, 1, 1, 1])
        let paid = try await fixture.melt(quote, proofs, blanks: blanks)
        #expect(paid.state == .paid)
        #expect(paid.paymentPreimage == Hex.encode(try fixture.lightning.preimage(request)))
        // 112 paid in, 100 to the payee, 2 for routing (1.5 rounded up): 10 back.
        let keyset = try fixture.keyset()
        let change = try paid.changeProofs(for: blanks) { _ in keyset }
        #expect(change.map(\.amount) == [2, 8])
        #expect(try await fixture.look(quote).change?.count == 2)
        _ = try await fixture.swap(change, into: fixture.secrets([2, 8]))
        let audit = try await fixture.mint.audit()
        #expect(audit.findings == [])
        #expect(audit.keysets.map(\.outstanding) == [10])
        #expect(audit.accounts.first { $0.account.name == "mint:lightning" }?.balance == 10)
    }

    @Test("With too few blank outputs the largest parts come back, the rest is the mint's, and the books say so")
    func fewBlanks() async throws {
        let fixture = try await MintFixture(MintConfiguration(feeReserve: .init(permille: 0, minimumMsat: 0)))
        let proofs = try await fixture.issue([128])
        let (quote, _) = try await fixture.meltQuote(100)
        let blanks = try fixture.secrets([1, 1])
        let keyset = try fixture.keyset()
        let change = try await fixture.melt(quote, proofs, blanks: blanks).changeProofs(for: blanks) { _ in keyset }
        #expect(change.map(\.amount) == [8, 16])
        let audit = try await fixture.mint.audit()
        #expect(audit.findings == [])
        #expect(audit.accounts.first { $0.account.name == "mint:fees" }?.balance == 4)
    }

    @Test("Inputs that do not cover amount, reserve and input fees are 11005 and stay free")
    func tooLittle() async throws {
        let fixture = try await MintFixture(MintConfiguration(units: [.init(unit: .sat, inputFeePPK: 1000)]))
        let proofs = try await fixture.issue([64, 32, 8])
        let (quote, _) = try await fixture.meltQuote(100)
        // 104 in, 100 + 2 reserve + 3 fees needed.
        #expect(await code { try await fixture.melt(quote, proofs) } == .transactionNotBalanced)
        #expect(try await fixture.states(proofs) == [.unspent, .unspent, .unspent])
        #expect(fixture.lightning.payCount == 0)
    }

    @Test("While a payment is under way its inputs are pending for everyone, and its quote is not paid again")
    func whileItPays() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let more = try await fixture.issue([64])
        let (quote, _) = try await fixture.meltQuote(50)
        let blanks = try fixture.secrets([1])
        fixture.lightning.holdPayments()
        async let melting = fixture.melt(quote, proofs, blanks: blanks)
        await fixture.lightning.paymentIsWaiting()
        #expect(try await fixture.states(proofs) == [.pending])
        #expect(try await fixture.look(quote).state == .pending)
        #expect(await code { try await fixture.swap(proofs, into: fixture.secrets([64])) } == .proofsPending)
        #expect(await code { try await fixture.swap(more, into: blanks + fixture.secrets([32, 31])) } != nil)
        #expect(await code { try await fixture.melt(quote, more) } == .quotePending)
        let reused = try fixture.secret(64, secret: blanks[0].secret)
        let sameOutput = BlindingSecret(
            amount: 64,
            keysetID: reused.keysetID,
            secret: blanks[0].secret,
            blindingFactor: blanks[0].blindingFactor
        )
        #expect(await code { try await fixture.swap(more, into: [sameOutput]) } == .outputsPending)
        try await fixture.mint.recoverPendingMelts()
        #expect(try await fixture.states(proofs) == [.pending])
        fixture.lightning.letPaymentsGo()
        #expect(try await melting.state == .paid)
        #expect(fixture.lightning.payCount == 1)
        #expect(try await fixture.states(proofs) == [.spent])
        try await fixture.requireSound()
    }

    @Test("A failed payment is 20004, frees inputs and outputs, and the quote can be tried again")
    func fails() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let blanks = try fixture.secrets([1])
        let (quote, _) = try await fixture.meltQuote(50)
        for behaviour in [TestLightning.Payment.fails, .throwsBeforeSending] {
            fixture.lightning.set(behaviour)
            #expect(await code { try await fixture.melt(quote, proofs, blanks: blanks) } == .lightningPaymentFailed)
            #expect(try await fixture.states(proofs) == [.unspent])
            #expect(try await fixture.look(quote).state == .unpaid)
        }
        fixture.lightning.set(.settles(feeMsat: 0))
        #expect(try await fixture.melt(quote, proofs, blanks: blanks).state == .paid)
        #expect(await code { try await fixture.melt(quote, proofs) } == .invoiceAlreadyPaid)
        try await fixture.requireSound()
    }

    @Test("A failure that the backend takes back is not believed: the inputs stay held, then spent")
    func failureTakenBack() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let (quote, request) = try await fixture.meltQuote(50)
        fixture.lightning.set(.failsThenSays(.pending))
        #expect(try await fixture.melt(quote, proofs).state == .pending)
        let preimage = try fixture.lightning.preimage(request)
        try fixture.lightning.setPayment(request, .settled(preimage: preimage, feeMsat: 0))
        #expect(try await fixture.look(quote).state == .paid)
        #expect(try await fixture.states(proofs) == [.spent])
        try await fixture.requireSound()
    }

    @Test("A payment of unknown outcome stays pending through restarts until the backend knows: settled")
    func unknownThenSettled() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let blanks = try fixture.secrets(Array(repeating: 1, count: 4))
        let (quote, request) = try await fixture.meltQuote(50)
        fixture.lightning.set(.pends)
        #expect(try await fixture.melt(quote, proofs, blanks: blanks).state == .pending)
        for _ in 0..<3 {
            try await fixture.reopen()
            try await fixture.mint.recoverPendingMelts()
            #expect(try await fixture.states(proofs) == [.pending])
        }
        fixture.lightning.setAway(true)
        #expect(try await fixture.look(quote).state == .pending)
        fixture.lightning.setAway(false)
        let preimage = try fixture.lightning.preimage(request)
        try fixture.lightning.setPayment(request, .settled(preimage: preimage, feeMsat: 1000))
        try await fixture.mint.recoverPendingMelts()
        let paid = try await fixture.look(quote)
        #expect(paid.state == .paid)
        let keyset = try fixture.keyset()
        #expect(try paid.changeProofs(for: blanks) { _ in keyset }.map(\.amount) == [1, 4, 8])
        #expect(fixture.lightning.payCount == 1)
        try await fixture.requireSound()
    }

    @Test("A payment of unknown outcome that turns out failed frees its inputs")
    func unknownThenFailed() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let (quote, request) = try await fixture.meltQuote(50)
        fixture.lightning.set(.pends)
        #expect(try await fixture.melt(quote, proofs).state == .pending)
        try fixture.lightning.setPayment(request, .failed(PaymentFailure(.noRoute, "no route")))
        try await fixture.reopen()
        try await fixture.mint.recoverPendingMelts()
        #expect(try await fixture.states(proofs) == [.unspent])
        _ = try await fixture.swap(proofs, into: fixture.secrets([64]))
        try await fixture.requireSound()
    }

    @Test("Killed after the inputs were held and before the payment was sent: paid once after the restart")
    func killedBeforeSending() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let (quote, _) = try await fixture.meltQuote(50)
        let stored = try #require(try await fixture.mint.store.meltQuote(quote.quote.string))
        let held = try proofs.map {
            SpentProof(y: try $0.hashedSecret().compressed, keyset: $0.keysetID, amount: $0.amount)
        }
        _ = try await fixture.mint.store.beginMelt(
            stored.id,
            holding: held,
            fee: 0,
            blanks: [],
            changeInside: [],
            at: fixture.time.now
        )
        try await fixture.reopen()
        fixture.lightning.setAway(true)
        try await fixture.mint.recoverPendingMelts()
        #expect(try await fixture.states(proofs) == [.pending])
        fixture.lightning.setAway(false)
        try await fixture.mint.recoverPendingMelts()
        try await fixture.mint.recoverPendingMelts()
        #expect(try await fixture.look(quote).state == .paid)
        #expect(fixture.lightning.payCount == 1)
        try await fixture.requireSound()
    }

    @Test("A payment the backend never heard of is given up only long after its invoice has expired")
    func neverBegun() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let (quote, _) = try await fixture.meltQuote(50)
        let held = try proofs.map {
            SpentProof(y: try $0.hashedSecret().compressed, keyset: $0.keysetID, amount: $0.amount)
        }
        _ = try await fixture.mint.store.beginMelt(
            quote.quote.string,
            holding: held,
            fee: 0,
            blanks: [],
            changeInside: [],
            at: fixture.time.now
        )
        fixture.lightning.set(.throwsBeforeSending)
        for (seconds, state) in [(Int64(3601), ProofState.State.pending), (500, .pending), (100, .unspent)] {
            fixture.time.advance(seconds: seconds)
            try await fixture.mint.recoverPendingMelts()
            #expect(try await fixture.states(proofs) == [state])
        }
        try await fixture.requireSound()
    }

    @Test("A settlement whose preimage proves nothing leaves the melt pending")
    func wrongPreimage() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let (quote, _) = try await fixture.meltQuote(50)
        fixture.lightning.set(.settlesWithWrongPreimage)
        #expect(try await fixture.melt(quote, proofs).state == .pending)
        #expect(try await fixture.states(proofs) == [.pending])
    }

    @Test("Routing that costs more than the reserve is the operator's loss, and the books balance")
    func feeAboveReserve() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let (quote, _) = try await fixture.meltQuote(50)
        fixture.lightning.set(.settles(feeMsat: 20_000))
        #expect(try await fixture.melt(quote, proofs).state == .paid)
        let audit = try await fixture.mint.audit()
        #expect(audit.findings == [])
        #expect(audit.accounts.first { $0.account.name == "mint:losses" }?.balance == 18)
    }

    @Test("Two quotes for one invoice: it is paid once, at once and one after the other")
    func twoQuotesOneInvoice() async throws {
        let fixture = try await MintFixture()
        let first = try await fixture.issue([64])
        let second = try await fixture.issue([64])
        let (quote, request) = try await fixture.meltQuote(50)
        let other = try await fixture.mint.requestMeltQuote(MeltQuoteRequest(request: request, unit: .sat))
        async let one = code { try await fixture.melt(quote, first) }
        async let two = code { try await fixture.melt(other, second) }
        let codes = await [one, two]
        #expect(codes.filter { $0 == nil }.count == 1)
        #expect(codes.contains { $0 == .quotePending || $0 == .invoiceAlreadyPaid })
        #expect(fixture.lightning.payCount == 1)
        let third = try await fixture.mint.requestMeltQuote(MeltQuoteRequest(request: request, unit: .sat))
        let loser = codes[0] == nil ? second : first
        #expect(await code { try await fixture.melt(third, loser) } == .invoiceAlreadyPaid)
        try await fixture.requireSound()
    }

    @Test("An invoice that was paid from elsewhere, or cannot be paid, is refused before anything is held")
    func refusedInvoices() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let (quote, request) = try await fixture.meltQuote(50)
        try fixture.lightning.setPayment(request, .settled(preimage: fixture.lightning.preimage(request), feeMsat: 0))
        #expect(await code { try await fixture.melt(quote, proofs) } == .invoiceAlreadyPaid)
        #expect(try await fixture.states(proofs) == [.unspent])

        let amountless = try fixture.lightning.foreignInvoice(amountMsat: nil)
        let mint = try fixture.mint
        func refusal(_ request: MeltQuoteRequest) async -> MintErrorCode? {
            await code { try await mint.requestMeltQuote(request) }
        }
        #expect(await refusal(.init(request: amountless, unit: .sat)) == .amountlessInvoiceNotSupported)
        #expect(
            await refusal(.init(request: request, unit: .sat, amountlessMillisatoshi: 1)) == .amountDiffersFromInvoice
        )
        #expect(await refusal(.init(request: request, unit: .usd)) == .unitNotSupported)
        #expect(await refusal(.init(request: "lnbc1nonsense", unit: .sat)) == .malformedRequest)
        let large = try fixture.lightning.foreignInvoice(amountMsat: 10_000_001_000)
        #expect(await refusal(.init(request: large, unit: .sat)) == .amountOutsideLimits)
        let short = try fixture.lightning.foreignInvoice(amountMsat: 5000, expirySeconds: 10)
        let brief = try await mint.requestMeltQuote(.init(request: short, unit: .sat))
        fixture.time.advance(seconds: 11)
        #expect(await refusal(.init(request: short, unit: .sat)) == .quoteExpired)
        #expect(await code { try await fixture.melt(brief, proofs) } == .quoteExpired)
    }

    @Test("An invoice of the mint's own is settled inside, in one step, with change")
    func inside() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let own = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 40, unit: .sat))
        let quote = try await fixture.mint.requestMeltQuote(MeltQuoteRequest(request: own.request, unit: .sat))
        #expect(quote.feeReserve == 0)
        let blanks = try fixture.secrets([1, 1])
        let paid = try await fixture.melt(quote, proofs, blanks: blanks)
        #expect(paid.state == .paid)
        let keyset = try fixture.keyset()
        #expect(try paid.changeProofs(for: blanks) { _ in keyset }.map(\.amount) == [8, 16])
        #expect(fixture.lightning.payCount == 0)
        _ = try await fixture.mint.mint(fixture.mintBody(own, fixture.secrets([8, 32])))
        let audit = try await fixture.mint.audit()
        #expect(audit.findings == [])
        #expect(audit.keysets.map(\.outstanding) == [64])
        let more = try await fixture.issue([64])
        let again = try await fixture.mint.requestMeltQuote(MeltQuoteRequest(request: own.request, unit: .sat))
        #expect(await code { try await fixture.melt(again, more) } == .invoiceAlreadyPaid)
    }

    @Test("Settling inside races with minting, and with a payment from outside: the quote is paid once")
    func insideRace() async throws {
        let fixture = try await MintFixture()
        for outside in [false, true] {
            let proofs = try await fixture.issue([64])
            let own = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 64, unit: .sat))
            let quote = try await fixture.mint.requestMeltQuote(MeltQuoteRequest(request: own.request, unit: .sat))
            if outside { try fixture.lightning.receive(own.request) }
            let secrets = try fixture.secrets([64])
            async let melt = code { try await fixture.melt(quote, proofs) }
            async let mint = code { try await fixture.mint.mint(fixture.mintBody(own, secrets)) }
            let results = await (melt, mint)
            if outside {
                #expect(results.0 == .invoiceAlreadyPaid)
                #expect(results.1 == nil)
                #expect(try await fixture.states(proofs) == [.unspent])
            } else {
                #expect(results.0 == nil)
                #expect(results.1 == nil || results.1 == .quoteNotPaid)
            }
            try await fixture.requireSound()
        }
    }

    @Test("With prefer_async the answer is PENDING at once and the payment goes on")
    func asynchronous() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let (quote, _) = try await fixture.meltQuote(50)
        fixture.lightning.holdPayments()
        let body = try fixture.meltBody(quote, proofs, prefersAsync: true)
        let answer = try MeltQuote(json: .parse(try await fixture.mint.melt(body), limits: .amounts))
        #expect(answer.state == .pending)
        await fixture.lightning.paymentIsWaiting()
        fixture.lightning.letPaymentsGo()
        while try await fixture.look(quote).state == .pending { await Task.yield() }
        #expect(try await fixture.look(quote).state == .paid)
        try await fixture.requireSound()
    }

    @Test("A payment goes on where the caller hangs up, and its end is written down")
    func hangUp() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let (quote, _) = try await fixture.meltQuote(50)
        fixture.lightning.holdPayments()
        let caller = Task { try await fixture.melt(quote, proofs) }
        await fixture.lightning.paymentIsWaiting()
        caller.cancel()
        fixture.lightning.letPaymentsGo()
        _ = try? await caller.value
        while try await fixture.look(quote).state == .pending { await Task.yield() }
        #expect(try await fixture.look(quote).state == .paid)
        #expect(try await fixture.states(proofs) == [.spent])
        try await fixture.requireSound()
    }

    @Test("The housekeeping ends a melt that a former process left pending, and stops when told")
    func housekeeping() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let (quote, request) = try await fixture.meltQuote(50)
        fixture.lightning.set(.pends)
        _ = try await fixture.melt(quote, proofs)
        try fixture.lightning.setPayment(request, .settled(preimage: fixture.lightning.preimage(request), feeMsat: 0))
        try await fixture.reopen()
        let mint = try fixture.mint
        let housekeeping = Task { await mint.run() }
        while try await fixture.states(proofs) != [.spent] { await Task.yield() }
        housekeeping.cancel()
        await housekeeping.value
        #expect(try await fixture.look(quote).state == .paid)
    }

    @Test("An end that cannot be written down leaves the melt pending; it ends once the store works again")
    func endNotWritten() async throws {
        for (behaviour, trigger, state) in [
            (
                TestLightning.Payment.settles(feeMsat: 0), "UPDATE OF preimage ON mint_melt_quotes",
                ProofState.State.spent
            ),
            (.fails, "DELETE ON mint_proofs", .unspent),
            (.throwsBeforeSending, "DELETE ON mint_proofs", .pending),
        ] {
            let fixture = try await MintFixture()
            let proofs = try await fixture.issue([64])
            let (quote, _) = try await fixture.meltQuote(50)
            try await fixture.database.write {
                try $0.execute("CREATE TRIGGER broken BEFORE \(trigger) BEGIN SELECT RAISE(ABORT, 'broken'); END")
            }
            fixture.lightning.set(behaviour)
            #expect(try await fixture.melt(quote, proofs).state == .pending)
            #expect(try await fixture.states(proofs) == [.pending])
            try await fixture.reopen()
            try await fixture.mint.recoverPendingMelts()
            #expect(try await fixture.states(proofs) == [.pending])
            try await fixture.database.write { try $0.execute("DROP TRIGGER broken") }
            try await fixture.mint.recoverPendingMelts()
            #expect(try await fixture.states(proofs) == [state])
            try await fixture.requireSound()
        }
    }

    @Test("Payments under way are bounded: one more is 503 and holds nothing")
    func bounded() async throws {
        let fixture = try await MintFixture(MintConfiguration(limits: .init(meltsAtOnce: 1)))
        let proofs = try await fixture.issue([64])
        let more = try await fixture.issue([64])
        let (quote, _) = try await fixture.meltQuote(50)
        let (other, _) = try await fixture.meltQuote(50)
        fixture.lightning.holdPayments()
        async let melting = fixture.melt(quote, proofs)
        await fixture.lightning.paymentIsWaiting()
        #expect(await status { try await fixture.melt(other, more) } == 503)
        #expect(try await fixture.states(more) == [.unspent])
        fixture.lightning.letPaymentsGo()
        #expect(try await melting.state == .paid)
        #expect(try await fixture.melt(other, more).state == .paid)
    }
}
