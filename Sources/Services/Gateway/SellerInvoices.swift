public import Lightning

/// The Lightning account that sells calls, as far as the gateway needs it: the preimage proves the payment, so that nothing
/// is asked but an invoice. Adapters: `LightningInvoices` in a node, an account in memory in tests.
public protocol SellerInvoices: Sendable {
    /// Invoices are made for multiples of this many msat.
    var amountStepMsat: UInt64 { get }
    /// Makes an invoice.
    /// - Parameters:
    ///   - amountMsat: a multiple of ``amountStepMsat``.
    ///   - description: what the payer sees.
    /// - Throws: where none can be made now.
    func invoice(amountMsat: UInt64, description: String, expirySeconds: UInt32) async throws -> BOLT11Invoice
}

/// The seller's invoices on the node's own Lightning backend.
///
/// Not for a backend that shows preimages to others: who has a preimage has paid ([LSAT-8]).
public struct LightningInvoices: SellerInvoices {
    private let backend: any LightningBackend

    public init(_ backend: any LightningBackend) {
        self.backend = backend
    }

    public var amountStepMsat: UInt64 { backend.abilities.amountStepMsat }

    public func invoice(amountMsat: UInt64, description: String, expirySeconds: UInt32) async throws -> BOLT11Invoice {
        try await backend.createInvoice(
            amountMsat: amountMsat,
            description: description,
            expirySeconds: expirySeconds
        )
    }
}
