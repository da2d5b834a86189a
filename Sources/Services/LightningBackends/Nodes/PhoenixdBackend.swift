internal import CanonicalJSON
internal import Encodings
public import Lightning

/// phoenixd, through its HTTP API and password.
///
/// phoenixd counts in sat and sets its own routing fee, which no request can bound; a payment whose fee could be more
/// than the caller's limit is refused before it is sent.
public struct PhoenixdBackend: NodeBackend {
    let connection: NodeConnection
    let book = PaymentBook()
    private let identity = Remembered<[UInt8]>()

    /// What phoenixd pays its peer for a payment at most: 4 sat and 0.4 % (its `TrampolineFees`).
    static let feeBaseMsat: UInt64 = 4_000
    static let feePartsPerThousand: UInt64 = 4
    /// In characters; longer ones phoenixd refuses.
    static let maximumDescriptionCharacters = 128

    /// - Parameter access: its secret is `http-password` of `phoenix.conf` (the full one, as it must pay).
    public init(_ access: NodeAccess) {
        let credentials = Base64.encode(Array(":\(access.secret)".utf8))
        connection = NodeConnection("phoenixd", access, headers: [("Authorization", "Basic \(credentials)")])
    }

    public var abilities: LightningAbilities {
        LightningAbilities(amountStepMsat: 1000, takesOpenInvoices: true)
    }

    public func checkNetwork() async throws(LightningError) { _ = try await nodeID() }

    public func nodeID() async throws(LightningError) -> [UInt8] {
        try await identity.value { () async throws(LightningError) in
            let info = try connection.object(try await connection.ask(.get("/getinfo")))
            let (key, name) = try connection.read {
                (try Hex.decode(try info.string("nodeId")), try info.string("chain"))
            }
            try requireNetwork(name)
            return key
        }
    }

    public func balanceMsat() async throws(LightningError) -> UInt64 {
        let json = try connection.object(try await connection.ask(.get("/getbalance")))
        return try connection.read { try Self.msat(sat: try json.uint64("balanceSat")) }
    }

    // MARK: Receiving

    public func createInvoice(
        amountMsat: UInt64?,
        description: String,
        expirySeconds: UInt32
    ) async throws(LightningError) -> BOLT11Invoice {
        _ = try await nodeID()
        return try await newInvoice(amountMsat: amountMsat, description: description, expirySeconds: expirySeconds) {
            text throws(LightningError) in
            var form = [("description", Self.shortened(text)), ("expirySeconds", String(expirySeconds))]
            if let amountMsat { form.append(("amountSat", String(amountMsat / 1000))) }
            let json = try connection.object(try await connection.ask(.post("/createinvoice", form: form)))
            return try connection.read { try json.string("serialized") }
        }
    }

    public func invoiceStatus(paymentHash: [UInt8]) async throws(LightningError) -> InvoiceStatus {
        let answer = try await connection.ask(.get("/payments/incoming/\(Hex.encode(paymentHash))"))
        if answer.status == 404 { throw invoiceNotFound() }
        let json = try connection.object(answer)
        let (status, expiresAt) = try connection.read { () throws -> (InvoiceStatus?, Timestamp) in
            guard try Hex.decode(try json.string("paymentHash")) == paymentHash else {
                throw LightningError(.invalidAnswer, "phoenixd answered with another invoice")
            }
            let expiresAt = Timestamp(millisecondsSince1970: try json.optionalInt64("expiresAt") ?? .max)
            guard try json.bool("isPaid") else { return (nil, expiresAt) }
            // `receivedSat` is less what a channel for it cost, which is the operator's: the payer paid what was asked.
            let sat = max(try json.optionalUInt64("requestedSat") ?? 0, try json.uint64("receivedSat"))
            let completedAt = try json.optionalInt64("completedAt") ?? json.int64("createdAt")
            return (
                .paid(amountMsat: try Self.msat(sat: sat), at: Timestamp(millisecondsSince1970: completedAt)), expiresAt
            )
        }
        return status ?? unpaidStatus(expiresAt: expiresAt)
    }

