internal import CanonicalJSON
internal import Encodings
public import Lightning

/// LND, through its REST gateway and a macaroon.
///
/// The macaroon needs `info:read invoices:read invoices:write offchain:read offchain:write`:
/// `lncli bakemacaroon info:read invoices:read invoices:write offchain:read offchain:write`.
public struct LNDBackend: NodeBackend {
    let connection: NodeConnection
    let book = PaymentBook()
    private let identity = Remembered<[UInt8]>()

    /// - Parameter access: its secret is the macaroon in hex (`xxd -p -c 9999 admin.macaroon`).
    /// - Throws: `invalidRequest` where it is not hex.
    public init(_ access: NodeAccess) throws(LightningError) {
        guard let bytes = try? Hex.decode(access.secret), bytes.count >= 16 else {
            throw LightningError(
                .invalidRequest,
                "LND's macaroon must be a macaroon file, or its bytes in hex (lightning.secretFile)"
            )
        }
        connection = NodeConnection(
            "LND",
            access,
            headers: [("Grpc-Metadata-macaroon", Hex.encode(bytes))],
            secretRefusals: ["verification failed", "permission denied", "macaroon"]
        )
    }

    public var abilities: LightningAbilities { LightningAbilities(paysParts: true, takesOpenInvoices: true) }

    public func checkNetwork() async throws(LightningError) { _ = try await nodeID() }

    public func nodeID() async throws(LightningError) -> [UInt8] {
        try await identity.value { () async throws(LightningError) in
            let info = try connection.object(try await connection.ask(.get("/v1/getinfo")))
            let (key, name) = try connection.read {
                guard let chain = try info.array("chains").first else {
                    throw LightningError(.invalidAnswer, "LND names no chain")
                }
                return (try Hex.decode(try info.string("identity_pubkey")), try chain.string("network"))
            }
            try requireNetwork(name)
            return key
        }
    }

    public func balanceMsat() async throws(LightningError) -> UInt64 {
        let json = try connection.object(try await connection.ask(.get("/v1/balance/channels")))
        return try connection.read { try LNDWire.integerOrZero(try json.object("local_balance"), "msat") }
    }

    // MARK: Receiving

    public func createInvoice(
        amountMsat: UInt64?,
        description: String,
        expirySeconds: UInt32
    ) async throws(LightningError) -> BOLT11Invoice {
        _ = try await nodeID()
        return try await newInvoice(amountMsat: amountMsat, description: description, expirySeconds: expirySeconds) {
            memo throws(LightningError) in
            let body: JSONObject = [
                "memo": .string(memo), "value_msat": .string(String(amountMsat ?? 0)),
                "expiry": .string(String(expirySeconds)),
                "private": true,
            ]
            let json = try connection.object(try await connection.ask(.post("/v1/invoices", body)))
            return try connection.read { try json.string("payment_request") }
        }
    }

    public func invoiceStatus(paymentHash: [UInt8]) async throws(LightningError) -> InvoiceStatus {
        let answer = try await connection.ask(.get("/v1/invoice/\(Hex.encode(paymentHash))"))
        if !answer.isSuccess, LNDWire.status(answer.json)?.code == LNDWire.notFound { throw invoiceNotFound() }
        let json = try connection.object(answer)
        let (status, expiresAt) = try connection.read { () throws -> (InvoiceStatus?, Timestamp) in
            let invoice = try BOLT11Invoice(decoding: try json.string("payment_request"))
            guard invoice.paymentHash == paymentHash else {
                throw LightningError(.invalidAnswer, "LND answered with another invoice")
            }
            guard try json.string("state") == "SETTLED" else { return (nil, invoice.expiresAt) }
            let settledAt = try LNDWire.integerOrZero(json, "settle_date")
            let status = InvoiceStatus.paid(
                amountMsat: try LNDWire.integer(json, "amt_paid_msat"),
                at: Timestamp(secondsSince1970: Int64(clamping: settledAt))
            )
            return (status, invoice.expiresAt)
        }
        return status ?? unpaidStatus(expiresAt: expiresAt)
    }

