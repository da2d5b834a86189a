public import Encodings
internal import Ledger
public import Lightning
internal import Storage

/// How the network took a payment.
public struct SimulatedPaymentAnswer: Hashable, Sendable {
    public let outcome: PaymentOutcome
    /// Set by a fault: the payer is to get no answer, though the outcome is what it is.
    public let isLost: Bool
    /// When the network will go on with a pending payment; nil where only somebody's order will.
    public let settlesAt: Timestamp?
}

extension SimulatedNetwork {
    /// Pays an invoice of this network from the account, at most once for its payment hash: while a payment is
    /// pending or after it settled, answers with that one.
    /// - Parameters:
    ///   - openAmountMsat: what to pay an invoice that names no amount; nil for one that does.
    ///   - maximumFeeMsat: over it the payment fails with `feeTooHigh`.
    ///   - startBefore: from this instant on the call starts nothing, so that one that was long on its way cannot
    ///     pay after its sender stopped waiting.
    /// - Throws: where the call has started no payment: `amountRequired`, `networkMismatch`, `expired`, `timedOut` (by
    ///   `startBefore`), `limitReached`.
    public func pay(
        _ invoice: BOLT11Invoice,
        from account: SimulatedAccount,
        openAmountMsat: UInt64? = nil,
        maximumFeeMsat: UInt64,
        startBefore: Timestamp? = nil
    ) async throws(LightningError) -> SimulatedPaymentAnswer {
        let (clock, terms) = (clock, terms)
        return try await write { connection in
            let now = clock.now()
            try Self.settleDue(now: now, in: connection)
            let earlier = try SimulatedPayment(account: account.id, hash: invoice.paymentHash, in: connection)
            if let earlier, earlier.isPendingOrSettled { return earlier.answer }
            let amount = try invoice.requirePayable(on: .simulated, at: now, openAmountMsat: openAmountMsat)
            if let startBefore, now >= startBefore {
                throw LightningError(
                    .timedOut,
                    "the payment reached the \(Self.notice) network too late and was not started: try again"
                )
            }
            let lastTransfer = try Self.lastTransfer(terms, in: connection)
            let attempt = SimulatedAttempt(
                account: account,
                invoice: invoice,
                amountMsat: amount,
                feeMsat: try Self.fee(for: amount, terms: terms),
                maximumFeeMsat: maximumFeeMsat,
                number: lastTransfer + 1,
                now: now
            )
            return try attempt.run(terms: terms, in: connection)
        }
    }

    /// How a payment of the account stands; nil where there was none.
    public func payment(
        of account: SimulatedAccount,
        paymentHash: [UInt8]
    ) async throws(LightningError) -> SimulatedPaymentAnswer? {
        try await settleDue()
        return try await read { try SimulatedPayment(account: account.id, hash: paymentHash, in: $0)?.answer }
    }

    /// Ends a payment of the account that is pending (by a fault), one way or the other.
    /// - Returns: how it stands then; nil where there is none.
    public func resolve(
        paymentHash: [UInt8],
        of account: SimulatedAccount,
        settles: Bool
    ) async throws(LightningError) -> SimulatedPaymentAnswer? {
        let clock = clock
        return try await write { connection in
            let now = clock.now()
            try Self.settleDue(now: now, in: connection)
            guard let payment = try SimulatedPayment(account: account.id, hash: paymentHash, in: connection) else {
                return nil
            }
            guard payment.state == .held else { return payment.answer }
            if settles {
                try payment.arrive(at: now, in: connection)
            } else {
                let failure = PaymentFailure(.rejected, "the payee turned the \(Self.notice) payment down")
                try payment.release(failure, at: now, in: connection)
            }
            return try SimulatedPayment(account: account.id, hash: paymentHash, in: connection)?.answer
        }
    }

    /// Goes on with the pending payments whose time has come. Everything that looks at payments, invoices or balances
    /// calls it first, so nothing needs to run in between, and a crash loses nothing.
    func settleDue() async throws(LightningError) {
        let now = clock.now()
        let isDue = try await read { connection in
            try connection.first(
                "SELECT 1 FROM simulated_payments WHERE state = 0 AND settle_at <= ? LIMIT 1",
                .integer(now.millisecondsSince1970)
            ) != nil
        }
        if isDue { try await write { try Self.settleDue(now: now, in: $0) } }
    }

    private static func settleDue(now: Timestamp, in connection: Connection) throws {
        let due = try connection.rows(
            """
            SELECT account, payment_hash FROM simulated_payments WHERE state = 0 AND settle_at <= ?
            ORDER BY settle_at, payment_hash LIMIT 1024
            """,
            .integer(now.millisecondsSince1970)
        )
        for row in due {
            let payment = try SimulatedPayment(account: try row.text(0), hash: try row.blob(1), in: connection)
            guard let payment, let settlesAt = payment.settlesAt else { continue }
            try payment.arrive(at: settlesAt, in: connection)
        }
    }

    /// The ledger's last row. Rows are never deleted, so the next number is one that no earlier attempt had.
    private static func lastTransfer(_ terms: Terms, in connection: Connection) throws -> Int64 {
        let last = try connection.first("SELECT max(sequence) FROM ledger_transfers")?.optionalInt64(0) ?? 0
        guard last < terms.maximumTransfers else {
            throw LightningError(
                .limitReached,
                "the \(notice) network's ledger is full (\(terms.maximumTransfers) movements): start a new network"
            )
        }
        return last
    }

    static func fee(for amountMsat: UInt64, terms: Terms) throws -> UInt64 {
        let parts = min(terms.feePartsPerMillion, 1_000_000)
        // amount ≤ 2.1e18 and parts ≤ 1e6: divide first, then what is left over.
        let whole = amountMsat / 1_000_000 * parts
        let rest = (amountMsat % 1_000_000 * parts + 999_999) / 1_000_000
        let (fee, overflow) = (whole + rest).addingReportingOverflow(terms.feeBaseMsat)
        guard !overflow else { throw LightningError(.invalidAmount, "the fee for \(amountMsat) msat is out of range") }
        return fee
    }
}
