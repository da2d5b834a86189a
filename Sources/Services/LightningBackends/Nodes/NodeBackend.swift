internal import Encodings
internal import Lightning
internal import Logging

/// What a node itself has on record of payments to one hash.
enum PaymentRecord: Sendable {
    case none
    case pending
    case settled(preimage: [UInt8], feeMsat: UInt64)
    /// Ended, and nothing of it can settle any more.
    case failed(PaymentFailure)
}

/// What became of a request to pay, before the node's record was asked.
enum SendResult: Sendable {
    /// Ended with the node's answer, or answered with a refusal: the record says how it stands; where there is none,
    /// nothing was started, for this reason.
    case answered(PaymentFailure)
    /// The node refused the call itself (its secret, a wrong address): nothing was started.
    case refused(LightningError)
    /// No usable answer, or one that says that it goes on.
    case unknown
}

/// An adapter to a real Lightning node. The rules of `LightningBackend` about paying are kept here, once for all of them:
/// a node's own record is asked before anything is sent and after anything is answered, and only what that record says,
/// or its silence after a refusal, is an outcome.
protocol NodeBackend: LightningBackend {
    var connection: NodeConnection { get }
    var book: PaymentBook { get }

    /// - Throws: where the node cannot be asked.
    func record(of hash: [UInt8]) async throws(LightningError) -> PaymentRecord

    /// Sends the payment, once.
    /// - Parameter part: the amount where it is not the whole, or the invoice names none.
    /// - Throws: only where nothing was sent.
    func send(_ invoice: BOLT11Invoice, part: UInt64?, maximumFeeMsat: UInt64) async throws(LightningError)
        -> SendResult

    /// Whether the invoice is this backend's own.
    func isOwn(_ invoice: BOLT11Invoice) async throws(LightningError) -> Bool
}

extension NodeBackend {
    public var network: LightningNetwork { connection.access.network }

    var clock: WallClock { connection.access.clock }
    var logger: Logger { connection.access.logger }

