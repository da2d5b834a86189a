internal import CanonicalJSON
package import Cashu
internal import Cryptography
internal import Encodings
internal import Lightning
internal import Logging
internal import Synchronization
internal import Workers

/// Mint quotes and minting (NUT-04, NUT-23).
extension Mint {
    /// `POST /v1/mint/quote/bolt11`: an invoice to pay, and the id to mint with afterwards.
    package func requestMintQuote(_ body: [UInt8]) async throws -> [UInt8] {
        let request = try await workers.run { try TransactionCheck.decode(body, MintQuoteRequest.init(json:)) }
        return try await requestMintQuote(request).json.quoteAnswer()
    }

    /// - Throws: `MintError` 11013, 11006; `MintFailure` 503 where too many quotes are open or the backend is away.
    package func requestMintQuote(_ request: MintQuoteRequest) async throws -> MintQuote {
        let settings = try settings(request.unit)
        try requireWithinLimits(request.amount, settings)
        let description = request.description ?? ""
        guard description.utf8.count <= LightningLimits.maximumDescriptionBytes else {
            throw MintError(
                .malformedRequest,
                "`description` may have at most \(LightningLimits.maximumDescriptionBytes) bytes"
            )
        }
        let msat = try rate(request.unit).msat(request.amount)
        try openQuotes.withLock { open throws(MintFailure) in
            guard open.mint < configuration.limits.openQuotes else {
                throw .overloaded("\(open.mint) mint quotes are open; try again once some have expired")
            }
            open.mint += 1
        }
        do {
            let invoice = try await backendGate.within {
                try await lightning.createInvoice(
                    amountMsat: msat,
                    description: description,
                    expirySeconds: configuration.quoteLifetimeSeconds
                )
            }
            let now = clock.now()
            let quote = StoredMintQuote(
                id: try QuoteID(now: now, random: SecureRandom.bytes(10)).string,
                unit: request.unit,
                amount: request.amount,
                request: invoice.text,
                paymentHash: invoice.paymentHash,
                state: .unpaid,
                expiry: invoice.expiresAt,
                updatedAt: now
            )
            try await store.add(quote)
            metrics.mintQuoted()
            return try quote.onTheWire()
        } catch {
            openQuotes.withLock { $0.mint -= 1 }
            throw error
        }
    }

    /// `GET /v1/mint/quote/bolt11/{id}`. Asks the backend where the invoice is not known to be paid; where the backend
    /// does not answer, the state is told as it was last known.
    package func mintQuote(_ id: String) async throws -> [UInt8] {
        guard let quote = try await store.mintQuote(id) else { throw MintError.quoteUnknown }
        do {
            return try await refreshed(quote).onTheWire().json.quoteAnswer()
        } catch {
            logger.warning("asking about an invoice failed", metadata: ["error": "\(error)"])
            return try quote.onTheWire().json.quoteAnswer()
        }
    }

    /// The quote after asking the backend whether its invoice was paid.
    func refreshed(_ quote: StoredMintQuote) async throws -> StoredMintQuote {
        guard quote.state == .unpaid else { return quote }
        let status = try await backendGate.within {
            try await lightning.invoiceStatus(paymentHash: quote.paymentHash)
        }
        guard case .paid(let amountMsat, _) = status else { return quote }
        // What the invoice asks, as the unit's rate may have changed since.
        guard amountMsat >= (try Self.invoice(quote.request).amountMsat ?? .max) else {
            logger.critical(
                "the Lightning node reports a payment below the invoice's amount; the quote stays unpaid",
                metadata: ["quote": "\(quote.id)", "paid_msat": "\(amountMsat)"]
            )
            return quote
        }
        try await store.markPaid(mintQuote: quote.id, at: clock.now())
        guard let paid = try await store.mintQuote(quote.id) else { throw MintError.quoteUnknown }
        announce(.mintQuote(quote.id, passing: try paid.onTheWire().json.quoteAnswer()))
        return paid
    }

    /// `POST /v1/mint/bolt11`: ecash for a paid quote, once.
    ///
    /// The signatures are made before the transaction that issues the quote; of several requests for one quote, the
    /// transaction lets one win and the others' signatures are never seen.
    package func mint(_ body: [UInt8]) async throws -> [UInt8] {
        let check = check
        let request = try await workers.run {
            let request = try TransactionCheck.decode(body, MintRequest.init(json:))
            _ = try check.mint(request.outputs)
            return request
        }
        let quote = try await mintable(request.quote.string)
        let side = try check.mint(request.outputs)
        guard side.unit == quote.unit else {
            throw MintError(.unitMismatch, "the quote is for \(quote.unit), the outputs are \(side.unit)")
        }
        guard side.sum == quote.amount else {
            throw MintError(
                .transactionNotBalanced,
                "the outputs are worth \(side.sum), the quote is for \(quote.amount) \(quote.unit)"
            )
        }
        let promises = try await signatory.sign(request.outputs)
        try await store.issue(promises, for: quote.id, at: check.now)
        announce(.mintQuote(quote.id))
        metrics.issued(outputs: promises.count)
        return ResponseWriter.signatures(promises)
    }

    /// - Throws: `MintError` 20007 unknown, or expired unpaid; 20001 not paid; 20002 issued.
    private func mintable(_ id: String) async throws -> StoredMintQuote {
        guard let stored = try await store.mintQuote(id) else { throw MintError.quoteUnknown }
        let quote = try await refreshed(stored)
        switch quote.state {
        case .paid: return quote
        case .issued: throw MintError(.quoteAlreadyIssued, "ecash for this quote has been issued already")
        case .unpaid:
            if clock.now() >= quote.expiry {
                throw MintError(.quoteExpired, "the quote has expired unpaid; ask for a new one")
            }
            throw MintError(.quoteNotPaid, "the quote's invoice has not been paid")
        }
    }
}

extension StoredMintQuote {
    func onTheWire() throws -> MintQuote {
        MintQuote(
            quote: try QuoteID(id),
            request: request,
            amount: amount,
            unit: unit,
            expiry: UInt64(clamping: expiry.secondsSince1970),
            amountPaid: state == .unpaid ? 0 : amount,
            amountIssued: state == .issued ? amount : 0,
            updatedAt: UInt64(clamping: updatedAt.secondsSince1970)
        )
    }
}

extension JSONValue {
    /// A quote as an answer. Wallets since nutshell 0.21 insist on a `method` member, which the NUTs leave out.
    func quoteAnswer() -> [UInt8] {
        guard case .object(var quote) = self else { return serialized() }
        quote["method"] = .string(PaymentMethod.bolt11.name)
        return JSONValue.object(quote).serialized()
    }
}
