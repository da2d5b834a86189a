internal import AsyncHTTPClient
internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import Paywall
internal import Receipts
internal import SignedDocuments
internal import Storage

/// How a payment that was open stands now.
public struct ResumedPayment: Sendable {
    public var id: String
    public var state: PaymentRecord.State
    /// Why it is still open, where it is.
    public var message: String?
}

extension Buyer {
    // MARK: Coins that come back

    /// The seller says that it did not take the coins. Locked ones go back to its pool, being of use to nobody else;
    /// those without a lock it has seen, so they are swapped for new ones.
    func takeBack(_ payment: PaymentRecord, status: Int?, code: String) async throws {
        guard payment.seller.isEmpty else {
            try await close(payment, .refused, status: status, code: code)
            return
        }
        try await swapBack(payment, signer: nil, status: status, code: code)
    }

    /// Claims a payment's own coins, unless the mint says that the seller has spent them: then it is paid.
    private func swapBack(
        _ payment: PaymentRecord,
        signer: Secp256k1.Scalar?,
        status: Int?,
        code: String
    ) async throws {
        let coins = try await wallet.database.read { connection in try CoinStore.held(by: payment.id, in: connection) }
        let proofs = try coins.map { coin in try signer.map { try coin.proof.signed(by: $0) } ?? coin.proof }
        let token = try Token(mint: payment.coinMint(), unit: payment.unit, proofs: proofs).serialized()
        do {
            try await claimRefund(payment, token: token, status: status, code: code)
        } catch let error as WalletError where error.code == .tokenSpent {
            try await close(payment, .served, status: status, code: "spent-at-mint")
        }
    }

    enum MintWord: Sendable { case spent, undecided }

    /// Asks the mint about a payment's coins (NUT-07). Spent coins are paid, whatever the seller says.
    func settleByMint(_ payment: PaymentRecord, status: Int?) async throws -> MintWord {
        let ys = try await wallet.database.read { connection in
            try CoinStore.held(by: payment.id, in: connection).map(\.y)
        }
        guard !ys.isEmpty, let states = try? await wallet.book.client(payment.coinMint()).checkState(ys),
            states.allSatisfy({ $0.state == .spent })
        else { return .undecided }
        try await close(payment, .served, status: status, code: "spent-at-mint")
        return .spent
    }

    // MARK: Refunds

    /// Takes a refund: writes it down, then swaps its coins for ours.
    /// - Throws: `outcomeUnknown` and the like; the refund is kept and `resume` goes on with it.
    func claimRefund(_ payment: PaymentRecord, token: String, status: Int?, code: String?) async throws {
        let now = wallet.clock.now()
        guard token.utf8.count <= NUT24.maximumTokenBytes else {
            throw WalletError(.answerUnusable, "the seller's refund is longer than a token may be")
        }
        try await wallet.database.write { connection in
            let isFirst = try PaymentStore.settle(
                payment.id,
                .refunding,
                status: status,
                code: code,
                at: now,
                in: connection
            )
            guard isFirst else { return }
            try PaymentStore.give(payment, at: now, in: connection)
            try connection.execute(
                "UPDATE wallet_payments SET refund = ? WHERE id = ?",
                .text(token),
                .text(payment.id)
            )
        }
        try await redeemRefund(payment.id, token: token)
    }

    func redeemRefund(_ id: String, token text: String) async throws {
        let reference = PaymentStore.refundPrefix + id
        if let open = try await wallet.database.read({ connection in
            try Operation.find(reference: reference, in: connection)
        }) {
            // Done operations have noted the refund already; a planned one is taken up.
            if open.state == .planned { _ = try await wallet.runner.run(open, isFresh: false) }
            guard open.state == .disputed else { return }
            throw WalletError(
                .mintDishonest,
                "the mint \(open.mint) took the refund's coins and gave no valid signatures for them"
            )
        }
        let token: Token
        do {
            token = try Token(text)
        } catch {
            throw WalletError(.invalidToken, "the seller's refund is no token: \(error)", cause: error)
        }
        let proofs = try await wallet.verified(token, at: token.mint)
        _ = try await wallet.claim(proofs, at: token.mint, unit: token.unit, reference: reference)
    }

