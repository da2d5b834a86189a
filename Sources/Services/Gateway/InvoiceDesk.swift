import Encodings
import Lightning
import Logging
import Paywall
import Synchronization

/// Makes the invoices of a 402, sparingly ([GRA-7]): an asker is shown its unpaid one again, and beyond what is allowed the
/// 402 goes out without Lightning.
final class InvoiceDesk: Sendable {
    /// How long an invoice can be paid, in seconds; and how much of that must be left when it is shown again.
    static let expirySeconds: UInt32 = 600
    static let leftSeconds: Int64 = 180
    /// How long a 402 waits for the Lightning node, in milliseconds.
    static let waitMilliseconds: Int64 = 3000

    private let invoices: any SellerInvoices
    private let store: any GrantStore
    private let rates: RateDesk
    private let throttle: InvoiceThrottle
    private let clock: WallClock
    private let logger: Logger
    /// The Lightning node's key, once it is known.
    private let payee = Mutex<[UInt8]?>(nil)
    private let making: InvoicesInMaking<StoredGrant>

    init(
        invoices: any SellerInvoices,
        store: any GrantStore,
        rates: RateDesk,
        throttle: InvoiceThrottle,
        clock: WallClock,
        logger: Logger
    ) {
        self.invoices = invoices
        self.store = store
        self.rates = rates
        self.throttle = throttle
        making = InvoicesInMaking(limit: throttle.limits.atOnce)
        self.clock = clock
        self.logger = logger
    }

    /// Whether a price can be asked for over Lightning at all.
    func canSell(_ rule: PriceRule, pass: CallPass?) -> Bool {
        // Ecash may be the only way for what is paid by its maximum.
        if rule.quote().isMaximum, pass == nil { return true }
        return terms(rule.priceBeforehand, pass: pass, isMetered: rule.metering != nil) != nil
    }

    private func passTerms(_ price: Price, pass: CallPass?, isMetered: Bool) -> PassTerms? {
        let units: UInt64
        switch pass {
        case .credit(let credit) where credit.unit == price.unit:
            units = credit.amount
        case .calls(let count) where isMetered:
            // So many calls at their maximum: what a call does not use is there for more.
            let (sum, overflow) = price.amount.multipliedReportingOverflow(by: count)
            guard !overflow else { return nil }
            units = sum
        case .seconds where isMetered: return nil
        default: return (try? rates.current.msat(price)).flatMap { PassTerms(pass, msat: $0) }
        }
        guard let unitMsat = try? rates.current.msat(Price(amount: 1, unit: price.unit)) else { return nil }
        return PassTerms(units: units, unitMsat: unitMsat, price: price.amount)
    }

    /// What would be asked for a call, or for a pass of many; nil where it can't be asked for.
    func terms(_ price: Price, pass: CallPass?, isMetered: Bool) -> PassTerms? {
        guard !price.isFree, let terms = passTerms(price, pass: pass, isMetered: isMetered),
            terms.msat.isMultiple(of: max(invoices.amountStepMsat, 1)), terms.msat <= LightningLimits.maximumAmountMsat
        else { return nil }
        return terms
    }

    /// The grant whose invoice a call is asked to pay; nil where there is none to be had now.
    /// - Parameter tie: what the invoice is tied to, for Lightning over x402.
    func grant(for call: IncomingCall, over tie: X402Tie? = nil) async -> StoredGrant? {
        let isMetered = call.rule.metering != nil
        let pass = tie == nil ? call.service.pass : nil
        guard let terms = terms(call.price, pass: pass, isMetered: isMetered) else { return nil }
        let group = RateLimiter.group(address: call.peerAddress ?? "?")
        let asker = Self.asker(of: call, group: group, terms: terms, tie: tie)
        return await making.value(for: asker) { [self] in
            await make(asker, group: group, terms: terms, for: call, over: tie)
        }
    }

    private func make(
        _ asker: [UInt8],
        group: String,
        terms: PassTerms,
        for call: IncomingCall,
        over tie: X402Tie?
    ) async -> StoredGrant? {
        do {
            let now = clock.now()
            let end = now.adding(seconds: Self.leftSeconds)
            if let known = try await store.unpaidGrant(asker: asker, goodUntil: end) { return known }
            guard throttle.allows(group, now: now), try await store.unpaidCount() < throttle.limits.open else {
                return nil
            }
            let text = "\(call.service.name) \(call.method)"
            let invoice = try await invoice(terms.msat, text, over: tie)
            guard invoice.amountMsat == terms.msat else { return nil }
            let grant = StoredGrant(
                terms: L402Grant(
                    paymentHash: invoice.paymentHash,
                    service: call.service.name,
                    methods: call.rule.methods,
                    path: call.rule.pattern,
                    price: call.price,
                    calls: terms.calls,
                    validUntil: max(invoice.expiresAt, now).adding(seconds: terms.seconds)
                ),
                asker: asker,
                invoice: invoice.text,
                msat: terms.msat,
                callMsat: terms.callMsat,
                isCredit: terms.isCredit,
                isTimed: terms.isTimed,
                madeAt: now,
                invoiceUntil: invoice.expiresAt
            )
            // On disk before anybody can pay it.
            return try await store.add(grant, limit: throttle.limits.open) ? grant : nil
        } catch {
            logger.warning("no Lightning invoice can be made for a call", metadata: ["error": "\(error)"])
            return nil
        }
    }

    private func invoice(_ msat: UInt64, _ text: String, over tie: X402Tie?) async throws -> BOLT11Invoice {
        func make(_ description: String) async throws -> BOLT11Invoice {
            let invoice = try await invoices.invoice(
                amountMsat: msat,
                description: description,
                expirySeconds: Self.expirySeconds
            )
            payee.withLock { $0 = invoice.payeeNodeID }
            return invoice
        }
        guard let tie else { return try await make(text) }
        // The terms name the payee, whose key any of its invoices tells; one that only told it is never shown.
        if payee.withLock({ $0 }) == nil { _ = try await make(text) }
        guard let key = payee.withLock({ $0 }) else { return try await make(text) }
        let invoice = try await make(try tie.description(text, amountMsat: msat, payee: key))
        guard tie.requirements(invoice) == nil else { return invoice }
        return try await make(try tie.description(text, amountMsat: msat, payee: invoice.payeeNodeID))
    }

    /// Who asks for what: the address's group, the service, the method and target, the price and what is sold for it.
    private static func asker(
        of call: IncomingCall,
        group: String,
        terms: PassTerms,
        tie: X402Tie?
    ) -> [UInt8] {
        let over = tie.map { ["x402", $0.resource.url, "\($0.maxTimeoutSeconds)"] } ?? []
        let parts = [
            group, call.service.name, call.method, call.target, call.price.description,
            "\(terms.msat)/\(terms.calls)/\(terms.seconds)",
        ]
        return InvoiceThrottle.asker("mintmark-asker-1", parts + over)
    }
}

/// How many invoices are made for calls that nobody has paid yet.
public struct InvoiceLimits: Sendable {
    /// For one address (an IPv6 /64).
    public var perAddress = RateLimit(perSecond: 1, burst: 20)
    /// For all together.
    public var all = RateLimit(perSecond: 20, burst: 200)
    /// Unpaid ones kept; over it none is made until some have lapsed.
    public var open = 20_000
    /// Asked of the Lightning node at a time.
    public var atOnce = 64

    public init() {}
}
