internal import CanonicalJSON
internal import Cashu
internal import Workers

/// Several mint quotes in one request (NUT-29): all of it or nothing.
extension Mint {
    /// `POST /v1/mint/quote/bolt11/check`: the quotes in the order asked.
    /// - Throws: `MintError` 11016, 11017, 20007 where one is not there, 10000 for none.
    package func checkMintQuotes(_ body: [UInt8]) async throws -> [UInt8] {
        let request = try await workers.run { try TransactionCheck.decode(body, MintQuoteCheckRequest.init(json:)) }
        try requireBatch(request.quotes)
        var stored: [StoredMintQuote] = []
        for id in request.quotes {
            guard let quote = try await store.mintQuote(id.string) else { throw MintError.quoteUnknown }
            stored.append(quote)
        }
        let quotes = await looked(stored)
        return JSONValue.array(try quotes.map { try $0.onTheWire().json.asQuoteAnswer() }).serialized()
    }

    /// Asks about a few invoices at a time.
    private func looked(_ quotes: [StoredMintQuote]) async -> [StoredMintQuote] {
        await withTaskGroup(of: (Int, StoredMintQuote).self) { group in
            var result = quotes
            for (index, quote) in quotes.enumerated() {
                if index >= 8, let (place, known) = await group.next() { result[place] = known }
                group.addTask { [self] in (index, await looked(quote)) }
            }
            for await (place, known) in group { result[place] = known }
            return result
        }
    }

    /// `POST /v1/mint/bolt11/batch`: ecash for all of the quotes; the same body again gets the same answer (NUT-19).
    package func mintBatch(_ body: [UInt8]) async throws -> [UInt8] {
        let (request, digest) = try await workers.run {
            (try TransactionCheck.decode(body, BatchMintRequest.init(json:)), RequestDigest(.batch, body: body))
        }
        try requireBatch(request.quotes)
        let count = request.quotes.count
        guard request.amounts?.count ?? count == count else {
            throw MintError(.malformedRequest, "`quote_amounts` must have an entry for each quote")
        }
        guard request.signatures?.count ?? count == count else {
            throw MintError(
                .mintSignatureInvalid,
                "`signatures` must have an entry for each quote, null where it has no key"
            )
        }
        let order = MintOrder(
            quotes: request.quotes,
            amounts: request.amounts,
            outputs: request.outputs,
            signatures: request.signatures ?? Array(repeating: nil, count: count),
            digest: digest
        )
        try await requireNoStraySignatures(order)
        return try await mint(order)
    }

    /// - Throws: `MintError` 20008 for a signature for a quote without a key, which NUT-29 forbids.
    private func requireNoStraySignatures(_ order: MintOrder) async throws {
        for (id, signature) in zip(order.quotes, order.signatures) where signature != nil {
            guard let quote = try await store.mintQuote(id.string) else { throw MintError.quoteUnknown }
            guard quote.publicKey != nil else {
                throw MintError(.mintSignatureInvalid, "a quote without a key must have null in `signatures`")
            }
        }
    }

    private func requireBatch(_ quotes: [QuoteID]) throws(MintError) {
        guard !quotes.isEmpty else {
            throw MintError(.malformedRequest, "a batch needs at least one quote")
        }
        guard quotes.count <= configuration.limits.batchQuotes else {
            throw MintError(
                .maximumBatchExceeded,
                "at most \(configuration.limits.batchQuotes) quotes are taken at once"
            )
        }
        guard Set(quotes).count == quotes.count else {
            throw MintError(.duplicateQuotes, "a quote stands twice in the request")
        }
    }
}
