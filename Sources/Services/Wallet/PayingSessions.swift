internal import AsyncHTTPClient
internal import CanonicalJSON
internal import Cashu
public import Encodings
internal import Lightning
internal import NIOCore
internal import NIOHTTP1
internal import Paywall
internal import Storage

/// Calls that a session of the `Payment` scheme pays for: a deposit over Lightning, whose rest comes back ([PAY-8]).
extension Buyer {
    private static let maximumAnswerBytes = 64 << 10

    // MARK: Depositing

    /// Pays the deposit of an offer, for a session of its own or for the one that is open at the seller. Intent, return
    /// invoice and limits are on disk before anything leaves; the call goes with what opens the session.
    /// - Throws: as `pay`.
    func deposit(_ offer: InvoiceOffer, _ intent: SessionIntent, for call: Call) async throws -> PaymentRecord {
        let lightning = try requireReturn()
        let open = try await openSession(for: call)
        let back: BOLT11Invoice
        do {
            back = try await lightning.createInvoice(
                amountMsat: nil,
                description: "rest of a session at \(call.address.host)",
                expirySeconds: LightningLimits.maximumExpirySeconds
            )
        } catch {
            throw WalletError(
                .challengeUnusable,
                "no invoice for the rest of a session: \(error.message)",
                cause: error
            )
        }
        var offer = offer
        offer.session = intent
        offer.session?.returnInvoice = back.text
        offer.session?.topsUp = open?.id
        return try await pay(offer, for: call.depositing)
    }

    /// - Throws: `challengeUnusable` where what is left of a session could not come back.
    @discardableResult
    func requireReturn() throws(WalletError) -> any LightningBackend {
        guard let lightning = wallet.lightning, lightning.abilities.takesOpenInvoices else {
            throw WalletError(
                .challengeUnusable,
                "what is left of a session comes back to an invoice without an amount, and this wallet has no Lightning account"
                    + " that makes one"
            )
        }
        return lightning
    }

    private func openSession(for call: Call) async throws -> CallInvoice? {
        let now = wallet.clock.now()
        return try await wallet.database.write { connection in
            try InvoiceStore.pass(for: call, way: .paymentSession, at: now, in: connection)
        }
    }

    // MARK: The credential

    /// The header that a session pays a call with. A deposit that is to be added is shown first.
    func sessionProof(_ payment: PaymentRecord, _ call: Call) async throws -> (name: String, value: String) {
        let invoice = try await callInvoice(of: payment.id)
        var session = try await row(invoice.id)
        if let target = session.topsUp, session.state == .new {
            try await add(invoice, to: target, by: call)
            session = try await row(invoice.id)
        }
        guard let target = session.topsUp else { return try Self.proof(of: invoice, session) }
        guard let root = try await wallet.database.read({ try InvoiceStore.find(target, in: $0) }) else {
            throw WalletError(.corrupt, "the session \(target) is not in the wallet's tables")
        }
        return try Self.proof(of: root, try await row(target))
    }

    private func row(_ invoice: String) async throws -> SessionRow {
        guard let row = try await wallet.database.read({ try SessionStore.find(invoice, in: $0) }) else {
            throw WalletError(.corrupt, "the session \(invoice) is not in the wallet's tables")
        }
        return row
    }

    /// What opens a session that the seller has not seen yet, else what shows that it is ours.
    private static func proof(of invoice: CallInvoice, _ session: SessionRow) throws -> (name: String, value: String) {
        let preimage = JSONValue.string(try invoice.preimageText())
        guard session.state == .new else {
            return try header(
                invoice.challenge,
                ["action": "bearer", "sessionId": .string(Hex.encode(invoice.paymentHash)), "preimage": preimage]
            )
        }
        return try header(
            invoice.challenge,
            ["action": "open", "preimage": preimage, "returnInvoice": .string(session.returnInvoice)]
        )
    }

