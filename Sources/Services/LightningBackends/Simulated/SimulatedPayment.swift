internal import Encodings
internal import Ledger
internal import Lightning
internal import Storage

/// One account's payment for one payment hash, as the database has it.
struct SimulatedPayment {
    enum State: Int64 {
        /// The payer is debited; the payee is not credited yet.
        case held = 0
        case settled = 1
        case failed = 2
    }

    let account: String
    let hash: [UInt8]
    /// Unique over the network's attempts that moved money.
    let attempt: Int64
    let state: State
    let amountMsat: UInt64
    let feeMsat: UInt64
    let settlesAt: Timestamp?
    let answer: SimulatedPaymentAnswer

    var isPendingOrSettled: Bool { state != .failed }

    /// Nil where the account has made no payment for the hash.
    init?(account: String, hash: [UInt8], in connection: Connection) throws {
        let row = try connection.first(
            """
            SELECT attempt, state, amount_msat, fee_msat, settle_at, preimage, failure_code, failure_message
            FROM simulated_payments WHERE account = ? AND payment_hash = ?
            """,
            .text(account),
            .blob(hash)
        )
        guard let row else { return nil }
        guard let state = State(rawValue: try row.int64(1)) else {
            throw StorageError(.corrupt, "a payment of the \(SimulatedNetwork.notice) network has an unknown state")
        }
        self.account = account
        self.hash = hash
        self.state = state
        attempt = try row.int64(0)
        amountMsat = try row.uint64(2)
        feeMsat = try row.uint64(3)
        settlesAt = try row.optionalInt64(4).map { Timestamp(millisecondsSince1970: $0) }
        let outcome: PaymentOutcome =
            switch state {
            case .held: .pending
            case .settled: .settled(preimage: try row.blob(5), feeMsat: feeMsat)
            case .failed:
                .failed(PaymentFailure(PaymentFailure.Code(rawValue: try row.text(6)), try row.text(7)))
            }
        answer = SimulatedPaymentAnswer(outcome: outcome, isLost: false, settlesAt: settlesAt)
    }

    /// Unique over the ledger: one of its kind for each attempt.
    private func transfer(_ kind: String, from debit: Account, to credit: Account, _ amount: UInt64, at now: Timestamp)
        -> Transfer
    {
        let reference = Hex.encode(hash)
        return Transfer(
            id: "\(kind):\(account):\(reference):\(attempt)",
            debit: debit,
            credit: credit,
            amount: amount,
            unit: SimulatedNetwork.unit,
            kind: kind,
            reference: reference,
            at: now
        )
    }

    /// Each step of an attempt happens once; a transfer that is there already means that this one did.
    private func post(_ transfers: [Transfer], in connection: Connection) throws {
        guard try LedgerStore.post(transfers, in: connection) == transfers.count else {
            throw StorageError(.corrupt, "a payment of the \(SimulatedNetwork.notice) network moved its money before")
        }
    }

    /// Takes amount and fee from the payer.
    func hold(at now: Timestamp, in connection: Connection) throws {
        let total = amountMsat + feeMsat
        let payer = SimulatedNetwork.holdings(account)
        try post([transfer("hold", from: payer, to: SimulatedNetwork.held, total, at: now)], in: connection)
    }

    /// The held payment reaches the payee, who takes it and releases the preimage where the invoice is still to be
    /// paid; else the payer gets everything back.
    func arrive(at now: Timestamp, in connection: Connection) throws {
        let invoice = try connection.first(
            "SELECT account, preimage, expires_at, paid_at FROM simulated_invoices WHERE payment_hash = ?",
            .blob(hash)
        )
        guard let invoice else {
            let failure = PaymentFailure(
                .unknownInvoice,
                "the payee no longer knows the \(SimulatedNetwork.notice) invoice"
            )
            return try release(failure, at: now, in: connection)
        }
        guard invoice.isNull(3) else {
            let failure = PaymentFailure(.alreadyPaid, "somebody else has paid this \(SimulatedNetwork.notice) invoice")
            return try release(failure, at: now, in: connection)
        }
        guard now.millisecondsSince1970 < (try invoice.int64(2)) else {
            let failure = PaymentFailure(.expired, "the \(SimulatedNetwork.notice) invoice expired on the way")
            return try release(failure, at: now, in: connection)
        }
        let payee = try invoice.text(0)
        var transfers = [
            transfer("settle", from: SimulatedNetwork.held, to: SimulatedNetwork.holdings(payee), amountMsat, at: now)
        ]
        if feeMsat > 0 {
            transfers.append(transfer("fee", from: SimulatedNetwork.held, to: SimulatedNetwork.fees, feeMsat, at: now))
        }
        try post(transfers, in: connection)
        try connection.execute(
            "UPDATE simulated_invoices SET paid_at = ?, amount_msat = ? WHERE payment_hash = ?",
            .integer(now.millisecondsSince1970),
            try .amount(amountMsat),
            .blob(hash)
        )
        try SimulatedNetwork.addUnpaid(-1, to: payee, in: connection)
        try connection.execute(
            """
            UPDATE simulated_payments SET state = 1, settle_at = NULL, preimage = ?, updated_at = ?
            WHERE account = ? AND payment_hash = ?
            """,
            .blob(try invoice.blob(1)),
            .integer(now.millisecondsSince1970),
            .text(account),
            .blob(hash)
        )
    }

