package import AsyncHTTPClient
public import Cashu
public import Encodings
public import Lightning
public import NIOCore
public import Paywall
public import Storage

/// The body of a call. It may have to be sent again, so a stream is opened anew each time.
public enum PaidBody: Sendable {
    case none
    /// Kept on disk up to 1 MiB until the call is settled, so that a crash can be recovered from.
    case bytes([UInt8])
    /// - Parameters:
    ///   - length: in bytes, where it is known.
    ///   - digest: SHA-256 of it, 32 bytes, where it is known; a signed request needs it.
    ///   - open: starts the same bytes from the beginning.
    case stream(length: Int64?, digest: [UInt8]?, open: @Sendable () -> AsyncThrowingStream<ByteBuffer, any Error>)
}

/// What an agent may spend in any window of so many seconds.
public struct SpendingLimit: Sendable {
    /// What is spent under the same limit beside this wallet's payments, in the call's unit; read in the payment's transaction.
    public typealias Elsewhere = @Sendable (_ now: Timestamp, Connection) throws -> UInt64

    /// In the call's unit.
    public var amount: UInt64
    public var windowSeconds: Int64
    public var elsewhere: Elsewhere?

    public init(_ amount: UInt64, windowSeconds: Int64, elsewhere: Elsewhere? = nil) {
        self.amount = amount
        self.windowSeconds = windowSeconds
        self.elsewhere = elsewhere
    }

    /// What is spent of it in the window that ends now.
    func spent(by agent: String, unit: CurrencyUnit, at now: Timestamp, in connection: Connection) throws -> UInt64 {
        let here = try PaymentStore.spent(
            by: agent,
            unit: unit,
            since: now.adding(seconds: -windowSeconds),
            in: connection
        )
        let (sum, overflow) = here.addingReportingOverflow(try elsewhere?(now, connection) ?? 0)
        return overflow ? .max : sum
    }

    /// What is left of it.
    func room(for agent: String, unit: CurrencyUnit, at now: Timestamp, in connection: Connection) throws -> UInt64 {
        let spent = try spent(by: agent, unit: unit, at: now, in: connection)
        return amount > spent ? amount - spent : 0
    }
}

/// A call to a service that may cost something.
public struct PaidRequest: Sendable {
    public var method: String
    /// http(s), at most 8,192 bytes.
    public var url: String
    /// Without those that the buyer itself sends (`X-Cashu`, `PAYMENT-SIGNATURE`, `Idempotency-Key`, signatures) and without hop-by-hop ones. A
    /// call with an `Authorization` of its own can't be paid by L402 or `Payment`, which need that header.
    public var headers: [(name: String, value: String)]
    public var body: PaidBody
    /// The most this call may cost, in `unit`: fees of the seller's redeeming, and of paying an invoice, included.
    public var maximum: UInt64
    public var unit: CurrencyUnit
    /// On whose account it goes; limits count by this name.
    public var agent: String
    /// The most that `agent` may spend; nil: no limit.
    public var spendingLimit: SpendingLimit?
    /// At most 255 visible ASCII characters; nil: a random one. The same key never pays twice.
    public var idempotencyKey: String?
    /// Signs as the agent; nil: the call is anonymous.
    public var signer: (any RequestSigning)?
    /// The only way it may be paid; nil: what costs least, ecash before Lightning before a token on a chain.
    public var via: PaymentVia?
    /// The most to deposit for a session of many calls, in `unit`, fees included; nil: none is opened. Calls of a session
    /// that is open take from it: the seller decides how much, up to what is deposited.
    public var sessionDeposit: UInt64?
    /// What it goes over; nil: the buyer's own connections. Where the payment is taken up later, it goes over those.
    package var client: HTTPClient?

    public init(
        method: String = "GET",
        url: String,
        headers: [(name: String, value: String)] = [],
        body: PaidBody = .none,
        maximum: UInt64,
        unit: CurrencyUnit = .sat,
        agent: String = "",
        spendingLimit: SpendingLimit? = nil,
        idempotencyKey: String? = nil,
        signer: (any RequestSigning)? = nil,
        via: PaymentVia? = nil
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.maximum = maximum
        self.unit = unit
        self.agent = agent
        self.spendingLimit = spendingLimit
        self.idempotencyKey = idempotencyKey
        self.signer = signer
        self.via = via
    }
}

/// Says who calls: adds the agent's passport and its signature over the request (RFC 9421). The adapter stands where
/// agents and their keys are.
public protocol RequestSigning: Sendable {
    /// The agent's did:key, as it will stand in receipts.
    var did: String { get }
    /// Whether each payment needs leave before money moves. Then a call is paid with ecash alone: an invoice would be paid
    /// before the seller, or anybody, was asked.
    var authorizesPayments: Bool { get }
    /// The headers to add, made anew for every attempt, since a signature is good for a minute and once.
    /// - Parameter request: what will be sent, with all headers that a signature covers; a body's `Content-Digest` is
    ///   among them.
    func signatureHeaders(for request: SignableRequest) async throws -> [(name: String, value: String)]
}

