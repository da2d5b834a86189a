internal import Cryptography
internal import Encodings
public import Lightning
internal import Storage

extension SimulatedNetwork {
    /// Makes an invoice of the account: signed with its node's key, marked as TEST MONEY.
    /// - Parameter amountMsat: nil where the payer chooses.
    /// - Throws: `invalidRequest` by `LightningLimits`; `limitReached` where too many are unpaid.
    public func createInvoice(
        for account: SimulatedAccount,
        amountMsat: UInt64?,
        description: String,
        expirySeconds: UInt32
    ) async throws(LightningError) -> BOLT11Invoice {
        try LightningLimits.check(
            amountMsat: amountMsat ?? 1,
            description: description,
            expirySeconds: expirySeconds
        )
        let now = clock.now()
        let preimage = SecureRandom.bytes(32)
        let contents = InvoiceContents(
            currency: LightningNetwork.simulated.currency,
            amountMsat: amountMsat,
            timestamp: Timestamp(secondsSince1970: now.secondsSince1970),
            paymentHash: Hashing.sha256(preimage),
            paymentSecret: SecureRandom.bytes(32),
            purpose: .text("\(Self.notice): \(description)"),
            expirySeconds: UInt64(expirySeconds)
        )
        let invoice: BOLT11Invoice
        do {
            invoice = try BOLT11Invoice.sign(contents, key: try Secp256k1.Scalar(bytes: account.nodeKey))
        } catch {
            throw LightningError(simulatedNetwork: error)
        }
        let terms = terms
        try await write { connection in
            try Self.forgetExpired(of: account.id, now: now, terms: terms, in: connection)
            let counted = "SELECT unpaid_invoices FROM simulated_accounts WHERE id = ?"
            let unpaid = try connection.first(counted, .text(account.id))?.int(0) ?? 0
            guard unpaid < terms.maximumUnpaidInvoices else {
                throw LightningError(
                    .limitReached,
                    "this \(Self.notice) account has \(unpaid) unpaid invoices, which is the most there may be:"
                        + " wait until some are paid or have expired"
                )
            }
            try connection.execute(
                """
                INSERT INTO simulated_invoices (payment_hash, account, preimage, text, amount_msat, expires_at)
                VALUES (?, ?, ?, ?, ?, ?)
                """,
                .blob(invoice.paymentHash),
                .text(account.id),
                .blob(preimage),
                .text(invoice.text),
                // Of one that leaves it to the payer, what was paid takes this place.
                try .amount(amountMsat ?? 1),
                .integer(invoice.expiresAt.millisecondsSince1970)
            )
            try Self.addUnpaid(1, to: account.id, in: connection)
        }
        return invoice
    }

    /// How an invoice of the account stands.
    /// - Throws: `invoiceNotFound` for one that it did not make, or that expired unpaid more than a day ago.
    public func invoiceStatus(
        of account: SimulatedAccount,
        paymentHash: [UInt8]
    ) async throws(LightningError) -> InvoiceStatus {
        try await settleDue()
        let now = clock.now()
        return try await read { connection in
            let row = try connection.first(
                "SELECT account, amount_msat, expires_at, paid_at FROM simulated_invoices WHERE payment_hash = ?",
                .blob(paymentHash)
            )
            guard let row, try row.text(0) == account.id else {
                throw LightningError(
                    .invoiceNotFound,
                    "this \(Self.notice) account has no invoice with the payment hash \(Hex.encode(paymentHash))"
                )
            }
            if let paidAt = try row.optionalInt64(3) {
                return .paid(amountMsat: try row.uint64(1), at: Timestamp(millisecondsSince1970: paidAt))
            }
            return now.millisecondsSince1970 >= (try row.int64(2)) ? .expired : .unpaid
        }
    }

    // MARK: Rows

    static func addUnpaid(_ count: Int, to account: String, in connection: Connection) throws {
        try connection.execute(
            "UPDATE simulated_accounts SET unpaid_invoices = unpaid_invoices + ? WHERE id = ?",
            .int(count),
            .text(account)
        )
    }

    /// Clears away some of what expired long ago; a few at a time keep the transaction short, and are more than one
    /// new invoice adds.
    private static func forgetExpired(
        of account: String,
        now: Timestamp,
        terms: Terms,
        in connection: Connection
    ) throws {
        let before = now.adding(seconds: -terms.forgetsExpiredAfterSeconds).millisecondsSince1970
        try connection.execute(
            """
            DELETE FROM simulated_invoices WHERE payment_hash IN (
                SELECT payment_hash FROM simulated_invoices
                WHERE account = ? AND paid_at IS NULL AND expires_at < ? ORDER BY expires_at LIMIT 16
            )
            """,
            .text(account),
            .integer(before)
        )
        let forgotten = connection.changes
        if forgotten > 0 { try addUnpaid(-forgotten, to: account, in: connection) }
    }
}
