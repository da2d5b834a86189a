public import Budgets
public import Cryptography
public import Encodings
internal import HTTPTypes
public import Hummingbird
public import Lightning
public import Logging
public import Market
public import NIOCore
public import Paywall
public import SignedDocuments
public import Storage
internal import Synchronization
public import Workers

/// How the gateway behaves; the operator's choices.
public struct GatewayConfiguration: Sendable {
    /// The origins callers reach this node by, such as `https://api.example`. A signed request must name one of them, so
    /// that what was signed for another seller can't be replayed here. Empty: loopback only, over plain HTTP.
    public var publicOrigins: [String] = []
    /// The origin of the node's transparency log, where receipts promise to be; nil without one.
    public var logOrigin: (@Sendable () -> String)?
    /// How long after a call its proofs are redeemed at the latest, in seconds.
    public var redeemWithinSeconds: Int64 = 600
    /// The most ecash that may lie unredeemed at one mint, in the mint's unit.
    public var unredeemedCap: UInt64 = 10_000
    /// The most proofs redeemed in one batch.
    public var batchLimit = 200
    /// How long answers are kept to be given again, in seconds.
    public var answerKeepSeconds: Int64 = 24 * 3600
    /// The longest answer kept, in bytes.
    public var keptAnswerLimitBytes = 1 << 20
    /// The most bytes of answers kept; over it a repeated call gets its receipt instead of its answer.
    public var keptAnswersLimitBytes: Int64 = 256 << 20
    /// How long an interrupted call of an idempotent service waits to be asked for again before it is refunded, in seconds.
    public var interruptedWaitSeconds: Int64 = 600
    /// The most calls at a time; over it 503.
    public var maximumCalls = 2048
    /// What units are worth in millisatoshis: a price in another unit than sat and msat is asked over Lightning only with one.
    public var rates = PriceRates()
    /// Where rates come from that are not in the table; nil where none do.
    public var rateSource: (any RateSource)?
    public var rateBounds = RateBounds()
    public var invoiceLimits = InvoiceLimits()
    /// Where upstreams may stand.
    public var upstreamPolicy = UpstreamPolicy()
    /// What is needed to sell over x402's `exact`; nil where that is not done.
    public var exact: ExactSale?
    /// The network of the invoices, as x402 names it.
    public var lightningNetwork = LightningNetwork.simulated
    /// Answers up to this are read whole, so that the receipt can be a header.
    public var bufferedAnswerLimitBytes = 64 << 10

    public init() {}
}

/// The paying reverse proxy: `/s/<service>/…` ([CALL-1]), and services by host ([GWY-1]).
///
/// One direction: price → who asks → claim → upstream → settle. Pure rooms decide, this one does. Every promise to a buyer
/// is on disk before the buyer sees it.
public final class Gateway: Sendable {
    public static let mountPath = "/s/"

    let configuration: GatewayConfiguration
    let store: any ClaimStore & ExactStore
    let grants: any GrantStore
    /// The secrets of credentials.
    public let keys: PaywallKeys
    /// nil where nothing is sold over Lightning.
    let invoiceDesk: InvoiceDesk?
    let rates: RateDesk
    let sessions: SQLiteSessionStore
    /// The same for sessions.
    let depositDesk: DepositDesk?
    let registry: ServiceRegistry
    /// What backs the promises of all services; nil: nothing.
    let backing = Mutex<Listing.Bond?>(nil)
    private let serviceWatchers = Mutex<[@Sendable () async -> Void]>([])
    let purse: any SellerPurse
    let house: any HouseMint
    let callers: any CallerCheck
    let delegations: DelegationDesk
    let workers: WorkerPool
    let desk: ReceiptDesk
    let sellerSecret: Secp256k1.Scalar
    /// The compressed key that buyers lock ecash to, 33 bytes.
    public let sellerKey: [UInt8]
    let clock: WallClock
    let logger: Logger
    let terms: TermsBook
    let usage: SQLiteUsageStore
    /// One redemption at a time.
    let redemption = Turnstile()
    /// One round of settling what was reserved at a time.
    let reservedSettlement = Turnstile()
    /// Remainders of sessions that are being paid just now.
    let payouts = Mutex<[[UInt8]: Task<StoredSession?, Never>]>([:])
    let limiter = RateLimiter()
    let slots: CallCount
    /// WebSockets by the second.
    let sockets = OpenSales()
    let keyTables = KeyTables()
    /// Passes for a time that were used once.
    let passes = OpenPasses()
    let metrics = GatewayMetrics()
    /// Why offline acceptance is off, as on disk.
    let offlineStop = Mutex<String?>(nil)
    let keptAnswerBytes = Mutex<Int64>(0)
    /// Claims whose task went away without an end.
    let abandoned = Mutex<[String]>([])
    /// Claims whose payment a request is settling just now.
    let settling = Mutex<Set<String>>([])
    let isSettlingReserved = Atomic(false)

