import CanonicalJSON
import Encodings
import Paywall
import SignedDocuments

/// A payment over x402 while its call is made: what its answer tells of the settlement ([XEX-7]).
struct PresentedX402: Sendable {
    var version: X402.Version
    /// As the wire named it.
    var network: String
    /// As the offer-receipt extension names it.
    var chain: String
    var payer: String?
    var amount: String
    var resourceURL: String
    /// Whether the client asked for a signed receipt.
    var wantsReceipt: Bool
    /// The chain's name of the transaction; nil while it is not settled.
    var transaction: String?

    /// The header of the settlement; nil where it can't be written.
    func header(signer: DocumentSigner, now: Timestamp) -> (name: String, value: String)? {
        var response: X402.SettleResponse
        if let transaction {
            response = X402.SettleResponse(
                success: true,
                transaction: transaction,
                network: network,
                payer: payer,
                amount: amount
            )
            if wantsReceipt, let receipt = receipt(signer: signer, transaction: transaction, now: now) {
                response.extensions = [
                    X402.OfferReceipt.id: .object(X402.OfferReceipt.settlement(receipt))
                ]
            }
        } else {
            response = X402.SettleResponse(
                refusal: X402Refusal(.settlementPending, "The payment is settled after the call."),
                network: network,
                payer: payer
            )
        }
        guard let value = try? X402.header(response.json) else { return nil }
        return (version.responseHeader, value)
    }

    private func receipt(signer: DocumentSigner, transaction: String, now: Timestamp) -> X402.OfferReceipt.Artifact? {
        let receipt = X402.OfferReceipt.Receipt(
            network: chain,
            resourceURL: resourceURL,
            payer: payer ?? "",
            issuedAt: UInt64(max(0, now.secondsSince1970)),
            transaction: transaction
        )
        guard let payload = try? receipt.json.canonicalized(), let text = try? signer.compactJWS(payload) else {
            return nil
        }
        return .jws(text)
    }
}
