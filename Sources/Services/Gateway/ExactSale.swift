public import Cashu
public import Encodings
public import Ethereum
public import Paywall
public import Settlement

/// What a node needs to sell calls over x402's `exact` ([XEX-1]).
public struct ExactSale: Sendable {
    /// The tokens that are taken, the one that is offered first in front; all on one chain.
    public var assets: [X402.Asset]
    /// Whom payments go to.
    public var payTo: Address
    /// Who carries payments out. Its word is final: where it may lie, it stands behind a ``WitnessedFacilitator``.
    public var facilitator: any Facilitator
    /// Whether the facilitator is asked before a payment is claimed: one that keeps nothing can't tell a payment that it carried
    /// out from one that somebody used elsewhere before.
    public var verifiesFirst: Bool
    /// The most that may be reserved and not settled yet, with what was lost of it, in a token's smallest unit, by its name in
    /// the books ([XEX-8]). Without an entry every payment is settled first.
    public var reserveCaps: [String: UInt64]
    /// How many reserved payments are settled at a time, right after their calls; 0 leaves them to the housekeeping.
    public var settlementsAtOnce: Int

    public init(
        assets: [X402.Asset],
        payTo: Address,
        facilitator: any Facilitator,
        verifiesFirst: Bool = false,
        reserveCaps: [String: UInt64] = [:],
        settlementsAtOnce: Int = 16
    ) {
        self.assets = assets
        self.payTo = payTo
        self.facilitator = facilitator
        self.verifiesFirst = verifiesFirst
        self.reserveCaps = reserveCaps
        self.settlementsAtOnce = settlementsAtOnce
    }

    /// Time to carry a payment out, beyond that of the call, in seconds.
    static let settlingSeconds: Int64 = 60
    /// How much longer than asked for an authorisation may hold, in seconds: clocks differ. One that holds for years could be
    /// carried out long after everybody forgot it.
    static let spareSeconds: Int64 = 600

    /// How long a payment for a call of this service should hold, in seconds.
    static func timeoutSeconds(_ service: ServiceDefinition) -> Int64 {
        service.timeouts.totalSeconds + settlingSeconds
    }

    func canSell(_ price: Price, rates: PriceRates) -> Bool {
        assets.contains { (try? $0.amount(of: price, rates: rates)).map { $0 > 0 } ?? false }
    }
}

/// A payment of `exact` that was checked, about to be claimed.
public struct ExactPayment: Sendable {
    /// SHA-256 of the payment's one name: chain, contract, payer and nonce. Claimed once.
    public var key: [UInt8]
    public var digest: PaymentDigest
    public var payer: String
    /// The token, as `eip155:84532/0x…`.
    public var asset: String
    /// How the books name its smallest unit.
    public var unit: CurrencyUnit
    public var amount: UInt64
    /// What the facilitator is asked, as JSON: the same bytes each time.
    public var request: [UInt8]
    /// Seconds since 1970.
    public var validBefore: Int64
    public var way: Way
    public enum Way: Sendable, Equatable {
        /// Settled before the call.
        case settleFirst
        /// Settled after the call, under the cap.
        case reserve(cap: UInt64)
        /// Settled before; its call was given back.
        case credit
    }

    /// Whether it is settled before the call, now or earlier.
    var isSettledFirst: Bool { if case .reserve = way { false } else { true } }

    public init(
        key: [UInt8],
        digest: PaymentDigest,
        payer: String,
        asset: String,
        unit: CurrencyUnit,
        amount: UInt64,
        request: [UInt8],
        validBefore: Int64,
        way: Way = .settleFirst
    ) {
        self.key = key
        self.digest = digest
        self.payer = payer
        self.asset = asset
        self.unit = unit
        self.amount = amount
        self.request = request
        self.validBefore = validBefore
        self.way = way
    }
}

/// A payment of `exact` as the store holds it.
public struct StoredExact: Sendable, Equatable {
    public enum State: String, Sendable {
        /// Handed to the facilitator, or about to be; its outcome is not known.
        case settling
        /// To be settled after the call.
        case reserved
        case settled
        /// Not settled, and never will be by us: the call was not charged.
        case dropped
        /// Reserved, served, and could not be settled.
        case lost
    }
    public var key: [UInt8]
    /// The claim that has it now.
    public var claimID: String
    public var payer: String
    public var unit: String
    public var amount: UInt64
    public var request: [UInt8]
    public var state: State
    /// The chain's name of the transaction, where it is settled.
    public var transaction: String?
    /// Until when the call that was given back can be made; nil where there is none.
    public var creditUntil: Timestamp?
}

/// What is at risk in one token, in its smallest unit.
public struct ExactTotal: Sendable, Equatable {
    public var unit: String
    public var reserved: UInt64
    /// Served for nothing, and counted against the cap.
    public var lost: UInt64
}

/// Where payments of `exact` live, beside their claims.
///
/// Each function is one transaction, durable when it returns.
public protocol ExactStore: Sendable {
    func exact(key: [UInt8]) async throws -> StoredExact?
    func exact(claimID: String) async throws -> StoredExact?
    /// What to do with a call that looks like an earlier one; `proceed` where there is none, or the call was given back.
    func decide(scope: IdempotencyScope, exact key: [UInt8], now: Timestamp) async throws -> CallDecision
    /// `redeeming` → `running`: the payment is settled.
    func exactSettled(claimID: String, transaction: String, at: Timestamp) async throws
    /// Reserved payments whose calls were served, the oldest first.
    func exactDue(limit: Int) async throws -> [StoredExact]
    /// Ends a reserved payment: settled where there is a transaction, else lost.
    func exactFinished(key: [UInt8], transaction: String?, at: Timestamp) async throws
    /// Whether a payer's reserved payment was ever lost: then none of its is reserved any more.
    func hasLostExact(of payer: String) async throws -> Bool
    /// Forgives what was lost, so that it does not count against the cap any more.
    /// - Returns: how many payments that were.
    func forgiveLostExact() async throws -> Int
    /// What is at risk in each token: reserved and not settled, and lost and not forgiven.
    func exactTotals() async throws -> [ExactTotal]
    /// Ends calls that were given back and not made in time: what was paid for them is earned.
    func endExactCredits(now: Timestamp, limit: Int) async throws -> Int
}
