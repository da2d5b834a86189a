import Cryptography
import Encodings
import Lightning
import Logging
import NIOCore
import Paywall
import Synchronization

/// Makes the deposit invoices of sessions, as sparingly as those of calls ([GRA-7]): an asker is shown its unpaid one again, and
/// beyond what is allowed the 402 goes out without a session.
final class DepositDesk: Sendable {
    private let invoices: any SellerInvoices
    private let store: SQLiteSessionStore
    private let rates: PriceRates
    private let limits: InvoiceLimits
    private let clock: WallClock
    private let logger: Logger
    private let limiter = RateLimiter()
    /// Invoices being made, by asker: who asks meanwhile waits for the same one.
    private let making = Mutex<[[UInt8]: Task<StoredDeposit?, Never>]>([:])

    init(
        invoices: any SellerInvoices,
        store: SQLiteSessionStore,
        rates: PriceRates,
        limits: InvoiceLimits,
        clock: WallClock,
        logger: Logger
    ) {
        self.invoices = invoices
        self.store = store
        self.rates = rates
        self.limits = limits
        self.clock = clock
        self.logger = logger
    }

    /// Whether what is left of a session can be paid back from here: without that none is opened.
    var paysOut: Bool { invoices.paysOut }

    func payOut(_ invoice: BOLT11Invoice, amountMsat: UInt64) async -> SellerPayout {
        await invoices.payOut(invoice, amountMsat: amountMsat)
    }

    /// What a call takes of a session, in msat; nil where its unit has no rate.
    func msat(_ price: Price) -> UInt64? { try? rates.msat(price) }

    /// What one call costs at most, rounded up to a sat, and what a deposit is; nil where none can be asked for.
    func terms(_ price: Price, _ terms: SessionTerms) -> (unitSats: UInt64, depositSats: UInt64)? {
        guard let msat = msat(price), msat > 0 else { return nil }
        let unit = msat / 1000 + (msat % 1000 == 0 ? 0 : 1)
        return terms.deposit(unitSats: unit).map { (unit, $0) }
    }

    /// The deposit that a caller is asked for; nil where there is none to be had now.
    func deposit(for call: IncomingCall, sats: UInt64) async -> StoredDeposit? {
        let group = RateLimiter.group(address: call.peerAddress ?? "?")
        let asker = Self.asker(group: group, service: call.service.name, sats: sats)
        let name = call.service.name
        let task = making.withLock { table in
            if let task = table[asker] { return task }
            guard table.count < limits.atOnce else { return Task { nil } }
            let task = Task { [self] in
                defer { _ = making.withLock { $0.removeValue(forKey: asker) } }
                return await make(asker, group: group, service: name, sats: sats)
            }
            table[asker] = task
            return task
        }
        return await Patience.value(of: task, milliseconds: InvoiceDesk.waitMilliseconds)
    }

    private func make(_ asker: [UInt8], group: String, service: String, sats: UInt64) async -> StoredDeposit? {
        do {
            let now = clock.now()
            let end = now.adding(seconds: InvoiceDesk.leftSeconds)
            if let known = try await store.unpaidDeposit(asker: asker, goodUntil: end) { return known }
            let moment = NIODeadline.uptimeNanoseconds(UInt64(max(0, now.millisecondsSince1970)) * 1_000_000)
            guard limiter.take("all", limit: limits.all, now: moment) == nil,
                limiter.take(group, limit: limits.perAddress, now: moment) == nil
            else { return nil }
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
            return try await store.add(deposit, limit: limits.open) ? deposit : nil
        } catch {
            logger.warning("no deposit invoice can be made for a session", metadata: ["error": "\(error)"])
            return nil
        }
    }

    private static func asker(group: String, service: String, sats: UInt64) -> [UInt8] {
        var input = Array("mintmark-depositor-1".utf8) + [0]
        for part in [group, service, String(sats)] {
            input += Array("\(part.utf8.count):".utf8)
            input += Array(part.utf8)
        }
        return Hashing.sha256(input)
    }
}