    /// `SubscribeInvoices`, from the last settlement that was seen.
    public func settledInvoices() -> AsyncStream<[UInt8]> {
        SettledFeed.stream(connection, from: UInt64(0)) { [connection] index, tell in
            let answer = try await connection.lines(
                .get("/v1/invoices/subscribe?settle_index=\(index.value)"),
                timeoutMilliseconds: SettledFeed.connectionMilliseconds
            ) { line in
                guard let invoice = try line.optionalObject("result") else {
                    throw LightningError(.backendFailure, "LND ended the feed: \(line["error"] ?? .null)")
                }
                guard try invoice.string("state") == "SETTLED" else { return true }
                index.value = max(index.value, try LNDWire.integerOrZero(invoice, "settle_index"))
                tell(try LNDWire.bytes(invoice, "r_hash"))
                return true
            }
            if let answer { throw connection.refusal(answer) }
        }
    }

    // MARK: Paying

    func isOwn(_ invoice: BOLT11Invoice) async throws(LightningError) -> Bool {
        invoice.payeeNodeID == (try await nodeID())
    }

    /// `TrackPaymentV2`, whose first word is how the payment stands now.
    func record(of hash: [UInt8]) async throws(LightningError) -> PaymentRecord {
        let request = NodeRequest.get("/v2/router/track/\(Base64URL.encode(hash))?no_inflight_updates=false")
        var attempt = 0
        while true {
            do {
                return try await tracked(request)
            } catch {
                guard error.code == .timedOut || error.code == .unreachable,
                    attempt < NodeConnection.retryMilliseconds.count
                else { throw error }
                try? await Task.sleep(for: .milliseconds(NodeConnection.retryMilliseconds[attempt]))
                attempt += 1
            }
        }
    }

    private func tracked(_ request: NodeRequest) async throws(LightningError) -> PaymentRecord {
        let connection = connection
        do {
            let record = Kept<PaymentRecord?>(nil)
            let answer = try await connection.lines(
                request,
                timeoutMilliseconds: connection.access.timeoutMilliseconds
            ) { line in
                record.value = try connection.read { try Self.record(line) }
                return false
            }
            if let record = record.value { return record }
            guard let answer else { throw LightningError(.timedOut, "LND said nothing of the payment") }
            if LNDWire.status(answer.json)?.code == LNDWire.notFound { return .none }
            throw connection.refusal(answer)
        } catch let error as LightningError {
            throw error
        } catch {
            throw LightningError(.timedOut, "LND's word on the payment was cut short (\(error))", cause: error)
        }
    }

    /// A line of `TrackPaymentV2`.
    private static func record(_ line: JSONObject) throws -> PaymentRecord {
        if let payment = try line.optionalObject("result") { return try LNDWire.record(payment) }
        guard let status = LNDWire.status(.object(line)) else {
            throw LightningError(.invalidAnswer, "LND's word on a payment is neither a result nor an error")
        }
        guard status.code == LNDWire.notFound else {
            throw LightningError(.backendFailure, "LND cannot say how the payment stands: \(status.message)")
        }
        return .none
    }

    func send(
        _ invoice: BOLT11Invoice,
        part: UInt64?,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> SendResult {
        let isOpen = (invoice.amountMsat ?? 0) == 0
        if let part, !isOpen { return try await sendPart(invoice, amountMsat: part, maximumFeeMsat: maximumFeeMsat) }
        let seconds = max(connection.access.paymentTimeoutMilliseconds / 1000, 1)
        var body: JSONObject = [
            "payment_request": .string(invoice.text), "fee_limit_msat": .string(String(maximumFeeMsat)),
            "timeout_seconds": .integer(seconds), "no_inflight_updates": true,
        ]
        if isOpen { body["amt_msat"] = part.map { .string(String($0)) } }
        // LND goes on with the payment where the connection ends (`cancelable` is false).
        let reply = try await connection.exchange(
            .post("/v2/router/send", body),
            timeoutMilliseconds: connection.access.paymentTimeoutMilliseconds
        )
        guard case .answered(let answer) = reply else { return .unknown }
        return result(answer)
    }

    /// What an answer to a call that pays means.
    func result(_ answer: NodeAnswer) -> SendResult {
        let status = LNDWire.status(answer.json)
        if answer.isSuccess, answer.json != nil, status == nil { return .answered(LNDWire.failure("")) }
        let message = status?.message ?? answer.text
        if connection.refusesSecret(answer) { return .refused(connection.refusal(answer)) }
        guard status != nil else { return .unknown }
        return .answered(LNDWire.refusal(message))
    }
}
