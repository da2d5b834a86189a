internal import AsyncHTTPClient
internal import CanonicalJSON
public import Cashu
internal import Encodings
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import Paywall
internal import Storage

/// A payment request (NUT-18) that was paid, or is being paid.
public struct RequestPayment: Sendable {
    public enum State: String, Sendable {
        /// On its way; not known yet whether it was taken.
        case sending
        case paid
        /// Not taken; the money is back, as far as its lock allows.
        case refused
        /// Handed to the caller, who delivers it.
        case inBand = "in-band"
    }

    public var id: String
    public var amount: UInt64
    public var unit: CurrencyUnit
    public var mint: MintURL
    public var state: State
    /// The payload to deliver, as JSON, where the request names no way that we go.
    public var payload: String?
    public var token: String?
    public var reason: String?
}

/// The table `wallet_request_payments`.
enum RequestPaymentStore {
    struct Entry: Sendable {
        var id: String
        var url: String
        var requestID: String?
        var state: RequestPayment.State
        var reference: String { "request-payment:" + id }
    }

    static func insert(_ entry: Entry, at now: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO wallet_request_payments (id, url, request_id, state, created_at) VALUES (?, ?, ?, ?, ?)",
            .text(entry.id),
            .text(entry.url),
            .optional(entry.requestID),
            .text(entry.state.rawValue),
            .integer(now.millisecondsSince1970)
        )
    }

    static func set(_ id: String, _ state: RequestPayment.State, reason: String?, in connection: Connection) throws {
        try connection.execute(
            "UPDATE wallet_request_payments SET state = ?, reason = ? WHERE id = ? AND state = 'sending'",
            .text(state.rawValue),
            .optional(reason.map { String($0.prefix(1000)) }),
            .text(id)
        )
    }

    /// The ids of those that are on their way, oldest first.
    static func sending(limit: Int, in connection: Connection) throws -> [String] {
        try connection.rows(
            "SELECT id FROM wallet_request_payments WHERE state = 'sending' ORDER BY created_at LIMIT ?",
            .int(limit)
        ).map { try $0.text(0) }
    }

    /// One that is on its way, with its token; nil: it is settled.
    static func open(_ id: String, in connection: Connection) throws -> Open? {
        let row = try connection.first(
            "SELECT id, url, request_id FROM wallet_request_payments WHERE id = ? AND state = 'sending'",
            .text(id)
        )
        guard let row else { return nil }
        let entry = Entry(
            id: try row.text(0),
            url: try row.text(1),
            requestID: try row.optionalText(2),
            state: .sending
        )
        return Open(
            entry: entry,
            token: try TokenStore.find(reference: entry.reference, in: connection),
            isPlanned: try Operation.find(reference: entry.reference, in: connection)?.state == .planned
        )
    }

    /// What is on its way, all read at one moment.
    struct Open: Sendable {
        var entry: Entry
        var token: SentToken?
        /// The token is being made.
        var isPlanned: Bool
    }
}

extension Buyer {
    /// Pays a request: makes a token as it asks, within the limits, and delivers it.
    /// - Parameters:
    ///   - text: `creqA…` or `creqb1…`.
    ///   - amount: for a request that names none; where it names one, this is the most that may be paid.
    ///   - mint: pay from this one; nil: the first of those asked for that has enough.
    /// - Throws: `challengeUnusable` for what this wallet cannot do (Nostr, other locks), `limitExceeded`,
    ///   `insufficientFunds`, `mintUnknown`, with nothing paid; `paymentRefused` with the money back; `outcomeUnknown`:
    ///   then it is delivered again by itself.
    public func payRequest(
        _ text: String,
        amount: UInt64? = nil,
        mint: MintURL? = nil,
        account: SpendingAccount = SpendingAccount()
    ) async throws -> RequestPayment {
        let order = try RequestOrder(text, amount: amount, configuration: configuration)
        let held = try await wallet.mints()
        let usable = order.usable(of: mint.map { [$0] } ?? held)
        guard !usable.isEmpty else {
            let names = order.request.mints.prefix(3).map(\.string).joined(separator: ", ")
            throw WalletError(
                .mintUnknown,
                "the request takes ecash of \(names); this wallet has none of it: `wallet swap` brings it there"
            )
        }
        let id = WalletID.random()
        let entry = RequestPaymentStore.Entry(
            id: id,
            url: order.url?.string ?? "",
            requestID: order.request.id,
            state: order.url == nil ? .inBand : .sending
        )
        // In hand before it is written, so that no round takes it for one that a crash left behind, nor delivers it
        // beside this call: the second delivery's refusal would fetch back the coins of the first.
        _ = hold(id)
        defer { release(id) }
        let token = try await makeToken(order, entry, from: usable, account: account)
        let payload = try await self.payload(of: token, entry)
        var payment = RequestPayment(
            id: id,
            amount: token.amount,
            unit: token.unit,
            mint: token.mint,
            state: entry.state,
            payload: String(decoding: payload, as: UTF8.self),
            token: token.token
        )
        guard order.url != nil else { return payment }
        payment.state = try await deliver(entry, token, payload)
        payment.payload = nil
        payment.token = nil
        return payment
    }

