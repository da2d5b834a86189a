import Cashu
import Cryptography
import Encodings
import Foundation
import SignedDocuments
import TestSupport
import Testing

@testable import Market

/// The attacks on escrow, each by name; the engines decide, the mint in memory holds the money.
@Suite struct EscrowAttackTests {
    private var sample: TradeSample
    private let quote: Signed<Quote>
    private let acceptance: Signed<Acceptance>
    private let terms: EscrowTerms
    private let key = [UInt8](repeating: 6, count: 32)
    private let answer = Array("sunny".utf8)
    private let start = TradeSample.start

    init() throws {
        sample = try TradeSample()
        quote = try sample.quote()
        acceptance = try sample.acceptance(quote)
        terms = try EscrowTerms(quote: quote, acceptance: acceptance)
    }

    private func delivered(
        _ change: (inout Delivery) -> Void = { _ in },
        answer: [UInt8]? = nil
    ) throws -> (Signed<Delivery>, [UInt8]) {
        var (delivery, sealed) = try Delivery.sealing(
            answer ?? self.answer,
            key: key,
            by: TradeSample.provider.did,
            job: acceptance.digest,
            time: start + 10
        )
        change(&delivery)
        return (try .sign(delivery, by: TradeSample.provider, now: TradeSample.stamp(start + 10)), sealed)
    }

    /// A buyer whose money is locked, the coins, and the mint that signed them.
    private func funded(
        _ delivery: (Signed<Delivery>, [UInt8])
    ) throws -> (buyer: EscrowBuyer, proofs: [Proof], mint: MemoryMint) {
        var buyer = EscrowBuyer(terms)
        var mint = sample.mint
        #expect(try buyer.take(.delivered(delivery.0, beside: delivery.1), at: start + 11) == [.lock(chunk: 0)])
        let condition = try terms.condition(hash: Hashing.sha256(key))
        let plan = try OutputPlan(terms.lockAmount(inputFeePPK: 100), mint: mint, locked: condition)
        let proofs = try plan.proofs(mint.issue(plan.outputs), mint)
        let actions = try buyer.take(.locked(proofs.map { try LockedCoin($0) }), at: start + 12)
        #expect(actions == [.sendLock(chunk: 0), .askMint])
        return (buyer, proofs, mint)
    }

    private func claim(_ proofs: [Proof], _ mint: inout MemoryMint) throws {
        let amount = try Amounts.sum(proofs.map(\.amount)) - mint.fee(proofs.count)
        let plan = try OutputPlan(amount, mint: mint)
        let opened = try SpendingSigner.reveal(preimage: key, in: proofs)
        let signed = try SpendingSigner.sign(inputs: opened, outputs: plan.outputs, key: sample.providerKey)
        _ = try mint.swap(signed, plan.outputs)
    }

    @Test("[ESC-7] [ESC-8] [ESC-9] The provider that claims and says nothing: the key comes from the mint")
    func keyFromMint() throws {
        let delivery = try delivered()
        var (buyer, proofs, mint) = try funded(delivery)
        try claim(proofs, &mint)
        _ = try buyer.take(.states(mint.states(buyer.coins), beside: delivery.1), at: start + 20)
        #expect(buyer.answer(delivery.1) == answer)
        #expect(buyer.ending?.kind == .claimed)
        #expect(!buyer.isFraud)
    }

