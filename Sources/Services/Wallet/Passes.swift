public import Cashu
public import Encodings
internal import Storage

/// An L402 credential that was paid for and may be good for more calls.
public struct Pass: Sendable {
    public enum State: String, Sendable {
        /// No pass: a proof that is good for one call.
        case none
        case good
        /// The seller takes it no more.
        case refused
        /// Past the end that its token names.
        case expired
        /// Used as often as its token allows.
        case usedUp = "used-up"
        case forgotten
    }

    public var id: String
    /// Scheme, host and port of the seller.
    public var origin: String
    /// The path it was bought for.
    public var path: String
    /// Who may use it: the agent that it was bought for; empty: the operator.
    public var agent: String
    /// What it cost, without fees.
    public var amount: UInt64
    public var fee: UInt64
    public var unit: CurrencyUnit
    public var state: State
    /// Calls that were served with it.
    public var uses: UInt64
    /// How many calls its token allows; nil: it does not say.
    public var calls: UInt64?
    /// Until when its token is good; nil: it does not say.
    public var validUntil: Timestamp?
    public var usedAt: Timestamp?
    public var createdAt: Timestamp

    init(_ invoice: CallInvoice) {
        let terms = invoice.l402.map { PassTerms($0) }
        id = invoice.id
        origin = invoice.origin
        path = invoice.path
        agent = invoice.agent
        amount = invoice.amount
        fee = invoice.fee
        unit = invoice.unit
        state = invoice.pass
        uses = invoice.uses
        calls = terms?.calls
        // What a stranger writes may be no date at all.
        validUntil = terms?.validUntil.flatMap {
            (0...253_402_300_799).contains($0) ? Timestamp(secondsSince1970: $0) : nil
        }
        usedAt = invoice.usedAt
        createdAt = invoice.createdAt
    }
}

extension Wallet {
    /// The passes that were bought, newest first, without what opens anything.
    /// - Parameter limit: 1 to 1,000.
    public func passes(limit: Int = 200) async throws -> [Pass] {
        let bounded = min(max(1, limit), 1000)
        return try await database.read { connection in
            try InvoiceStore.passes(limit: bounded, in: connection).map(Pass.init)
        }
    }

    /// Removes a pass with its secrets. What was paid for it stays in the history.
    /// - Throws: `notFound`; `invalidArgument` while a call with it is not settled.
    public func forgetPass(_ id: String) async throws {
        try await database.write { connection in
            guard let pass = try InvoiceStore.find(id, in: connection), pass.way == .l402, pass.pass != .none,
                pass.pass != .forgotten
            else {
                throw WalletError(.notFound, "there is no pass \(id.prefix(80))")
            }
            let open = try connection.first(
                "SELECT id FROM wallet_payments WHERE invoice = ? AND state IN ('sent', 'pending', 'refunding')",
                .text(id)
            )?.text(0)
            if let open {
                throw WalletError(
                    .invalidArgument,
                    "the call \(open) with this pass is not settled: mintmark pay --resume"
                )
            }
            try InvoiceStore.forget(id, in: connection)
        }
    }
}

extension Buyer {
    /// Makes a call with a pass that was bought before, where there is one.
    /// - Returns: nil where there is none, or the seller takes it no more: then the call is to be paid for.
    func payByPass(_ call: Call) async throws -> PaidResponse? {
        guard !call.passWays.isEmpty, !call.hasAuthorization else { return nil }
        let now = wallet.clock.now()
        let id = WalletID.random()
        guard try await hasPass(for: call) else { return nil }
        _ = hold(id)
        let payment: PaymentRecord?
        do {
            payment = try await wallet.database.write { connection -> PaymentRecord? in
                guard let pass = try InvoiceStore.pass(for: call, at: now, in: connection) else { return nil }
                let payment = call.record(id, of: pass, amount: 0, fee: 0, at: now)
                try PaymentStore.insert(payment, in: connection)
                return payment
            }
        } catch {
            release(id)
            throw error
        }
        guard let payment else {
            release(id)
            return nil
        }
        do {
            return try await deliver(call, payment, isFresh: true)
        } catch is PassRefused {
            return nil
        }
    }

    /// The seller does not take what was shown as paid. A pass is put aside; what was paid for this very call is kept, and
    /// the call ends unserved: nothing is paid again.
    /// - Throws: always: `PassRefused` where the call is to be paid for, else `paymentRefused`.
    func credentialRefused(_ payment: PaymentRecord, _ call: Call, _ answer: Answer, code: String) async throws {
        let refusal = SellerRefusal(code: code, status: answer.status, detail: answer.detail)
        let asksForMoney = answer.status == 402 || answer.status == 401
        let invoice = try await callInvoice(of: payment.id)
        // Of another path of the service it may be good still, unless the seller says that it is over.
        let isOver = invoice.path == call.address.path || code.hasPrefix("credential-")
        if invoice.way == .l402, asksForMoney, isOver {
            let state: Pass.State =
                switch code {
                case "credential-used-up": .usedUp
                case "credential-expired": .expired
                default: .refused
                }
            try await wallet.database.write { connection in
                try InvoiceStore.set(state, invoice.id, in: connection)
            }
        }
        if invoice.way == .paymentSession { try await sessionRefused(payment, code: code) }
        guard payment.isByPass else {
            try await close(payment, .unserved, status: answer.status, code: code)
            throw WalletError(
                .paymentRefused,
                "the seller was paid and does not take the proof of it (\(refusal)); nothing is paid again, and the"
                    + " credential is kept with the payment \(payment.id)",
                cause: refusal
            )
        }
        try await close(payment, .refused, status: answer.status, code: code)
        if asksForMoney { throw PassRefused() }
        throw WalletError(
            .paymentRefused,
            "the seller did not take the call (\(refusal)); nothing was paid for it",
            cause: refusal
        )
    }
}

/// A seller wants to be paid anew.
struct PassRefused: Error {}
