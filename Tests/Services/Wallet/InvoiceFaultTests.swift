import CanonicalJSON
import Cashu
import Lightning
import Testing

@testable import Wallet

/// Each fault leaves behind what a kill at that moment does: with one attempt nothing happens after it, and a wallet that
/// is opened anew finds only what is on disk.
@Suite("Buyer: calls paid over Lightning, killed at any moment")
struct InvoiceFaultTests {
    /// Makes the call, expects its outcome to be unknown, starts anew and settles it.
    private func survive(
        _ form: ForeignSeller.Form,
        _ put: (ForeignLine) -> Void,
        isPaidOnce payments: Int = 1
    ) async throws {
        try await ForeignLine.run(form) { line in
            var alice = try await line.world.funded(1000)
            let before = line.world.lightning.paymentCount
            put(line)
            let buyer = line.buyer(alice, attempts: 1)
            let code = await walletError { _ = try await buyer.pay(line.request(key: "call-1")) }
            #expect(code == .outcomeUnknown)
            try await line.world.requireSound(alice)
            await alice.close()
            alice = try await line.world.wallet()
            let next = line.buyer(alice, attempts: 1)
            let open = try #require(try await next.openPayments().first)
            #expect(try await next.resume(open.id).state == .served)
            #expect(try await next.openPayments().isEmpty)
            // Asked again under the same key, the same answer comes and nothing is paid.
            let again = try await next.pay(line.request(key: "call-1"))
            #expect(again.outcome == .served && again.payment?.id == open.id)
            #expect(line.world.lightning.paymentCount == before + payments)
            #expect(line.seller.charges == 1 && Set(line.seller.shown).count == 1)
            #expect(Set(line.seller.requests.map { $0.header("Idempotency-Key") }) == ["call-1"])
            #expect(try await alice.available == 990)
            #expect(try await alice.wallet.history().filter { $0.kind == .paidCall }.count == 1)
            try await line.world.requireSound(alice)
        }
    }

    @Test("the intent is on disk, the invoice is not paid yet", arguments: [ForeignSeller.Form.aperture, .payment])
    func beforePaying(form: ForeignSeller.Form) async throws {
        try await survive(form) { $0.world.api.put(.lostRequest, on: "melt") }
    }

    @Test("the invoice is paid, the preimage is not on disk yet", arguments: [ForeignSeller.Form.aperture, .payment])
    func beforePreimage(form: ForeignSeller.Form) async throws {
        try await survive(form) { $0.world.api.put(.lostAnswer, on: "melt") }
    }

    @Test("the preimage is on disk, the request is not sent yet", arguments: [ForeignSeller.Form.aperture, .payment])
    func beforeSending(form: ForeignSeller.Form) async throws {
        try await survive(form) { $0.seller.script(.drop) }
    }

    @Test("the call is served, its answer is not here yet", arguments: [ForeignSeller.Form.aperture, .payment])
    func beforeAnswer(form: ForeignSeller.Form) async throws {
        try await survive(form) { $0.seller.script(.serveThenDrop) }
    }

    @Test(
        "the seller does not know yet, or takes no calls for now",
        arguments: [ForeignSeller.Step.pending, .turnAway]
    )
    func notYet(step: ForeignSeller.Step) async throws {
        try await survive(.payment) { $0.seller.set { $0.steps = [step] } }
    }

    @Test("an invoice that is not paid costs nothing, and is not tried again")
    func notPaid() async throws {
        try await ForeignLine.run(.aperture) { line in
            let alice = try await line.world.funded(1000)
            try await alice.wallet.setLimit(100, on: .wallet)
            line.world.lightning.setOutcome(.failed(.init(.noRoute, "no route")))
            let buyer = line.buyer(alice)
            #expect(await walletError { _ = try await buyer.pay(line.request(key: "k")) } == .paymentFailed)
            #expect(try await alice.available == 1000)
            #expect(try await buyer.openPayments().isEmpty)
            #expect(try await alice.wallet.limits().first?.spentToday == 0)
            line.world.lightning.setOutcome(nil)
            // Nothing was paid under the key, so it is free again.
            #expect(try await buyer.pay(line.request(key: "k")).outcome == .served)
            try await line.world.requireSound(alice)
        }
    }

