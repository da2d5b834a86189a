import Cryptography
import Encodings
import Lightning
import Synchronization
import TestSupport

/// A Lightning network in memory with one node: what it pays itself is received.
final class LoopLightning: LightningBackend {
    private struct State {
        var random = SeededRandom(seed: 11)
        var preimages: [[UInt8]: [UInt8]] = [:]
        var paid: [[UInt8]: UInt64] = [:]
        var outcome: PaymentOutcome?
        var fee: UInt64 = 0
        var paymentCount = 0
        var begun: Set<[UInt8]> = []
        var paysParts = false
        var lonePartsSettle = false
        /// The parts of an invoice that have come; a mint that sends the same again means the same.
        var parts: [[UInt8]: Set<UInt64>] = [:]
    }

    let network = LightningNetwork.simulated
    private let state = Mutex(State())
    private let now: @Sendable () -> Timestamp
    private let key: Secp256k1.Scalar

    init(now: @escaping @Sendable () -> Timestamp) throws {
        self.now = now
        key = try Secp256k1.Scalar(bytes: Array(repeating: 9, count: 32))
    }

    /// Makes every payment end like this; nil: they settle.
    func setOutcome(_ outcome: PaymentOutcome?) { state.withLock { $0.outcome = outcome } }
    func setFee(_ msat: UInt64) { state.withLock { $0.fee = msat } }
    func setPaysParts(_ isOn: Bool) { state.withLock { $0.paysParts = isOn } }
    /// Breaks the rule that the payee takes all the parts or none.
    func setLonePartsSettle(_ isOn: Bool) { state.withLock { $0.lonePartsSettle = isOn } }
    func parts(of invoice: BOLT11Invoice) -> Set<UInt64> { state.withLock { $0.parts[invoice.paymentHash] ?? [] } }
    var paymentCount: Int { state.withLock { $0.paymentCount } }

    func nodeID() async throws(LightningError) -> [UInt8] { Secp256k1.Point(multiplyingGeneratorBy: key).compressed }
    func balanceMsat() async throws(LightningError) -> UInt64 { 0 }

    func createInvoice(
        amountMsat: UInt64?,
        description: String,
        expirySeconds: UInt32
    ) async throws(LightningError) -> BOLT11Invoice {
        try invoice(amountMsat, expirySeconds: UInt64(expirySeconds))
    }

    func invoice(
        _ amountMsat: UInt64?,
        description: String = "a test",
        expirySeconds: UInt64 = 3600
    ) throws(LightningError) -> BOLT11Invoice {
        let (preimage, secret) = state.withLock { ($0.random.bytes(32), $0.random.bytes(32)) }
        let hash = Hashing.sha256(preimage)
        state.withLock { $0.preimages[hash] = preimage }
        let contents = InvoiceContents(
            currency: network.currency,
            amountMsat: amountMsat,
            timestamp: Timestamp(secondsSince1970: now().secondsSince1970),
            paymentHash: hash,
            paymentSecret: secret,
            purpose: .text(description),
            expirySeconds: expirySeconds
        )
        return try BOLT11Invoice.sign(contents, key: key)
    }

    func invoiceStatus(paymentHash: [UInt8]) async throws(LightningError) -> InvoiceStatus {
        state.withLock { $0.paid[paymentHash] }.map { .paid(amountMsat: $0, at: now()) } ?? .unpaid
    }

    func pay(
        invoice: BOLT11Invoice,
        openAmountMsat: UInt64?,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> PaymentOutcome {
        state.withLock { state in
            state.paymentCount += 1
            state.begun.insert(invoice.paymentHash)
            if let outcome = state.outcome { return outcome }
            state.paid[invoice.paymentHash] = invoice.amountMsat ?? 0
            return .settled(preimage: state.preimages[invoice.paymentHash] ?? [], feeMsat: state.fee)
        }
    }

    var abilities: LightningAbilities { LightningAbilities(paysParts: state.withLock { $0.paysParts }) }

    /// A part waits for the others, and settles with them.
    func payPart(
        of invoice: BOLT11Invoice,
        amountMsat: UInt64,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> PaymentOutcome {
        let hash = invoice.paymentHash
        state.withLock { state in
            state.begun.insert(hash)
            guard state.outcome == nil else { return }
            state.parts[hash, default: []].insert(amountMsat)
            let sum = (state.parts[hash] ?? []).reduce(0, +)
            if sum >= invoice.amountMsat ?? .max || state.lonePartsSettle { state.paid[hash] = sum }
        }
        for _ in 0..<1000 {
            if let outcome = try await paymentStatus(paymentHash: hash) { return outcome }
            try? await Task.sleep(for: .milliseconds(10))
        }
        return .pending
    }

    func paymentStatus(paymentHash: [UInt8]) async throws(LightningError) -> PaymentOutcome? {
        state.withLock { state in
            guard state.begun.contains(paymentHash) else { return nil }
            if let outcome = state.outcome { return outcome }
            guard state.paid[paymentHash] != nil else { return nil }
            return .settled(preimage: state.preimages[paymentHash] ?? [], feeMsat: state.fee)
        }
    }
}
