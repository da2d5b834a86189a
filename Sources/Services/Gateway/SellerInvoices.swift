public import Lightning

/// The Lightning account that sells calls, as far as the gateway needs it: the preimage proves the payment, so that nothing
/// is asked but an invoice; and what is left of a session is paid out. Adapters: `LightningInvoices` in a node, an account in
/// memory in tests.
public protocol SellerInvoices: Sendable {
    /// Invoices are made for multiples of this many msat.
    var amountStepMsat: UInt64 { get }
    /// Makes an invoice.
    /// - Parameters:
    ///   - amountMsat: a multiple of ``amountStepMsat``.
    ///   - description: what the payer sees.
    /// - Throws: where none can be made now.
    func invoice(amountMsat: UInt64, description: String, expirySeconds: UInt32) async throws -> BOLT11Invoice
    /// Whether ``payOut(_:amountMsat:)`` works.
    var paysOut: Bool { get }
    /// Pays an invoice without amount; once for its payment hash, however often it is called.
    /// - Parameter amountMsat: whole sat.
    func payOut(_ invoice: BOLT11Invoice, amountMsat: UInt64) async -> SellerPayout
}

/// How paying out went.
public enum SellerPayout: Sendable, Equatable {
    case paid(feeMsat: UInt64)
    /// Under way, or not known.
    case pending
    /// Nothing moved by any call so far, and nothing will.
    case failed(String)
    /// This call started nothing; of earlier ones nothing is known.
    case notStarted(String)
}

extension SellerInvoices {
    public var paysOut: Bool { false }
    public func payOut(_ invoice: BOLT11Invoice, amountMsat: UInt64) async -> SellerPayout {
        .notStarted("nothing can be paid from here")
    }
}

/// The seller's invoices on the node's own Lightning backend.
///
/// Not for a backend that shows preimages to others: who has a preimage has paid ([LSAT-8]).
public struct LightningInvoices: SellerInvoices {
    private let backend: any LightningBackend
    private let feePermille: UInt64
    private let leastFeeMsat: UInt64

    /// - Parameters:
    ///   - feePermille: what paying out may cost at most, in thousandths of the amount…
    ///   - leastFeeMsat: …or this, where it is more.
    public init(_ backend: any LightningBackend, feePermille: UInt64 = 10, leastFeeMsat: UInt64 = 2000) {
        self.backend = backend
        self.feePermille = feePermille
        self.leastFeeMsat = leastFeeMsat
    }

    public var amountStepMsat: UInt64 { backend.abilities.amountStepMsat }

    public func invoice(amountMsat: UInt64, description: String, expirySeconds: UInt32) async throws -> BOLT11Invoice {
        try await backend.createInvoice(
            amountMsat: amountMsat,
            description: description,
            expirySeconds: expirySeconds
        )
    }

    public var paysOut: Bool { backend.abilities.takesOpenInvoices }

    public func payOut(_ invoice: BOLT11Invoice, amountMsat: UInt64) async -> SellerPayout {
        let fee = max(amountMsat / 1000 * feePermille, leastFeeMsat)
        do {
            switch try await backend.pay(invoice: invoice, openAmountMsat: amountMsat, maximumFeeMsat: fee) {
            case .settled(_, let feeMsat): return .paid(feeMsat: feeMsat)
            case .pending: return .pending
            case .failed(let failure): return .failed("\(failure)")
            }
        } catch let error where error.code == .expired {
            // Only after this, and with nothing on record, has no earlier call started either.
            do {
                switch try await backend.paymentStatus(paymentHash: invoice.paymentHash) {
                case .settled(_, let feeMsat): return .paid(feeMsat: feeMsat)
                case .pending: return .pending
                case .failed(let failure): return .failed("\(failure)")
                case nil: return .failed("\(error)")
                }
            } catch {
                return .notStarted("\(error)")
            }
        } catch {
            return .notStarted("\(error)")
        }
    }
}