    /// Takes the token out of the first mint that has enough. Its record is written before, so that what was made and not
    /// delivered is delivered later.
    private func makeToken(
        _ order: RequestOrder,
        _ entry: RequestPaymentStore.Entry,
        from usable: [MintURL],
        account: SpendingAccount
    ) async throws -> SentToken {
        let now = wallet.clock.now()
        try await wallet.database.write { connection in
            try RequestPaymentStore.insert(entry, at: now, in: connection)
        }
        var failure = WalletError(.insufficientFunds, "no mint has enough")
        for mint in usable {
            do {
                let keyset = try await wallet.book.terms(mint).keysetForNewCoins(unit: order.unit, at: now)
                return try await wallet.send(
                    try Fees.grossedUp(price: order.amount, feePPK: keyset.info.inputFeePPK),
                    at: mint,
                    unit: order.unit,
                    lock: order.lock,
                    reference: entry.reference,
                    account: account,
                    host: order.url
                )
            } catch let error as WalletError where error.code != .outcomeUnknown {
                failure = error
                // Only where another mint may do what this one cannot.
                guard error.code == .insufficientFunds || error.code == .mintUnreachable else { break }
            }
        }
        let reason = failure.message
        try await wallet.database.write { connection in
            try RequestPaymentStore.set(entry.id, .refused, reason: reason, in: connection)
        }
        throw failure
    }

    private func payload(of token: SentToken, _ entry: RequestPaymentStore.Entry) async throws -> [UInt8] {
        let keysets = try await wallet.book.terms(token.mint).keysets.keys
        let proofs = try Token(token.token).proofs(knownKeysets: keysets)
        let payload = PaymentRequestPayload(id: entry.requestID, mint: token.mint, unit: token.unit, proofs: proofs)
        return payload.json.serialized()
    }

    /// Posts a payment and finds out what became of it.
    private func deliver(_ entry: RequestPaymentStore.Entry, _ token: SentToken, _ payload: [UInt8]) async throws
        -> RequestPayment.State
    {
        var request = HTTPClientRequest(url: entry.url)
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        request.body = .bytes(ByteBuffer(bytes: payload))
        let status: Int
        var detail = ""
        do {
            let response = try await client.execute(request, timeout: .seconds(configuration.timeoutSeconds))
            status = Int(response.status.code)
            let body = (try? await response.body.collect(upTo: 64 << 10)).map { Array($0.readableBytesView) } ?? []
            detail = (try? JSONValue.parse(body))?["detail"]?.stringValue.map { String($0.prefix(300)) } ?? ""
        } catch {
            throw WalletError(
                .outcomeUnknown,
                "the payee does not say whether it has the payment (\(TransportFailure.sentence(error)));"
                    + " it is delivered again by itself"
            )
        }
        if (200..<300).contains(status) {
            try await end(entry, .paid, reason: nil)
            return .paid
        }
        guard (400..<500).contains(status), status != 408, status != 429 else {
            throw WalletError(.outcomeUnknown, "the payee answered with status \(status): it is asked again")
        }
        return try await refused(entry, token, why: "\(status)" + (detail.isEmpty ? "" : " " + detail))
    }

