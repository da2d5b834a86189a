internal import CanonicalJSON
package import Cashu
internal import Cryptography
internal import Encodings
internal import Lightning
internal import Logging
internal import Synchronization
internal import Workers

/// Melt quotes and melting (NUT-05, NUT-08, NUT-23).
extension Mint {
    // MARK: Quotes

    /// `POST /v1/melt/quote/bolt11`: what paying an invoice takes.
    package func requestMeltQuote(_ body: [UInt8]) async throws -> [UInt8] {
        let request = try await workers.run { try TransactionCheck.decode(body, MeltQuoteRequest.init(json:)) }
        return try await requestMeltQuote(request).json.quoteAnswer()
    }

    /// - Throws: `MintError` 11013 unit, 11011 no amount, 11012 other amount, 11006 limits, 20007 invoice expired,
    ///   10000 an invoice that cannot be read or is for another network; `MintFailure` 503 where too many are open.
    package func requestMeltQuote(_ request: MeltQuoteRequest) async throws -> MeltQuote {
        let settings = try settings(request.unit)
        let now = clock.now()
        let invoice = try await workers.run { try Self.invoice(request.request) }
        let msat = try payableMsat(invoice, now: now)
        if let stated = request.amountlessMillisatoshi, stated != msat {
            throw MintError(.amountDiffersFromInvoice, "the invoice is for \(msat) msat, the request for \(stated)")
        }
        // An invoice of the mint's own is settled inside: no routing, no reserve.
        let isOwn = try await store.mintQuote(paymentHash: invoice.paymentHash) != nil
        let part = try partMsat(request, of: msat, isOwn: isOwn)
        let rate = try rate(request.unit)
        let amount = rate.unitsRoundedUp(msat: part ?? msat)
        try requireWithinLimits(amount, settings)
        let lifetime = now.adding(seconds: Int64(configuration.quoteLifetimeSeconds))
        let quote = StoredMeltQuote(
            id: try QuoteID(now: now, random: SecureRandom.bytes(10)).string,
            unit: request.unit,
            amount: amount,
            feeReserve: isOwn ? 0 : try feeReserve(msat: part ?? msat, rate),
            request: invoice.text,
            paymentHash: invoice.paymentHash,
            expiry: min(invoice.expiresAt, lifetime),
            updatedAt: now,
            msatPerUnit: UnitRate.fixed(request.unit) == nil ? rate.msatPerUnit : nil,
            partMsat: part
        )
        try openQuotes.withLock { open throws(MintFailure) in
            guard open.melt < configuration.limits.openQuotes else {
                throw .overloaded("\(open.melt) melt quotes are open; try again once some have expired")
            }
            open.melt += 1
        }
        do {
            try await store.add(quote)
        } catch {
            openQuotes.withLock { $0.melt -= 1 }
            throw error
        }
        metrics.meltQuoted()
        return try quote.onTheWire()
    }

    static func invoice(_ text: String) throws(MintError) -> BOLT11Invoice {
        do {
            return try BOLT11Invoice(decoding: text)
        } catch {
            throw MintError(.malformedRequest, "the invoice cannot be paid: \(error.message)")
        }
    }

    private func payableMsat(_ invoice: BOLT11Invoice, now: Timestamp) throws(MintError) -> UInt64 {
        do {
            return try invoice.requirePayable(on: lightning.network, at: now)
        } catch {
            switch error.code {
            case .amountRequired: throw MintError(.amountlessInvoiceNotSupported, error.message)
            case .expired: throw MintError(.quoteExpired, error.message)
            default: throw MintError(.malformedRequest, error.message)
            }
        }
    }

    private func feeReserve(msat: UInt64, _ rate: UnitRate) throws(MintError) -> UInt64 {
        let (product, overflow) = msat.multipliedReportingOverflow(by: configuration.feeReserve.permille)
        guard !overflow else { throw MintError(.amountOutsideLimits, "the invoice is for more than can be paid") }
        let share = product / 1000 + (product % 1000 == 0 ? 0 : 1)
        return rate.unitsRoundedUp(msat: max(share, configuration.feeReserve.minimumMsat))
    }