    /// - Parameters:
    ///   - database: opened with ``GatewayTables/migrations``.
    ///   - house: the node's own mint, on the same database.
    ///   - sellerSecret: the node's ecash key, used by nothing but its claims.
    ///   - sealingKey: seals the secrets of credentials in the database: 32 bytes, from the node's vault.
    ///   - invoices: where money comes in over Lightning; nil where nothing is sold that way.
    ///   - signer: the node's identity, which signs receipts.
    ///   - budgets: what this node knows to be taken back of delegations; nil where it keeps no such list.
    ///   - group: where the connections to upstreams live.
    public init(
        database: Database,
        purse: any SellerPurse,
        house: any HouseMint = NoHouseMint(),
        callers: any CallerCheck,
        workers: WorkerPool,
        sellerSecret: Secp256k1.Scalar,
        sealingKey: [UInt8],
        invoices: (any SellerInvoices)? = nil,
        signer: DocumentSigner,
        group: any EventLoopGroup,
        clock: WallClock,
        configuration: GatewayConfiguration = GatewayConfiguration(),
        store: (any ClaimStore & ExactStore)? = nil,
        budgets: BudgetOffice? = nil,
        logger: Logger
    ) {
        self.configuration = configuration
        self.store = store ?? SQLiteClaimStore(database: database, house: house)
        let grants = SQLiteGrantStore(database: database)
        self.grants = grants
        usage = SQLiteUsageStore(database: database)
        keys = PaywallKeys(database: database, sealingKey: sealingKey, clock: clock)
        let rates = RateDesk(
            fixed: configuration.rates,
            source: configuration.rateSource,
            bounds: configuration.rateBounds,
            clock: clock,
            logger: logger
        )
        self.rates = rates
        let throttle = InvoiceThrottle(configuration.invoiceLimits)
        invoiceDesk = invoices.map {
            InvoiceDesk(
                invoices: $0,
                store: grants,
                rates: rates,
                throttle: throttle,
                clock: clock,
                logger: logger
            )
        }
        let sessions = SQLiteSessionStore(database: database)
        self.sessions = sessions
        depositDesk = invoices.map {
            DepositDesk(
                invoices: $0,
                store: sessions,
                rates: rates,
                throttle: throttle,
                clock: clock,
                logger: logger
            )
        }
        registry = ServiceRegistry(
            database: database,
            group: group,
            policy: configuration.upstreamPolicy,
            logger: logger
        )
        self.purse = purse
        self.house = house
        self.callers = callers
        delegations = DelegationDesk(did: signer.did, office: budgets, clock: clock)
        self.workers = workers
        desk = ReceiptDesk(signer: signer, logOrigin: configuration.logOrigin)
        self.sellerSecret = sellerSecret
        sellerKey = Secp256k1.Point(multiplyingGeneratorBy: sellerSecret).compressed
        self.clock = clock
        self.logger = logger
        terms = TermsBook(purse: purse, clock: clock, logger: logger)
        slots = CallCount(limit: configuration.maximumCalls)
    }

