internal import CanonicalJSON
public import Cashu
public import Encodings
internal import Ledger
internal import Storage

/// One paid call, from before its money left to its end.
public struct PaymentRecord: Sendable {
    public enum State: String, Sendable {
        /// On its way; the answer is awaited.
        case sent
        /// Sent, and not known what became of it. Taken up at start and by `resume`.
        case pending
        case served
        /// Not taken; the coins are back in the pool.
        case refused
        /// A refund is being claimed.
        case refunding
        case refunded
        /// Paid over Lightning, and the seller does not serve it for that. The credential is kept; nothing is paid
        /// again.
        case unserved
    }

    public var id: String
    public var idempotencyKey: String
    public var agent: String
    public var method: String
    public var url: String
    /// Whose ecash it was; nil: the node's own Lightning backend paid, or a pass that was bought before.
    public var mint: MintURL?
    public var unit: CurrencyUnit
    /// What the seller got; 0 where a pass did.
    public var amount: UInt64
    /// What paying an invoice cost on top; while it is being paid, the most that it may.
    public var fee: UInt64 = 0
    public var way: PaymentWay = .cashu
    /// The invoice that was paid for it, or the pass it was made with, by its id.
    public var invoice: String?
    public var state: State
    /// The HTTP status of the answer, where there was one.
    public var status: Int?
    /// Why it stands as it does, in one word, where there is something to say.
    public var code: String?
    public var receiptID: String?
    /// The seller's signed receipt, as JSON.
    public var receipt: String?
    /// Whether the receipt was checked: `none`, `verified`, or what is wrong with it.
    public var receiptState: String
    /// What the seller said in `Payment-Receipt`, as JSON. Signed by nobody.
    public var paymentReceipt: String?
    /// What came back, after fees.
    public var returned: UInt64
    public var createdAt: Timestamp
    public var changedAt: Timestamp

    var headers: [(name: String, value: String)]
    var body: [UInt8]?
    var bodyKind: BodyKind
    var bodyDigest: [UInt8]?
    /// Empty where the coins are not locked.
    var seller: [UInt8]
    var paymentDigest: [UInt8]
    var refund: String?
    /// The challenge that a credential with ecash answers (`Payment`), as it stands in `WWW-Authenticate`.
    var challenge: String?

    enum BodyKind: String, Sendable {
        case none
        /// In the table; can be sent again after a crash.
        case kept
        /// Too long, or a stream: only the process that sent it can send it again.
        case unkept
    }

    var summary: PaymentSummary {
        PaymentSummary(id: id, amount: amount, fee: fee, unit: unit, way: way, mint: mint)
    }

    /// Made with a pass that was bought before.
    var isByPass: Bool { invoice != nil && amount == 0 }
    /// The seller was paid, or is being paid, before it was asked: no refusal brings the money back.
    var isPaidAhead: Bool { invoice != nil && amount > 0 }

    /// The mint whose coins pay for the call.
    func coinMint() throws(WalletError) -> MintURL {
        guard let mint else { throw WalletError(.corrupt, "a payment of the wallet has lost its mint") }
        return mint
    }
}

/// Another call has a payment under the same idempotency key.
struct KeyTaken: Error {}

/// The table `wallet_payments`.
enum PaymentStore {
    static let refundPrefix = "refund:"

    private static let columns = """
        id, idempotency_key, agent, method, url, headers, body, body_kind, body_digest, seller, mint, unit, amount,
        payment_digest, state, status, code, receipt_id, receipt, receipt_state, refund, returned, created_at,
        changed_at, way, fee, challenge, invoice, payment_receipt
        """

