import Cryptography
import Encodings
import Lightning
import Synchronization
import TestSupport

/// A Lightning backend whose every answer a test can choose. Its invoices are real, signed BOLT 11 on the simulated network.
final class TestLightning: LightningBackend {
    enum Payment: Sendable, Equatable {
        case settles(feeMsat: UInt64)
        case pends
        /// The answer is `pending`, but the money has moved.
        case settlesUnseen(feeMsat: UInt64)
        case fails
        /// `pay` answers failed, the status then says otherwise.
        case failsThenSays(PaymentOutcome)
        case throwsBeforeSending
        case settlesWithWrongPreimage
    }

    struct State {
        var random = SeededRandom(seed: 7)
        var preimages: [[UInt8]: [UInt8]] = [:]
        var paidInvoices: [[UInt8]: UInt64] = [:]
        var payments: [[UInt8]: PaymentOutcome] = [:]
        var payCalls: [[UInt8]] = []
        var lastMaximumFeeMsat: UInt64?
        var statusCalls = 0
        var behaviour = Payment.settles(feeMsat: 0)
        var isAway = false
        var gate: CheckedContinuation<Void, Never>?
        var waitsAtGate = false
        var paysParts = false
        var parts: [UInt64] = []
        var ears: AsyncStream<[UInt8]>.Continuation?
    }

    let state = Mutex(State())
    let now: @Sendable () -> Timestamp
    private let key: Secp256k1.Scalar
    let network = LightningNetwork.simulated

    init(now: @escaping @Sendable () -> Timestamp) throws {
        self.now = now
        key = try Secp256k1.Scalar(bytes: Array(repeating: 9, count: 32))
    }

    /// A payment's behaviour from now on.
    func set(_ behaviour: Payment) { state.withLock { $0.behaviour = behaviour } }
    func setAway(_ isAway: Bool) { state.withLock { $0.isAway = isAway } }
    var payCount: Int { state.withLock { $0.payCalls.count } }
    var lastMaximumFeeMsat: UInt64? { state.withLock { $0.lastMaximumFeeMsat } }

    /// Says that an invoice made here was paid from outside.
    func receive(_ request: String) throws {
        let invoice = try BOLT11Invoice(decoding: request)
        state.withLock { $0.paidInvoices[invoice.paymentHash] = invoice.amountMsat ?? 0 }
    }

    /// An invoice of somebody else, whose preimage this backend can come to know by paying.
    func foreignInvoice(amountMsat: UInt64?, expirySeconds: UInt64 = 3600) throws -> String {
        try sign(amountMsat: amountMsat, description: "somebody else's", expirySeconds: expirySeconds).text
    }

    func setPayment(_ request: String, _ outcome: PaymentOutcome?) throws {
        let hash = try BOLT11Invoice(decoding: request).paymentHash
        state.withLock { $0.payments[hash] = outcome }
    }

    func preimage(_ request: String) throws -> [UInt8] {
        let hash = try BOLT11Invoice(decoding: request).paymentHash
        return state.withLock { $0.preimages[hash] ?? [] }
    }

    private func sign(
        amountMsat: UInt64?,
        description: String,
        expirySeconds: UInt64
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

    private func requireThere() throws(LightningError) {
        if state.withLock({ $0.isAway }) { throw LightningError(.unreachable, "the test backend is away") }
    }

    // MARK: LightningBackend

    func nodeID() async throws(LightningError) -> [UInt8] {
        Secp256k1.Point(multiplyingGeneratorBy: key).compressed
    }

    func balanceMsat() async throws(LightningError) -> UInt64 { 0 }

    var abilities: LightningAbilities { LightningAbilities(paysParts: state.withLock { $0.paysParts }) }

    func payPart(
        of invoice: BOLT11Invoice,
        amountMsat: UInt64,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> PaymentOutcome {
        state.withLock { $0.parts.append(amountMsat) }
        return try await pay(invoice: invoice, maximumFeeMsat: maximumFeeMsat)
    }

    func settledInvoices() -> AsyncStream<[UInt8]> {
        let (stream, continuation) = AsyncStream.makeStream(of: [UInt8].self)
        state.withLock { $0.ears = continuation }
        return stream
    }

    func createInvoice(
        amountMsat: UInt64?,
        description: String,
        expirySeconds: UInt32
    ) async throws(LightningError) -> BOLT11Invoice {
        try requireThere()
        guard let amountMsat else { throw LightningError(.unsupported, "no invoices without an amount") }
        try LightningLimits.check(amountMsat: amountMsat, description: description, expirySeconds: expirySeconds)
        return try sign(amountMsat: amountMsat, description: description, expirySeconds: UInt64(expirySeconds))
    }

    func invoiceStatus(paymentHash: [UInt8]) async throws(LightningError) -> InvoiceStatus {
        try requireThere()
        let paid = state.withLock { $0.paidInvoices[paymentHash] }
        return paid.map { .paid(amountMsat: $0, at: now()) } ?? .unpaid
    }

    func pay(
        invoice: BOLT11Invoice,
        openAmountMsat: UInt64?,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> PaymentOutcome {
        let hash = invoice.paymentHash
        await waitAtGate()
        try requireThere()
        let behaviour = state.withLock { state in
            state.payCalls.append(hash)
            state.lastMaximumFeeMsat = maximumFeeMsat
            return state.behaviour
        }
        if let known = state.withLock({ $0.payments[hash] }), known.isOpenOrSettled { return known }
        let preimage = state.withLock { $0.preimages[hash] ?? Array(repeating: 0, count: 32) }
        let answer: PaymentOutcome
        var status: PaymentOutcome?
        switch behaviour {
        case .settles(let fee): answer = .settled(preimage: preimage, feeMsat: fee)
        case .pends: answer = .pending
        case .settlesUnseen(let fee):
            answer = .pending
            status = .settled(preimage: preimage, feeMsat: fee)
        case .fails: answer = .failed(PaymentFailure(.noRoute, "no route"))
        case .failsThenSays(let outcome):
            answer = .failed(PaymentFailure(.noRoute, "no route"))
            status = outcome
        case .throwsBeforeSending: throw LightningError(.unreachable, "not sent")
        case .settlesWithWrongPreimage: answer = .settled(preimage: Array(repeating: 1, count: 32), feeMsat: 0)
        }
        state.withLock { $0.payments[hash] = status ?? answer }
        return answer
    }

    func paymentStatus(paymentHash: [UInt8]) async throws(LightningError) -> PaymentOutcome? {
        try requireThere()
        return state.withLock {
            $0.statusCalls += 1
            return $0.payments[paymentHash]
        }
    }

    // MARK: A payment that takes long

    func holdPayments() { state.withLock { $0.waitsAtGate = true } }

    func letPaymentsGo() {
        let waiting = state.withLock { state in
            state.waitsAtGate = false
            defer { state.gate = nil }
            return state.gate
        }
        waiting?.resume()
    }

    /// Until a payment waits at the gate.
    func paymentIsWaiting() async {
        while state.withLock({ $0.gate == nil }) { await Task.yield() }
    }

    private func waitAtGate() async {
        guard state.withLock({ $0.waitsAtGate }) else { return }
        await withCheckedContinuation { continuation in
            state.withLock { $0.gate = continuation }
        }
    }
}

extension PaymentOutcome {
    fileprivate var isOpenOrSettled: Bool {
        switch self {
        case .settled, .pending: true
        case .failed: false
        }
    }
}
