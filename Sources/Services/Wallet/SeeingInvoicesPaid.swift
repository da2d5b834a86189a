internal import Cashu
internal import Encodings
internal import Lightning
internal import Storage

/// Invoices of calls that the node's own Lightning backend pays, and what became of any that was begun.
extension Buyer {
    // MARK: Over the node's own Lightning backend

    func payOverLightning(_ offer: InvoiceOffer, asked: UInt64, for call: Call) async throws -> PaymentRecord {
        let id = WalletID.random()
        _ = hold(id)
        do {
            let now = wallet.clock.now()
            var invoice = call.invoice(offer, amount: asked, at: now)
            invoice.fee = call.request.maximum - asked
            let intent = invoice
            try await wallet.database.write { connection in
                // What other limits leave for fees is all that may go in fees.
                var intent = intent
                let base = Spend(
                    agent: call.request.agent,
                    host: (call.address.host, call.address.effectivePort),
                    unit: intent.unit,
                    amount: asked,
                    at: now
                )
                var room = try SpendingLimits.room(for: base, in: connection) ?? .max
                if let limit = call.request.spendingLimit {
                    room = min(
                        room,
                        try limit.room(for: call.request.agent, unit: intent.unit, at: now, in: connection)
                    )
                }
                intent.fee = min(intent.fee, room > asked ? room - asked : 0)
                try Self.begin(call, id: id, intent, at: now, in: connection)
            }
            let written = try await callInvoice(of: id)
            try await sendOverLightning(written, isFresh: true)
            return try await requirePaid(id)
        } catch {
            release(id)
            throw error
        }
    }

    /// Has the backend pay, or asks what became of an earlier attempt.
    /// - Parameter isFresh: no attempt was made before.
    private func sendOverLightning(_ invoice: CallInvoice, isFresh: Bool) async throws {
        guard let lightning = wallet.lightning else {
            throw Self.unknown(invoice, "the Lightning backend that was to pay it is not there any more")
        }
        guard let read = try? BOLT11Invoice(decoding: invoice.invoice), let unit = LightningUnit(invoice.unit),
            let maximumFee = unit.msat(of: invoice.fee)
        else { throw WalletError(.corrupt, "the invoice \(invoice.id) in the wallet's tables cannot be read") }
        let hash = invoice.paymentHash
        var outcome: PaymentOutcome?
        do {
            if !isFresh { outcome = try await lightning.paymentStatus(paymentHash: hash) }
            if outcome == nil { outcome = try await lightning.pay(invoice: read, maximumFeeMsat: maximumFee) }
        } catch let error where isFresh {
            // What it throws, it has not started.
            try await fail(invoice, "the invoice was not paid: \(error.message)", cause: error)
        } catch let error where error.code == .expired {
            // No earlier attempt can start any more either: what it does not know of now was never paid.
            do {
                outcome = try await lightning.paymentStatus(paymentHash: hash)
            } catch {
                throw Self.unknown(invoice, error.message)
            }
            if outcome == nil { try await fail(invoice, "the invoice lapsed and was not paid", cause: error) }
        } catch {
            throw Self.unknown(invoice, error.message)
        }
        for attempt in 1..<max(2, configuration.attempts) where outcome == .pending {
            await configuration.pause(min(5000, 100 << min(attempt, 6)))
            if let known = try? await lightning.paymentStatus(paymentHash: hash) { outcome = known }
        }
        try await book(outcome ?? .pending, of: invoice, read, unit)
    }

    private func book(_ outcome: PaymentOutcome, of invoice: CallInvoice, _ read: BOLT11Invoice, _ unit: LightningUnit)
        async throws
    {
        switch outcome {
        case .pending: throw Self.unknown(invoice, "it is under way")
        case .failed(let failure): try await fail(invoice, "the invoice was not paid: \(failure.message)")
        case .settled(let preimage, let feeMsat):
            guard read.isPaid(by: preimage) else {
                throw Self.unknown(invoice, "the Lightning backend says that it is paid, and its proof is none")
            }
            let total = try Amounts.adding(read.amountMsat ?? 0, feeMsat)
            let fee = unit.rounded(up: total) - min(unit.rounded(up: total), invoice.amount)
            let now = wallet.clock.now()
            try await wallet.database.write { connection in
                try InvoiceStore.paid(invoice, fee: fee, preimage: preimage, at: now, in: connection)
            }
        }
    }

    /// Ends a call whose invoice was not paid.
    private func fail(_ invoice: CallInvoice, _ why: String, cause: (any Error)? = nil) async throws -> Never {
        let now = wallet.clock.now()
        try await wallet.database.write { connection in
            try InvoiceStore.failed(invoice, code: "invoice-not-paid", at: now, in: connection)
        }
        throw WalletError(.paymentFailed, why + "; no money has moved", cause: cause)
    }

