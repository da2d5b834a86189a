import Cryptography
import Encodings
import Lightning
import Synchronization
import Testing

/// What every adapter of `LightningBackend` must do, checked on two nodes of one network. Each function is one rule;
/// `run` does them all. Both nodes need `startingBalanceMsat`, or what they have after the earlier rules.
struct LightningConformance {
    /// What the rules need on both sides, in the backend's steps.
    static let startingBalanceMsat: UInt64 = 1_000_000

    /// What an invoice is for is a multiple of this.
    var step: UInt64 { payee.abilities.amountStepMsat }
    /// What each payment may cost on top.
    var maximumFeeMsat: UInt64 = 1_000
    /// Whether settled invoices are told.
    var tellsSettled = false

    let payer: any LightningBackend
    let payee: any LightningBackend
    /// The time as both nodes see it.
    let clock: WallClock
    /// Lets time pass for both nodes.
    let advance: @Sendable (_ seconds: Int64) -> Void

    func run() async throws {
        try await nodesAreDistinct()
        try await invoicesSayWhatWasAsked()
        try await boundsAreKept()
        try await strangersAreNotFound()
        try await paymentsMoveMoneyOnce()
        try await manyCallsAreOnePayment()
        try await invoicesArePaidOnce()
        try await openInvoicesAreForWhatThePayerSays()
        try await failuresMoveNothingAndMayBeTriedAgain()
        try await invoicesOfOthersAreRefused()
        try await nobodyPaysThemselves()
        try await forgedInvoicesAreRefused()
        try await expiredInvoicesAreNotPaid()
        try await settledStaysSettledPastExpiry()
        try await partsAreRefusedWhereTheyCannotBePaid()
        try await settledInvoicesAreTold()
    }

    func nodesAreDistinct() async throws {
        let (one, other) = (try await payer.nodeID(), try await payee.nodeID())
        #expect(one.count == 33 && other.count == 33 && one != other)
        #expect(payer.network == payee.network)
        #expect(try await payer.balanceMsat() >= Self.startingBalanceMsat * step)
        #expect(try await payee.balanceMsat() >= Self.startingBalanceMsat * step)
    }

    func invoicesSayWhatWasAsked() async throws {
        let invoice = try await invoice(12_345 * step, "ナンセンス 1杯", expirySeconds: 77)
        #expect(try BOLT11Invoice(decoding: invoice.text) == invoice)
        #expect(invoice.amountMsat == 12_345 * step)
        #expect(invoice.currency == payee.network.currency)
        #expect(invoice.payeeNodeID == (try await payee.nodeID()))
        #expect(invoice.expirySeconds == 77)
        #expect(abs(invoice.contents.timestamp.milliseconds(since: clock.now())) < 60_000)
        guard case .text(let text) = invoice.contents.purpose else {
            Issue.record("the invoice has no description")
            return
        }
        #expect(text.hasSuffix("ナンセンス 1杯"))
        if payee.network != .mainnet { #expect(text.contains("TEST MONEY")) }
        #expect(try await payee.invoiceStatus(paymentHash: invoice.paymentHash) == .unpaid)
        let another = try await self.invoice(12_345 * step)
        #expect(another.paymentHash != invoice.paymentHash)
    }

    func boundsAreKept() async throws {
        let long = String(repeating: "x", count: LightningLimits.maximumDescriptionBytes)
        _ = try await invoice(step, long, expirySeconds: LightningLimits.maximumExpirySeconds)
        _ = try await invoice(LightningLimits.maximumAmountMsat, "")
        var refused: [(UInt64, String, UInt32)] = [
            (0, "", 60), (LightningLimits.maximumAmountMsat + step, "", 60), (.max, "", 60), (step, long + "x", 60),
            (step, "", 0), (step, "", LightningLimits.maximumExpirySeconds + 1), (step, "", .max),
        ]
        if step > 1 { refused.append((step + 1, "", 60)) }
        for (amount, text, expiry) in refused {
            let error = await #expect(throws: LightningError.self) {
                try await invoice(amount, text, expirySeconds: expiry)
            }
            #expect(error?.code == .invalidRequest)
        }
    }