    /// `GET /v1/melt/quote/bolt11/{id}`. A pending payment that nobody is waiting for is asked about first.
    package func meltQuote(_ id: String) async throws -> [UInt8] {
        guard var quote = try await store.meltQuote(id) else { throw MintError.quoteUnknown }
        if quote.state == .pending {
            await recover(quote)
            guard let now = try await store.meltQuote(id) else { throw MintError.quoteUnknown }
            quote = now
        }
        return try await answer(quote)
    }

    /// The quote as the protocol says it, with its change where it is paid.
    func answer(_ quote: StoredMeltQuote) async throws -> [UInt8] {
        var wire = try quote.onTheWire()
        if quote.state == .paid {
            let change = try await store.change(ofMelt: quote.id)
            if !change.isEmpty { wire.change = try change.map { try BlindSignature($0) } }
        }
        return wire.json.quoteAnswer()
    }

    // MARK: Melting

    private struct PreparedMelt: Sendable {
        var request: MeltRequest
        var fee: UInt64
        var total: UInt64
        var unit: CurrencyUnit
        var inputs: [SpentProof]
        var digest: RequestDigest
    }

    /// `POST /v1/melt/bolt11`: pays the quote's invoice with the inputs.
    ///
    /// The inputs are held on the disk before the payment is begun. They are spent once it is known to have settled,
    /// free again once it is known to have failed, and held as long as neither is known; the answer then is PENDING.
    /// The payment goes on where the caller hangs up. The same body again gets the quote as it stands now, with its change
    /// once it is paid (NUT-19).
    package func melt(_ body: [UInt8]) async throws -> [UInt8] {
        try await answering {
            try await meltOnce(body)
        } former: {
            let (request, digest) = try await workers.run {
                (try TransactionCheck.decode(body, MeltRequest.init(json:)), RequestDigest(.melt, body: body))
            }
            let id = request.quote.string
            guard try await store.hasAnswered(melt: digest, quote: id), let quote = try await store.meltQuote(id),
                quote.state != .unpaid
            else { return nil }
            return try await answer(quote)
        }
    }

    private func meltOnce(_ body: [UInt8]) async throws -> [UInt8] {
        let check = check
        let (verified, (request, totals, digest)) = try await signatory.answer {
            let request = try TransactionCheck.decode(body, MeltRequest.init(json:))
            let totals = try check.melt(request.inputs, blanks: request.outputs)
            try check.requireUnlocked(request.inputs, outputs: request.outputs, quote: request.quote.string)
            return (SignatoryBatch(proofs: request.inputs), (request, totals, RequestDigest(.melt, body: body)))
        }
        let prepared = PreparedMelt(
            request: request,
            fee: totals.fee,
            total: totals.inputs,
            unit: totals.unit,
            inputs: check.spent(request.inputs, hashedSecrets: verified.hashedSecrets),
            digest: digest
        )
        let id = prepared.request.quote.string
        guard let quote = try await store.meltQuote(id) else { throw MintError.quoteUnknown }
        guard prepared.unit == quote.unit else {
            throw MintError(.unitMismatch, "the quote is in \(quote.unit), the inputs are \(prepared.unit)")
        }
        guard paying.withLock({ $0.insert(id).inserted }) else {
            throw MintError(.quotePending, "the quote is being paid already")
        }
        let payment: Task<StoredMeltQuote, any Error>?
        do {
            payment = try await begin(prepared, quote: quote, at: check.now)
        } catch {
            _ = paying.withLock { $0.remove(id) }
            throw error
        }
        if let payment, !prepared.request.prefersAsync {
            return try await answer(outcome(of: payment, quote: id))
        }
        guard let now = try await store.meltQuote(id) else { throw MintError.quoteUnknown }
        return try await answer(now)
    }

    /// How a payment ended, or, where it takes longer than the answer may wait, how it stands.
    private func outcome(of payment: Task<StoredMeltQuote, any Error>, quote id: String) async throws -> StoredMeltQuote
    {
        let waited = FirstOf<StoredMeltQuote?>()
        Task { waited.resume(with: await payment.result.map { $0 }) }
        let timer = Task {
            try await Task.sleep(for: .seconds(configuration.meltAnswerSeconds))
            waited.resume(with: .success(nil))
        }
        defer { timer.cancel() }
        if let ended = try await waited.value() { return ended }
        guard let now = try await store.meltQuote(id) else { throw MintError.quoteUnknown }
        return now
    }