    /// Goes on with a refund. One whose coins are gone would be asked about forever: it ends here.
    private func takeUpRefund(_ payment: PaymentRecord) async throws {
        guard let text = payment.refund else { return }
        do {
            try await redeemRefund(payment.id, token: text)
        } catch let error as WalletError where error.code == .tokenSpent {
            let given = try await wallet.database.read { connection in
                try CoinStore.held(by: payment.id, in: connection).map(\.proof.secret)
            }
            let claimed = try Token(text).groups.flatMap(\.proofs).map(\.secret)
            // The payment's own coins, and the seller has spent them: it is paid. Coins that the seller gave, and somebody
            // has spent them: it is paid and not served.
            let isOwn = Set(claimed).isSubset(of: given)
            try await close(payment, isOwn ? .served : .unserved, code: isOwn ? "spent-at-mint" : "refund-spent")
        } catch let error as WalletError where error.code == .mintDishonest {
            let reference = PaymentStore.refundPrefix + payment.id
            let isTaken = try await wallet.database.read { connection in
                try Operation.find(reference: reference, in: connection)?.state == .disputed
            }
            guard isTaken else { throw error }
            try await close(payment, .unserved, code: "refund-disputed")
        }
    }

    /// How long a payment without a lock stays open before its coins are claimed back, in seconds.
    private static let unlockedPatienceSeconds: Int64 = 3600

    /// Takes the coins of an open payment back: by the refund path of their lock once the locktime has passed, or, where
    /// there is no lock, after an hour. By then the seller has redeemed them, or never will.
    private func reclaim(_ payment: PaymentRecord) async throws -> Bool {
        let now = wallet.clock.now()
        guard !payment.seller.isEmpty else {
            guard now.milliseconds(since: payment.createdAt) > Self.unlockedPatienceSeconds * 1000 else { return false }
            try await swapBack(payment, signer: nil, status: nil, code: "reclaimed")
            return true
        }
        let coins = try await wallet.database.read { connection in try CoinStore.held(by: payment.id, in: connection) }
        let mintNow = try await wallet.book.terms(payment.coinMint()).mintSeconds(at: now)
        guard !coins.isEmpty, coins.allSatisfy({ ($0.locktime ?? .max) < mintNow - 60 }) else { return false }
        let key = try wallet.keys.refund(seller: payment.seller)
        try await swapBack(payment, signer: key, status: nil, code: "reclaimed")
        return true
    }

    // MARK: Receipts

    enum ReceiptText: Sendable {
        case header(String)
        case document([UInt8])
    }

    /// Checks a receipt and keeps it. A receipt that does not fit is kept too, with what is wrong: it is evidence.
    func keepReceipt(_ payment: PaymentRecord, _ call: Call, text: ReceiptText, responseDigest: [UInt8]?) async {
        var document: String?
        var state: String
        var owesChange = false
        do {
            let receipt =
                switch text {
                case .header(let value): try Receipt(header: value)
                case .document(let bytes): try Receipt(bytes: bytes)
                }
            document = String(decoding: receipt.bytes, as: UTF8.self)
            let verdict = receipt.verdict(
                now: wallet.clock.now(),
                expecting: Receipt.Expectation(
                    buyer: try call.request.signer.map { try DIDKey(parsing: $0.did) },
                    requestDigest: call.bodyDigest,
                    responseDigest: receipt.claims.responseDigest == nil ? nil : responseDigest,
                    paymentDigest: payment.paymentDigest
                )
            )
            state = verdict.isValid ? "verified" : verdict.reasons.map(\.message).joined(separator: "; ")
            owesChange = verdict.isValid && receipt.owesChange && payment.invoice == nil
        } catch {
            state = "\(error)"
        }
        let (kept, outcome, isOwed, now) = (document, state, owesChange, wallet.clock.now())
        do {
            try await wallet.database.write { connection in
                try PaymentStore.setReceipt(payment.id, receiptID: nil, receipt: kept, state: outcome, in: connection)
                if isOwed { try OwedChange.note(call, of: payment.id, at: now, in: connection) }
            }
        } catch {
            wallet.logger.warning(
                "a receipt could not be kept",
                metadata: ["payment": "\(payment.id)", "why": "\(error)"]
            )
        }
    }

    /// Fetches a receipt by its id. That there is none yet changes nothing about the payment.
    func fetchReceipt(_ payment: PaymentRecord, _ call: Call, id: String?, responseDigest: [UInt8]?) async {
        guard let id else { return }
        let url = call.address.origin + "/receipts/" + id
        for attempt in 1...3 {
            do {
                let response = try await client.execute(HTTPClientRequest(url: url), timeout: .seconds(10))
                if response.status == .ok {
                    let body = try await response.body.collect(upTo: 16 << 10)
                    let bytes = Array(body.readableBytesView)
                    await keepReceipt(payment, call, text: .document(bytes), responseDigest: responseDigest)
                    return
                }
            } catch {
                wallet.logger.debug("a receipt could not be fetched", metadata: ["url": "\(url)", "why": "\(error)"])
            }
            if attempt < 3 { await configuration.pause(100 << attempt) }
        }
    }

    // MARK: Taking up what is open

