public import AsyncHTTPClient
internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Ethereum
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import Paywall
internal import Storage
internal import Synchronization

/// Calls paid services: learns the price, pays with ecash out of the seller's pool, an invoice over Lightning or a signed
/// authorisation of a token on an EVM chain, and sees every payment to its end. What is about to be paid is on disk before it leaves; a payment whose outcome is not known
/// is never made a second time.
public final class Buyer: Sendable {
    public let configuration: BuyerConfiguration
    let wallet: Wallet
    let client: HTTPClient
    let pool: SellerPool
    let prices: PriceBook
    /// EVM chains that can be asked, by their ids.
    let chains: [UInt256: any TokenChain]
    /// Payments that this process is seeing through right now, until when at most.
    private let live = Mutex<[String: Timestamp]>([:])
    /// Who buys a pass right now.
    let passTurns = PassTurns()

    /// - Parameters:
    ///   - client: follows no redirects; see `HTTPMint.clientConfiguration`.
    ///   - chains: the EVM chains that can be asked; others are paid on all the same.
    public init(
        wallet: Wallet,
        client: HTTPClient,
        chains: [any TokenChain] = [],
        configuration: BuyerConfiguration = BuyerConfiguration()
    ) {
        self.chains = Dictionary(chains.map { ($0.chainID, $0) }, uniquingKeysWith: { first, _ in first })
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
        do {
            if let key = request.idempotencyKey, let earlier = try await payment(idempotencyKey: key) {
                return try await again(earlier, call)
            }
            return try await payNew(call)
        } catch is KeyTaken {
            // Another call with the same key was quicker: that one goes on.
            guard let earlier = try await payment(idempotencyKey: call.idempotencyKey) else {
                throw WalletError(.outcomeUnknown, "calls with this idempotency key are under way: ask again soon")
            }
            return try await again(earlier, call)
        }
    }

    /// - Throws: `KeyTaken`, with nothing paid; and what `pay` throws.
    private func payNew(_ call: Call) async throws -> PaidResponse {
        let request = call.request
        let turnsSeen = passTurns.ended
        let needsLeave = request.signer?.authorizesPayments == true
        if !needsLeave, let response = try await payByPass(call) { return response }
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
        let offers = PaymentOffers(answer, for: call, configuration: configuration, at: wallet.clock.now())
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
        return try await buy(call, offers, turnsSeen: turnsSeen)
    }

    /// Pays what the call cost the last time, without asking.
    /// - Returns: nil where that is not known, or is not so any more.
    private func payKnownPrice(_ call: Call) async throws -> PaidResponse? {
        guard call.request.via == nil || call.request.via == .cashu,
            let known = try await prices.terms(for: call.priceKey)
        else { return nil }
        try await requireNoneOpen(call)
        do {
            let offer = EcashOffer(way: .cashu, terms: known)
            return try await deliver(call, try await reserve(call, offer), isFresh: true)
        } catch let error as WalletError where error.code == .paymentRefused && Self.isAboutPrice(error) {
            // Nothing was taken: the price has changed since. Ask once more, under the same key.
            try await prices.forget(call.priceKey)
        } catch let error as WalletError where Self.isAboutEcash(error) {
            // The seller may take something else by now.
        }
        return nil
    }

    /// Pays in the first of the ways that goes, the cheapest first. A way that does not go leaves everything as it was.
    private func buy(_ call: Call, _ offers: PaymentOffers, turnsSeen: UInt64) async throws -> PaidResponse {
        try await requireNoneOpen(call)
        var obstacles = offers.obstacles
        let isOnly = offers.usable.count == 1
        for offer in offers.usable {
            if case .ecash = offer {
            } else if call.request.signer?.authorizesPayments == true {
                obstacles.append(
                    WalletError(
                        .challengeUnusable,
                        "a call on a delegation is paid with ecash, and the seller takes none"
                    )
                )
                continue
            }
            let payment: PaymentRecord
            var turn: PassTurns.Turn?
            do {
                switch offer {
                case .ecash(let ecash):
                    let isKept = ecash.way == .cashu
                    if isKept, isOnly { try await prices.learn(ecash.terms, for: call.priceKey) }
                    payment = try await reserve(call, ecash)
                    if isKept, !isOnly { try await prices.learn(ecash.terms, for: call.priceKey) }
                case .invoice(let invoice):
                    switch try await payAhead(invoice, for: call, seen: turnsSeen) {
                    case .response(let response): return response
                    case .payment(let paid, let held): (payment, turn) = (paid, held)
                    }
                case .authorization(let authorization):
                    payment = try await authorize(authorization, for: call)
                }
            } catch let error as WalletError where error.leavesOtherWays {
                obstacles.append(error)
                continue
            }
            defer { turn?.leave() }
            return try await deliver(call, payment, isFresh: true)
        }
        throw Self.summary(of: obstacles)
    }

    /// Why no way went: the limit before the lack of money before anything else.
    private static func summary(of obstacles: [WalletError]) -> WalletError {
        let order: [WalletError.Code] = [.limitExceeded, .invoiceTooHigh, .insufficientFunds, .assetUntrusted]
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
        guard hold(earlier.id) else {
            throw WalletError(.outcomeUnknown, "the call with this idempotency key is under way: ask again in a moment")
        }
        let earlier = try await inHand(earlier)
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

    /// A payment that is held, as it stands now: what was read before it was held may have ended.
    private func inHand(_ earlier: PaymentRecord) async throws -> PaymentRecord {
        do {
            let now = try await payment(earlier.id) ?? earlier
            guard [.sent, .pending, .served, .unserved].contains(now.state) else {
                throw WalletError(
                    .invalidArgument,
                    "the call with this idempotency key ended as \(now.state.rawValue): take a new key to call again"
                )
            }
            return now
        } catch {
            release(earlier.id)
            throw error
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

    /// Whether this process sees a payment through right now.
    func isHeld(_ id: String) -> Bool {
        let now = wallet.clock.now()
        return live.withLock { live in live[id].map { $0 > now } ?? false }
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
