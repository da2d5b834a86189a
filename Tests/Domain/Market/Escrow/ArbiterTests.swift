import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import SignedDocuments
import TestSupport
import Testing

@testable import Market

/// Jobs that an arbiter decides.
@Suite struct ArbiterTests {
    private var sample: TradeSample
    private let quote: Signed<Quote>
    private let acceptance: Signed<Acceptance>
    private let terms: EscrowTerms
    private let start = TradeSample.start

    init() throws {
        sample = try TradeSample()
        quote = try sample.quote(.arbiter)
        acceptance = try sample.acceptance(quote)
        terms = try EscrowTerms(quote: quote, acceptance: acceptance)
    }

    private func delivery(at time: UInt64) throws -> Signed<Delivery> {
        let open = Delivery(open: [1], by: TradeSample.provider.did, job: acceptance.digest, time: time)
        return try .sign(open, by: TradeSample.provider, now: TradeSample.stamp(start))
    }

    private func statement(_ signer: DocumentSigner) throws -> Signed<Escalation> {
        let said = Escalation(
            party: signer.did,
            job: acceptance.digest,
            delivery: nil,
            reason: "look",
            time: start + 400
        )
        return try Signed(bytes: Signed.sign(said, by: signer, now: TradeSample.stamp(start)).bytes)
    }

    private func outputs(_ amount: UInt64, _ signer: DocumentSigner) throws -> Signed<PlannedOutputs> {
        let plan = try OutputPlan(amount, mint: sample.mint)
        let said = PlannedOutputs(party: signer.did, job: acceptance.digest, outputs: plan.outputs, time: start)
        return try Signed(bytes: Signed.sign(said, by: signer, now: TradeSample.stamp(start)).bytes)
    }

    private func ruling(_ signer: DocumentSigner, provider: UInt64, buyer: UInt64) throws -> Signed<Ruling> {
        let ruling = Ruling(
            arbiter: signer.did,
            job: acceptance.digest,
            outcome: provider == 0 ? .refunded : buyer == 0 ? .paid : .split,
            provider: provider,
            buyer: buyer,
            reason: "so",
            time: start + 500
        )
        return try Signed(bytes: Signed.sign(ruling, by: signer, now: TradeSample.stamp(start)).bytes)
    }

    private func locked() throws -> (proofs: [Proof], mint: MemoryMint) {
        var mint = sample.mint
        let plan = try OutputPlan(terms.lockAmount(inputFeePPK: 100), mint: mint, locked: terms.condition(hash: nil))
        return (try plan.proofs(mint.issue(plan.outputs), mint), mint)
    }

