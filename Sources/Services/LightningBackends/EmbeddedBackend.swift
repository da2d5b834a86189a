public import Lightning
internal import Storage

/// An account of a simulated network that runs in the same process: TEST MONEY, for tests and for one node alone.
public struct EmbeddedBackend: LightningBackend {
    private let simulation: SimulatedNetwork
    private let token: String

    /// - Parameter token: of an account that is open, see `SimulatedNetwork.openAccount`.
    public init(_ simulation: SimulatedNetwork, token: String) {
        self.simulation = simulation
        self.token = token
    }

    public var network: LightningNetwork { .simulated }

    public func nodeID() async throws(LightningError) -> [UInt8] {
        try await simulation.account(token: token).nodeID
    }

    public func balanceMsat() async throws(LightningError) -> UInt64 {
        try await simulation.balanceMsat(of: try await simulation.account(token: token))
    }

    public func createInvoice(
        amountMsat: UInt64?,
        description: String,
        expirySeconds: UInt32
    ) async throws(LightningError) -> BOLT11Invoice {
        try await simulation.createInvoice(
            for: try await simulation.account(token: token),
            amountMsat: amountMsat,
            description: description,
            expirySeconds: expirySeconds
        )
    }

    public var abilities: LightningAbilities { LightningAbilities(takesOpenInvoices: true) }

    public func invoiceStatus(paymentHash: [UInt8]) async throws(LightningError) -> InvoiceStatus {
        try await simulation.invoiceStatus(
            of: try await simulation.account(token: token),
            paymentHash: paymentHash
        )
    }

    public func pay(
        invoice: BOLT11Invoice,
        openAmountMsat: UInt64?,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> PaymentOutcome {
        if let openAmountMsat { try LightningLimits.checkOpen(invoice, amountMsat: openAmountMsat) }
        let account = try await simulation.account(token: token)
        do {
            let answer = try await simulation.pay(
                invoice,
                from: account,
                openAmountMsat: openAmountMsat,
                maximumFeeMsat: maximumFeeMsat
            )
            return answer.isLost ? .pending : answer.outcome
        } catch {
            // A disk that failed at the commit may have kept the payment after all.
            if let cause = error.cause as? StorageError, cause.code == .ioFailure || cause.code == .corrupt {
                return .pending
            }
            throw error
        }
    }

    public func paymentStatus(paymentHash: [UInt8]) async throws(LightningError) -> PaymentOutcome? {
        try await simulation.payment(
            of: try await simulation.account(token: token),
            paymentHash: paymentHash
        )?.outcome
    }
}
