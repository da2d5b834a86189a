import Cryptography
import Encodings
import Lightning
import Testing

@testable import LightningBackends

/// What goes wrong on the way of a payment, and what must hold all the same: one debit at most, one credit, the
/// preimage only against the debit, and nothing lost when the process ends between two steps.
@Suite("Simulated network: faults and crashes")
struct SimulatedFaultTests {
    private let test: SimulatedTestNetwork
    private let start: UInt64 = 100_000

    init() throws {
        var terms = SimulatedNetwork.Terms()
        terms.faucetMsat = start
        terms.feeBaseMsat = 7
        test = try SimulatedTestNetwork(terms: terms)
    }

    private struct Pair {
        var payer: String
        var payee: String
    }

    private func pair() async throws -> Pair {
        Pair(payer: try await test.account("payer"), payee: try await test.account("payee"))
    }

    private func fault(_ fault: SimulatedFault, _ token: String) async throws {
        let account = try await test.network.account(token: token)
        try await test.network.setFault(fault, for: account)
    }

    private func invoice(_ token: String, _ amountMsat: UInt64 = 1_000, expirySeconds: UInt32 = 600) async throws
        -> BOLT11Invoice
    {
        try await test.backend(token).createInvoice(
            amountMsat: amountMsat,
            description: "tea",
            expirySeconds: expirySeconds
        )
    }

    private func pay(_ invoice: BOLT11Invoice, _ token: String) async throws -> PaymentOutcome {
        try await test.backend(token).pay(invoice: invoice, maximumFeeMsat: 100)
    }

    private func status(_ invoice: BOLT11Invoice, _ token: String) async throws -> PaymentOutcome? {
        try await test.backend(token).paymentStatus(paymentHash: invoice.paymentHash)
    }

    private func expectBalances(_ pair: Pair, _ payer: UInt64, _ payee: UInt64) async throws {
        #expect(try await test.backend(pair.payer).balanceMsat() == payer)
        #expect(try await test.backend(pair.payee).balanceMsat() == payee)
        #expect(try await test.network.audit() == [])
    }

    private func isSettled(_ outcome: PaymentOutcome?, _ invoice: BOLT11Invoice) -> Bool {
        if case .settled(let preimage, 7)? = outcome { return invoice.isPaid(by: preimage) }
        return false
    }

    @Test("[SIM-5] [SIM-10] a hanging payment holds its money, through crashes, until it settles")
    func hangThenSettle() async throws {
        let pair = try await pair()
        let invoice = try await invoice(pair.payee)
        try await test.crash()
        try await fault(.hang, pair.payer)
        #expect(try await pay(invoice, pair.payer) == .pending)
        for _ in 0..<3 {
            try await test.crash()
            #expect(try await status(invoice, pair.payer) == .pending)
            #expect(try await pay(invoice, pair.payer) == .pending)
            try await expectBalances(pair, start - 1_007, start)
            #expect(try await test.backend(pair.payee).invoiceStatus(paymentHash: invoice.paymentHash) == .unpaid)
        }
        let payer = try await test.network.account(token: pair.payer)
        let answer = try await test.network.resolve(paymentHash: invoice.paymentHash, of: payer, settles: true)
        #expect(isSettled(answer?.outcome, invoice))
        try await test.crash()
        #expect(isSettled(try await status(invoice, pair.payer), invoice))
        try await expectBalances(pair, start - 1_007, start + 1_000)
        // What has ended stays so.
        let again = try await test.network.resolve(paymentHash: invoice.paymentHash, of: payer, settles: false)
        #expect(isSettled(again?.outcome, invoice))
        try await expectBalances(pair, start - 1_007, start + 1_000)
    }

    @Test("[SIM-6] a hanging payment that is turned down gives everything back, and may be tried again")
    func hangThenFail() async throws {
        let pair = try await pair()
        let invoice = try await invoice(pair.payee)
        for _ in 0..<3 {
            try await fault(.hang, pair.payer)
            #expect(try await pay(invoice, pair.payer) == .pending)
            let payer = try await test.network.account(token: pair.payer)
            let answer = try await test.network.resolve(paymentHash: invoice.paymentHash, of: payer, settles: false)
            guard case .failed(let failure)? = answer?.outcome else {
                Issue.record("the payment is \(String(describing: answer)), not failed")
                return
            }
            #expect(failure.code == .rejected)
            try await test.crash()
            try await expectBalances(pair, start, start)
        }
        try await fault(.none, pair.payer)
        #expect(isSettled(try await pay(invoice, pair.payer), invoice))
        try await expectBalances(pair, start - 1_007, start + 1_000)
    }