    @Test("a fresh 402 for a paid call is never paid; the credential is kept and shown again under the same key")
    func challengedAgain() async throws {
        try await ForeignLine.run(.payment) { line in
            let alice = try await line.world.funded(1000)
            let payments = line.world.lightning.paymentCount
            line.seller.script(.challengeAgain)
            let buyer = line.buyer(alice)
            #expect(await walletError { _ = try await buyer.pay(line.request(key: "k")) } == .paymentRefused)
            #expect(line.world.lightning.paymentCount == payments + 1)
            let payment = try #require(try await buyer.payments().first)
            #expect(payment.state == .unserved && payment.status == 402)
            // Nobody sends it again by himself.
            #expect(try await buyer.openPayments().isEmpty)
            let again = try await buyer.pay(line.request(key: "k"))
            _ = try await again.body.collect(upTo: 100)
            #expect(again.outcome == .served && Set(line.seller.shown).count == 1)
            #expect(line.world.lightning.paymentCount == payments + 1)
            #expect(try await buyer.payment(payment.id)?.state == .served)
            #expect(try await alice.available == 990)
        }
    }

    @Test(
        "a mint that shows no preimage, or a wrong one, leaves the call open until it shows it",
        arguments: [false, true]
    )
    func withheldPreimage(isWrong: Bool) async throws {
        try await ForeignLine.run(.payment) { line in
            let alice = try await line.world.funded(1000)
            line.world.api.setTamper { call, answer in
                guard call == "melt" || call == "meltQuote", var object = answer.objectValue else { return answer }
                object["payment_preimage"] = isWrong ? .string(String(repeating: "ab", count: 32)) : nil
                return .object(object)
            }
            let payments = line.world.lightning.paymentCount
            let buyer = line.buyer(alice)
            #expect(await walletError { _ = try await buyer.pay(line.request()) } == .outcomeUnknown)
            #expect(line.seller.shown.isEmpty)
            let open = try #require(try await buyer.openPayments().first)
            #expect(try await buyer.resume(open.id).state == .sent)
            line.world.api.setTamper(nil)
            #expect(try await buyer.resume(open.id).state == .served)
            #expect(line.world.lightning.paymentCount == payments + 1)
            #expect(try await alice.available == 990)
            try await line.world.requireSound(alice)
        }
    }

    // MARK: Over the node's own Lightning backend

    @Test("over the own backend: a payment under way stays open, then the call goes on, and it is settled once")
    func slowBackend() async throws {
        try await ForeignLine.run(.aperture) { line in
            var bob = try await line.world.funded(0, "bob")
            line.world.lightning.setOutcome(.pending)
            let buyer = line.buyer(bob, attempts: 2)
            #expect(await walletError { _ = try await buyer.pay(line.request(key: "k")) } == .outcomeUnknown)
            let open = try #require(try await buyer.openPayments().first)
            #expect(try await buyer.resume(open.id).state == .sent)
            await bob.close()
            bob = try await line.world.wallet("bob")
            line.world.lightning.setOutcome(nil)
            line.world.lightning.setFee(1500)
            let next = line.buyer(bob, attempts: 1)
            #expect(try await next.resume(open.id).state == .served)
            let payment = try #require(try await next.payment(open.id))
            #expect(payment.mint == nil && payment.amount == 10 && payment.fee == 2)
            let entry = try #require(try await bob.wallet.history().first)
            #expect(entry.kind == .paidCall && entry.change == -12 && entry.mint == nil)
            #expect(line.seller.charges == 1)
            try await line.world.requireSound(bob)
        }
    }

    @Test("over the own backend: a payment that failed is over, and what was counted for it is given back")
    func failedBackend() async throws {
        try await ForeignLine.run(.aperture) { line in
            let bob = try await line.world.funded(0, "bob")
            try await bob.wallet.setLimit(15, on: .wallet)
            line.world.lightning.setOutcome(.failed(.init(.noRoute, "no route")))
            let buyer = line.buyer(bob)
            #expect(await walletError { _ = try await buyer.pay(line.request()) } == .paymentFailed)
            #expect(try await bob.wallet.limits().first?.spentToday == 0)
            line.world.lightning.setOutcome(nil)
            // The limit leaves 5 for fees, and none of it was needed.
            #expect(try await buyer.pay(line.request()).payment?.fee == 0)
            #expect(try await bob.wallet.limits().first?.spentToday == 10)
        }
    }
}
