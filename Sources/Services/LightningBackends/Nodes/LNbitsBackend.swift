internal import CanonicalJSON
internal import Encodings
public import Lightning

/// A wallet of an LNbits 1.x, through its HTTP API and admin key.
///
/// LNbits counts in sat and bounds fees by its own settings (`lnbits_reserve_fee_*`), not by a request; a payment whose
/// reserve is more than the caller's limit is refused before it is sent. It names its network nowhere but in its invoices.
public struct LNbitsBackend: NodeBackend {
    let connection: NodeConnection
    let book = PaymentBook()
    private let identity = Remembered<[UInt8]>()
    private let walletName = Remembered<String>()
    private let failureRule = Remembered<Bool>()

    /// - Parameter access: its secret is the wallet's admin key.
    public init(_ access: NodeAccess) {
        connection = NodeConnection(
            "LNbits",
            access,
            headers: [("X-Api-Key", access.secret)],
            secretRefusals: ["Wallet not found", "Invalid Access"]
        )
    }

    public var abilities: LightningAbilities { LightningAbilities(amountStepMsat: 1000) }

    /// LNbits tells it by an invoice alone: this makes one, of 1 sat, the first time.
    public func checkNetwork() async throws(LightningError) { _ = try await nodeID() }

    /// The key that signs its invoices, learnt from the first one; where none was made yet, one of 1 sat is.
    public func nodeID() async throws(LightningError) -> [UInt8] {
        try await identity.value { () async throws(LightningError) in
            let text = try await invoice(sat: 1, memo: "network check", expirySeconds: 60)
            return try checked(text, amountMsat: 1000).payeeNodeID
        }
    }

    public func balanceMsat() async throws(LightningError) -> UInt64 {
        let json = try connection.object(try await connection.ask(.get("/api/v1/wallet")))
        return try connection.read { UInt64(max(try json.int64("balance"), 0)) }
    }

    // MARK: Receiving

    public func createInvoice(
        amountMsat: UInt64?,
        description: String,
        expirySeconds: UInt32
    ) async throws(LightningError) -> BOLT11Invoice {
        try await newInvoice(amountMsat: amountMsat, description: description, expirySeconds: expirySeconds) {
            memo throws(LightningError) in
            try await invoice(sat: (amountMsat ?? 0) / 1000, memo: memo, expirySeconds: expirySeconds)
        }
    }

    private func invoice(sat: UInt64, memo: String, expirySeconds: UInt32) async throws(LightningError) -> String {
        let body: JSONObject = [
            "out": false, "unit": "sat", "amount": JSONValue(sat), "expiry": .integer(Int64(expirySeconds)),
            // An empty memo would be filled with the site's title.
            "memo": .string(memo.isEmpty ? " " : memo),
        ]
        let answer = try await connection.ask(.post("/api/v1/payments", body))
        guard answer.isSuccess else { throw connection.refusal(answer, Self.detail(answer)) }
        let json = try connection.object(answer)
        return try connection.read { try json.string("bolt11") }
    }

    private func checked(_ text: String, amountMsat: UInt64) throws(LightningError) -> BOLT11Invoice {
        let invoice = try connection.read { try BOLT11Invoice(decoding: text) }
        guard invoice.currency == network.currency else {
            throw LightningError(
                .networkMismatch,
                "LNbits makes invoices of ln\(invoice.currency.rawValue), but the configuration says \(network.rawValue)"
                    + " (ln\(network.currency.rawValue)): make both the same"
            )
        }
        guard invoice.amountMsat == amountMsat else {
            throw LightningError(.invalidAnswer, "LNbits made another invoice than was asked for")
        }
        return invoice
    }

    public func invoiceStatus(paymentHash: [UInt8]) async throws(LightningError) -> InvoiceStatus {
        guard let payment = try await payment(paymentHash), payment.amountMsat > 0 else { throw invoiceNotFound() }
        guard payment.isPaid else { return unpaidStatus(expiresAt: payment.invoice.expiresAt) }
        return .paid(amountMsat: UInt64(payment.amountMsat), at: payment.updatedAt ?? clock.now())
    }

