internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Lightning
internal import Paywall
internal import Storage

/// An invoice that a call is paid with, from before it is paid. Once it is, what it bought: a credential, which for L402
/// may be a pass for more calls.
struct CallInvoice: Sendable {
    enum State: String, Sendable {
        /// The intent stands; what became of it is not known yet.
        case paying
        case paid
        /// No money moved, and none will.
        case failed
    }

    var id: String
    var way: PaymentWay
    /// As it stands in `WWW-Authenticate`. Secret once it is paid.
    var challenge: String
    var invoice: String
    var paymentHash: [UInt8]
    var origin: String
    /// The part of the origin that one pass is good for.
    var scope: String
    var path: String
    var agent: String
    /// Whose ecash pays it; nil: the node's Lightning backend.
    var mint: MintURL?
    var unit: CurrencyUnit
    var amount: UInt64
    /// The most that may go in fees; once it is paid, what went.
    var fee: UInt64
    /// Of the melt.
    var operation: String?
    var state: State = .paying
    /// 32 bytes, checked against the payment hash.
    var preimage: [UInt8]?
    var pass = Pass.State.none
    var uses: UInt64 = 0
    var usedAt: Timestamp?
    var createdAt: Timestamp
    /// Of a deposit, when it is written.
    var session: SessionIntent?
}

/// The table `wallet_invoices`.
enum InvoiceStore {
    private static let columns = """
        id, way, challenge, invoice, payment_hash, origin, scope, path, agent, mint, unit, amount, fee, operation, state,
        preimage, pass, uses, used_at, created_at
        """

    /// - Throws: `invoiceReused` where the same payment is under way or was made, for a call or by itself.
    static func requireNew(_ paymentHash: [UInt8], in connection: Connection) throws {
        let isLive = try isLive(paymentHash, in: connection)
        guard !isLive, try InvoicePartStore.live(paymentHash, in: connection) == nil else {
            let purpose = isLive ? " for another call" : ""
            throw WalletError(
                .invoiceReused,
                "the seller shows an invoice that this wallet pays or has paid\(purpose): it is not paid again"
            )
        }
    }

    /// Whether the invoice pays, or has paid, a call.
    static func isLive(_ paymentHash: [UInt8], in connection: Connection) throws -> Bool {
        try connection.first(
            "SELECT id FROM wallet_invoices WHERE payment_hash = ? AND state <> 'failed'",
            .blob(paymentHash)
        ) != nil
    }

    /// - Throws: as `requireNew`.
    static func insert(_ invoice: CallInvoice, in connection: Connection) throws {
        try requireNew(invoice.paymentHash, in: connection)
        try connection.execute(
            "INSERT INTO wallet_invoices (\(columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            .text(invoice.id),
            .text(invoice.way.rawValue),
            .text(invoice.challenge),
            .text(invoice.invoice),
            .blob(invoice.paymentHash),
            .text(invoice.origin),
            .text(invoice.scope),
            .text(invoice.path),
            .text(invoice.agent),
            .optional(invoice.mint?.string),
            .text(invoice.unit.name),
            try .amount(invoice.amount),
            try .amount(invoice.fee),
            .optional(invoice.operation),
            .text(invoice.state.rawValue),
            .optional(invoice.preimage),
            .text(invoice.pass.rawValue),
            try .amount(invoice.uses),
            .optional(invoice.usedAt?.millisecondsSince1970),
            .integer(invoice.createdAt.millisecondsSince1970)
        )
        if let session = invoice.session { try SessionStore.insert(session, of: invoice.id, in: connection) }
    }

    private static func invoice(row: Row) throws -> CallInvoice {
        guard let way = PaymentWay(rawValue: try row.text(1)),
            let state = CallInvoice.State(rawValue: try row.text(14)),
            let pass = Pass.State(rawValue: try row.text(16))
        else { throw WalletError(.corrupt, "an invoice of the wallet is in an unknown state") }
        return CallInvoice(
            id: try row.text(0),
            way: way,
            challenge: try row.text(2),
            invoice: try row.text(3),
            paymentHash: try row.blob(4),
            origin: try row.text(5),
            scope: try row.text(6),
            path: try row.text(7),
            agent: try row.text(8),
            mint: try row.optionalText(9).map { try MintURL(stored: $0) },
            unit: try CurrencyUnit(row.text(10)),
            amount: try row.uint64(11),
            fee: try row.uint64(12),
            operation: try row.optionalText(13),
            state: state,
            preimage: try row.optionalBlob(15),
            pass: pass,
            uses: try row.uint64(17),
            usedAt: try row.optionalInt64(18).map { Timestamp(millisecondsSince1970: $0) },
            createdAt: Timestamp(millisecondsSince1970: try row.int64(19))
        )
    }

