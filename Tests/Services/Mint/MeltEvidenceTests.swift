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

/// What is known of payments, how an operator ends them, and backends that answer late, never, or wrongly.
@Suite struct MeltEvidenceTests {
    private func resolutionCode(_ work: () async throws -> some Any) async -> MintOperationError.Code? {
        do {
            _ = try await work()
            return nil
        } catch {
            return (error as? MintOperationError)?.code
        }
    }

    /// A melt whose payment is pending, and its held inputs.
    private func stuck(_ fixture: MintFixture) async throws -> (quote: MeltQuote, request: String, proofs: [Proof]) {
        let proofs = try await fixture.issue([64])
        let (quote, request) = try await fixture.meltQuote(50)
        fixture.lightning.set(.pends)
        #expect(try await fixture.melt(quote, proofs).state == .pending)
        return (quote, request, proofs)
    }

    @Test(
        "The evidence on a stuck melt: what it holds, what the backend says now, and what it said before, each change once"
    )
    func evidence() async throws {
        let fixture = try await MintFixture()
        let (quote, request, _) = try await stuck(fixture)
        let id = quote.quote.string
        for _ in 0..<3 { _ = try await fixture.mint.evidence(onMelt: id) }
        fixture.lightning.setAway(true)
        let away = try await fixture.mint.evidence(onMelt: id)
        #expect(away.backendSays.hasPrefix("no answer") && away.state == "pending")
        fixture.lightning.setAway(false)
        fixture.time.advance(seconds: 5)
        try fixture.lightning.setPayment(request, nil)
        let now = try await fixture.mint.evidence(onMelt: id)
        #expect((now.heldProofs, now.heldAmount, now.amount) == (1, 64, 50))
        #expect(now.backendSays.contains("no record") && now.askedAt == fixture.time.now && !now.isBeingPaid)
        #expect(now.notes.map(\.text).map { $0.prefix(9) } == ["pending", "no answer", "no record"])
        #expect(now.notes.allSatisfy { $0.kind == .asked })
        #expect(await resolutionCode { try await fixture.mint.evidence(onMelt: "nothing") } == .quoteUnknown)
    }