    /// Asked every two seconds: its WebSocket wants the key in the address, where proxies write it into their logs.
    public func settledInvoices() -> AsyncStream<[UInt8]> {
        SettledFeed.stream(connection, from: SettledSweep?.none) { [connection, clock] place, tell in
            var sweep = place.value ?? SettledSweep(since: clock.now().millisecondsSince1970)
            var isFirst = place.value == nil
            while true {
                let answer = try await connection.ask(
                    .get("/api/v1/payments?sortby=updated_at&direction=desc&limit=\(SettledSweep.pageSize)")
                )
                guard answer.isSuccess, let payments = answer.json?.arrayValue else { throw connection.refusal(answer) }
                let paid = try connection.read {
                    try payments.filter { payment in
                        payment["status"]?.stringValue == "success" && (payment["amount"]?.int64Value ?? 0) > 0
                    }
                    .map { (hash: try Hex.decode(try $0.string("payment_hash")), at: Int64(0)) }
                }
                let fresh = sweep.take(paid)
                // What was paid before the feed began is no news.
                if !isFirst { fresh.forEach(tell) }
                isFirst = false
                place.value = sweep
                try await Task.sleep(for: .milliseconds(SettledFeed.pollMilliseconds))
            }
        }
    }

    // MARK: Paying

    /// An invoice of this very wallet. One of another wallet of the same LNbits it settles inside.
    func isOwn(_ invoice: BOLT11Invoice) async throws(LightningError) -> Bool {
        guard let payment = try await payment(invoice.paymentHash) else { return false }
        return payment.amountMsat > 0
    }

    /// LNbits before 1.6 calls a payment failed where its node gave no usable answer, too, so its `failed` alone is not
    /// believed: it is made to ask its node again (`verified`).
    func record(of hash: [UInt8]) async throws(LightningError) -> PaymentRecord {
        guard let payment = try await payment(hash), payment.amountMsat < 0 else { return .none }
        if payment.isPaid {
            guard let preimage = payment.preimage else { return .pending }
            return .settled(preimage: preimage, feeMsat: payment.feeMsat)
        }
        guard payment.isFailed else { return .pending }
        if try await tellsFailures() { return .failed(Self.failure("LNbits gave the payment up")) }
        if let known = book.failure(hash) { return .failed(known) }
        return try await verified(payment)
    }

    /// Whether this LNbits calls only those payments failed that its node called failed: from 1.6.0 on, which is known by
    /// a route that came with it (versions are told to its administrators alone).
    private func tellsFailures() async throws(LightningError) -> Bool {
        try await failureRule.value { () async throws(LightningError) in
            let answer = try await connection.ask(.get("/api/v1/payments/stats/breakdown"))
            guard answer.isSuccess || answer.status == 404 || answer.status == 405 else {
                throw connection.refusal(answer, Self.detail(answer))
            }
            return answer.isSuccess
        }
    }

    /// Paying again what LNbits has on record as failed sends nothing: it asks its node, and says what that knows
    /// (`_verify_external_payment` in its `core/services/payments.py`).
    private func verified(_ payment: Payment) async throws(LightningError) -> PaymentRecord {
        let body: JSONObject = ["out": true, "bolt11": .string(payment.invoice.text)]
        let reply = try await connection.exchange(
            .post("/api/v1/payments", body),
            timeoutMilliseconds: connection.access.paymentTimeoutMilliseconds
        )
        guard case .answered(let answer) = reply else { return .pending }
        let detail = Self.detail(answer)
        if !answer.isSuccess, detail.contains("Payment is failed node") {
            return .failed(PaymentFailure(.rejected, "LNbits' node gave the payment up"))
        }
        guard let now = try await self.payment(payment.invoice.paymentHash), now.isPaid, let preimage = now.preimage
        else {
            return .pending
        }
        return .settled(preimage: preimage, feeMsat: now.feeMsat)
    }