    static func find(_ id: String, in connection: Connection) throws -> CallInvoice? {
        try connection.first("SELECT \(columns) FROM wallet_invoices WHERE id = ?", .text(id)).map(invoice(row:))
    }

    private static func find(operation: String, in connection: Connection) throws -> CallInvoice? {
        try connection.first("SELECT \(columns) FROM wallet_invoices WHERE operation = ?", .text(operation))
            .map(invoice(row:))
    }

    // MARK: What became of it

    /// The melt went through: the preimage is kept in the transaction that books it.
    /// - Returns: false where the operation pays no call.
    static func paid(operation: String, fee: UInt64, preimage: String?, at now: Timestamp, in connection: Connection)
        throws -> Bool
    {
        guard let invoice = try find(operation: operation, in: connection) else { return false }
        let bytes = preimage.flatMap { try? Hex.decode($0) }
        try paid(invoice, fee: fee, preimage: bytes, at: now, in: connection)
        return true
    }

    /// Notes that it is paid, and what that cost.
    /// - Parameter preimage: kept where it proves the payment.
    static func paid(
        _ invoice: CallInvoice,
        fee: UInt64,
        preimage: [UInt8]?,
        at now: Timestamp,
        in connection: Connection
    ) throws {
        let proof = preimage.flatMap { Hashing.sha256($0) == invoice.paymentHash ? $0 : nil }
        let pass: Pass.State = invoice.way == .l402 ? .good : .none
        try connection.execute(
            "UPDATE wallet_invoices SET state = 'paid', fee = ?, preimage = ?, pass = ? WHERE id = ? AND state = 'paying'",
            try .amount(fee),
            .optional(proof),
            .text(pass.rawValue),
            .text(invoice.id)
        )
        guard connection.changes == 1, let payment = try payment(of: invoice, in: connection) else { return }
        if payment.fee > fee { try SpendingLimits.giveBack(payment.fee - fee, of: payment.spend, in: connection) }
        try connection.execute(
            "UPDATE wallet_payments SET fee = ?, changed_at = ? WHERE id = ?",
            try .amount(fee),
            .integer(now.millisecondsSince1970),
            .text(payment.id)
        )
        try History.note(
            .paidCall,
            mint: invoice.mint,
            unit: invoice.unit,
            change: -Int64(try Amounts.adding(invoice.amount, fee)),
            fee: fee,
            reference: payment.id,
            at: now,
            in: connection
        )
    }

