public import Cashu
internal import Cryptography
internal import Encodings
internal import Storage

/// How an invoice stands that was paid from one mint or in parts from several (NUT-15).
public struct InvoicePayment: Sendable, Equatable {
    public enum State: String, Sendable {
        case paid
        /// At least one mint has not said yet what became of its part. The wallet asks again by itself.
        case pending
        /// Nothing was paid; every part's coins are back.
        case failed
        /// Some mints say that they paid their part and others that they did not, and none shows the preimage. On a real
        /// Lightning network the payee takes all the parts or none, so that one of them errs or lies.
        case contradictory
    }

    /// What one mint pays.
    public struct Part: Sendable, Equatable {
        public var mint: MintURL
        /// In `unit`, without fees.
        public var amount: UInt64
        /// What went in fees; nil until it is known.
        public var fee: UInt64?
        /// `paid`, `pending` or `failed`.
        public var state: State
        /// Why it failed.
        public var reason: String?
    }

    public var unit: CurrencyUnit
    public var parts: [Part]
    /// Hex; proves that the payee was paid. Nil where no mint gives it.
    public var preimage: String?
    public var state: State

    /// What the mints that paid have paid, without fees.
    public var amount: UInt64 { parts.filter { $0.state == .paid }.reduce(0) { $0 + $1.amount } }
    /// What went in fees so far.
    public var fee: UInt64 { parts.reduce(0) { $0 + ($1.fee ?? 0) } }
}

/// Another call pays the invoice, or has paid it.
struct InvoiceTaken: Error {
    /// The payment, in `wallet_invoice_parts`.
    var payment: String
}

/// The table `wallet_invoice_parts`: which melts pay an invoice, alone or in parts. Those of calls stand in
/// `wallet_invoices`.
enum InvoicePartStore {
    /// - Throws: `InvoiceTaken`; `invoiceReused` where it pays, or has paid, a call.
    static func requireNew(_ paymentHash: [UInt8], in connection: Connection) throws {
        if let payment = try live(paymentHash, in: connection) { throw InvoiceTaken(payment: payment) }
        guard try !InvoiceStore.isLive(paymentHash, in: connection) else {
            throw WalletError(
                .invoiceReused,
                "this invoice is paid for a call that this wallet makes or has made; nothing was paid now"
            )
        }
    }

    static func insert(
        _ operation: Operation,
        payment: String,
        paymentHash: [UInt8],
        place: Int,
        in connection: Connection
    ) throws {
        try connection.execute(
            "INSERT INTO wallet_invoice_parts (operation, payment, payment_hash, place) VALUES (?, ?, ?, ?)",
            .text(operation.id),
            .text(payment),
            .blob(paymentHash),
            .int(place)
        )
    }

    /// The payment of an invoice that is under way or done; nil: there is none, or nothing of it was paid.
    static func live(_ paymentHash: [UInt8], in connection: Connection) throws -> String? {
        try connection.first(
            """
            SELECT p.payment FROM wallet_invoice_parts p JOIN wallet_operations o ON o.id = p.operation
            WHERE p.payment_hash = ? AND o.state <> 'refused' LIMIT 1
            """,
            .blob(paymentHash)
        )?.text(0)
    }

    /// The melts of a payment, in the order in which they were planned.
    static func operations(of payment: String, in connection: Connection) throws -> [Operation] {
        let ids = try connection.rows(
            "SELECT operation FROM wallet_invoice_parts WHERE payment = ? ORDER BY place",
            .text(payment)
        ).map { try $0.text(0) }
        return try ids.compactMap { try Operation.find($0, in: connection) }
    }

    /// How a payment stands, by what is booked of each part.
    static func status(of payment: String, in connection: Connection) throws -> InvoicePayment {
        let operations = try operations(of: payment, in: connection)
        let hash = try connection.first(
            "SELECT payment_hash FROM wallet_invoice_parts WHERE payment = ? LIMIT 1",
            .text(payment)
        )?.blob(0)
        guard let unit = operations.first?.unit, let hash else {
            throw WalletError(.corrupt, "a payment in parts has lost its parts")
        }
        var proof: String?
        let parts = try operations.map { operation in
            let preimage = operation.preimage
            if let preimage, let bytes = try? Hex.decode(preimage), Hashing.sha256(bytes) == hash { proof = preimage }
            return InvoicePayment.Part(
                mint: operation.mint,
                amount: operation.meltAmount,
                fee: try History.fee(.paidInvoice, reference: operation.id, in: connection),
                state: operation.partState,
                reason: operation.state == .done ? nil : operation.reason
            )
        }
        let states = Set(parts.map(\.state))
        let state: InvoicePayment.State =
            if states.contains(.pending) {
                .pending
            } else if states == [.paid] || proof != nil {
                .paid
            } else {
                states == [.failed] ? .failed : .contradictory
            }
        return InvoicePayment(unit: unit, parts: parts, preimage: proof, state: state)
    }
}

extension Operation {
    /// What a paid melt's mint showed as its proof, in hex.
    var preimage: String? {
        let prefix = "preimage:"
        guard state == .done, let reason, reason.hasPrefix(prefix) else { return nil }
        return String(reason.dropFirst(prefix.count))
    }

    /// A mint that took the coins and answered with signatures that are none has them: that is no failure.
    fileprivate var partState: InvoicePayment.State {
        switch state {
        case .planned: .pending
        case .done, .disputed: .paid
        case .refused: .failed
        }
    }
}