    @Test("Without evidence nothing is resolved but on the very sentence; with it, without force; against it, never")
    func resolving() async throws {
        let fixture = try await MintFixture()
        let mint = try fixture.mint
        let (quote, request, proofs) = try await stuck(fixture)
        let id = quote.quote.string
        for force in [nil, "", "yes", Mint.forceSentence.lowercased()] {
            for resolution in MeltResolution.allCases {
                let code = await resolutionCode { try await mint.resolve(melt: id, as: resolution, force: force) }
                #expect(code == .evidenceMissing)
            }
        }
        let wrong = [UInt8](repeating: 1, count: 32)
        #expect(
            await resolutionCode { try await mint.resolve(melt: id, as: .settled, preimage: wrong) } == .preimageWrong
        )
        let preimage = try fixture.lightning.preimage(request)
        try fixture.lightning.setPayment(request, .settled(preimage: preimage, feeMsat: 0))
        let against = await resolutionCode { try await mint.resolve(melt: id, as: .failed, force: Mint.forceSentence) }
        #expect(against == .contradicted)
        try fixture.lightning.setPayment(request, .failed(PaymentFailure(.noRoute, "no route")))
        let other = await resolutionCode { try await mint.resolve(melt: id, as: .settled, force: Mint.forceSentence) }
        #expect(other == .contradicted)
        #expect(try await fixture.states(proofs) == [.pending])
        #expect(try await mint.resolve(melt: id, as: .failed).contains("no route"))
        #expect(try await fixture.states(proofs) == [.unspent])
        #expect(try await mint.evidence(onMelt: id).notes.last?.kind == .resolved)
        #expect(await resolutionCode { try await mint.resolve(melt: id, as: .failed) } == .notPending)
        try await fixture.requireSound()
    }

    @Test(
        "A preimage from elsewhere settles a melt whose backend has lost it; the operator's word settles or frees one"
    )
    func resolvingWithout() async throws {
        for (preimageIsKnown, resolution, state) in [
            (true, MeltResolution.settled, ProofState.State.spent), (false, .settled, .spent),
            (false, .failed, .unspent),
        ] {
            let fixture = try await MintFixture()
            let (quote, request, proofs) = try await stuck(fixture)
            fixture.lightning.setAway(true)
            let preimage = preimageIsKnown ? try fixture.lightning.preimage(request) : nil
            let sentence = try await fixture.mint.resolve(
                melt: quote.quote.string,
                as: resolution,
                preimage: preimage,
                force: preimageIsKnown ? nil : Mint.forceSentence
            )
            #expect(sentence.contains("word") != preimageIsKnown)
            #expect(try await fixture.states(proofs) == [state])
            fixture.lightning.setAway(false)
            let kinds = try await fixture.mint.evidence(onMelt: quote.quote.string).notes.map(\.kind)
            #expect(kinds.contains(preimageIsKnown ? .resolved : .forced))
            try await fixture.requireSound()
        }
    }

    @Test("A melt that this process is paying is not resolved under its feet")
    func whilePaying() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let (quote, _) = try await fixture.meltQuote(50)
        fixture.lightning.holdPayments()
        async let melting = fixture.melt(quote, proofs)
        await fixture.lightning.paymentIsWaiting()
        #expect(try await fixture.mint.evidence(onMelt: quote.quote.string).isBeingPaid)
        let code = await resolutionCode {
            try await fixture.mint.resolve(melt: quote.quote.string, as: .failed, force: Mint.forceSentence)
        }
        #expect(code == .underWay)
        fixture.lightning.letPaymentsGo()
        #expect(try await melting.state == .paid)
    }

    @Test(
        "A backend that hangs: the answer is PENDING in time; a settlement that it tells is believed, nothing else is"
    )
    func hanging() async throws {
        let fixture = try await MintFixture(MintConfiguration(meltAnswerSeconds: 0))
        let proofs = try await fixture.issue([64])
        let blanks = try fixture.secrets([1, 1, 1, 1])
        let (quote, request) = try await fixture.meltQuote(50)
        fixture.lightning.holdPayments()
        #expect(try await fixture.melt(quote, proofs, blanks: blanks).state == .pending)
        await fixture.lightning.paymentIsWaiting()
        try fixture.lightning.setPayment(request, .failed(PaymentFailure(.noRoute, "no route")))
        try await fixture.mint.recoverPendingMelts()
        #expect(try await fixture.states(proofs) == [.pending])
        let preimage = try fixture.lightning.preimage(request)
        try fixture.lightning.setPayment(request, .settled(preimage: preimage, feeMsat: 0))
        try await fixture.mint.recoverPendingMelts()
        #expect(try await fixture.look(quote).state == .paid)
        // The call that hung comes back at last, and changes nothing.
        fixture.lightning.letPaymentsGo()
        let keyset = try fixture.keyset()
        #expect(try await fixture.look(quote).changeProofs(for: blanks) { _ in keyset }.map(\.amount) == [2, 4, 8])
        #expect(try await fixture.states(proofs) == [.spent])
        try await fixture.requireSound()
    }

    @Test(
        "A payment that fails, by every word of the backend, and settles later: booked as the operator's loss, never paid again"
    )
    func settlesAfterFailure() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let (quote, request) = try await fixture.meltQuote(50)
        fixture.lightning.set(.fails)
        #expect(await code { try await fixture.melt(quote, proofs) } == .lightningPaymentFailed)
        _ = try await fixture.swap(proofs, into: fixture.secrets([64]))
        try await fixture.mint.watchFreedMelts()
        #expect(try await fixture.look(quote).state == .unpaid)
        let preimage = try fixture.lightning.preimage(request)
        try fixture.lightning.setPayment(request, .settled(preimage: preimage, feeMsat: 1500))
        try await fixture.reopen()
        fixture.time.advance(seconds: 600)
        try await fixture.mint.watchFreedMelts()
        try await fixture.mint.watchFreedMelts()
        let paid = try await fixture.look(quote)
        #expect(paid.state == .paid && paid.paymentPreimage == Hex.encode(preimage))
        let audit = try await fixture.mint.audit()
        #expect(audit.findings == [])
        #expect(audit.accounts.first { $0.account.name == "mint:losses" }?.balance == 52)
        let notes = try await fixture.mint.evidence(onMelt: quote.quote.string).notes
        #expect(notes.map(\.kind) == [.failed, .settledLate])
        let again = try await fixture.issue([64])
        let other = try await fixture.mint.requestMeltQuote(MeltQuoteRequest(request: request, unit: .sat))
        #expect(await code { try await fixture.melt(other, again) } == .invoiceAlreadyPaid)
        #expect(fixture.lightning.payCount == 1)
    }

    @Test("An asynchronous melt that fails frees its inputs, and can be tried again")
    func asynchronousFailure() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let more = try await fixture.issue([64])
        let (quote, _) = try await fixture.meltQuote(50)
        fixture.lightning.holdPayments()
        fixture.lightning.set(.fails)
        let body = try fixture.meltBody(quote, proofs, prefersAsync: true)
        let answer = try MeltQuote(json: .parse(try await fixture.mint.melt(body), limits: .amounts))
        #expect(answer.state == .pending)
        #expect(await code { try await fixture.melt(quote, more) } == .quotePending)
        await fixture.lightning.paymentIsWaiting()
        fixture.lightning.letPaymentsGo()
        while try await fixture.look(quote).state == .pending { await Task.yield() }
        #expect(try await fixture.look(quote).state == .unpaid)
        #expect(try await fixture.states(proofs) == [.unspent])
        fixture.lightning.set(.settles(feeMsat: 0))
        #expect(try await fixture.melt(quote, proofs).state == .paid)
        try await fixture.requireSound()
    }

    @Test("The audit names a melt whose inputs, proof or bookings were tampered with")
    func tampering() async throws {
        let fixture = try await MintFixture()
        let (stuckQuote, _, _) = try await stuck(fixture)
        fixture.lightning.set(.settles(feeMsat: 0))
        let proofs = try await fixture.issue([64])
        let (quote, _) = try await fixture.meltQuote(40)
        #expect(try await fixture.melt(quote, proofs).state == .paid)
        try await fixture.requireSound()
        let tampers = [
            ("UPDATE mint_melt_quotes SET input_total = input_total + 1 WHERE id = ?", stuckQuote, "not worth"),
            (
                "UPDATE mint_proofs SET pending = 0 WHERE melt = (SELECT number FROM mint_melt_quotes WHERE id = ?)",
                stuckQuote, "spent already"
            ),
            (
                "UPDATE mint_proofs SET pending = 1 WHERE melt = (SELECT number FROM mint_melt_quotes WHERE id = ?)",
                quote, "not under way but holds inputs"
            ),
            ("UPDATE mint_melt_quotes SET preimage = zeroblob(32) WHERE id = ?", quote, "not its invoice's"),
            ("UPDATE mint_melt_quotes SET preimage = NULL WHERE id = ?", quote, "operator's word"),
            ("UPDATE mint_melt_quotes SET fee_reserve = 0, amount = 1 WHERE id = ?", quote, "is booked with"),
        ]
        for (sql, victim, words) in tampers {
            let findings = try await fixture.findings(after: sql, .text(victim.quote.string))
            #expect(findings.contains { $0.contains(victim.quote.string) && $0.contains(words) }, "\(sql): \(findings)")
        }
        try await fixture.requireSound()
    }
}