    /// The payee says no. The mint knows whether it has the coins all the same; else they come back.
    private func refused(_ entry: RequestPaymentStore.Entry, _ token: SentToken, why: String) async throws
        -> RequestPayment.State
    {
        do {
            _ = try await wallet.reclaim(token.id)
        } catch let error as WalletError where error.code == .tokenSpent {
            let state = try await wallet.database.read { connection in try TokenStore.find(token.id, in: connection) }
            if state?.state == .reclaimed {
                try await end(entry, .refused, reason: "the payee refused: \(why)")
                throw WalletError(.paymentRefused, "the payee refused (\(why)); the coins are back in the wallet")
            }
            try await end(entry, .paid, reason: "the payee answered \(why), and has the coins")
            return .paid
        } catch let error as WalletError where error.code == .outcomeUnknown || error.code == .mintUnreachable {
            throw WalletError(.outcomeUnknown, "the payee refused (\(why)); the coins are fetched back by and by")
        } catch {
            try await end(
                entry,
                .refused,
                reason: "the payee refused (\(why)), and the coins do not come back: \(error)"
            )
            throw WalletError(
                .paymentRefused,
                "the payee refused (\(why)), and the coins are locked to it: `wallet sent` has the token"
            )
        }
        try await end(entry, .refused, reason: "the payee refused: \(why)")
        throw WalletError(.paymentRefused, "the payee refused (\(why)); the coins are back in the wallet")
    }

    private func end(_ entry: RequestPaymentStore.Entry, _ state: RequestPayment.State, reason: String?) async throws {
        try await wallet.database.write { connection in
            try RequestPaymentStore.set(entry.id, state, reason: reason, in: connection)
        }
    }

    /// Delivers what was paid and not confirmed; for the start, and from time to time.
    /// - Returns: how many are settled now.
    @discardableResult
    public func resumeRequestPayments() async throws -> Int {
        let open = try await wallet.database.read { connection in
            try RequestPaymentStore.sending(limit: 200, in: connection)
        }
        var settled = 0
        for id in open where try await resumeRequestPayment(id) { settled += 1 }
        return settled
    }

    /// - Returns: whether it is settled now, and was not before.
    private func resumeRequestPayment(_ id: String) async throws -> Bool {
        guard hold(id) else { return false }
        defer { release(id) }
        // Read in hand: what the list said may be over.
        let found = try await wallet.database.read { connection in try RequestPaymentStore.open(id, in: connection) }
        guard let found else { return false }
        guard let token = found.token else {
            if !found.isPlanned {
                try await end(found.entry, .refused, reason: "nothing was taken out of the wallet")
            }
            return false
        }
        guard token.state == .sent else {
            try await end(found.entry, token.state == .claimed ? .paid : .refused, reason: nil)
            return true
        }
        do {
            _ = try await deliver(found.entry, token, await payload(of: token, found.entry))
            return true
        } catch {
            wallet.logger.debug("a payment is still to be delivered", metadata: ["why": "\(error)"])
            return false
        }
    }
}

/// A payment request as far as this wallet can meet it. Pure.
struct RequestOrder: Sendable {
    let request: PaymentRequest
    let amount: UInt64
    let unit: CurrencyUnit
    let lock: TokenLock?
    /// Where to post the payment; nil: in band.
    let url: WebAddress?

    init(_ text: String, amount given: UInt64?, configuration: BuyerConfiguration) throws {
        do {
            request = try PaymentRequest(text)
        } catch {
            throw WalletError(.challengeUnusable, "this is no payment request: \(error)", cause: error)
        }
        unit = request.unit ?? .sat
        guard let amount = request.amount ?? given, amount > 0, amount <= UInt64(Int64.max) else {
            throw WalletError(.invalidArgument, "the request names no amount: say how much to pay")
        }
        if let given, let asked = request.amount, asked > given {
            throw WalletError(.limitExceeded, "the request asks for \(asked) \(unit), more than the \(given) allowed")
        }
        self.amount = amount
        lock = try request.lock.map { TokenLock(key: try PaymentTerms.key(of: $0)) }
        guard let post = request.transports.first(where: { $0.kind == "post" }) else {
            guard request.transports.isEmpty else {
                let kinds = request.transports.map { String($0.kind.prefix(20)) }.joined(separator: ", ")
                throw WalletError(
                    .challengeUnusable,
                    "the payee wants the payment over \(kinds), which this wallet does not speak (it posts over HTTP, or"
                        + " gives the token to hand over)"
                )
            }
            url = nil
            return
        }
        let address = try WebAddress(post.target, kind: "payee's address", maximumBytes: 2048)
        try address.requirePrivacy(plainHTTPHosts: configuration.plainHTTPHosts)
        url = address
    }

    /// Those of our mints that the payee takes, in its order.
    func usable(of held: [MintURL]) -> [MintURL] {
        guard !request.mints.isEmpty else { return held }
        let listed = request.mints.filter { held.contains($0) }
        return request.prefersMints == true ? listed + held.filter { !listed.contains($0) } : listed
    }
}