    private static func header(_ challenge: String, _ payload: JSONObject) throws -> (name: String, value: String) {
        guard let read = PaymentChallenge.read(wwwAuthenticate: [challenge]).first else {
            throw WalletError(.corrupt, "the challenge of a session is not in the wallet's tables")
        }
        return ("Authorization", try PaymentCredential(challenge: read, payload: payload).header())
    }

    // MARK: Adding

    /// Shows the seller a deposit for a session. Where that is over by now, the deposit opens one of its own.
    /// - Throws: `outcomeUnknown` where the seller does not say; the same deposit is shown again later.
    private func add(_ invoice: CallInvoice, to target: String, by call: Call) async throws {
        guard let root = try await wallet.database.read({ try InvoiceStore.find(target, in: $0) }) else {
            throw WalletError(.corrupt, "the session \(target) is not in the wallet's tables")
        }
        let proof = try Self.header(
            invoice.challenge,
            [
                "action": "topUp", "sessionId": .string(Hex.encode(root.paymentHash)),
                "topUpPreimage": .string(try invoice.preimageText()),
            ]
        )
        let answer = try await tell(call, proof)
        if answer.status == 200, answer.body?["status"]?.stringValue == "ok" {
            return try await wallet.database.write { try SessionStore.added(invoice.id, in: $0) }
        }
        let code = answer.code
        guard [.sessionClosed, .sessionUnknown].contains(CallRefusal.Code(rawValue: code)) else {
            throw WalletError(
                .outcomeUnknown,
                "the seller does not say that it added the deposit to the session (\(answer.status) \(code)); it is shown again"
                    + " later, and no other is paid"
            )
        }
        let now = wallet.clock.now()
        try await wallet.database.write { connection in
            try SessionStore.detach(invoice.id, in: connection)
            try SessionStore.closed(target, refundSats: nil, status: nil, at: now, in: connection)
        }
    }

    /// A short answer to a credential that makes no call.
    private struct Told: Sendable {
        var status: Int
        var body: JSONValue?
        var challenges: [String]
        var code: String { body?["code"]?.stringValue.map { String($0.prefix(80)) } ?? "status-\(status)" }
    }

    private func tell(_ call: Call, _ proof: (name: String, value: String)?) async throws -> Told {
        var bare = call
        bare.request.body = .none
        let request = try await bare.httpRequest(proof: proof, over: client.eventLoopGroup)
        do {
            let response = try await client.execute(request, timeout: .seconds(configuration.timeoutSeconds))
            let bytes = try await response.body.collect(upTo: Self.maximumAnswerBytes)
            return Told(
                status: Int(response.status.code),
                body: try? JSONValue.parse(Array(bytes.readableBytesView)),
                challenges: response.headers["www-authenticate"]
            )
        } catch {
            throw WalletError(
                .outcomeUnknown,
                "\(call.address.origin) gave no answer: \(TransportFailure.sentence(error)); ask again",
                cause: error
            )
        }
    }

    // MARK: What answers say

    /// Notes that the seller answered a call of a session, and what it says that it took.
    func sessionUsed(_ payment: PaymentRecord, _ answer: Answer) async throws {
        guard payment.way == .paymentSession else { return }
        let spent = answer.header(PaymentReceipt.headerName).flatMap { PaymentReceipt(header: $0) }?.spentSats ?? 0
        let now = wallet.clock.now()
        try await wallet.database.write { connection in
            guard let id = payment.invoice, let row = try SessionStore.find(id, in: connection) else { return }
            try SessionStore.used(
                row.topsUp ?? id,
                spentSats: min(spent, UInt64(Int64.max / 4)),
                at: now,
                in: connection
            )
        }
    }