    // MARK: What became of it

    /// The invoice of a payment.
    func callInvoice(of payment: String) async throws -> CallInvoice {
        let found = try await wallet.database.read { connection in
            try PaymentStore.find(payment, in: connection)?.invoice.flatMap {
                try InvoiceStore.find($0, in: connection)
            }
        }
        guard let found else { throw WalletError(.corrupt, "the payment \(payment) has lost its invoice") }
        return found
    }

    func requirePaid(_ id: String) async throws -> PaymentRecord {
        try await learnPreimage(try await callInvoice(of: id))
        guard let payment = try await payment(id) else {
            throw WalletError(.corrupt, "the payment \(id) is not in the wallet's tables")
        }
        return payment
    }

    /// Where an error leaves it open whether the invoice was paid, the payment stays open, and says so.
    func requireNotPaid(_ id: String, after error: any Error) async throws {
        let invoice = try await callInvoice(of: id)
        guard invoice.state != .failed else { return }
        throw Self.unknown(invoice, (error as? WalletError)?.message ?? "\(error)")
    }

    /// Finds out whether the invoice of an open payment is paid, and has it paid where that was begun and did not happen
    /// yet. Safe to call again; it never pays a second time.
    /// - Throws: `paymentFailed` with nothing paid, `outcomeUnknown`.
    func seeInvoicePaid(_ payment: PaymentRecord) async throws {
        let invoice = try await callInvoice(of: payment.id)
        switch invoice.state {
        case .paid: break
        case .failed: throw WalletError(.paymentFailed, "the invoice was not paid; no money has moved")
        case .paying:
            if let id = invoice.operation {
                try await goOn(with: id, of: invoice)
            } else {
                try await sendOverLightning(invoice, isFresh: false)
            }
        }
        try await learnPreimage(try await callInvoice(of: payment.id))
    }

    private func goOn(with operationID: String, of invoice: CallInvoice) async throws {
        guard
            let operation = try await wallet.database.read({ connection in
                try Operation.find(operationID, in: connection)
            })
        else { throw WalletError(.corrupt, "the melt of invoice \(invoice.id) is not in the wallet's tables") }
        switch operation.state {
        case .planned:
            do {
                _ = try await wallet.runner.run(operation, isFresh: false)
            } catch let error as WalletError where error.code != .paymentFailed {
                throw Self.unknown(invoice, error.message)
            }
        case .disputed:
            // The mint took the coins and gave change that is none. Whether it paid, its quote says.
            guard let preimage = try await preimage(of: invoice, operation) else {
                throw Self.unknown(invoice, "the mint took the coins, and shows no proof that it paid")
            }
            let fee = operation.inputSum - min(operation.inputSum, operation.meltAmount)
            let now = wallet.clock.now()
            try await wallet.database.write { connection in
                try InvoiceStore.paid(invoice, fee: fee, preimage: preimage, at: now, in: connection)
            }
        case .done, .refused:
            throw WalletError(.corrupt, "the melt of invoice \(invoice.id) is over, and the invoice does not know it")
        }
    }

    /// A mint may say that it paid before it shows the preimage.
    private func learnPreimage(_ invoice: CallInvoice) async throws {
        guard invoice.state == .paid, invoice.preimage == nil else { return }
        let operation = try await wallet.database.read { connection in
            try invoice.operation.flatMap { try Operation.find($0, in: connection) }
        }
        guard let operation, let preimage = try await preimage(of: invoice, operation) else {
            throw Self.unknown(invoice, "it is paid, and the mint shows no preimage that proves it")
        }
        try await wallet.database.write { connection in
            try InvoiceStore.learn(preimage, of: invoice, in: connection)
        }
    }

    private func preimage(of invoice: CallInvoice, _ operation: Operation) async throws -> [UInt8]? {
        guard let read = try? BOLT11Invoice(decoding: invoice.invoice) else { return nil }
        do {
            let quote = try await wallet.book.client(operation.mint).meltQuote(operation.requiredQuote())
            guard quote.state == .paid, let text = quote.paymentPreimage, let bytes = try? Hex.decode(text),
                read.isPaid(by: bytes)
            else { return nil }
            return bytes
        } catch let error as MintAPIError {
            throw Self.unknown(invoice, error.message)
        }
    }

    private static func unknown(_ invoice: CallInvoice, _ why: String) -> WalletError {
        WalletError(
            .outcomeUnknown,
            "it is not known yet what became of the invoice that was to pay the call (\(why)); the payment stays open and is"
                + " taken up again, and no other is made"
        )
    }
}
