public import AsyncHTTPClient
internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import Paywall
internal import Storage
internal import Synchronization

/// Calls paid services: learns the price, pays with ecash out of the seller's pool or an invoice over Lightning, and sees
/// every payment to its end. What is about to be paid is on disk before it leaves; a payment whose outcome is not known
/// is never made a second time.
public final class Buyer: Sendable {
    public let configuration: BuyerConfiguration
    let wallet: Wallet
    let client: HTTPClient
    let pool: SellerPool
    let prices: PriceBook
    /// Payments that this process is seeing through right now, until when at most.
    private let live = Mutex<[String: Timestamp]>([:])

    /// - Parameter client: follows no redirects; see `HTTPMint.clientConfiguration`.
    public init(wallet: Wallet, client: HTTPClient, configuration: BuyerConfiguration = BuyerConfiguration()) {
        self.wallet = wallet
        self.client = client
        self.configuration = configuration
        pool = SellerPool(wallet: wallet, configuration: configuration)
        prices = PriceBook(
            database: wallet.database,
            clock: wallet.clock,
            maximumAgeSeconds: configuration.priceAgeSeconds
        )
    }

    /// Makes a call and pays for it where it costs something.
    /// - Throws: `limitExceeded` and `insufficientFunds` before a coin moved; `paymentRefused` with the coins back;
    ///   `outcomeUnknown` where the seller does not say: `resume` goes on with it; `serviceUnreachable` with nothing paid.
    public func pay(_ request: PaidRequest) async throws -> PaidResponse {
        let call = try Call(request, configuration: configuration)
        if let key = request.idempotencyKey, let earlier = try await payment(idempotencyKey: key) {
            return try await again(earlier, call)
        }
        if let response = try await payByPass(call) { return response }
        if let response = try await payKnownPrice(call) { return response }
        let answer: Answer
        do {
            answer = try await send(call, payment: nil)
        } catch let error as SendFailure {
            throw WalletError(
                .serviceUnreachable,
                "\(call.address.origin) gave no answer: \(error.message)",
                cause: error
            )
        }
        let offers = PaymentOffers(answer, for: call, network: configuration.network, at: wallet.clock.now())
        guard answer.status == 402, !offers.isEmpty else {
            if answer.status == 402, let via = request.via {
                throw WalletError(
                    .challengeUnusable,
                    "the seller cannot be paid over \(via.rawValue); nothing was paid"
                )
            }
            return PaidResponse(
                outcome: .free,
                status: answer.status,
                headers: answer.headers,
                body: PaidResponseBody(answer.source),
                payment: nil
            )
        }
        return try await buy(call, offers)
    }

    /// Pays what the call cost the last time, without asking.
    /// - Returns: nil where that is not known, or is not so any more.
    private func payKnownPrice(_ call: Call) async throws -> PaidResponse? {
        guard call.request.via == nil || call.request.via == .cashu,
            let known = try await prices.terms(for: call.priceKey)
        else { return nil }
        do {
            return try await deliver(call, try await reserve(call, terms: known), isFresh: true)
        } catch let error as WalletError where error.code == .paymentRefused && Self.isAboutPrice(error) {
            // Nothing was taken: the price has changed since. Ask once more, under the same key.
            try await prices.forget(call.priceKey)
        } catch let error as WalletError where Self.isAboutEcash(error) {
            // The seller may take something else by now.
        }
        return nil
    }

    /// Pays in the first of the ways that goes. A way that does not go leaves everything as it was.
    private func buy(_ call: Call, _ offers: PaymentOffers) async throws -> PaidResponse {
        var obstacles = offers.obstacles
        let isOnly = offers.usable.count == 1
        for offer in offers.usable {
            let payment: PaymentRecord
            do {
                switch offer {
                case .ecash(let terms):
                    if isOnly { try await prices.learn(terms, for: call.priceKey) }
                    payment = try await reserve(call, terms: terms)
                    if !isOnly { try await prices.learn(terms, for: call.priceKey) }
                case .charge(let terms, let challenge):
                    payment = try await reserve(call, terms: terms, challenge: challenge)
                case .invoice(let invoice):
                    payment = try await pay(invoice, for: call)
                }
            } catch let error as WalletError where error.leavesOtherWays {
                obstacles.append(error)
                continue
            }
            return try await deliver(call, payment, isFresh: true)
        }
        throw Self.summary(of: obstacles)
    }