    @Test("[ESC-10] The provider claims and sends garbage: its signature, the seal and the key prove it to anybody")
    func garbage() throws {
        let delivery = try delivered { $0.response = Hashing.sha256([1]) }
        var (buyer, proofs, mint) = try funded(delivery)
        try claim(proofs, &mint)
        _ = try buyer.take(.states(mint.states(buyer.coins), beside: delivery.1), at: start + 20)
        #expect(buyer.isFraud)
        #expect(buyer.answer(delivery.1) == nil)
        let proof = try FraudProof(acceptance: acceptance, delivery: delivery.0, sealed: delivery.1, key: key)
        #expect(try FraudProof(document: proof.document) == proof)
        // Nobody can make one of an honest delivery, another job's, or with another key or seal.
        let honest = try delivered()
        for attempt in [
            { try FraudProof(acceptance: acceptance, delivery: honest.0, sealed: honest.1, key: key) },
            {
                try FraudProof(
                    acceptance: sample.acceptance(quote, nonce: 6),
                    delivery: delivery.0,
                    sealed: delivery.1,
                    key: key
                )
            },
            { try FraudProof(acceptance: acceptance, delivery: delivery.0, sealed: honest.1, key: key) },
            {
                try FraudProof(
                    acceptance: acceptance,
                    delivery: delivery.0,
                    sealed: delivery.1,
                    key: [UInt8](repeating: 1, count: 32)
                )
            },
        ] {
            #expect(code { _ = try attempt() } == .unproven)
        }
    }

    @Test("[ESC-10] A seal that its own key does not open is fraud as well")
    func brokenSeal() throws {
        let junk = [UInt8](repeating: 1, count: 100)
        let (signed, _) = try delivered { $0.sealed = Hashing.sha256(junk) }
        _ = try FraudProof(acceptance: acceptance, delivery: signed, sealed: junk, key: key)
        var (buyer, proofs, mint) = try funded((signed, junk))
        try claim(proofs, &mint)
        _ = try buyer.take(.states(mint.states(buyer.coins), beside: junk), at: start + 20)
        #expect(buyer.isFraud)
    }