    // MARK: Services

    public var services: [ServiceDefinition] { registry.all() }

    public func service(_ name: String) -> ServiceDefinition? { registry.entry(name)?.definition }

    /// - Throws: ``GatewayError`` `invalid-service` for what this node can't sell, `service-exists`, `too-many-services`.
    public func add(_ service: ServiceDefinition, replaces: Bool = false) async throws {
        try requireSellable(service)
        try requireFreeHosts(service)
        try registry.requireAllowed(service)
        try await registry.add(service, replaces: replaces, at: clock.now().millisecondsSince1970)
        await tellWatchers()
    }

    public func remove(service name: String) async throws {
        try await registry.remove(name)
        await tellWatchers()
    }

    /// Calls `body` after each change of ``services``, before whoever made it is answered.
    public func onServicesChange(_ body: @escaping @Sendable () async -> Void) {
        serviceWatchers.withLock { $0.append(body) }
    }

    /// Says with every service what backs its promise from now on.
    public func back(with bond: Listing.Bond?) async {
        let isNew = backing.withLock { backing in
            defer { backing = bond }
            return backing != bond
        }
        if isNew { await tellWatchers() }
    }

    private func tellWatchers() async {
        for body in serviceWatchers.withLock({ $0 }) { await body() }
    }

    /// A receipt that this node gave, as JSON; nil where there is none of that id.
    public func receipt(id: String) async throws -> [UInt8]? {
        try await store.receipt(id: id)
    }

    /// The latest receipts that this node gave, as JSON, newest first.
    public func receipts(limit: Int) async throws -> [[UInt8]] {
        try await store.receipts(limit: limit)
    }

    /// The receipts that this node gave after the one of `sequence`, as JSON, in the order in which it did.
    public func receipts(after sequence: Int64, limit: Int) async throws -> [(sequence: Int64, document: [UInt8])] {
        try await store.receipts(after: sequence, limit: min(max(1, limit), 1_000))
    }

    // MARK: Calls

    /// Answers a request that the gateway ``answers(_:)``.
    /// - Parameter peerAddress: the client's address, for rate limits and `Forwarded`; nil where it isn't known.
    /// - Throws: only what ends the connection, such as a request that is not HTTP.
    public func respond(to request: Request, peerAddress: String?) async throws -> Response {
        // A task keeps the memory of the deepest call that it ever made, and a connection has one task: it would hold tens of
        // kilobytes as long as an answer that is only waiting, such as a stream of events, is open.
        let call = Task.immediate { try await respond(to: request, peerAddress: peerAddress, socket: nil) }
        return try await withTaskCancellationHandler {
            try await call.value
        } onCancel: {
            call.cancel()
        }
    }

    /// - Parameter socket: where the request asks for a WebSocket that can be passed on.
    func respond(to request: Request, peerAddress: String?, socket: WebSocketAttempt?) async throws -> Response {
        let began = NIODeadline.now()
        var service = "-"
        var cors: CORSPolicy?
        var response: Response
        var outcome: String
        do {
            let route = try route(request)
            service = route.entry.definition.name
            cors = route.entry.definition.proxy.cors
            if let cors, CORSPolicy.isPreflight(request) {
                let path = try RequestPath(route.target.prefix { $0 != "?" })
                let response = try cors.preflight(request, methods: route.entry.definition.prices.methods(path: path))
                metrics.record(service: service, outcome: "preflight", began: began)
                return response
            }
            var call = try receive(request, by: route, peerAddress: peerAddress)
            call.socket = socket
            (response, outcome) = try await answer(call, request: request)
        } catch let refusal as CallRefusal {
            outcome = refusal.code.rawValue
            response = await refused(refusal)
        } catch let refusal as CallerRefusal {
            outcome = refusal.code
            response = Problem.response(refusal)
        } catch let error as WorkerPoolError {
            outcome = CallRefusal.Code.overloaded.rawValue
            response = Problem.response(CallRefusal(.overloaded, "\(error)", retryAfterSeconds: 1))
        } catch let error as GatewayError {
            // Another step of the same call came first, or a row is not what it should be: nothing is known for sure.
            outcome = error.code.rawValue
            logger.error("a call met a claim it did not expect", metadata: ["error": "\(error)"])
            response = Problem.response(
                CallDecision.pending("The call's payment is being settled; ask again with the same key and payment.")
            )
        } catch let error as DocumentError where error.code == .keyUnavailable {
            // Served or refunded as soon as the key is back: the housekeeping ends what was begun.
            outcome = CallRefusal.Code.paymentPending.rawValue
            logger.error("a call's receipt can't be signed now", metadata: ["error": "\(error)"])
            response = Problem.response(
                CallDecision.pending("The call's payment is being settled; ask again with the same key and payment.")
            )
        } catch let error as StorageError {
            outcome = CallRefusal.Code.storageFailed.rawValue
            logger.error("a call can't be kept on disk", metadata: ["error": "\(error)"])
            response = Problem.response(
                CallRefusal(
                    .storageFailed,
                    "The seller can't write to its disk now; ask again with the same key and payment.",
                    retryAfterSeconds: 5
                )
            )
        }
        cors?.open(&response, to: request)
        metrics.record(service: service, outcome: outcome, began: began)
        return response
    }