    /// - Throws: `KeyTaken` where another call has a payment under the same key; the caller's transaction must end.
    static func insert(_ payment: PaymentRecord, in connection: Connection) throws {
        guard try find(idempotencyKey: payment.idempotencyKey, in: connection) == nil else { throw KeyTaken() }
        let headers = JSONValue.array(payment.headers.map { .array([.string($0.name), .string($0.value)]) })
        try connection.execute(
            """
            INSERT INTO wallet_payments (\(columns))
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            .text(payment.id),
            .text(payment.idempotencyKey),
            .text(payment.agent),
            .text(payment.method),
            .text(payment.url),
            .text(String(decoding: headers.serialized(), as: UTF8.self)),
            .optional(payment.body),
            .text(payment.bodyKind.rawValue),
            .optional(payment.bodyDigest),
            .blob(payment.seller),
            .text(payment.mint?.string ?? ""),
            .text(payment.unit.name),
            try .amount(payment.amount),
            .blob(payment.paymentDigest),
            .text(payment.state.rawValue),
            .optional(payment.status.map(Int64.init)),
            .optional(payment.code),
            .optional(payment.receiptID),
            .optional(payment.receipt),
            .text(payment.receiptState),
            .optional(payment.refund),
            try .amount(payment.returned),
            .integer(payment.createdAt.millisecondsSince1970),
            .integer(payment.changedAt.millisecondsSince1970),
            .text(payment.way.rawValue),
            try .amount(payment.fee),
            .optional(payment.challenge),
            .optional(payment.invoice),
            .optional(payment.paymentReceipt)
        )
    }

    private static func payment(row: Row) throws -> PaymentRecord {
        guard let state = PaymentRecord.State(rawValue: try row.text(14)),
            let bodyKind = PaymentRecord.BodyKind(rawValue: try row.text(7)),
            let way = PaymentWay(rawValue: try row.text(24))
        else { throw WalletError(.corrupt, "a payment of the wallet is in an unknown state") }
        let headers = try JSONValue.parse(Array(row.text(5).utf8), limits: .walletTable).arrayValue ?? []
        return PaymentRecord(
            id: try row.text(0),
            idempotencyKey: try row.text(1),
            agent: try row.text(2),
            method: try row.text(3),
            url: try row.text(4),
            mint: try row.text(10).isEmpty ? nil : MintURL(stored: row.text(10)),
            unit: try CurrencyUnit(row.text(11)),
            amount: try row.uint64(12),
            fee: try row.uint64(25),
            way: way,
            invoice: try row.optionalText(27),
            state: state,
            status: try row.optionalInt64(15).map { Int($0) },
            code: try row.optionalText(16),
            receiptID: try row.optionalText(17),
            receipt: try row.optionalText(18),
            receiptState: try row.text(19),
            paymentReceipt: try row.optionalText(28),
            returned: try row.uint64(21),
            createdAt: Timestamp(millisecondsSince1970: try row.int64(22)),
            changedAt: Timestamp(millisecondsSince1970: try row.int64(23)),
            headers: headers.compactMap { pair in
                guard let name = pair[0]?.stringValue, let value = pair[1]?.stringValue else { return nil }
                return (name, value)
            },
            body: try row.optionalBlob(6),
            bodyKind: bodyKind,
            bodyDigest: try row.optionalBlob(8),
            seller: try row.blob(9),
            paymentDigest: try row.blob(13),
            refund: try row.optionalText(20),
            challenge: try row.optionalText(26)
        )
    }

    static func find(_ id: String, in connection: Connection) throws -> PaymentRecord? {
        try connection.first("SELECT \(columns) FROM wallet_payments WHERE id = ?", .text(id)).map(payment(row:))
    }

    /// The payment under a key; one that was refused does not count, since nothing was taken.
    static func find(idempotencyKey: String, in connection: Connection) throws -> PaymentRecord? {
        try connection.first(
            "SELECT \(columns) FROM wallet_payments WHERE idempotency_key = ? AND state <> 'refused'",
            .text(idempotencyKey)
        ).map(payment(row:))
    }

    /// Payments that are not settled, oldest first.
    static func open(limit: Int = 500, in connection: Connection) throws -> [PaymentRecord] {
        try connection.rows(
            """
            SELECT \(columns) FROM wallet_payments WHERE state IN ('sent', 'pending', 'refunding')
            ORDER BY created_at LIMIT ?
            """,
            .int(limit)
        ).map(payment(row:))
    }

    static func recent(limit: Int, in connection: Connection) throws -> [PaymentRecord] {
        try connection.rows("SELECT \(columns) FROM wallet_payments ORDER BY created_at DESC LIMIT ?", .int(limit))
            .map(payment(row:))
    }

    /// What an agent spent since a moment, leaving out what came back.
    static func spent(by agent: String, unit: CurrencyUnit, since: Timestamp, in connection: Connection) throws
        -> UInt64
    {
        try connection.first(
            """
            SELECT coalesce(sum(amount + fee), 0) FROM wallet_payments
            WHERE agent = ? AND unit = ? AND created_at > ? AND state NOT IN ('refused', 'refunded')
            """,
            .text(agent),
            .text(unit.name),
            .integer(since.millisecondsSince1970)
        )?.uint64(0) ?? 0
    }

    /// Moves an open payment to another state; one that was paid for and not served may be served yet.
    /// - Returns: false where it is settled already.
    static func settle(
        _ id: String,
        _ state: PaymentRecord.State,
        status: Int?,
        code: String?,
        at now: Timestamp,
        in connection: Connection
    ) throws -> Bool {
        let isOpen = state == .sent || state == .pending || state == .refunding
        try connection.execute(
            """
            UPDATE wallet_payments SET state = ?, status = coalesce(?, status), code = ?, changed_at = ?,
                body = CASE WHEN ? THEN body ELSE NULL END,
                headers = CASE WHEN ? THEN headers ELSE '[]' END
            WHERE id = ? AND (state IN ('sent', 'pending', 'refunding') OR state = 'unserved' AND ?1 = 'served')
            """,
            .text(state.rawValue),
            .optional(status.map(Int64.init)),
            .optional(code.map { String($0.prefix(200)) }),
            .integer(now.millisecondsSince1970),
            .bool(isOpen),
            .bool(isOpen),
            .text(id)
        )
        return connection.changes == 1
    }

    static func setReceipt(_ id: String, receiptID: String?, receipt: String?, state: String, in connection: Connection)
        throws
    {
        try connection.execute(
            """
            UPDATE wallet_payments SET receipt_id = coalesce(?, receipt_id), receipt = coalesce(?, receipt),
                receipt_state = ? WHERE id = ?
            """,
            .optional(receiptID),
            .optional(receipt),
            .text(String(state.prefix(300))),
            .text(id)
        )
    }

    static func setPaymentReceipt(_ id: String, _ text: String, in connection: Connection) throws {
        try connection.execute("UPDATE wallet_payments SET payment_receipt = ? WHERE id = ?", .text(text), .text(id))
    }

    /// Books a payment's coins as given away and marks them spent.
    static func give(_ payment: PaymentRecord, at now: Timestamp, in connection: Connection) throws {
        let coins = try CoinStore.held(by: payment.id, in: connection).filter { $0.state == .reserved }
        guard !coins.isEmpty else { return }
        try CoinStore.move(coins.map(\.y), from: .reserved, to: .spent, holder: payment.id, at: now, in: connection)
        var booking = Booking(reference: payment.id, kind: "call", unit: payment.unit.name, at: now)
        let from =
            try payment.seller.isEmpty
            ? WalletAccounts.ecash(payment.coinMint()) : WalletAccounts.locked(payment.seller)
        booking.move(try Amounts.sum(coins.map(\.proof.amount)), from: from, to: WalletAccounts.external)
        try LedgerStore.post(booking.transfers, in: connection)
        try History.note(
            .paidCall,
            mint: payment.coinMint(),
            unit: payment.unit,
            change: -Int64(payment.amount),
            fee: 0,
            reference: payment.id,
            at: now,
            in: connection
        )
    }

    /// Notes what became of a payment's authorisation; money that is gone, or must be taken to be, stands in the history.
    /// - Parameter authorization: what is known of it; nil: as the payment's state says.
    static func settleAuthorization(
        _ payment: PaymentRecord,
        _ state: PaymentRecord.State,
        _ authorization: Authorization.State?,
        at now: Timestamp,
        in connection: Connection
    ) throws {
        switch state {
        case .sent, .pending: return
        case .refused: try AuthorizationStore.set(authorization ?? .unsent, of: payment.id, in: connection)
        case .served, .unserved, .refunding, .refunded:
            try AuthorizationStore.set(authorization ?? .used, of: payment.id, in: connection)
            try History.note(
                .paidCall,
                mint: nil,
                unit: payment.unit,
                change: -Int64(payment.amount),
                fee: 0,
                reference: payment.id,
                at: now,
                in: connection
            )
        }
    }

    /// Puts a payment's coins back into the pool.
    static func takeBack(_ payment: PaymentRecord, at now: Timestamp, in connection: Connection) throws {
        let coins = try CoinStore.held(by: payment.id, in: connection).filter { $0.state == .reserved }
        try CoinStore.move(coins.map(\.y), from: .reserved, to: .unspent, holder: nil, at: now, in: connection)
    }

    /// Notes that a refund's coins are in the wallet.
    /// - Returns: false where the operation is no refund of a payment.
    static func refundArrived(_ operation: Operation, gain: Int64, at now: Timestamp, in connection: Connection) throws
        -> Bool
    {
        guard let (id, isLast) = operation.purpose(refundPrefix) else { return false }
        if let payment = try find(id, in: connection), payment.amount > payment.returned {
            let back = min(UInt64(max(0, gain)), payment.amount - payment.returned)
            try SpendingLimits.giveBack(back, of: payment.spend, in: connection)
        }
        try connection.execute(
            """
            UPDATE wallet_payments SET returned = returned + ?, changed_at = ?, body = NULL, headers = '[]',
                state = CASE WHEN state = 'refunding' AND ? THEN 'refunded' ELSE state END
            WHERE id = ?
            """,
            .integer(max(0, gain)),
            .integer(now.millisecondsSince1970),
            .bool(isLast),
            .text(id)
        )
        return true
    }
}