    @Test("[ESC-9] A wrong key, and a right one with a truncated answer, are refused and change nothing")
    func wrongKey() throws {
        let delivery = try delivered()
        var (buyer, _, _) = try funded(delivery)
        let before = buyer
        #expect(
            code { _ = try buyer.take(.key([UInt8](repeating: 1, count: 32), beside: delivery.1), at: start + 20) }
                == .mismatch
        )
        #expect(code { _ = try buyer.take(.key(key, beside: delivery.1.dropLast()), at: start + 20) } == .mismatch)
        #expect(code { _ = try buyer.take(.key([], beside: delivery.1), at: start + 20) } == .mismatch)
        #expect(buyer == before)
        _ = try buyer.take(.key(key, beside: delivery.1), at: start + 20)
        #expect(buyer.answer(delivery.1) == answer)
        // The money is looked after until the mint says who has it.
        #expect(buyer.ending == nil)
    }

    @Test("[ESC-8] An answer cut short, of another job, by another, or late, is no delivery: no money is locked")
    func wrongDelivery() throws {
        let (good, sealed) = try delivered()
        var buyer = EscrowBuyer(terms)
        func refusal(_ delivery: Signed<Delivery>, _ bytes: [UInt8], _ now: UInt64 = TradeSample.start + 11)
            -> TradeRefusal.Code?
        {
            code { _ = try buyer.take(.delivered(delivery, beside: bytes), at: now) }
        }
        #expect(refusal(good, sealed.dropLast()) == .wrongDelivery)
        #expect(try refusal(delivered { $0.job = [UInt8](repeating: 0, count: 32) }.0, sealed) == .mismatch)
        #expect(try refusal(delivered { $0.index = 1 }.0, sealed) == .mismatch)
        #expect(
            try refusal(
                delivered {
                    $0.lock = nil; $0.sealed = nil
                }.0,
                sealed
            ) == .mismatch
        )
        var foreign = good.content
        foreign.provider = TradeSample.stranger.did
        let signed = try Signed<Delivery>.sign(foreign, by: TradeSample.stranger, now: TradeSample.stamp(start))
        #expect(refusal(signed, sealed) == .mismatch)
        #expect(try refusal(delivered { $0.time = TradeSample.start + 301 }.0, sealed) == .expired)
        #expect(refusal(good, sealed, start + 331) == .expired)
        #expect(buyer == EscrowBuyer(terms))
        _ = try buyer.take(.tick, at: start + 331)
        #expect(buyer.ending == EscrowEnding(.refunded, provider: 0, buyer: 0))
    }

    @Test("[ESC-3] [ESC-12] No key is shown in the last two minutes, whatever the buyer sends")
    func lastMoment() throws {
        let delivery = try delivered()
        let coins = try funded(delivery).buyer.coins
        func provider() throws -> EscrowProvider {
            var provider = EscrowProvider(terms)
            _ = try provider.take(.served(delivery.0), at: start + 10)
            return provider
        }
        var late = try provider()
        #expect(try late.take(.locked(coins), at: terms.locktime - 119) == [])
        #expect(late.ending?.kind == .refunded)
        // The lock came in time, but a crash kept the claim back: it is not made any more, and the mint is watched.
        var slow = try provider()
        #expect(try slow.take(.locked(coins), at: terms.locktime - 121) == [.claim(chunk: 0), .askMint])
        let text = try JSONEncoder().encode(slow)
        var restarted = try JSONDecoder().decode(EscrowProvider.self, from: text)
        #expect(try restarted.take(.tick, at: terms.locktime - 119) == [.askMint])
        #expect(restarted.ending == nil)
        // A claim that the mint did take before is found there.
        let spent = try coins.map {
            ProofState(
                hashedSecret: try Hex.decode($0.y),
                state: .spent,
                witness: P2PKWitness(preimage: key).serialized()
            )
        }
        _ = try restarted.take(.states(spent), at: terms.locktime - 100)
        #expect(restarted.ending?.kind == .claimed)
        #expect(restarted.isKeyFree(chunk: 0))
    }

    @Test("[ESC-11] The provider never claims: after the locktime the buyer's money goes back by itself")
    func neverClaims() throws {
        let delivery = try delivered()
        var (buyer, proofs, mint) = try funded(delivery)
        #expect(try buyer.take(.tick, at: terms.locktime) == [.sendLock(chunk: 0), .askMint])
        #expect(try buyer.take(.tick, at: terms.locktime + 1) == [.refund, .askMint])
        let amount = try Amounts.sum(proofs.map(\.amount))
        let plan = try OutputPlan(amount - mint.fee(proofs.count), mint: mint)
        let signed = try SpendingSigner.sign(inputs: proofs, outputs: plan.outputs, key: sample.buyerKey)
        // The buyer that received cannot take it back: not before the locktime.
        mint.now = terms.locktime
        #expect(throws: MintError.self) { try mint.swap(signed, plan.outputs) }
        mint.now = terms.locktime + 1
        _ = try mint.swap(signed, plan.outputs)
        #expect(
            try buyer.take(.states(mint.states(buyer.coins), beside: delivery.1), at: terms.locktime + 2) == [.restore]
        )
        _ = try buyer.take(.restored(mint.restored(plan.outputs)), at: terms.locktime + 3)
        #expect(buyer.ending == EscrowEnding(.refunded, provider: 0, buyer: amount))
    }

    @Test("[ESC-12] The buyer never funds: the provider shows no key, and the job ends with nothing moved")
    func neverFunds() throws {
        var provider = EscrowProvider(terms)
        #expect(try provider.take(.served(delivered().0), at: start + 10) == [])
        #expect(!provider.isKeyFree(chunk: 0))
        _ = try provider.take(.tick, at: terms.revealUntil + 1)
        #expect(provider.ending == EscrowEnding(.refunded, provider: 0, buyer: 0))
    }

    @Test("[ESC-6] [ESC-9] Both sides at once after the locktime: the mint takes one, and both see which")
    func bothAtOnce() throws {
        for providerFirst in [true, false] {
            let delivery = try delivered()
            var (buyer, proofs, mint) = try funded(delivery)
            var provider = EscrowProvider(terms)
            _ = try provider.take(.served(delivery.0), at: start + 10)
            _ = try provider.take(.locked(buyer.coins), at: start + 20)
            _ = try buyer.take(.tick, at: terms.locktime + 1)
            mint.now = terms.locktime + 1
            let plan = try OutputPlan(Amounts.sum(proofs.map(\.amount)) - mint.fee(proofs.count), mint: mint)
            let back = try SpendingSigner.sign(inputs: proofs, outputs: plan.outputs, key: sample.buyerKey)
            if providerFirst { try claim(proofs, &mint) }
            if providerFirst {
                #expect(throws: MintError.self) { try mint.swap(back, plan.outputs) }
            } else {
                _ = try mint.swap(back, plan.outputs)
                #expect(throws: MintError.self) { try claim(proofs, &mint) }
            }
            let states = try mint.states(buyer.coins)
            _ = try buyer.take(.states(states, beside: delivery.1), at: terms.locktime + 2)
            _ = try provider.take(.states(states), at: terms.locktime + 2)
            if !providerFirst {
                _ = try buyer.take(.restored(mint.restored(plan.outputs)), at: terms.locktime + 3)
                _ = try provider.take(.restored(0), at: terms.locktime + 3)
            }
            #expect(buyer.ending?.kind == (providerFirst ? .claimed : .refunded))
            #expect(provider.ending == buyer.ending)
        }
    }

    @Test("[ESC-6] A provider that claims a part of the coins gets that part, and shows its key for it")
    func partialClaim() throws {
        let delivery = try delivered()
        var (buyer, proofs, mint) = try funded(delivery)
        #expect(proofs.count > 1)
        try claim([proofs[0], proofs[1]], &mint)
        _ = try buyer.take(.states(mint.states(buyer.coins), beside: delivery.1), at: start + 20)
        #expect(buyer.answer(delivery.1) == answer)
        #expect(buyer.ending == nil)
        _ = try buyer.take(.tick, at: terms.locktime + 1)
        let rest = Array(proofs[2...])
        let plan = try OutputPlan(Amounts.sum(rest.map(\.amount)) - mint.fee(rest.count), mint: mint)
        mint.now = terms.locktime + 1
        _ = try mint.swap(
            SpendingSigner.sign(inputs: rest, outputs: plan.outputs, key: sample.buyerKey),
            plan.outputs
        )
        _ = try buyer.take(.states(mint.states(buyer.coins), beside: delivery.1), at: terms.locktime + 2)
        _ = try buyer.take(.restored(mint.restored(plan.outputs)), at: terms.locktime + 3)
        #expect(buyer.ending?.kind == .split)
    }

    @Test("[ESC-18] A stream shows one piece after the other: what is at stake is one piece")
    func stream() throws {
        let terms = try sample.terms(.stream)
        let job = try Hex.decode(terms.job)
        var buyer = EscrowBuyer(terms)
        for chunk in UInt64(0)..<2 {
            let (piece, sealed) = try Delivery.sealing(
                [UInt8(chunk)],
                key: key,
                by: TradeSample.provider.did,
                job: job,
                index: chunk,
                time: start + 10
            )
            let signed = try Signed<Delivery>.sign(piece, by: TradeSample.provider, now: TradeSample.stamp(start))
            #expect(try buyer.take(.delivered(signed, beside: sealed), at: start + 11) == [.lock(chunk: chunk)])
            let coin = LockedCoin(y: Hex.encode([2] + [UInt8](repeating: UInt8(chunk), count: 32)), amount: 21)
            _ = try buyer.take(.locked([coin]), at: start + 12)
            let spent = ProofState(
                hashedSecret: try Hex.decode(coin.y),
                state: .spent,
                witness: P2PKWitness(preimage: key).serialized()
            )
            _ = try buyer.take(.states([spent], beside: sealed), at: start + 13)
            #expect(buyer.paid == 21 * (chunk + 1))
        }
        #expect(try buyer.take(.stop, at: start + 20) == [])
        #expect(buyer.ending == EscrowEnding(.split, provider: 42, buyer: 0))
    }
}
