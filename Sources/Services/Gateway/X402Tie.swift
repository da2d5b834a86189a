import Encodings
import Lightning
import Paywall

/// What an invoice of Lightning over x402 is tied to ([XLIGHT-3], [XLIGHT-4]).
struct X402Tie: Sendable {
    var network: LightningNetwork
    var resource: X402.Resource
    var maxTimeoutSeconds: Int64

    /// The description of an invoice for these terms.
    /// - Parameter payee: the node's key, 33 bytes, compressed.
    func description(_ text: String, amountMsat: UInt64, payee: [UInt8]) throws -> String {
        let digest = try X402.LightningScheme.requirementsHash(
            terms(amountMsat: amountMsat, payee: payee),
            resource: resource
        )
        return X402.LightningScheme.invoiceDescription(text, requirementsHash: digest)
    }

    /// The way to pay with an invoice; nil where it is not tied to these terms.
    func requirements(_ invoice: BOLT11Invoice) -> X402.Requirements? {
        guard let amount = invoice.amountMsat else { return nil }
        return try? X402.LightningScheme.offer(
            terms(amountMsat: amount, payee: invoice.payeeNodeID),
            invoice: invoice,
            resource: resource,
            network: network
        )
    }

    private func terms(amountMsat: UInt64, payee: [UInt8]) -> X402.Requirements {
        X402.LightningScheme.terms(
            amountMsat: amountMsat,
            network: network,
            payee: payee,
            maxTimeoutSeconds: maxTimeoutSeconds
        )
    }
}
