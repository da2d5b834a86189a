import CanonicalJSON
import Encodings
import Lightning
import Synchronization

@testable import LightningBackends

/// What stands behind a stand-in: an account of the simulated network, whose ledger holds every rule of money, and what
/// the node's API tells beside it.
final class StandInAccount: Sendable {
    struct Made: Sendable {
        var invoice: BOLT11Invoice
        var description: String
    }

    struct Settled: Sendable {
        var made: Made
        var amountMsat: UInt64
        var at: Timestamp
        /// 1 for the first.
        var index: UInt64
    }

    private struct State {
        var made: [(hash: [UInt8], made: Made)] = []
        var settled: [Settled] = []
        var paying: [[UInt8]: BOLT11Invoice] = [:]
        var openAmounts: [[UInt8]: UInt64] = [:]
    }

    let backend: EmbeddedBackend
    let clock: WallClock
    private let state = Mutex(State())

    init(_ backend: EmbeddedBackend, clock: WallClock) {
        self.backend = backend
        self.clock = clock
    }

    func nodeID() async -> String { Hex.encode((try? await backend.nodeID()) ?? []) }

    func balanceMsat() async -> UInt64 { (try? await backend.balanceMsat()) ?? 0 }

    /// - Throws: what the simulated network refuses.
    /// - Parameter amountMsat: nil where the payer says it.
    func make(_ amountMsat: UInt64?, _ description: String, _ expirySeconds: UInt64) async throws -> BOLT11Invoice {
        // The simulated network puts a notice of its own before the text.
        let text = String(decoding: description.utf8.suffix(LightningLimits.maximumDescriptionBytes), as: UTF8.self)
        let invoice = try await backend.createInvoice(
            amountMsat: amountMsat,
            description: description.utf8.count > LightningLimits.maximumDescriptionBytes ? text : description,
            expirySeconds: UInt32(clamping: expirySeconds)
        )
        state.withLock {
            $0.made.append((invoice.paymentHash, Made(invoice: invoice, description: description)))
        }
        return invoice
    }

    func made(_ hash: [UInt8]) -> Made? {
        state.withLock { $0.made.first { $0.hash == hash }?.made }
    }

    /// The invoices that are paid, in the order in which that was seen.
    func settled() async -> [Settled] {
        let open = state.withLock { state in
            state.made.filter { made in !state.settled.contains { $0.made.invoice == made.made.invoice } }
        }
        for (hash, made) in open {
            guard case .paid(let amount, let time)? = try? await backend.invoiceStatus(paymentHash: hash) else {
                continue
            }
            state.withLock { state in
                guard !state.settled.contains(where: { $0.made.invoice == made.invoice }) else { return }
                let index = UInt64(state.settled.count) + 1
                state.settled.append(Settled(made: made, amountMsat: amount, at: time, index: index))
            }
        }
        return state.withLock { $0.settled }
    }

    func settled(_ hash: [UInt8]) async -> Settled? {
        await settled().first { $0.made.invoice.paymentHash == hash }
    }

    /// Waits until something was settled after this index.
    func settled(after index: UInt64, waitSeconds: Double) async -> Settled? {
        for _ in 0...Int(waitSeconds * 100) {
            if let next = await settled().first(where: { $0.index > index }) { return next }
            try? await Task.sleep(for: .milliseconds(10))
        }
        return nil
    }

    // MARK: Paying

    /// The payment as the simulated network has it.
    func payment(_ hash: [UInt8]) async -> (invoice: BOLT11Invoice?, outcome: PaymentOutcome)? {
        guard let outcome = try? await backend.paymentStatus(paymentHash: hash) else { return nil }
        return (state.withLock { $0.paying[hash] }, outcome)
    }

    func paid(
        _ invoice: BOLT11Invoice,
        _ maximumFeeMsat: UInt64,
        openAmountMsat: UInt64? = nil
    ) async throws -> PaymentOutcome {
        state.withLock {
            $0.paying[invoice.paymentHash] = invoice
            $0.openAmounts[invoice.paymentHash] = openAmountMsat
        }
        return try await backend.pay(
            invoice: invoice,
            openAmountMsat: openAmountMsat,
            maximumFeeMsat: maximumFeeMsat
        )
    }

    /// What an invoice is, or was, paid with.
    func amountMsat(of invoice: BOLT11Invoice?) -> UInt64 {
        guard let invoice else { return 0 }
        if let named = invoice.amountMsat, named > 0 { return named }
        return state.withLock { $0.openAmounts[invoice.paymentHash] ?? 0 }
    }

    /// Waits, as long as the payment is pending.
    func end(of hash: [UInt8], waitSeconds: Double = 30) async -> PaymentOutcome {
        for _ in 0..<Int(waitSeconds * 100) {
            if let outcome = await payment(hash)?.outcome, outcome != .pending { return outcome }
            try? await Task.sleep(for: .milliseconds(10))
        }
        return .pending
    }
}