    /// A refusal, with the receipt of the earlier call where it has one.
    private func refused(_ refusal: CallRefusal) async -> Response {
        var response = Problem.response(refusal)
        if let id = refusal.receiptID, let receipt = try? await store.receipt(id: id) {
            response.headers[.agentReceipt] = Base64URL.encode(receipt)
        }
        // The same call, asked by who made it: its change can be fetched for as long as a refund ([CHG-2]).
        if refusal.code == .alreadyServed, let id = refusal.receiptID {
            response.headers[.xCashu] = try? await storedChange(claimID: id)
        }
        return response
    }

    /// Reads what the call is, and refuses what can be refused at once.
    private func receive(_ request: Request, by route: ServiceRoute, peerAddress: String?) throws -> IncomingCall {
        guard let slot = CallSlot(slots) else {
            throw CallRefusal(
                .overloaded,
                "The seller has too many calls at once; try again shortly.",
                retryAfterSeconds: 1
            )
        }
        let entry = route.entry
        let path = try RequestPath(route.target.prefix { $0 != "?" })
        let method = request.head.method.rawValue
        guard method != "CONNECT", method != "TRACE", method.utf8.count <= 32 else {
            throw CallRefusal(.notForSale, status: 501, "The method \(method.prefix(32)) is not passed on.")
        }
        if let limit = entry.definition.rateLimit {
            let key = "\(entry.definition.name) \(RateLimiter.group(address: peerAddress ?? "?"))"
            try limit.check(limiter, key: key)
        }
        guard let rule = entry.definition.prices.rule(method: method, path: path) else {
            throw CallRefusal(
                .notForSale,
                "\(method) on this path is not for sale; the seller's price list does not name it."
            )
        }
        var call = IncomingCall(
            service: entry.definition,
            upstream: entry.upstream,
            method: method,
            path: path,
            target: route.target,
            rawTarget: request.head.path ?? "",
            isByHost: route.isByHost,
            headers: request.headers,
            authority: request.head.authority,
            peerAddress: peerAddress,
            rule: rule,
            promise: entry.promise,
            slot: slot,
            at: clock.now()
        )
        Self.firstQuote(&call)
        return call
    }
}