    func send(
        _ invoice: BOLT11Invoice,
        part: UInt64?,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> SendResult {
        let reserve = try await feeReserve(invoice)
        guard reserve <= maximumFeeMsat else {
            return .answered(
                PaymentFailure(
                    .feeTooHigh,
                    "LNbits sets \(reserve) msat aside for this payment's fees, and \(maximumFeeMsat) msat is the limit:"
                        + " lower its fee reserve, or raise lightning.feeReservePermille"
                )
            )
        }
        let body: JSONObject = ["out": true, "bolt11": .string(invoice.text)]
        let reply = try await connection.exchange(
            .post("/api/v1/payments", body),
            timeoutMilliseconds: connection.access.paymentTimeoutMilliseconds
        )
        guard case .answered(let answer) = reply else { return .unknown }
        if connection.refusesSecret(answer) || answer.status == 404 || answer.status == 405 {
            return .refused(connection.refusal(answer, Self.detail(answer)))
        }
        if answer.isSuccess, answer.json != nil { return .answered(Self.failure("LNbits gave no reason")) }
        guard let status = answer.json?["status"]?.stringValue, status == "failed" else { return .unknown }
        return .answered(Self.failure(Self.detail(answer)))
    }

    private func feeReserve(_ invoice: BOLT11Invoice) async throws(LightningError) -> UInt64 {
        let json = try connection.object(
            try await connection.ask(.get("/api/v1/payments/fee-reserve?invoice=\(invoice.text)"))
        )
        return try connection.read { UInt64(max(try json.int64("fee_reserve"), 0)) }
    }

    /// By the sentences of LNbits and of the nodes behind it.
    private static func failure(_ detail: String) -> PaymentFailure {
        let text = detail.lowercased()
        let code: PaymentFailure.Code
        if text.contains("insufficient") || text.contains("reserve at least") {
            code = .insufficientBalance
        } else if text.contains("bolt11 changed") || text.contains("incorrect_payment_details") {
            code = .unknownInvoice
        } else if text.contains("already paid") {
            code = .alreadyPaid
        } else if text.contains("no_route") || text.contains("no route") || text.contains("only internal invoices") {
            code = .noRoute
        } else {
            code = .rejected
        }
        return PaymentFailure(code, "LNbits could not pay: \(detail.prefix(200))")
    }

    // MARK: The wire

    /// What LNbits has on record of a hash in this wallet. An amount below 0 is a payment, one above 0 an invoice.
    private struct Payment {
        var amountMsat: Int64
        var status: String
        var feeMsat: UInt64
        var preimage: [UInt8]?
        var invoice: BOLT11Invoice
        var updatedAt: Timestamp?
        var isPaid: Bool { status == "success" }
        var isFailed: Bool { status == "failed" }
    }

    /// - Returns: nil where this wallet has none.
    private func payment(_ hash: [UInt8]) async throws(LightningError) -> Payment? {
        let answer = try await connection.ask(.get("/api/v1/payments/\(Hex.encode(hash))"))
        if answer.status == 404, Self.detail(answer).contains("Payment does not exist") {
            try await requireKey()
            return nil
        }
        guard answer.isSuccess else { throw connection.refusal(answer, Self.detail(answer)) }
        let json = try connection.object(answer)
        return try connection.read { () throws -> Payment in
            // Without it the key is none of LNbits', and the answer is for strangers.
            guard let details = try json.optionalObject("details") else {
                throw LightningError(
                    .unauthorized,
                    "LNbits at \(connection.access.base) does not know the key it was given: check the file that"
                        + " lightning.secretFile names"
                )
            }
            let invoice = try BOLT11Invoice(decoding: try details.string("bolt11"))
            guard invoice.paymentHash == hash else {
                throw LightningError(.invalidAnswer, "LNbits answered with another payment")
            }
            let amount = try details.int64("amount")
            let text = try details.optionalString("updated_at") ?? details.optionalString("time")
            return Payment(
                amountMsat: amount,
                status: try details.string("status"),
                feeMsat: (try details.optionalInt64("fee") ?? 0).magnitude,
                preimage: try details.optionalString("preimage").flatMap { try? Hex.decode($0) },
                invoice: invoice,
                updatedAt: text.flatMap { try? Timestamp(rfc3339: $0) }
            )
        }
    }

    /// A key that LNbits does not know gets 404 as well, which must not be read as "no such payment".
    private func requireKey() async throws(LightningError) {
        _ = try await walletName.value { () async throws(LightningError) in
            let answer = try await connection.ask(.get("/api/v1/wallet"))
            guard answer.isSuccess else { throw connection.refusal(answer, Self.detail(answer)) }
            let json = try connection.object(answer)
            return try connection.read { try json.string("name") }
        }
    }

    private static func detail(_ answer: NodeAnswer) -> String {
        String((answer.json?["detail"]?.stringValue ?? answer.text).prefix(300))
    }
}