    /// Holds the inputs and starts the payment; the task ends the melt and takes the quote out of `paying`.
    /// - Returns: nil where the melt was settled inside the mint.
    private func begin(
        _ prepared: PreparedMelt,
        quote: StoredMeltQuote,
        at now: Timestamp
    ) async throws -> Task<StoredMeltQuote, any Error>? {
        let blanks = prepared.request.outputs.map {
            BlankOutput(blinded: $0.blindedSecret.compressed, keyset: $0.keysetID)
        }
        let changeInside = try await prepareOutside(quote, prepared, blanks)
        try meltGate.enter()
        let start: MeltStart
        do {
            start = try await store.beginMelt(
                quote.id,
                holding: prepared.inputs,
                fee: prepared.fee,
                blanks: blanks,
                changeInside: changeInside,
                answering: prepared.digest,
                at: now
            )
        } catch {
            meltGate.leave()
            throw error
        }
        switch start {
        case .settledInside:
            meltGate.leave()
            _ = paying.withLock { $0.remove(quote.id) }
            metrics.meltSettledInside()
            await announce(settledInside: quote, spending: prepared.inputs)
            return nil
        case .pay(let pending):
            announce(.meltQuote(quote.id, passing: try? pending.onTheWire().json.quoteAnswer()))
            announce(spent: prepared.inputs, arePending: true)
            return Task { [self] in
                defer {
                    meltGate.leave()
                    _ = paying.withLock { $0.remove(quote.id) }
                }
                return try await pay(pending)
            }
        }
    }

    /// Looks where the invoice stands outside the mint before anything is held.
    /// - Returns: the change to give where the melt will be settled inside.
    /// - Throws: `MintError` 20006 where it was paid already, 20005 where that is under way.
    private func prepareOutside(
        _ quote: StoredMeltQuote,
        _ prepared: PreparedMelt,
        _ blanks: [BlankOutput]
    ) async throws -> [IssuedPromise] {
        if let own = try await store.mintQuote(paymentHash: quote.paymentHash) {
            guard try await refreshed(own).state == .unpaid else {
                throw MintError(.invoiceAlreadyPaid, "the invoice has been paid already")
            }
            let (taken, overflow) = own.amount.addingReportingOverflow(prepared.fee)
            guard !overflow, prepared.total > taken else { return [] }
            return try await change(of: prepared.total - taken, on: blanks)
        }
        guard quote.state == .unpaid else { return [] }
        switch try await backendGate.within({ try await lightning.paymentStatus(paymentHash: quote.paymentHash) }) {
        case .settled?: throw MintError(.invoiceAlreadyPaid, "the invoice has been paid already")
        case .pending?: throw MintError(.quotePending, "the invoice is being paid already")
        case .failed?, nil: return []
        }
    }

    /// Signs as many blank outputs as the amount has powers of two, the largest first where there are too few outputs;
    /// in the wallet's order, ascending amounts (NUT-08).
    func change(of amount: UInt64, on blanks: [BlankOutput]) async throws -> [IssuedPromise] {
        let parts = Amounts.split(amount).suffix(blanks.count)
        guard !parts.isEmpty else { return [] }
        return try await signatory.answer {
            let outputs = try zip(parts, blanks).map { part, blank in
                BlindedMessage(
                    amount: part,
                    keysetID: blank.keyset,
                    blindedSecret: try Secp256k1.Point(compressed: blank.blinded)
                )
            }
            return (SignatoryBatch(outputs: outputs), ())
        }.0.promises
    }
}

extension StoredMeltQuote {
    func onTheWire() throws -> MeltQuote {
        let wireState: MeltQuoteState =
            switch state {
            case .unpaid: .unpaid
            case .pending: .pending
            case .paid: .paid
            }
        return MeltQuote(
            quote: try QuoteID(id),
            request: request,
            amount: amount,
            unit: unit,
            feeReserve: feeReserve,
            state: wireState,
            expiry: UInt64(clamping: expiry.secondsSince1970),
            paymentPreimage: preimage.map { Hex.encode($0) }
        )
    }
}

extension BlindSignature {
    init(_ promise: IssuedPromise) throws {
        self.init(
            amount: promise.amount,
            keysetID: promise.keyset,
            blindedSignature: try Secp256k1.Point(compressed: promise.signature),
            dleq: DLEQProof(challenge: promise.challenge, response: promise.response)
        )
    }
}