    @Test("a delayed payment settles when its time has come, also while nothing ran")
    func delay() async throws {
        let pair = try await pair()
        let invoice = try await invoice(pair.payee)
        try await fault(.delay(milliseconds: 5_000), pair.payer)
        #expect(try await pay(invoice, pair.payer) == .pending)
        test.clock.advance(milliseconds: 4_999)
        #expect(try await status(invoice, pair.payer) == .pending)
        try await expectBalances(pair, start - 1_007, start)
        try await test.crash()
        test.clock.advance(milliseconds: 1)
        // The payee is the first to look.
        let due = test.clock.now
        test.clock.advance(milliseconds: 60_000)
        #expect(
            try await test.backend(pair.payee).invoiceStatus(paymentHash: invoice.paymentHash)
                == .paid(amountMsat: 1_000, at: due)
        )
        #expect(isSettled(try await status(invoice, pair.payer), invoice))
        try await expectBalances(pair, start - 1_007, start + 1_000)
    }

    @Test("a payment that says nothing and settles later is pending, never failed")
    func settleAfterFailure() async throws {
        let pair = try await pair()
        let invoice = try await invoice(pair.payee)
        try await fault(.settleAfterFailure(milliseconds: 100), pair.payer)
        #expect(try await pay(invoice, pair.payer) == .pending)
        #expect(try await status(invoice, pair.payer) == .pending)
        test.clock.advance(milliseconds: 100)
        #expect(isSettled(try await status(invoice, pair.payer), invoice))
        #expect(isSettled(try await pay(invoice, pair.payer), invoice))
        try await expectBalances(pair, start - 1_007, start + 1_000)
    }

    @Test("a network told to fail moves nothing; afterwards the invoice can be paid")
    func fail() async throws {
        let pair = try await pair()
        let invoice = try await invoice(pair.payee)
        try await fault(.fail, pair.payer)
        guard case .failed(let failure) = try await pay(invoice, pair.payer) else {
            Issue.record("the payment did not fail")
            return
        }
        #expect(failure.code == .noRoute && failure.message.contains("TEST MONEY"))
        try await test.crash()
        #expect(try await status(invoice, pair.payer) == .failed(failure))
        try await expectBalances(pair, start, start)
        try await fault(.none, pair.payer)
        #expect(isSettled(try await pay(invoice, pair.payer), invoice))
    }

    @Test("a fee over the maximum fails and moves nothing")
    func feeTooHigh() async throws {
        let pair = try await pair()
        let invoice = try await invoice(pair.payee)
        guard case .failed(let failure) = try await test.backend(pair.payer).pay(invoice: invoice, maximumFeeMsat: 6)
        else {
            Issue.record("the payment did not fail")
            return
        }
        #expect(failure.code == .feeTooHigh)
        try await expectBalances(pair, start, start)
        // The last msat may be spent, fee and all.
        let all = try await self.invoice(pair.payee, start - 7)
        #expect(isSettled(try await pay(all, pair.payer), all))
        try await expectBalances(pair, 0, 2 * start - 7)
    }

    @Test("[SIM-7] of two payers of one invoice one pays; the other gets everything back")
    func twoPayers() async throws {
        let pair = try await pair()
        let second = try await test.account("second payer")
        let invoice = try await invoice(pair.payee)
        try await fault(.delay(milliseconds: 1_000), pair.payer)
        #expect(try await pay(invoice, pair.payer) == .pending)
        #expect(isSettled(try await pay(invoice, second), invoice))
        test.clock.advance(milliseconds: 1_000)
        guard case .failed(let failure)? = try await status(invoice, pair.payer) else {
            Issue.record("two payers paid one invoice")
            return
        }
        #expect(failure.code == .alreadyPaid)
        try await expectBalances(pair, start, start + 1_000)
        let third = try await test.account("third payer")
        guard case .failed(let late) = try await pay(invoice, third) else {
            Issue.record("a paid invoice was paid again")
            return
        }
        #expect(late.code == .alreadyPaid)
        try await expectBalances(pair, start, start + 1_000)
    }

    @Test("[SIM-7] a payment that arrives at or after the expiry goes back to the payer")
    func arrivesLate() async throws {
        let pair = try await pair()
        let invoice = try await invoice(pair.payee, expirySeconds: 10)
        try await fault(.delay(milliseconds: 10_000), pair.payer)
        #expect(try await pay(invoice, pair.payer) == .pending)
        test.clock.advance(milliseconds: 10_000)
        guard case .failed(let failure)? = try await status(invoice, pair.payer) else {
            Issue.record("a late payment was taken")
            return
        }
        #expect(failure.code == .expired)
        #expect(try await test.backend(pair.payee).invoiceStatus(paymentHash: invoice.paymentHash) == .expired)
        try await expectBalances(pair, start, start)
    }

    @Test("[SIM-9] a request that was too long on its way starts nothing")
    func startBefore() async throws {
        let pair = try await pair()
        let invoice = try await invoice(pair.payee)
        let payer = try await test.network.account(token: pair.payer)
        let now = test.clock.now
        let error = await #expect(throws: LightningError.self) {
            try await test.network.pay(invoice, from: payer, maximumFeeMsat: 100, startBefore: now)
        }
        #expect(error?.code == .timedOut)
        #expect(try await status(invoice, pair.payer) == nil)
        let answer = try await test.network.pay(
            invoice,
            from: payer,
            maximumFeeMsat: 100,
            startBefore: now.adding(milliseconds: 1)
        )
        #expect(isSettled(answer.outcome, invoice))
        // Late or not, what is settled is answered with.
        let late = try await test.network.pay(invoice, from: payer, maximumFeeMsat: 100, startBefore: now)
        #expect(late == answer)
        try await expectBalances(pair, start - 1_007, start + 1_000)
    }
}
