import Encodings
import Lightning
import Logging
import Paywall

/// Makes the deposit invoices of sessions, as sparingly as those of calls ([GRA-7]): an asker is shown its unpaid one again, and
/// beyond what is allowed the 402 goes out without a session.
final class DepositDesk: Sendable {
    private let invoices: any SellerInvoices
    private let store: SQLiteSessionStore
    private let rates: RateDesk
    private let throttle: InvoiceThrottle
    private let clock: WallClock
    private let logger: Logger
    private let making: InvoicesInMaking<StoredDeposit>

    init(
        invoices: any SellerInvoices,
        store: SQLiteSessionStore,
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

    /// Whether what is left of a session can be paid back from here: without that none is opened.
    var paysOut: Bool { invoices.paysOut }

    func payOut(_ invoice: BOLT11Invoice, amountMsat: UInt64) async -> SellerPayout {
        await invoices.payOut(invoice, amountMsat: amountMsat)
    }

    /// What a call takes of a session, in msat; nil where its unit has no rate.
    func msat(_ price: Price) -> UInt64? { try? rates.current.msat(price) }

    /// What one call costs at most, rounded up to a sat, and what a deposit is; nil where none can be asked for.
    func terms(_ price: Price, _ terms: SessionTerms) -> (unitSats: UInt64, depositSats: UInt64)? {
        guard let msat = msat(price), msat > 0 else { return nil }
        let unit = msat / 1000 + (msat % 1000 == 0 ? 0 : 1)
        return terms.deposit(unitSats: unit).map { (unit, $0) }
    }

    /// The deposit that a caller is asked for; nil where there is none to be had now.
    func deposit(for call: IncomingCall, sats: UInt64) async -> StoredDeposit? {
        let group = RateLimiter.group(address: call.peerAddress ?? "?")
        let name = call.service.name
        let asker = InvoiceThrottle.asker("mintmark-depositor-1", [group, name, String(sats)])
        return await making.value(for: asker) { [self] in
            await make(asker, group: group, service: name, sats: sats)
        }
    }

    private func make(_ asker: [UInt8], group: String, service: String, sats: UInt64) async -> StoredDeposit? {
        do {
            let now = clock.now()
            let end = now.adding(seconds: InvoiceDesk.leftSeconds)
            if let known = try await store.unpaidDeposit(asker: asker, goodUntil: end) { return known }
            guard throttle.allows(group, now: now) else { return nil }
            let invoice = try await invoices.invoice(
                amountMsat: sats * 1000,
                description: "\(service): deposit",
                expirySeconds: InvoiceDesk.expirySeconds
            )
            guard invoice.amountMsat == sats * 1000 else { return nil }
            let deposit = StoredDeposit(
                paymentHash: invoice.paymentHash,
                asker: asker,
                invoice: invoice.text,
                service: service,
                msat: sats * 1000,
                madeAt: now,
                invoiceUntil: invoice.expiresAt
            )
            // On disk before anybody can pay it.
            return try await store.add(deposit, limit: throttle.limits.open) ? deposit : nil
        } catch {
            logger.warning("no deposit invoice can be made for a session", metadata: ["error": "\(error)"])
            return nil
        }
    }
}