    /// Goes on with one open payment: asks the seller again with the same key and the same coins, claims a refund that
    /// was promised, or takes the coins back when their lock has run out.
    /// - Parameter signer: for a call that was signed.
    @discardableResult
    public func resume(_ id: String, signer: (any RequestSigning)? = nil) async throws -> ResumedPayment {
        guard let payment = try await payment(id) else {
            throw WalletError(.notFound, "no payment has the id \(id)")
        }
        guard hold(id) else {
            return ResumedPayment(id: id, state: payment.state, message: "the payment is being seen through right now")
        }
        defer { release(id) }
        var message: String?
        do {
            // Read in hand: what was read before may have ended.
            try await takeUp(try await self.payment(id) ?? payment, signer: signer)
        } catch let error as WalletError {
            message = error.message
        }
        let state = try await self.payment(id)?.state ?? payment.state
        return ResumedPayment(id: id, state: state, message: message)
    }

    private func takeUp(_ payment: PaymentRecord, signer: (any RequestSigning)?) async throws {
        switch payment.state {
        case .served, .refused, .refunded, .unserved: return
        case .refunding:
            try await takeUpRefund(payment)
        case .sent where payment.way == .x402Exact, .pending where payment.way == .x402Exact:
            try await takeUpAuthorization(payment, signer: signer)
        case .sent where payment.invoice != nil, .pending where payment.invoice != nil:
            try await takeUpPaidAhead(payment, signer: signer)
        case .sent, .pending:
            if try await reclaim(payment) { return }
            guard payment.bodyKind != .unkept else {
                if try await settleByMint(payment, status: nil) == .spent { return }
                throw WalletError(
                    .outcomeUnknown,
                    "the call's body is gone, so it cannot be sent again: the mint decides, at the latest when the lock runs out"
                )
            }
            let call = try Call(stored: payment, signer: signer)
            let response = try await deliver(call, payment, isFresh: false, attempts: 1)
            for try await _ in response.body {}
        }
    }

    /// How long a paid call is sent again while its seller does not say what became of it, in seconds. Sellers keep their
    /// answers for a day ([CALL-8]).
    static let deliverySeconds: Int64 = 86_400

    /// Goes on with a call that an invoice pays for, or a pass: sees the invoice paid, then sends the call with the same
    /// credential and key.
    private func takeUpPaidAhead(_ payment: PaymentRecord, signer: (any RequestSigning)?) async throws {
        let late = wallet.clock.now().milliseconds(since: payment.createdAt) > Self.deliverySeconds * 1000
        if payment.isPaidAhead {
            do {
                try await seeInvoicePaid(payment)
            } catch {
                // It is paid, and whoever paid it never showed the proof: there is nothing to go on with.
                guard late, try await callInvoice(of: payment.id).state == .paid else { throw error }
                try await close(payment, .unserved, code: "preimage-missing")
                return
            }
        }
        guard payment.bodyKind != .unkept, !late else {
            let code = late ? "not-served-in-time" : "body-gone"
            try await close(payment, payment.isPaidAhead ? .unserved : .refused, code: code)
            return
        }
        let call = try Call(stored: payment, signer: signer)
        do {
            let response = try await deliver(call, payment, isFresh: false, attempts: 1)
            for try await _ in response.body {}
        } catch is PassRefused {
            // Over without a payment: whoever made the call makes it again.
        }
    }

    /// Keeps what the seller says of the payment, where it says anything ([PAY-6]; `PAYMENT-RESPONSE` of x402).
    func keepPaymentReceipt(_ payment: PaymentRecord, _ answer: Answer) async {
        let said: JSONObject
        if payment.way.via == .x402, let settlement = X402.SettleResponse(header: answer.header) {
            said = settlement.json
        } else if let value = answer.header(PaymentReceipt.headerName), let receipt = PaymentReceipt(header: value) {
            said = receipt.json
        } else {
            return
        }
        let text = String(decoding: JSONValue.object(said).serialized(), as: UTF8.self)
        do {
            try await wallet.database.write { connection in
                try PaymentStore.setPaymentReceipt(payment.id, text, in: connection)
            }
        } catch {
            wallet.logger.warning(
                "a payment receipt could not be kept",
                metadata: ["payment": "\(payment.id)", "why": "\(error)"]
            )
        }
    }

    /// Goes on with every open payment; for the start, and from time to time.
    /// - Parameter signer: the signer of an agent by its name.
    public func resumeAll(
        signer: @Sendable (_ agent: String) async -> (any RequestSigning)? = { _ in nil }
    ) async throws -> [ResumedPayment] {
        var resumed: [ResumedPayment] = []
        for payment in try await openPayments() {
            resumed.append(try await resume(payment.id, signer: await signer(payment.agent)))
        }
        await collectChange { await signer($0.agent) }
        return resumed
    }
}