    /// The seller says that a session is over.
    func sessionRefused(_ payment: PaymentRecord, code: String) async throws {
        guard [.sessionClosed, .sessionUnknown].contains(CallRefusal.Code(rawValue: code)) else { return }
        let now = wallet.clock.now()
        try await wallet.database.write { connection in
            guard let id = payment.invoice, let row = try SessionStore.find(id, in: connection), row.state == .open
            else {
                return
            }
            try SessionStore.closed(id, refundSats: nil, status: nil, at: now, in: connection)
        }
    }

    // MARK: The end

    /// Closes a session: the seller sends what is left to the return invoice. Asked again, it tells how that stands; where the
    /// payment failed, the seller is shown another invoice.
    /// - Parameter signer: of the agent that opened it.
    /// - Throws: `notFound`, `paymentRefused`, `outcomeUnknown`.
    public func closeSession(_ id: String, signer: (any RequestSigning)? = nil) async throws -> SessionSummary {
        let found = try await wallet.database.read { connection -> (CallInvoice, PaymentRecord)? in
            guard let invoice = try InvoiceStore.find(id, in: connection), invoice.way == .paymentSession,
                try SessionStore.find(id, in: connection)?.topsUp == nil,
                let payment = try connection.first(
                    "SELECT id FROM wallet_payments WHERE invoice = ? ORDER BY created_at LIMIT 1",
                    .text(id)
                ).flatMap({ try PaymentStore.find($0.text(0), in: connection) })
            else { return nil }
            return (invoice, payment)
        }
        guard let (invoice, payment) = found, invoice.preimage != nil else {
            throw WalletError(.notFound, "there is no session \(id.prefix(80)) whose deposit is paid")
        }
        let call = try Call(stored: payment, signer: signer)
        var challenge = invoice.challenge
        var (wasOpened, wasRenewed, wasAsked) = (false, false, false)
        var returnInvoice: String?
        while true {
            let told = try await tell(call, try Self.closing(invoice, challenge: challenge, returnInvoice))
            if told.status == 200, let status = told.body?["refundStatus"]?.stringValue {
                try await keepEnd(of: id, sats: told.body?["refundSats"]?.uint64Value, status: status)
                guard status == PaymentReceipt.Refund.failed.rawValue, !wasRenewed else { break }
                wasRenewed = true
                returnInvoice = try await newReturnInvoice(of: id, for: call)
                continue
            }
            switch CallRefusal.Code(rawValue: told.code) {
            case .challengeUnknown where !wasAsked:
                // The seller has changed its secrets since: any challenge of its for the service does.
                wasAsked = true
                guard let fresh = try await sessionChallenge(call) else { throw Self.notClosed(told.status, told.code) }
                challenge = fresh
            case .sessionUnknown where !wasOpened:
                wasOpened = true
                let row = try await row(id)
                guard row.state == .new else { throw Self.notClosed(told.status, told.code) }
                // It was paid and never opened: that takes the call which it was for.
                _ = try await tell(call, try Self.proof(of: invoice, row))
            default:
                throw Self.notClosed(told.status, told.code)
            }
        }
        guard let summary = try await wallet.sessions().first(where: { $0.id == id }) else {
            throw WalletError(.notFound, "there is no session \(id.prefix(80))")
        }
        return summary
    }

    private static func notClosed(_ status: Int, _ code: String) -> WalletError {
        WalletError(.paymentRefused, "the seller did not close the session (\(status) \(code))")
    }

    private static func closing(
        _ invoice: CallInvoice,
        challenge: String,
        _ returnInvoice: String?
    ) throws -> (name: String, value: String) {
        var payload: JSONObject = [
            "action": "close", "sessionId": .string(Hex.encode(invoice.paymentHash)),
            "preimage": .string(try invoice.preimageText()),
        ]
        payload["returnInvoice"] = returnInvoice.map { .string($0) }
        return try header(challenge, payload)
    }

    private func sessionChallenge(_ call: Call) async throws -> String? {
        let told = try await tell(call, nil)
        return try PaymentChallenge.read(wwwAuthenticate: told.challenges)
            .first { $0.method == LightningSessionWire.method && $0.intent == LightningSessionWire.intent }?.header()
    }