    public func pay(
        invoice: BOLT11Invoice,
        openAmountMsat: UInt64?,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> PaymentOutcome {
        if let openAmountMsat {
            guard abilities.takesOpenInvoices, openAmountMsat.isMultiple(of: abilities.amountStepMsat) else {
                throw LightningError(
                    .unsupported,
                    "\(connection.program) cannot pay \(openAmountMsat) msat to an invoice without an amount"
                )
            }
            try LightningLimits.checkOpen(invoice, amountMsat: openAmountMsat)
        }
        return try await payOnce(invoice, part: openAmountMsat, maximumFeeMsat: maximumFeeMsat)
    }

    public func payPart(
        of invoice: BOLT11Invoice,
        amountMsat: UInt64,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> PaymentOutcome {
        guard abilities.paysParts else {
            throw LightningError(.unsupported, "\(connection.program) cannot pay a part of an invoice")
        }
        guard amountMsat > 0, let whole = invoice.amountMsat, amountMsat < whole else {
            throw LightningError(
                .invalidRequest,
                "a part of an invoice must be more than nothing and less than the whole"
            )
        }
        return try await payOnce(invoice, part: amountMsat, maximumFeeMsat: maximumFeeMsat)
    }

    public func paymentStatus(paymentHash: [UInt8]) async throws(LightningError) -> PaymentOutcome? {
        // Between two attempts of a running call a node may show the first as failed.
        let isRunning = book.isRunning(paymentHash)
        switch try await record(of: paymentHash) {
        case .settled(let preimage, let feeMsat): return try settled(preimage, feeMsat, paymentHash)
        case .pending: return .pending
        case .failed(let failure): return isRunning ? .pending : .failed(book.failure(paymentHash) ?? failure)
        case .none: return isRunning ? .pending : book.failure(paymentHash).map(PaymentOutcome.failed)
        }
    }

    private func payOnce(
        _ invoice: BOLT11Invoice,
        part: UInt64?,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> PaymentOutcome {
        let hash = invoice.paymentHash
        guard book.begin(hash) else { return .pending }
        defer { book.end(hash) }
        switch try await record(of: hash) {
        case .settled(let preimage, let feeMsat): return try settled(preimage, feeMsat, hash)
        case .pending: return .pending
        case .failed, .none: break
        }
        try invoice.requirePayable(on: network, at: clock.now(), openAmountMsat: part)
        if try await isOwn(invoice) {
            return failed(
                PaymentFailure(.selfPayment, "the invoice is this node's own: it cannot pay itself over Lightning"),
                hash
            )
        }
        book.forget(hash)
        let result = try await send(invoice, part: part, maximumFeeMsat: maximumFeeMsat)
        switch result {
        case .refused(let error): throw error
        case .unknown: return await afterSilence(hash)
        case .answered(let failure): return await afterAnswer(hash, failure)
        }
    }

    /// No word came of the call. What the node says of it now may be told, except that nothing or a failure says nothing:
    /// the call may still be on its way.
    private func afterSilence(_ hash: [UInt8]) async -> PaymentOutcome {
        logger.notice("a payment's outcome is not known", metadata: ["backend": "\(connection.program)"])
        if case .settled(let preimage, let feeMsat)? = try? await record(of: hash) {
            return (try? settled(preimage, feeMsat, hash)) ?? .pending
        }
        return .pending
    }

    private func afterAnswer(_ hash: [UInt8], _ failure: PaymentFailure) async -> PaymentOutcome {
        do {
            switch try await record(of: hash) {
            case .settled(let preimage, let feeMsat): return try settled(preimage, feeMsat, hash)
            case .pending: return .pending
            case .failed(let recorded):
                return failed(recorded.code == .rejected ? failure : recorded, hash)
            case .none: return failed(failure, hash)
            }
        } catch {
            logger.notice(
                "a payment's outcome cannot be asked about now",
                metadata: ["backend": "\(connection.program)", "error": "\(error)"]
            )
            return .pending
        }
    }

    private func failed(_ failure: PaymentFailure, _ hash: [UInt8]) -> PaymentOutcome {
        book.remember(failure, of: hash)
        return .failed(failure)
    }

    /// A settled payment must come with the preimage that proves it.
    private func settled(
        _ preimage: [UInt8],
        _ feeMsat: UInt64,
        _ hash: [UInt8]
    ) throws(LightningError) -> PaymentOutcome {
        guard LightningPreimage(preimage).proves(hash) else {
            throw LightningError(
                .invalidAnswer,
                "\(connection.program) at \(connection.access.base) calls a payment settled, with a preimage that does not"
                    + " belong to it"
            )
        }
        return .settled(preimage: preimage, feeMsat: feeMsat)
    }

    // MARK: Making invoices

    /// What is common to all: bounds and step before, currency, amount and hash after.
    /// - Parameter amountMsat: nil where the payer chooses.
    func newInvoice(
        amountMsat: UInt64?,
        description: String,
        expirySeconds: UInt32,
        _ make: (_ description: String) async throws(LightningError) -> String
    ) async throws(LightningError) -> BOLT11Invoice {
        guard amountMsat != nil || abilities.takesOpenInvoices else {
            throw LightningError(.unsupported, "\(connection.program) makes no invoices without an amount")
        }
        try LightningLimits.check(amountMsat: amountMsat ?? 1, description: description, expirySeconds: expirySeconds)
        if let amountMsat, amountMsat % abilities.amountStepMsat != 0 {
            throw LightningError(
                .invalidRequest,
                "\(connection.program) counts in sat: it makes no invoice for \(amountMsat) msat"
            )
        }
        let text = try await make(noticed(description))
        let invoice = try connection.read { try BOLT11Invoice(decoding: text) }
        guard invoice.currency == network.currency else {
            throw LightningError(
                .networkMismatch,
                "\(connection.program) made an invoice of ln\(invoice.currency.rawValue), but the configuration says"
                    + " \(network.rawValue) (ln\(network.currency.rawValue)): make both the same"
            )
        }
        guard amountMsat == nil ? (invoice.amountMsat ?? 0) == 0 : invoice.amountMsat == amountMsat else {
            throw LightningError(.invalidAnswer, "\(connection.program) made another invoice than was asked for")
        }
        return invoice
    }

    /// Money that is worth nothing says so wherever it is shown.
    private func noticed(_ description: String) -> String {
        guard let notice = network.testMoneyNotice, !description.contains("TEST MONEY") else { return description }
        return notice + (description.isEmpty ? "" : ": " + description)
    }

    /// How an invoice stands that is not paid.
    func unpaidStatus(expiresAt: Timestamp) -> InvoiceStatus { clock.now() >= expiresAt ? .expired : .unpaid }

    func invoiceNotFound() -> LightningError {
        LightningError(.invoiceNotFound, "\(connection.program) has made no invoice with this payment hash")
    }

    func requireNetwork(_ name: String) throws(LightningError) {
        let names: [String: LightningNetwork] = [
            "mainnet": .mainnet, "bitcoin": .mainnet, "testnet": .testnet, "testnet3": .testnet, "testnet4": .testnet,
            "signet": .signet, "regtest": .regtest,
        ]
        guard let found = names[name] else {
            throw LightningError(
                .networkMismatch,
                "\(connection.program) is on the network \(name.prefix(40)), which is not known here"
            )
        }
        try LightningNetwork.requireMatch(configured: network, backend: found)
    }
}