/// A call as it came in.
struct IncomingCall: Sendable {
    var service: ServiceDefinition
    var upstream: UpstreamPool
    var method: String
    var path: RequestPath
    /// Path and query below the service.
    var target: String
    /// Path and query as sent.
    var rawTarget: String
    /// Whether the host named the service, not the path.
    var isByHost: Bool
    var headers: HTTPFields
    var authority: String?
    var peerAddress: String?
    /// What sets its price.
    var rule: PriceRule
    /// What is given back where its answer breaks the service's promise; nil where nothing is.
    var promise: CallPromise?
    /// What was shown as payment under the `Payment` scheme; its answer has a `Payment-Receipt`.
    var presented: PresentedPayment?
    /// Why nothing is sold now; nil where the upstream is there ([GWY-8]).
    var unavailable: CallRefusal?
    /// Where the call asks for a WebSocket.
    var socket: WebSocketAttempt?
    /// What was shown as payment over x402; its answer tells how it was settled.
    var x402: PresentedX402?
    /// The client's own name for its payment, if any.
    var paymentIdentifier: String?
    /// Held until the answer is sent.
    var slot: CallSlot
    var at: Timestamp

    /// What it costs, as far as that is known; nil where the price is fixed.
    var quote: PriceQuote?
    /// What its holder used in the periods of the rule's meters.
    var used: [PriceMeasure: UInt64] = [:]
    /// Whose use is counted; nil where nobody's is.
    var holder: String?

    var price: Price { quote?.price ?? rule.price }

    /// Whether the client sends a body.
    var hasBody: Bool {
        headers[.transferEncoding] != nil || headers[.contentLength].map { $0 != "0" } ?? false
    }

    /// Whether somebody shows who it is.
    var isSigned: Bool {
        headers[.signatureInput] != nil || headers[.signature] != nil || headers[.agentPassport] != nil
    }
}

/// A payment under the `Payment` scheme, as its receipt names it ([PAY-6]).
struct PresentedPayment: Sendable {
    var method: String
    /// The payment hash or the payment digest, in hex.
    var reference: String
    var challengeID: String
    /// Of a session's end: what goes back, and how that went.
    var refund: (sats: UInt64, status: PaymentReceipt.Refund)?
    /// Of a session's call: what it cost, in msat.
    var spentMsat: UInt64?

    /// The value of `Payment-Receipt`; nil where it can't be written.
    func receipt(at now: Timestamp) -> String? {
        try? PaymentReceipt(
            method: method,
            reference: reference,
            timestamp: now,
            challengeID: challengeID,
            refundSats: refund?.sats,
            refund: refund?.status,
            // Rounded up: the fraction of a sat is never less than what the session pays.
            spentSats: spentMsat.map { $0 / 1000 + ($0 % 1000 == 0 ? 0 : 1) },
            units: spentMsat == nil ? nil : 1
        ).header()
    }
}

extension HTTPField.Name {
    static let host = HTTPField.Name("Host") ?? .connection
}

extension RateLimit {
    func check(_ limiter: RateLimiter, key: String) throws(CallRefusal) {
        if let seconds = limiter.take(key, limit: self) {
            throw CallRefusal(
                .tooManyRequests,
                "More than \(perSecond) calls a second (\(burst) at once); wait a little.",
                retryAfterSeconds: seconds
            )
        }
    }
}

extension RateLimiter {
    /// One caller's addresses: an IPv4 address, or an IPv6 /64, since a host has all of those to itself.
    static func group(address: String) -> String {
        guard address.contains(":"), !address.contains(".") else { return address }
        let plain = address.split(separator: "%").first.map(String.init) ?? address
        let halves = plain.components(separatedByDouble: ":")
        var groups = halves.0
        if let tail = halves.1 {
            let missing = max(0, 8 - groups.count - tail.count)
            groups += Array(repeating: "0", count: missing) + tail
        }
        return groups.prefix(4).joined(separator: ":") + "::/64"
    }
}

extension String {
    /// The groups before and after the first doubled separator; nil after where there is none.
    fileprivate func components(separatedByDouble separator: Character) -> ([String], [String]?) {
        var before: [String] = []
        var after: [String]?
        let parts = split(separator: separator, omittingEmptySubsequences: false).map(String.init)
        for (index, part) in parts.enumerated() {
            if part.isEmpty {
                if index > 0, after == nil { after = [] }
                continue
            }
            if after == nil { before.append(part) } else { after?.append(part) }
        }
        return (before, after)
    }
}