    @Test(
        "[ESC-13] [ESC-14] [ESC-16] [ESC-17] A ruling divides what is locked, and is signed for outputs of exactly that"
    )
    func divides() throws {
        var arbiter = try EscrowArbiter(terms, net: 20, at: start + 400)
        _ = try arbiter.take(.escalated(statement(TradeSample.buyer)), at: start + 400)
        #expect(
            try arbiter.take(.shown(delivery(at: start + 5)), at: start + 401)
                == [.ask(party: terms.provider), .decide(by: start + 1_000)]
        )
        #expect(code { _ = try arbiter.take(.decided(provider: 21, reason: "more"), at: start + 402) } == .wrongOutputs)
        #expect(try arbiter.take(.decided(provider: 12, reason: "half good"), at: start + 402) == [.tell])
        #expect(arbiter.outcome == .split)
        // There is one ruling: a second decision changes nothing.
        _ = try arbiter.take(.decided(provider: 0, reason: "no"), at: start + 403)
        #expect(arbiter.provider == 12)
        #expect(
            code { _ = try arbiter.take(.outputs(outputs(13, TradeSample.provider)), at: start + 404) } == .wrongOutputs
        )
        _ = try arbiter.take(.outputs(outputs(12, TradeSample.provider)), at: start + 404)
        #expect(arbiter.plan == nil)
        let actions = try arbiter.take(.outputs(outputs(8, TradeSample.buyer)), at: start + 405)
        let plan = try #require(arbiter.plan)
        #expect(actions == [.tell, .sign(plan)])
        // Other outputs that come later are not signed for.
        _ = try arbiter.take(.outputs(outputs(12, TradeSample.provider)), at: start + 406)
        #expect(arbiter.plan == plan)
    }

    @Test("[ESC-13] [ESC-17] Nobody else is heard")
    func strangers() throws {
        var arbiter = try EscrowArbiter(terms, net: 20, at: start + 400)
        #expect(
            code { _ = try arbiter.take(.escalated(statement(TradeSample.stranger)), at: start + 400) } == .mismatch
        )
        #expect(
            code { _ = try arbiter.take(.outputs(outputs(20, TradeSample.stranger)), at: start + 400) } == .mismatch
        )
        #expect(code { _ = try EscrowArbiter(sample.terms(.key), net: 20, at: start) } == .mismatch)
        var buyer = EscrowBuyer(terms)
        #expect(
            code { _ = try buyer.take(.ruled(ruling(TradeSample.stranger, provider: 20, buyer: 0)), at: start) }
                == .mismatch
        )
        var provider = EscrowProvider(terms)
        #expect(
            code { _ = try provider.take(.ruled(ruling(TradeSample.stranger, provider: 20, buyer: 0)), at: start) }
                == .mismatch
        )
    }

    @Test(
        "[ESC-15] Without a person: nothing delivered, or delivered late by its own date, goes back; in time it is paid"
    )
    func rulesByEvidence() throws {
        var none = try EscrowArbiter(terms, net: 20, at: start + 301)
        _ = try none.take(.escalated(statement(TradeSample.buyer)), at: start + 301)
        #expect(none.outcome == nil)
        _ = try none.take(.tick, at: start + 901)
        #expect(none.outcome == .refunded)
        var late = try EscrowArbiter(terms, net: 20, at: start + 400)
        _ = try late.take(.shown(delivery(at: start + 301)), at: start + 400)
        #expect(late.outcome == .refunded)
        var good = try EscrowArbiter(terms, net: 20, at: start + 400)
        _ = try good.take(.shown(delivery(at: start + 300)), at: start + 400)
        #expect(good.outcome == nil)
        _ = try good.take(.tick, at: good.ruleBy - 1)
        #expect(good.outcome == nil)
        _ = try good.take(.tick, at: good.ruleBy)
        #expect(good.outcome == .paid)
    }

    @Test("[ESC-15] An arbiter that pays a late provider is shown to have done so by their own signatures")
    func colludingArbiter() throws {
        let bought = try ruling(TradeSample.arbiter, provider: 20, buyer: 0)
        try bought.content.contradiction(acceptance, delivery(at: start + 301))
        #expect(code { try bought.content.contradiction(acceptance, delivery(at: start + 300)) } == .unproven)
        let fair = try ruling(TradeSample.arbiter, provider: 0, buyer: 20)
        #expect(code { try fair.content.contradiction(acceptance, delivery(at: start + 301)) } == .unproven)
    }

    @Test("[ESC-5] [ESC-16] One key alone moves nothing, nor two that signed for other outputs")
    func twoOfThree() throws {
        var (proofs, mint) = try locked()
        let amount = try Amounts.sum(proofs.map(\.amount)) - mint.fee(proofs.count)
        let agreed = try OutputPlan(amount, mint: mint)
        let other = try OutputPlan(amount, mint: mint)
        for key in [sample.arbiterKey, sample.providerKey, sample.buyerKey] {
            let alone = try SpendingSigner.sign(inputs: proofs, outputs: agreed.outputs, key: key)
            #expect(throws: MintError.self) { try mint.swap(alone, agreed.outputs) }
        }
        var both = try SpendingSigner.sign(inputs: proofs, outputs: agreed.outputs, key: sample.buyerKey)
        both = try SpendingSigner.sign(inputs: both, outputs: agreed.outputs, key: sample.providerKey)
        // The provider that puts in other outputs than the buyer signed for.
        #expect(throws: MintError.self) { try mint.swap(both, other.outputs) }
        _ = try mint.swap(both, agreed.outputs)
    }

    @Test("[ESC-4] The provider goes to the arbiter two minutes before T-W, the buyer gets its money back after T")
    func times() throws {
        let coins = try locked().proofs.map { try LockedCoin($0) }
        var provider = EscrowProvider(terms)
        _ = try provider.take(.locked(coins), at: start + 10)
        _ = try provider.take(.served(delivery(at: start + 20)), at: start + 20)
        #expect(terms.escalateBefore == start + 600)
        #expect(try provider.take(.tick, at: start + 479) == [.askRelease, .askMint])
        #expect(try provider.take(.tick, at: start + 480) == [.askRelease, .escalate, .askMint])
        var buyer = EscrowBuyer(terms)
        _ = try buyer.take(.locked(coins), at: start + 10)
        #expect(try buyer.take(.tick, at: terms.locktime + 1) == [.refund, .askMint])
        // A lock that comes after the deadline starts no work.
        var late = EscrowProvider(terms)
        #expect(try late.take(.locked(coins), at: terms.deliverBy + 1) == [])
        #expect(late.ending?.kind == .refunded)
    }

    @Test("[ESC-14] A ruling's word and its amounts say the same, or it is none")
    func rulingShape() throws {
        var document = try ruling(TradeSample.arbiter, provider: 20, buyer: 0).document
        _ = document.removeValue(forKey: "proof")
        document["outcome"] = "refunded"
        let signed = try DataIntegrity.sign(document, by: TradeSample.arbiter, created: TradeSample.stamp(start))
        #expect(code { _ = try Signed<Ruling>(document: signed) } == .malformed)
    }
}