    /// Why no way went: the limit before the lack of money before anything else.
    private static func summary(of obstacles: [WalletError]) -> WalletError {
        let order: [WalletError.Code] = [.limitExceeded, .invoiceTooHigh, .insufficientFunds]
        let worst = order.lazy.compactMap { code in obstacles.first { $0.code == code } }.first ?? obstacles.first
        guard let worst else {
            return WalletError(.challengeUnusable, "the seller offers no way to pay that is known here")
        }
        guard obstacles.count > 1 else { return worst }
        var said: [String] = []
        for obstacle in [worst] + obstacles where !said.contains(obstacle.message) { said.append(obstacle.message) }
        return WalletError(worst.code, said.joined(separator: "; or: "), mintCode: worst.mintCode, cause: worst.cause)
    }

    private static func isAboutEcash(_ error: WalletError) -> Bool {
        [.mintUnknown, .mintUnsuitable, .mintUnreachable, .insufficientFunds].contains(error.code)
    }

    private static func isAboutPrice(_ error: WalletError) -> Bool {
        guard let refusal = error.cause as? SellerRefusal else { return false }
        return [
            "payment-required", "amount-too-low", "amount-too-high", "mint-not-accepted", "wrong-unit", "wrong-lock",
        ]
        .contains(refusal.code)
    }

    /// The same key was used before: that call goes on, and no second payment is made.
    private func again(_ earlier: PaymentRecord, _ call: Call) async throws -> PaidResponse {
        guard earlier.method == call.request.method, earlier.url == call.address.string,
            earlier.bodyDigest == call.bodyDigest
        else {
            throw WalletError(
                .invalidArgument,
                "the idempotency key was used for another call (\(earlier.method) \(earlier.url)): take a new one"
            )
        }
        guard [.sent, .pending, .served, .unserved].contains(earlier.state) else {
            throw WalletError(
                .invalidArgument,
                "the call with this idempotency key ended as \(earlier.state.rawValue): take a new key to call again"
            )
        }
        guard hold(earlier.id) else {
            throw WalletError(.outcomeUnknown, "the call with this idempotency key is under way: ask again in a moment")
        }
        if earlier.isPaidAhead {
            do {
                try await seeInvoicePaid(earlier)
            } catch {
                release(earlier.id)
                throw error
            }
        }
        return try await deliver(call, earlier, isFresh: false)
    }

    // MARK: Paying with ecash

    /// Holds coins for a call and writes the intent.
    /// - Parameter challenge: the one that the coins answer in a credential; nil: they go into `X-Cashu`.
    private func reserve(_ call: Call, terms: PaymentTerms, challenge: String? = nil) async throws -> PaymentRecord {
        let request = call.request
        guard terms.unit == request.unit else {
            throw WalletError(
                .challengeUnusable,
                "the seller wants \(terms.unit), the call may be paid in \(request.unit)"
            )
        }
        guard terms.amount <= request.maximum else {
            throw WalletError(
                .limitExceeded,
                "the call costs \(terms.amount) \(terms.unit), more than the \(request.maximum) allowed; nothing was paid"
            )
        }
        // In hand before it is written, so that nobody takes it for one that a crash left behind.
        let id = WalletID.random()
        _ = hold(id)
        do {
            return try await reserve(call, terms: terms, challenge: challenge, id: id)
        } catch {
            release(id)
            throw error
        }
    }

    /// Holds coins for a call and writes the intent, in one transaction; fills the pool first where it is short.
    private func reserve(_ call: Call, terms: PaymentTerms, challenge: String?, id: String) async throws
        -> PaymentRecord
    {
        let held = try await wallet.mints()
        let usable = terms.mints.filter { held.contains($0) }
        guard !usable.isEmpty else {
            let names = terms.mints.prefix(3).map(\.string).joined(separator: ", ")
            throw WalletError(.mintUnknown, "the seller takes ecash of \(names); this wallet has none of these mints")
        }
        var shortage: WalletError?
        for mint in usable {
            if let payment = try await reserve(call, terms: terms, challenge: challenge, at: mint, id: id) {
                return payment
            }
        }
        for mint in usable {
            let key = SellerPool.Key(seller: terms.seller ?? [], mint: mint, unit: terms.unit)
            // Others may be quicker to take what was filled in; then there are fewer of them.
            for _ in 0..<64 {
                do {
                    try await pool.fill(key, amount: terms.amount, budget: try await budget(call, terms: terms))
                } catch let error as WalletError where error.code == .insufficientFunds {
                    shortage = error
                    break
                }
                if let payment = try await reserve(call, terms: terms, challenge: challenge, at: mint, id: id) {
                    return payment
                }
            }
        }
        throw shortage
            ?? WalletError(.insufficientFunds, "the coins were taken by other calls: try again")
    }