    /// Gives the payer back what is held.
    func release(_ failure: PaymentFailure, at now: Timestamp, in connection: Connection) throws {
        let total = amountMsat + feeMsat
        let payer = SimulatedNetwork.holdings(account)
        let back = transfer("release", from: SimulatedNetwork.held, to: payer, total, at: now)
        try post([back], in: connection)
        try connection.execute(
            """
            UPDATE simulated_payments
            SET state = 2, settle_at = NULL, failure_code = ?, failure_message = ?, updated_at = ?
            WHERE account = ? AND payment_hash = ?
            """,
            .text(failure.code.rawValue),
            .text(failure.message),
            .integer(now.millisecondsSince1970),
            .text(account),
            .blob(hash)
        )
    }
}

/// A new try to pay an invoice.
struct SimulatedAttempt {
    let account: SimulatedAccount
    let invoice: BOLT11Invoice
    let amountMsat: UInt64
    let feeMsat: UInt64
    let maximumFeeMsat: UInt64
    let number: Int64
    let now: Timestamp

    /// Holds the money and, where no fault stands in the way, brings it to the payee at once.
    func run(terms: SimulatedNetwork.Terms, in connection: Connection) throws -> SimulatedPaymentAnswer {
        // Read here and not with the token, so that a fault counts from the moment it was set.
        let fault = try currentFault(in: connection)
        if let failure = try obstacle(fault: fault, in: connection) {
            try record(.failed, failure: failure, settlesAt: nil, in: connection)
            try forgetOldFailures(terms: terms, in: connection)
            return SimulatedPaymentAnswer(outcome: .failed(failure), isLost: false, settlesAt: nil)
        }
        let settlesAt: Timestamp? =
            switch fault {
            case .none, .fail: now
            case .delay(let milliseconds), .settleAfterFailure(let milliseconds): now.adding(milliseconds: milliseconds)
            case .hang: nil
            }
        try record(.held, failure: nil, settlesAt: settlesAt, in: connection)
        let payment = try recorded(in: connection)
        try payment.hold(at: now, in: connection)
        if fault == .none { try payment.arrive(at: now, in: connection) }
        let answer = try recorded(in: connection).answer
        let isLost = if case .settleAfterFailure = fault { true } else { false }
        return SimulatedPaymentAnswer(outcome: answer.outcome, isLost: isLost, settlesAt: answer.settlesAt)
    }

    /// Why nothing is to be held, if so.
    private func obstacle(fault: SimulatedFault, in connection: Connection) throws -> PaymentFailure? {
        let notice = SimulatedNetwork.notice
        let found = try connection.first(
            "SELECT account, text, paid_at FROM simulated_invoices WHERE payment_hash = ?",
            .blob(invoice.paymentHash)
        )
        guard let found, try found.text(1) == invoice.text else {
            return PaymentFailure(.unknownInvoice, "no node of the \(notice) network made this invoice")
        }
        if try found.text(0) == account.id {
            return PaymentFailure(
                .selfPayment,
                "payer and payee are the same \(notice) account: pay from another account"
            )
        }
        guard found.isNull(2) else {
            return PaymentFailure(.alreadyPaid, "somebody else has paid this \(notice) invoice")
        }
        if fault == .fail {
            return PaymentFailure(.noRoute, "the \(notice) network was told to find no route for this account")
        }
        guard feeMsat <= maximumFeeMsat else {
            return PaymentFailure(
                .feeTooHigh,
                "the \(notice) payment costs a fee of \(feeMsat) msat; at most \(maximumFeeMsat) msat were allowed"
            )
        }
        let balance = try LedgerStore.balance(
            of: SimulatedNetwork.holdings(account.id),
            unit: SimulatedNetwork.unit,
            in: connection
        )
        let (total, overflow) = amountMsat.addingReportingOverflow(feeMsat)
        guard !overflow, total <= balance else {
            return PaymentFailure(
                .insufficientBalance,
                "the \(notice) account has \(balance) msat; amount and fee are \(amountMsat) and \(feeMsat) msat"
            )
        }
        return nil
    }

    private func currentFault(in connection: Connection) throws -> SimulatedFault {
        let row = try connection.first(
            "SELECT fault, fault_milliseconds FROM simulated_accounts WHERE id = ?",
            .text(account.id)
        )
        return try row.flatMap { SimulatedFault(name: try $0.text(0), milliseconds: try $0.int64(1)) } ?? .none
    }

    private func recorded(in connection: Connection) throws -> SimulatedPayment {
        guard
            let payment = try SimulatedPayment(account: account.id, hash: invoice.paymentHash, in: connection)
        else {
            throw StorageError(.corrupt, "a payment of the \(SimulatedNetwork.notice) network was not kept")
        }
        return payment
    }

    private func record(
        _ state: SimulatedPayment.State,
        failure: PaymentFailure?,
        settlesAt: Timestamp?,
        in connection: Connection
    ) throws {
        try connection.execute(
            """
            INSERT OR REPLACE INTO simulated_payments (
                account, payment_hash, attempt, state, amount_msat, fee_msat, settle_at, failure_code, failure_message,
                updated_at
            ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            .text(account.id),
            .blob(invoice.paymentHash),
            .integer(number),
            .integer(state.rawValue),
            try .amount(amountMsat),
            try .amount(feeMsat),
            .optional(settlesAt?.millisecondsSince1970),
            .optional(failure?.code.rawValue),
            .optional(failure?.message),
            .integer(now.millisecondsSince1970)
        )
    }

    private func forgetOldFailures(terms: SimulatedNetwork.Terms, in connection: Connection) throws {
        try connection.execute(
            """
            DELETE FROM simulated_payments WHERE account = ?1 AND state = 2 AND updated_at < (
                SELECT updated_at FROM simulated_payments WHERE account = ?1 AND state = 2
                ORDER BY updated_at DESC LIMIT 1 OFFSET ?2
            )
            """,
            .text(account.id),
            .int(max(terms.maximumFailedPayments - 1, 0))
        )
    }
}