    func strangersAreNotFound() async throws {
        let unknown = SecureRandom.bytes(32)
        let error = await #expect(throws: LightningError.self) { try await payee.invoiceStatus(paymentHash: unknown) }
        #expect(error?.code == .invoiceNotFound)
        #expect(try await payer.paymentStatus(paymentHash: unknown) == nil)
        // Another node's invoice is none of the payer's.
        let invoice = try await invoice(5 * step)
        let other = await #expect(throws: LightningError.self) {
            try await payer.invoiceStatus(paymentHash: invoice.paymentHash)
        }
        #expect(other?.code == .invoiceNotFound)
    }

    func paymentsMoveMoneyOnce() async throws {
        let amount = 2_500 * step
        let invoice = try await invoice(amount)
        let before = try await balances()
        #expect(try await payer.paymentStatus(paymentHash: invoice.paymentHash) == nil)
        let outcome = try await pay(invoice)
        guard case .settled(let preimage, let fee) = outcome else {
            Issue.record("the payment is \(outcome), not settled")
            return
        }
        #expect(Hashing.sha256(preimage) == invoice.paymentHash)
        #expect(fee <= maximumFeeMsat)
        let after = try await balances()
        #expect(after.payer == before.payer - amount - fee)
        #expect(after.payee == before.payee + amount)
        guard case .paid(let paid, _) = try await payee.invoiceStatus(paymentHash: invoice.paymentHash) else {
            Issue.record("the invoice is not paid")
            return
        }
        #expect(paid == amount)
        #expect(try await payer.paymentStatus(paymentHash: invoice.paymentHash) == outcome)
        // Receiving is not paying.
        #expect(try await payee.paymentStatus(paymentHash: invoice.paymentHash) == nil)
        #expect(try await pay(invoice) == outcome)
        #expect(try await balances() == after)
    }

    func manyCallsAreOnePayment() async throws {
        let amount = 700 * step
        let invoice = try await invoice(amount)
        let before = try await balances()
        let outcomes = try await withThrowingTaskGroup(of: PaymentOutcome.self) { group in
            for _ in 0..<12 { group.addTask { try await pay(invoice) } }
            return try await group.reduce(into: [PaymentOutcome]()) { $0.append($1) }
        }
        #expect(!outcomes.contains { if case .failed = $0 { true } else { false } })
        guard case .settled(_, let fee) = try await pay(invoice) else {
            Issue.record("the payment did not settle")
            return
        }
        let after = try await balances()
        #expect(after.payer == before.payer - amount - fee)
        #expect(after.payee == before.payee + amount)
    }

    /// Once paid, an invoice takes no second payment, from whomever.
    func invoicesArePaidOnce() async throws {
        let invoice = try await payer.createInvoice(amountMsat: 300 * step, description: "once", expirySeconds: 600)
        guard case .settled = try await payee.pay(invoice: invoice, maximumFeeMsat: maximumFeeMsat) else {
            Issue.record("the payment did not settle")
            return
        }
        // Its maker is the only other node here, and that is a self-payment; it must not be credited twice.
        let before = try await balances()
        if case .settled = try await payer.pay(invoice: invoice, maximumFeeMsat: maximumFeeMsat) {
            Issue.record("an invoice was paid twice")
        }
        #expect(try await balances() == before)
    }

    /// One without an amount is paid what the payer says, once, and is refused where it says nothing, or says it of another.
    func openInvoicesAreForWhatThePayerSays() async throws {
        guard payee.abilities.takesOpenInvoices else {
            let error = await #expect(throws: LightningError.self) {
                try await payee.createInvoice(amountMsat: nil, description: "open", expirySeconds: 600)
            }
            #expect(error?.code == .unsupported)
            return
        }
        let before = try await balances()
        let open = try await payee.createInvoice(amountMsat: nil, description: "open", expirySeconds: 600)
        #expect((open.amountMsat ?? 0) == 0)
        #expect(try await payee.invoiceStatus(paymentHash: open.paymentHash) == .unpaid)
        let named = try await invoice(40 * step)
        let refused: [(BOLT11Invoice, UInt64?, LightningError.Code)] = [
            (open, nil, .amountRequired), (open, 0, .invalidRequest),
            (open, LightningLimits.maximumAmountMsat + step, .invalidRequest), (named, 40 * step, .invalidRequest),
        ]
        for (invoice, amount, code) in refused {
            let error = await #expect(throws: LightningError.self) {
                try await payer.pay(invoice: invoice, openAmountMsat: amount, maximumFeeMsat: maximumFeeMsat)
            }
            #expect(error?.code == code, "\(amount ?? 0)")
        }
        #expect(try await payer.paymentStatus(paymentHash: open.paymentHash) == nil)
        #expect(try await balances() == before)

        let amount = 321 * step
        let outcome = try await payer.pay(invoice: open, openAmountMsat: amount, maximumFeeMsat: maximumFeeMsat)
        guard case .settled(let preimage, let fee) = outcome else {
            Issue.record("the payment is \(outcome), not settled")
            return
        }
        #expect(Hashing.sha256(preimage) == open.paymentHash)
        let after = try await balances()
        #expect(after.payer == before.payer - amount - fee)
        #expect(after.payee == before.payee + amount)
        guard case .paid(amount, _) = try await payee.invoiceStatus(paymentHash: open.paymentHash) else {
            Issue.record("the invoice is not paid with what the payer said")
            return
        }
        #expect(try await payer.paymentStatus(paymentHash: open.paymentHash) == outcome)
        // Another amount is no other payment.
        let again = try await payer.pay(invoice: open, openAmountMsat: 2 * amount, maximumFeeMsat: maximumFeeMsat)
        #expect(again == outcome)
        #expect(try await balances() == after)
    }

    func failuresMoveNothingAndMayBeTriedAgain() async throws {
        let start = try await balances()
        let amount = (start.payer + start.payee / 2) / step * step
        let invoice = try await invoice(amount)
        guard case .failed(let failure) = try await pay(invoice) else {
            Issue.record("a payment beyond the balance did not fail")
            return
        }
        #expect(failure.code == .insufficientBalance)
        #expect(!failure.message.isEmpty)
        #expect(try await balances() == start)
        #expect(try await payer.paymentStatus(paymentHash: invoice.paymentHash) == .failed(failure))
        #expect(try await payee.invoiceStatus(paymentHash: invoice.paymentHash) == .unpaid)

        let topUp = try await payer.createInvoice(
            amountMsat: (start.payee - start.payee / 50) / step * step,
            description: "top up",
            expirySeconds: 600
        )
        guard case .settled = try await payee.pay(invoice: topUp, maximumFeeMsat: maximumFeeMsat) else {
            Issue.record("the top-up did not settle")
            return
        }
        guard case .settled = try await pay(invoice) else {
            Issue.record("a failed payment cannot be tried again")
            return
        }
        #expect(try await payer.balanceMsat() + (try await payee.balanceMsat()) <= start.payer + start.payee)
    }

    func invoicesOfOthersAreRefused() async throws {
        let before = try await balances()
        let free = try Self.foreign(currency: payer.network.currency, amountMsat: nil, at: clock.now())
        let noAmount = await #expect(throws: LightningError.self) { try await pay(free) }
        #expect(noAmount?.code == .amountRequired)

        let elsewhere: InvoiceCurrency = payer.network.currency == .signet ? .testnet : .signet
        let wrong = try Self.foreign(currency: elsewhere, amountMsat: 10 * step, at: clock.now())
        let mismatch = await #expect(throws: LightningError.self) { try await pay(wrong) }
        #expect(mismatch?.code == .networkMismatch)

        // A node that is not there.
        let nowhere = try Self.foreign(currency: payer.network.currency, amountMsat: 10 * step, at: clock.now())
        guard case .failed(let failure) = try await pay(nowhere) else {
            Issue.record("a payment to nobody did not fail")
            return
        }
        #expect([.unknownInvoice, .noRoute].contains(failure.code))
        for invoice in [free, wrong] {
            #expect(try await payer.paymentStatus(paymentHash: invoice.paymentHash) == nil)
        }
        #expect(try await balances() == before)
    }

    func nobodyPaysThemselves() async throws {
        let before = try await balances()
        let own = try await payer.createInvoice(amountMsat: 10 * step, description: "mine", expirySeconds: 600)
        guard case .failed(let failure) = try await pay(own) else {
            Issue.record("a payment to oneself did not fail")
            return
        }
        #expect(failure.code == .selfPayment)
        #expect(try await balances() == before)
    }

    /// An invoice with a real one's payment hash and other terms is not that invoice.
    func forgedInvoicesAreRefused() async throws {
        let before = try await balances()
        let real = try await invoice(5_000 * step)
        var contents = real.contents
        contents.amountMsat = step
        let forged = try BOLT11Invoice.sign(contents, key: .random())
        guard case .failed(let other) = try await pay(forged) else {
            Issue.record("a forged invoice was paid")
            return
        }
        #expect(other.code == .unknownInvoice)
        #expect(try await payee.invoiceStatus(paymentHash: real.paymentHash) == .unpaid)
        #expect(try await balances() == before)
    }

    func expiredInvoicesAreNotPaid() async throws {
        let before = try await balances()
        let invoice = try await invoice(40 * step, expirySeconds: 30)
        advance(31)
        #expect(try await payee.invoiceStatus(paymentHash: invoice.paymentHash) == .expired)
        let error = await #expect(throws: LightningError.self) { try await pay(invoice) }
        #expect(error?.code == .expired)
        #expect(try await payer.paymentStatus(paymentHash: invoice.paymentHash) == nil)
        #expect(try await balances() == before)
    }

    func settledStaysSettledPastExpiry() async throws {
        let invoice = try await invoice(40 * step, expirySeconds: 30)
        let outcome = try await pay(invoice)
        advance(31)
        #expect(try await pay(invoice) == outcome)
        #expect(try await payer.paymentStatus(paymentHash: invoice.paymentHash) == outcome)
        guard case .paid(40 * step, _) = try await payee.invoiceStatus(paymentHash: invoice.paymentHash) else {
            Issue.record("a paid invoice expired")
            return
        }
    }

    func partsAreRefusedWhereTheyCannotBePaid() async throws {
        let invoice = try await invoice(50 * step)
        let code: LightningError.Code = payer.abilities.paysParts ? .invalidRequest : .unsupported
        for part in [0, 50 * step, 51 * step] as [UInt64] {
            let error = await #expect(throws: LightningError.self) {
                try await payer.payPart(of: invoice, amountMsat: part, maximumFeeMsat: maximumFeeMsat)
            }
            #expect(error?.code == code)
        }
        #expect(try await payer.paymentStatus(paymentHash: invoice.paymentHash) == nil)
    }

    func settledInvoicesAreTold() async throws {
        guard tellsSettled else { return }
        let heard = Mutex<Set<[UInt8]>>([])
        let ears = Task { [payee] in
            for await hash in payee.settledInvoices() { heard.withLock { _ = $0.insert(hash) } }
        }
        defer { ears.cancel() }
        // The feed says what is paid once it has begun, which nobody tells.
        for _ in 0..<30 {
            let invoice = try await invoice(20 * step)
            guard case .settled = try await pay(invoice) else {
                Issue.record("the payment did not settle")
                return
            }
            for _ in 0..<50 where !heard.withLock({ $0.contains(invoice.paymentHash) }) {
                try await Task.sleep(for: .milliseconds(20))
            }
            if heard.withLock({ $0.contains(invoice.paymentHash) }) { return }
        }
        Issue.record("no settled invoice was told")
    }

    // MARK: What the rules are said with

    private func invoice(
        _ amountMsat: UInt64,
        _ description: String = "conformance",
        expirySeconds: UInt32 = 600
    ) async throws -> BOLT11Invoice {
        try await payee.createInvoice(
            amountMsat: amountMsat,
            description: description,
            expirySeconds: expirySeconds
        )
    }

    private func pay(_ invoice: BOLT11Invoice) async throws -> PaymentOutcome {
        try await payer.pay(invoice: invoice, maximumFeeMsat: maximumFeeMsat)
    }

    private struct Balances: Equatable {
        var payer: UInt64
        var payee: UInt64
    }

    private func balances() async throws -> Balances {
        Balances(payer: try await payer.balanceMsat(), payee: try await payee.balanceMsat())
    }

    /// An invoice of a node that exists nowhere.
    static func foreign(
        currency: InvoiceCurrency,
        amountMsat: UInt64?,
        at now: Timestamp
    ) throws -> BOLT11Invoice {
        try BOLT11Invoice.sign(
            InvoiceContents(
                currency: currency,
                amountMsat: amountMsat,
                timestamp: Timestamp(secondsSince1970: now.secondsSince1970),
                paymentHash: Hashing.sha256(SecureRandom.bytes(32)),
                paymentSecret: SecureRandom.bytes(32),
                purpose: .text("foreign")
            ),
            key: .random()
        )
    }
}