    /// What may still be spent beyond this call by every limit it falls under; nil where there is none.
    private func budget(_ call: Call, terms: PaymentTerms) async throws -> UInt64? {
        let request = call.request
        let now = wallet.clock.now()
        return try await wallet.database.read { connection in
            var room = try SpendingLimits.room(for: call.spend(terms, at: now), in: connection)
            if let limit = request.spendingLimit {
                let since = now.adding(seconds: -limit.windowSeconds)
                let spent = try PaymentStore.spent(
                    by: request.agent,
                    unit: request.unit,
                    since: since,
                    in: connection
                )
                room = min(room ?? .max, limit.amount > spent ? limit.amount - spent : 0)
            }
            return room
        }
    }

    private func reserve(
        _ call: Call,
        terms: PaymentTerms,
        challenge: String?,
        at mint: MintURL,
        id: String
    ) async throws -> PaymentRecord? {
        let now = wallet.clock.now()
        let mintNow = try await wallet.book.terms(mint).mintSeconds(at: now)
        let minimumLocktime = mintNow + configuration.minimumLockSeconds
        let key = SellerPool.Key(seller: terms.seller ?? [], mint: mint, unit: terms.unit)
        return try await wallet.database.write { connection in
            if let limit = call.request.spendingLimit {
                try Self.requireRoom(call.request, amount: terms.amount, limit: limit, at: now, in: connection)
            }
            let spend = call.spend(terms, at: now)
            guard
                let coins = try SellerPool.choose(
                    key,
                    amount: terms.amount,
                    minimumLocktime: minimumLocktime,
                    at: now,
                    in: connection
                )
            else {
                // Known before a pool is filled for nothing.
                try SpendingLimits.requireRoom(for: spend, in: connection)
                return nil
            }
            try SpendingLimits.charge(spend, in: connection)
            let payment = call.record(
                id,
                terms: terms,
                challenge: challenge,
                mint: mint,
                ys: coins.map(\.y),
                at: now
            )
            try CoinStore.move(
                coins.map(\.y),
                from: .unspent,
                to: .reserved,
                holder: payment.id,
                at: now,
                in: connection
            )
            try PaymentStore.insert(payment, in: connection)
            return payment
        }
    }

    static func requireRoom(
        _ request: PaidRequest,
        amount: UInt64,
        limit: SpendingLimit,
        at now: Timestamp,
        in connection: Connection
    ) throws {
        let since = now.adding(seconds: -limit.windowSeconds)
        let spent = try PaymentStore.spent(by: request.agent, unit: request.unit, since: since, in: connection)
        let (total, overflow) = spent.addingReportingOverflow(amount)
        guard !overflow, total <= limit.amount else {
            throw WalletError(
                .limitExceeded,
                "the agent has spent \(spent) of the \(limit.amount) \(request.unit) that it may in"
                    + " \(limit.windowSeconds) s; \(amount) more would be too much"
            )
        }
    }

    // MARK: Who sees it through

    /// Longer than this no answer is waited for that nobody reads.
    private static let liveSeconds: Int64 = 900

    /// Takes a payment in hand, so that nobody else takes it up meanwhile.
    /// - Returns: false where somebody has it already.
    func hold(_ id: String) -> Bool {
        let now = wallet.clock.now()
        return live.withLock { live in
            if let until = live[id], until > now { return false }
            live[id] = now.adding(seconds: Self.liveSeconds)
            return true
        }
    }

    func release(_ id: String) { _ = live.withLock { $0.removeValue(forKey: id) } }

    // MARK: What became of it

    /// A payment by its id.
    public func payment(_ id: String) async throws -> PaymentRecord? {
        try await wallet.database.read { connection in try PaymentStore.find(id, in: connection) }
    }

    /// A payment by its idempotency key; nil also where it was refused, since nothing was taken then.
    public func payment(idempotencyKey: String) async throws -> PaymentRecord? {
        try await wallet.database.read { connection in
            try PaymentStore.find(idempotencyKey: idempotencyKey, in: connection)
        }
    }

    /// The latest payments, newest first.
    public func payments(limit: Int = 50) async throws -> [PaymentRecord] {
        let bounded = min(max(1, limit), 1000)
        return try await wallet.database.read { connection in try PaymentStore.recent(limit: bounded, in: connection) }
    }

    /// Payments that are not settled, oldest first.
    public func openPayments() async throws -> [PaymentRecord] {
        try await wallet.database.read { connection in try PaymentStore.open(in: connection) }
    }
}

/// Why a seller did not take a payment.
public struct SellerRefusal: Error, Sendable, CustomStringConvertible {
    /// The seller's own word, such as `amount-too-low`, or `status-404`.
    public let code: String
    public let status: Int
    public let detail: String?
    public var description: String { "\(status) \(code)" + (detail.map { ": \($0)" } ?? "") }
}