    /// Asked every two seconds: its WebSocket says the same, and has nothing for what was paid while it was closed.
    public func settledInvoices() -> AsyncStream<[UInt8]> {
        let start = clock.now().adding(seconds: -60).millisecondsSince1970
        return SettledFeed.stream(connection, from: SettledSweep(since: start)) { [connection] sweep, tell in
            while true {
                let request = NodeRequest.get(
                    "/payments/incoming?from=\(sweep.value.since)&limit=\(SettledSweep.pageSize)"
                )
                let answer = try await connection.ask(request)
                guard answer.isSuccess, let payments = answer.json?.arrayValue else { throw connection.refusal(answer) }
                let found = try connection.read {
                    try payments.map { payment in
                        (
                            hash: try Hex.decode(try payment.string("paymentHash")),
                            at: try payment.optionalInt64("completedAt") ?? 0
                        )
                    }
                }
                sweep.value.take(found).forEach(tell)
                try await Task.sleep(for: .milliseconds(SettledFeed.pollMilliseconds))
            }
        }
    }

    // MARK: Paying

    func isOwn(_ invoice: BOLT11Invoice) async throws(LightningError) -> Bool {
        invoice.payeeNodeID == (try await nodeID())
    }

    func record(of hash: [UInt8]) async throws(LightningError) -> PaymentRecord {
        let answer = try await connection.ask(.get("/payments/outgoingbyhash/\(Hex.encode(hash))"))
        if answer.status == 404 {
            // So is an address that is not known, by versions before 0.3.
            guard !answer.text.lowercased().contains("endpoint") else { throw connection.refusal(answer) }
            return .none
        }
        let json = try connection.object(answer)
        return try connection.read {
            if try json.bool("isPaid") {
                return .settled(preimage: try Hex.decode(try json.string("preimage")), feeMsat: try json.uint64("fees"))
            }
            guard try json.optionalInt64("completedAt") != nil else { return .pending }
            return .failed(PaymentFailure(.rejected, "phoenixd gave the payment up"))
        }
    }

    func send(
        _ invoice: BOLT11Invoice,
        part: UInt64?,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> SendResult {
        let amountMsat = try invoice.requirePayable(on: network, at: clock.now(), openAmountMsat: part)
        let worst = Self.feeBaseMsat + amountMsat / 1000 * Self.feePartsPerThousand + Self.feePartsPerThousand
        guard worst <= maximumFeeMsat else {
            return .answered(
                PaymentFailure(
                    .feeTooHigh,
                    "phoenixd may ask \(worst) msat for this payment, and \(maximumFeeMsat) msat is the limit"
                )
            )
        }
        var form = [("invoice", invoice.text)]
        if let part { form.append(("amountSat", String(part / 1000))) }
        let reply = try await connection.exchange(
            .post("/payinvoice", form: form),
            timeoutMilliseconds: connection.access.paymentTimeoutMilliseconds
        )
        guard case .answered(let answer) = reply else { return .unknown }
        if answer.status == 401 || answer.status == 403 { return .refused(connection.refusal(answer)) }
        guard answer.isSuccess, let json = answer.json else {
            // 400: the request was not understood, and so not begun. Others may come from the middle of it.
            guard answer.status == 400 else { return .unknown }
            return .answered(PaymentFailure(.rejected, "phoenixd refused the payment: \(answer.text)"))
        }
        return .answered(Self.failure(json["reason"]?.stringValue ?? ""))
    }

    /// By the sentences of lightning-kmp's `FinalFailure` and `LightningOutgoingPayment.Part.Status.Failed.Failure`.
    private static func failure(_ reason: String) -> PaymentFailure {
        let text = reason.lowercased()
        let code: PaymentFailure.Code
        if text.contains("not enough funds") || text.contains("balance") {
            code = .insufficientBalance
        } else if text.contains("rejected the payment") {
            code = .unknownInvoice
        } else if text.contains("already been paid") {
            code = .alreadyPaid
        } else if text.contains("offline") || text.contains("liquidity") || text.contains("attempts exhausted")
            || text.contains("route") || text.contains("channels")
        {
            code = .noRoute
        } else {
            code = .rejected
        }
        return PaymentFailure(code, "phoenixd could not pay: \(reason.prefix(200))")
    }

    private static func shortened(_ text: String) -> String {
        // phoenixd counts UTF-16 units, as the language it is written in does.
        guard text.utf16.count > maximumDescriptionCharacters else { return text }
        var short = ""
        for character in text where short.utf16.count + character.utf16.count < maximumDescriptionCharacters {
            short.append(character)
        }
        return short + "…"
    }

    private static func msat(sat: UInt64) throws(LightningError) -> UInt64 {
        let (msat, overflow) = sat.multipliedReportingOverflow(by: 1000)
        guard !overflow else { throw LightningError(.invalidAnswer, "more sat than there are") }
        return msat
    }
}