    /// Sessions, newest first.
    public func sessions() async throws -> [SessionSummary] { try await wallet.sessions() }

    /// On disk before the seller is told of it.
    private func newReturnInvoice(of id: String, for call: Call) async throws -> String {
        let invoice = try await requireReturn().createInvoice(
            amountMsat: nil,
            description: "rest of a session at \(call.address.host)",
            expirySeconds: LightningLimits.maximumExpirySeconds
        )
        try await wallet.database.write { try SessionStore.renew(id, returnInvoice: invoice.text, in: $0) }
        return invoice.text
    }

    /// The seller's word, or more where our own invoice says that it was paid.
    private func keepEnd(of id: String, sats: UInt64?, status: String) async throws {
        let known = PaymentReceipt.Refund(rawValue: status)?.rawValue ?? "unknown"
        let now = wallet.clock.now()
        try await wallet.database.write { connection in
            try SessionStore.closed(id, refundSats: sats, status: known, at: now, in: connection)
        }
    }
}

extension Call {
    /// The call with the limit that its deposit has.
    var depositing: Call {
        var call = self
        call.request.maximum = request.sessionDeposit ?? 0
        return call
    }
}

extension CallInvoice {
    func preimageText() throws -> String {
        guard let preimage else {
            throw WalletError(.outcomeUnknown, "the deposit's preimage is not known yet, so nothing proves the payment")
        }
        return Hex.encode(preimage)
    }
}

/// A session, without what opens anything.
public struct SessionSummary: Sendable {
    public var id: String
    /// Scheme, host and port of the seller.
    public var origin: String
    /// The path it was opened for.
    public var path: String
    /// Who may use it; empty: the operator.
    public var agent: String
    /// `new` (paid, not seen by the seller as far as is known), `open` or `closed`.
    public var state: String
    /// All deposits, in sat.
    public var depositSats: UInt64
    /// What the seller said that calls cost, in sat; streams do not say it.
    public var spentSats: UInt64
    public var uses: UInt64
    /// What comes back, by the seller's word at the end.
    public var refundSats: UInt64?
    /// `succeeded`, `failed`, `skipped` or `pending`, by the seller's word.
    public var refundStatus: String?
    /// Whether our own Lightning account has it.
    public var isReturned: Bool
    public var createdAt: Timestamp
    public var usedAt: Timestamp?
    public var closedAt: Timestamp?
}

extension Wallet {
    /// Sessions, newest first.
    /// - Parameter limit: 1 to 1,000.
    public func sessions(limit: Int = 200) async throws -> [SessionSummary] {
        let bounded = min(max(1, limit), 1000)
        let found = try await database.read { connection in
            try SessionStore.sessions(limit: bounded, in: connection).map { invoice, row in
                (invoice, row, try SessionStore.deposits(of: invoice.id, in: connection))
            }
        }
        var summaries: [SessionSummary] = []
        for (invoice, row, deposits) in found {
            var isReturned = false
            if row.state == .closed, let back = try? BOLT11Invoice(decoding: row.returnInvoice),
                case .paid? = try? await lightning?.invoiceStatus(paymentHash: back.paymentHash)
            {
                isReturned = true
            }
            summaries.append(
                SessionSummary(
                    id: invoice.id,
                    origin: invoice.origin,
                    path: invoice.path,
                    agent: invoice.agent,
                    state: row.state.rawValue,
                    depositSats: deposits / 1000,
                    spentSats: row.spentSats,
                    uses: invoice.uses,
                    refundSats: row.refundSats,
                    refundStatus: row.refundStatus,
                    isReturned: isReturned,
                    createdAt: invoice.createdAt,
                    usedAt: invoice.usedAt,
                    closedAt: row.closedAt
                )
            )
        }
        return summaries
    }
}