    /// The preimage came later than the word that it is paid.
    static func learn(_ preimage: [UInt8], of invoice: CallInvoice, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_invoices SET preimage = ? WHERE id = ? AND state = 'paid' AND preimage IS NULL",
            .blob(preimage),
            .text(invoice.id)
        )
    }

    /// The melt did not happen.
    static func failed(operation: String, at now: Timestamp, in connection: Connection) throws {
        guard let invoice = try find(operation: operation, in: connection) else { return }
        try failed(invoice, code: "invoice-not-paid", at: now, in: connection)
    }

    /// Nothing was paid: the call is over, and what was counted for it is given back.
    static func failed(_ invoice: CallInvoice, code: String, at now: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_invoices SET state = 'failed' WHERE id = ? AND state = 'paying'",
            .text(invoice.id)
        )
        guard connection.changes == 1, let payment = try payment(of: invoice, in: connection) else { return }
        guard try PaymentStore.settle(payment.id, .refused, status: nil, code: code, at: now, in: connection) else {
            return
        }
        try SpendingLimits.giveBack(payment.spend.amount, of: payment.spend, in: connection)
    }

    /// The call that it was for.
    private static func payment(of invoice: CallInvoice, in connection: Connection) throws -> PaymentRecord? {
        let row = try connection.first(
            "SELECT id FROM wallet_payments WHERE invoice = ? AND amount > 0",
            .text(invoice.id)
        )
        return try row.flatMap { try PaymentStore.find($0.text(0), in: connection) }
    }

    // MARK: Passes

    /// The pass to try for a call: one bought for the same path before others of the same service, the latest first.
    /// Those that say themselves that they are over are put aside.
    /// - Parameter way: of this way alone; nil: as the call may be paid.
    static func pass(
        for call: Call,
        way: PaymentWay? = nil,
        at now: Timestamp,
        in connection: Connection
    ) throws -> CallInvoice? {
        let ways = way.map { [$0] } ?? call.passWays
        let rows = try connection.rows(
            """
            SELECT \(columns) FROM wallet_invoices
            WHERE pass = 'good' AND preimage IS NOT NULL AND origin = ? AND scope = ? AND agent = ?
            ORDER BY path = ? DESC, created_at DESC LIMIT 100
            """,
            .text(call.address.origin),
            .text(call.passScope),
            .text(call.request.agent),
            .text(call.address.path)
        )
        for row in rows {
            let pass = try invoice(row: row)
            guard ways.contains(pass.way) else { continue }
            guard let end = pass.end(at: now) else { return pass }
            try set(end, pass.id, in: connection)
        }
        return nil
    }

    static func set(_ state: Pass.State, _ id: String, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_invoices SET pass = ? WHERE id = ? AND pass = 'good'",
            .text(state.rawValue),
            .text(id)
        )
    }

    static func used(_ id: String, at now: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_invoices SET uses = uses + 1, used_at = ? WHERE id = ?",
            .integer(now.millisecondsSince1970),
            .text(id)
        )
    }

    static func passes(limit: Int, in connection: Connection) throws -> [CallInvoice] {
        try connection.rows(
            """
            SELECT \(columns) FROM wallet_invoices WHERE pass NOT IN ('none', 'forgotten') AND way = 'l402'
            ORDER BY created_at DESC LIMIT ?
            """,
            .int(limit)
        ).map(invoice(row:))
    }

    /// Drops what opens anything; that the invoice was paid stays known.
    static func forget(_ id: String, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_invoices SET pass = 'forgotten', challenge = '', preimage = NULL WHERE id = ?",
            .text(id)
        )
    }
}

extension CallInvoice {
    /// The challenge read again.
    var l402: L402Challenge? { L402.challenges(wwwAuthenticate: [challenge]).first }

    /// Why a pass is over by its own words; nil: it may be good.
    func end(at now: Timestamp) -> Pass.State? {
        // A session is over when its seller says so.
        guard way == .l402 else { return nil }
        guard let challenge = l402 else { return .refused }
        let terms = PassTerms(challenge)
        if let until = terms.validUntil, until <= now.secondsSince1970 { return .expired }
        if let calls = terms.calls, uses >= calls { return .usedUp }
        return nil
    }

    /// The header that proves the payment.
    /// - Throws: `outcomeUnknown` where the preimage is not known yet.
    func proof() throws -> (name: String, value: String) {
        guard let preimage else {
            throw WalletError(.outcomeUnknown, "the invoice's preimage is not known yet, so nothing proves the payment")
        }
        switch way {
        case .l402:
            guard let l402 else { break }
            let value = l402.authorization(preimage: preimage)
            let isOld = challenge.hasPrefix("LSAT ")
            return ("Authorization", isOld ? "LSAT" + value.dropFirst(L402.scheme.utf8.count) : value)
        case .paymentLightning:
            guard let read = PaymentChallenge.read(wwwAuthenticate: [challenge]).first else { break }
            let payload: JSONObject = ["preimage": .string(Hex.encode(preimage))]
            return ("Authorization", try PaymentCredential(challenge: read, payload: payload).header())
        case .x402Lightning:
            let (asked, accepted) = try X402Offers.read(challenge)
            guard let resource = asked.resource else { break }
            let payment = X402.LightningScheme.payment(
                preimage: LightningPreimage(preimage),
                accepted: accepted,
                resource: resource,
                extensions: asked.extensions
            )
            return try X402Offers.header(payment)
        case .cashu, .paymentCashu, .paymentSession, .x402Cashu, .x402Exact: break
        }
        throw WalletError(.corrupt, "the challenge that invoice \(id) answers is not in the wallet's tables")
    }
}