extension RequestSigning {
    public var authorizesPayments: Bool { false }
}

/// A request as the signer sees it.
public struct SignableRequest: Sendable {
    public var method: String
    /// Absolute, without fragment.
    public var url: String
    public var headers: [(name: String, value: String)]
    public var hasBody: Bool
    /// SHA-256 of the body, of no bytes where there is none.
    public var bodyDigest: [UInt8]
    /// What is paid with this request; nil where the price is asked for.
    public var payment: SignablePayment?
}

/// A payment as whoever signs for it sees it: the same for all attempts of one payment.
public struct SignablePayment: Sendable, Equatable {
    public var id: String
    /// What the seller gets, in `unit`.
    public var amount: UInt64
    public var unit: CurrencyUnit
}

/// What a service answered.
public struct PaidResponse: Sendable {
    public enum Outcome: Sendable, Equatable {
        /// The call cost nothing.
        case free
        /// Paid and answered. The receipt is there once the body is read.
        case served
        /// Paid and answered before; the seller no longer has the answer, only the receipt.
        case servedBefore
        /// Not served; the money is back.
        case refunded
    }

    public var outcome: Outcome
    public var status: Int
    public var headers: [(name: String, value: String)]
    /// Read it to its end: then the payment is settled.
    public var body: PaidResponseBody
    /// Nil for a free call. Ask `Buyer.payment` for its state and receipt.
    public var payment: PaymentSummary?
}

/// What was paid for a call.
public struct PaymentSummary: Sendable, Equatable {
    public var id: String
    /// What the seller got; 0 where a pass did that was bought before.
    public var amount: UInt64
    /// What paying an invoice cost on top.
    public var fee: UInt64
    public var unit: CurrencyUnit
    public var way: PaymentWay
    /// Whose ecash it was; nil: the node's own Lightning backend paid, or a pass.
    public var mint: MintURL?
}

/// How a buyer behaves.
public struct BuyerConfiguration: Sendable {
    /// Hosts besides loopback that may be called over plain http. Tokens are locked to their seller, but plain http
    /// also shows the call and the passport to the way.
    public var plainHTTPHosts: Set<String>
    /// How long the seller may take until its answer begins, in seconds.
    public var timeoutSeconds: Int64
    /// How often one payment is sent while its outcome is not known.
    public var attempts: Int
    /// Calls that a new seller's first pool covers; each refill covers twice as many, up to `maximumPoolCalls`.
    public var firstPoolCalls: Int
    public var maximumPoolCalls: Int
    /// The most that may lie in one seller's pool, in the unit; a single call may exceed it.
    public var maximumPoolValue: UInt64
    /// How long a pool's coins stay locked, in seconds.
    public var lockSeconds: Int64
    /// Coins with less than this left are not given any more: the seller wants an hour past its redeem-by time.
    public var minimumLockSeconds: Int64
    /// How long a price that was learned is taken for granted, in seconds.
    public var priceAgeSeconds: Int64
    /// The network whose invoices are paid; those of any other are refused.
    public var network: LightningNetwork
    /// The tokens on EVM chains that may be paid with; any other is refused.
    public var assets: [EVMAsset]
    /// What units are worth, where a call is paid in another than its limit is in.
    public var rates: PriceRates
    /// The longest that an authorisation to pay is good for, in seconds: until then its seller may still use it.
    public var maximumAuthorizationSeconds: Int64
    public var pause: @Sendable (Int) async -> Void

    public init(
        plainHTTPHosts: Set<String> = [],
        timeoutSeconds: Int64 = 60,
        attempts: Int = 5,
        firstPoolCalls: Int = 4,
        maximumPoolCalls: Int = 64,
        maximumPoolValue: UInt64 = 1000,
        lockSeconds: Int64 = 6 * 3600,
        minimumLockSeconds: Int64 = 2 * 3600,
        priceAgeSeconds: Int64 = 3600,
        network: LightningNetwork = .mainnet,
        assets: [EVMAsset] = [],
        rates: PriceRates = PriceRates(),
        maximumAuthorizationSeconds: Int64 = 900,
        pause: @escaping @Sendable (Int) async -> Void = { try? await Task.sleep(for: .milliseconds($0)) }
    ) {
        self.plainHTTPHosts = plainHTTPHosts
        self.timeoutSeconds = timeoutSeconds
        self.attempts = max(1, attempts)
        self.firstPoolCalls = max(1, firstPoolCalls)
        self.maximumPoolCalls = max(1, maximumPoolCalls)
        self.maximumPoolValue = maximumPoolValue
        self.lockSeconds = lockSeconds
        self.minimumLockSeconds = minimumLockSeconds
        self.priceAgeSeconds = priceAgeSeconds
        self.network = network
        self.assets = assets
        self.rates = rates
        self.maximumAuthorizationSeconds = max(60, maximumAuthorizationSeconds)
        self.pause = pause
    }
}
