internal import CanonicalJSON
package import Cashu
internal import Cryptography
internal import Encodings
internal import Lightning
internal import Logging
internal import Synchronization
internal import Workers

/// Mint quotes and minting (NUT-04, NUT-23); some of them belong to a key (NUT-20).
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
                updatedAt: now,
                publicKey: request.publicKey?.compressed
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
        return try await looked(quote).onTheWire().json.quoteAnswer()
    }

    /// As ``refreshed(_:)``; where the backend does not answer, as it was.
    func looked(_ quote: StoredMintQuote) async -> StoredMintQuote {
        do {
            return try await refreshed(quote)
        } catch {
            logger.warning("asking about an invoice failed", metadata: ["error": "\(error)"])
            return quote
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

    /// What one request asks to be minted.
    struct MintOrder: Sendable {
        var quotes: [QuoteID]
        /// Of each quote, where the wallet says so.
        var amounts: [UInt64]?
        var outputs: [BlindedMessage]
        /// Of each quote.
        var signatures: [[UInt8]?]
        var digest: RequestDigest
    }

    /// `POST /v1/mint/bolt11`: ecash for a paid quote, once; the same body again gets the same answer (NUT-19).
    package func mint(_ body: [UInt8]) async throws -> [UInt8] {
        let order = try await workers.run {
            let request = try TransactionCheck.decode(body, MintRequest.init(json:))
            return MintOrder(
                quotes: [request.quote],
                outputs: request.outputs,
                signatures: [request.signature],
                digest: RequestDigest(.mint, body: body)
            )
        }
        return try await mint(order)
    }

    func mint(_ order: MintOrder) async throws -> [UInt8] {
        try await answering {
            try await mintOnce(order)
        } former: {
            guard let quote = order.quotes.first,
                try await store.hasAnswered(mint: order.digest, quote: quote.string)
            else { return nil }
            return try await formerSignatures(on: order.outputs)
        }
    }

    /// The signatures are made before the transaction that issues the quotes; of several requests for one quote, the
    /// transaction lets one win and the others' signatures are never seen.
    private func mintOnce(_ order: MintOrder) async throws -> [UInt8] {
        let check = check
        let side = try await workers.run { try check.mint(order.outputs) }
        var stored: [StoredMintQuote] = []
        for id in order.quotes {
            guard let quote = try await store.mintQuote(id.string) else { throw MintError.quoteUnknown }
            stored.append(quote)
        }
        try await requireSignatures(order, stored)
        var quotes: [StoredMintQuote] = []
        for quote in stored { quotes.append(try await mintable(quote)) }
        try Self.requireBalance(order, quotes, side)
        let promises = try await signatory.sign(order.outputs)
        try await store.issue(promises, for: quotes.map(\.id), answering: order.digest, at: check.now)
        for quote in quotes { announce(.mintQuote(quote.id)) }
        metrics.issued(outputs: promises.count)
        return ResponseWriter.signatures(promises)
    }

    /// A quote with a key needs that key's signature over its id and all outputs (NUT-20), so that a leaked id is worth
    /// nothing.
    /// - Throws: `MintError` 20008.
    private func requireSignatures(_ order: MintOrder, _ quotes: [StoredMintQuote]) async throws {
        let locked = zip(zip(order.quotes, order.signatures), quotes).compactMap { pair, quote in
            quote.publicKey.map { (id: pair.0, signature: pair.1, key: $0) }
        }
        guard !locked.isEmpty else { return }
        try await workers.run {
            for (id, signature, key) in locked {
                guard let signature else {
                    throw MintError(
                        .mintSignatureInvalid,
                        "the quote belongs to a key, and the request has no signature"
                    )
                }
                let isValid = MintQuoteSignature.isValid(
                    signature,
                    quote: id,
                    outputs: order.outputs,
                    publicKey: try Secp256k1.Point(compressed: key)
                )
                guard isValid else {
                    throw MintError(
                        .mintSignatureInvalid,
                        "the signature is not one of the quote's key over the quote and these outputs"
                    )
                }
            }
        }
    }

    private static func requireBalance(
        _ order: MintOrder,
        _ quotes: [StoredMintQuote],
        _ side: (unit: CurrencyUnit, sum: UInt64)
    ) throws {
        guard let unit = quotes.first?.unit, quotes.allSatisfy({ $0.unit == unit }) else {
            throw MintError(.multipleUnits, "the quotes are of several units")
        }
        guard side.unit == unit else {
            throw MintError(.unitMismatch, "the quote is for \(unit), the outputs are \(side.unit)")
        }
        let owed = try Amounts.sum(quotes.map(\.amount))
        guard side.sum == owed else {
            throw MintError(
                .transactionNotBalanced,
                "the outputs are worth \(side.sum), the quote is for \(owed) \(unit)"
            )
        }
        guard order.amounts ?? quotes.map(\.amount) == quotes.map(\.amount) else {
            throw MintError(
                .transactionNotBalanced,
                "a bolt11 quote is minted whole: `quote_amounts` must say its amount"
            )
        }
    }

    /// - Throws: `MintError` 20007 expired unpaid; 20001 not paid; 20002 issued.
    private func mintable(_ stored: StoredMintQuote) async throws -> StoredMintQuote {
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
            updatedAt: UInt64(clamping: updatedAt.secondsSince1970),
            publicKey: try publicKey.map { try Secp256k1.Point(compressed: $0) }
        )
    }
}

extension JSONValue {
    /// A quote as an answer. Wallets since nutshell 0.21 insist on a `method` member, which the NUTs leave out.
    func asQuoteAnswer() -> JSONValue {
        guard case .object(var quote) = self else { return self }
        quote["method"] = .string(PaymentMethod.bolt11.name)
        return .object(quote)
    }

    func quoteAnswer() -> [UInt8] { asQuoteAnswer().serialized() }
}
