internal import Cashu
internal import Encodings
internal import Lightning
internal import Logging

/// Paying a part of an invoice while other mints pay the rest (NUT-15), and hearing of settled invoices.
extension Mint {
    /// What of an invoice the request asks this mint to pay.
    /// - Returns: nil for the whole.
    /// - Throws: `MintError` 11012 where it is not a part of the invoice, 10000 where parts cannot be paid.
    func partMsat(_ request: MeltQuoteRequest, of whole: UInt64, isOwn: Bool) throws(MintError) -> UInt64? {
        guard let part = request.partialMillisatoshi else { return nil }
        guard lightning.abilities.paysParts else {
            throw MintError(.malformedRequest, "this mint's Lightning node cannot pay a part of an invoice (NUT-15)")
        }
        guard part > 0, part <= whole else {
            throw MintError(.amountDiffersFromInvoice, "the invoice is for \(whole) msat, the part of it for \(part)")
        }
        guard part < whole else { return nil }
        // It would have to wait for parts from outside, which the mint's own node then takes as a payee.
        guard !isOwn else {
            throw MintError(.malformedRequest, "the invoice is this mint's own: it is paid inside the mint, and whole")
        }
        return part
    }

    /// Asks about each invoice that the backend says was paid, so that its quote is paid without anybody asking. Until
    /// the task is cancelled, or at once where the backend tells nothing by itself.
    func followSettledInvoices() async {
        for await hash in lightning.settledInvoices() {
            do {
                guard let quote = try await store.mintQuote(paymentHash: hash), quote.state == .unpaid else { continue }
                _ = try await refreshed(quote)
            } catch {
                logger.warning("a settled invoice could not be asked about", metadata: ["error": "\(error)"])
            }
        }
    }
}
