internal import Cashu
internal import Encodings
internal import Lightning
internal import Logging
internal import Synchronization

/// How a melt's payment ends, at once or after a restart.
extension Mint {
    /// Pays a melt whose inputs are held.
    /// - Returns: the quote, paid or still pending.
    /// - Throws: `MintError` 20004 where the payment failed for good and its inputs are free again; nothing else, as
    ///   everything else leaves the melt pending.
    func pay(_ quote: StoredMeltQuote) async throws(MintError) -> StoredMeltQuote {
        do {
            return try await payAndEnd(quote)
        } catch let refusal as MintError where refusal.code == .lightningPaymentFailed {
            throw refusal
        } catch {
            logger.critical(
                "the end of a payment could not be written down; it stays pending and is asked about again",
                metadata: ["quote": "\(quote.id)", "error": "\(error)"]
            )
            return quote
        }
    }

    private func payAndEnd(_ quote: StoredMeltQuote) async throws -> StoredMeltQuote {
        let outcome: PaymentOutcome
        do {
            outcome = try await attempt(quote)
        } catch let error as LightningError {
            // The port's promise: what `pay` throws was not started; and no earlier attempt is open, or the inputs
            // would still have been held by it.
            try await release(quote, because: error.message)
            throw MintError(.lightningPaymentFailed, "the payment was not made: \(error.message)")
        }
        return try await end(quote, outcome)
    }

    private func attempt(_ quote: StoredMeltQuote) async throws -> PaymentOutcome {
        let invoice = try Self.invoice(quote.request)
        let reserve = try rate(of: quote).msat(quote.feeReserve)
        let outcome =
            if let part = quote.partMsat {
                try await lightning.payPart(of: invoice, amountMsat: part, maximumFeeMsat: reserve)
            } else {
                try await lightning.pay(invoice: invoice, maximumFeeMsat: reserve)
            }
        guard case .failed = outcome else { return outcome }
        // A failure frees the user's money, so it is asked for twice.
        do {
            return try await lightning.paymentStatus(paymentHash: quote.paymentHash) ?? outcome
        } catch {
            return .pending
        }
    }

    /// Writes down how a payment ended.
    private func end(_ quote: StoredMeltQuote, _ outcome: PaymentOutcome) async throws -> StoredMeltQuote {
        switch outcome {
        case .settled(let preimage, let feeMsat):
            guard try Self.invoice(quote.request).isPaid(by: preimage) else {
                logger.critical(
                    "the Lightning node says that a payment settled, with a preimage that does not prove it; the melt stays pending",
                    metadata: ["quote": "\(quote.id)"]
                )
                metrics.meltUnknown()
                return quote
            }
            return try await settle(quote, preimage: preimage, feeMsat: feeMsat)
        case .pending:
            metrics.meltUnknown()
            logger.notice("a payment's outcome is not known yet", metadata: ["quote": "\(quote.id)"])
            return quote
        case .failed(let failure):
            try await release(quote, because: failure.message)
            throw MintError(.lightningPaymentFailed, "the payment failed: \(failure.message)")
        }
    }

    func settle(_ quote: StoredMeltQuote, preimage: [UInt8]?, feeMsat: UInt64) async throws -> StoredMeltQuote {
        let fee = try rate(of: quote).unitsRoundedUp(msat: feeMsat)
        if fee > quote.feeReserve {
            logger.error(
                "routing cost more than the reserve; the difference is the operator's loss",
                metadata: ["quote": "\(quote.id)", "fee": "\(fee)", "reserve": "\(quote.feeReserve)"]
            )
        }
        let spent = try Amounts.sum([quote.amount, min(fee, quote.feeReserve), quote.inputFee])
        let blanks = try await store.blanks(ofMelt: quote.id)
        let overpaid = quote.inputTotal > spent ? quote.inputTotal - spent : 0
        let change = try await change(of: overpaid, on: blanks)
        let paid = try await store.settleMelt(
            quote.id,
            preimage: preimage,
            lightningFee: fee,
            change: change,
            at: clock.now()
        )
        announce(.meltQuote(quote.id), .meltEnded)
        metrics.meltPaid()
        return paid
    }

    private func release(_ quote: StoredMeltQuote, because reason: String) async throws {
        try await store.add(MeltNote(at: clock.now(), kind: .failed, text: reason), toMelt: quote.id)
        try await store.releaseMelt(quote.id, at: clock.now())
        announce(.meltQuote(quote.id), .meltEnded)
        metrics.meltFailed()
        logger.notice("a payment failed", metadata: ["quote": "\(quote.id)", "reason": "\(reason)"])
    }

    // MARK: Recovery

    /// Asks about one pending melt that nobody is waiting for, and ends it where the outcome is known.
    ///
    /// Where the backend has no record of the payment, the process may have died before or while sending it: paying again
    /// settles the question, as the backend pays one hash once.
    func recover(_ quote: StoredMeltQuote) async {
        guard paying.withLock({ $0.insert(quote.id).inserted }) else { return await settleHanging(quote) }
        defer { _ = paying.withLock { $0.remove(quote.id) } }
        do {
            // It may have ended between the reading of the list and now.
            guard let current = try await store.meltQuote(quote.id), current.state == .pending else { return }
            _ = try await end(current, recoveredOutcome(of: current))
        } catch let refusal as MintError where refusal.code == .lightningPaymentFailed {
            // Ended: the inputs are free again.
        } catch {
            logger.warning(
                "a pending melt could not be asked about",
                metadata: ["quote": "\(quote.id)", "error": "\(error)"]
            )
        }
    }

    /// A payment whose call does not come back may have settled all the same. Only that ends it: as long as the call is
    /// under way, no other word of the backend is the last one.
    private func settleHanging(_ quote: StoredMeltQuote) async {
        guard quote.startedAt.map({ clock.now() >= $0.adding(seconds: configuration.meltAnswerSeconds) }) ?? false,
            case .settled(let preimage, let feeMsat)? = try? await lightning.paymentStatus(
                paymentHash: quote.paymentHash
            ),
            (try? Self.invoice(quote.request).isPaid(by: preimage)) == true
        else { return }
        do {
            _ = try await settle(quote, preimage: preimage, feeMsat: feeMsat)
        } catch {
            logger.warning("a melt's end is written later", metadata: ["quote": "\(quote.id)", "error": "\(error)"])
        }
    }

    private func recoveredOutcome(of quote: StoredMeltQuote) async throws -> PaymentOutcome {
        let known = try await lightning.paymentStatus(paymentHash: quote.paymentHash)
        if case .pending? = known { try await noteAnswer("pending", of: quote) }
        if let known { return known }
        // No record, and so long past the invoice's expiry that no call can still be on its way or be accepted.
        if try isLongExpired(quote) {
            return .failed(PaymentFailure(.expired, "the invoice expired before its payment was begun"))
        }
        return try await attempt(quote)
    }

    func isLongExpired(_ quote: StoredMeltQuote) throws -> Bool {
        try Self.invoice(quote.request).isExpired(at: clock.now().adding(seconds: -Self.expiryMarginSeconds))
    }

    /// How long after an invoice's expiry a payment that the backend never heard of counts as never made.
    private static var expiryMarginSeconds: Int64 { 600 }

    /// Asks about every pending melt once, a few at a time, so that one that hangs does not hold up the rest.
    public func recoverPendingMelts() async {
        var last = ""
        do {
            while true {
                let page = try await store.pendingMelts(after: last, count: 100)
                guard let end = page.last else { return }
                last = end.id
                await withTaskGroup(of: Void.self) { group in
                    for (index, quote) in page.enumerated() {
                        if index >= 8 { await group.next() }
                        group.addTask { [self] in await recover(quote) }
                    }
                }
            }
        } catch {
            logger.warning("pending melts could not be read", metadata: ["error": "\(error)"])
        }
    }

    /// Forgets quotes that expired unpaid and whose grace is over, after asking the backend one last time about each
    /// mint quote's invoice; counts the open ones anew.
    public func forgetExpiredQuotes() async {
        let limit = clock.now().adding(seconds: -configuration.quoteGraceSeconds)
        do {
            for quote in try await store.unpaidMintQuotes(expiredBefore: limit, count: 500) {
                await forget(quote)
            }
            _ = try await store.removeUnpaidMeltQuotes(expiredBefore: limit, count: 500)
            let open = OpenQuotes(
                mint: try await store.unpaidMintQuoteCount(),
                melt: try await store.unpaidMeltQuoteCount()
            )
            openQuotes.withLock { $0 = open }
        } catch {
            logger.warning("old quotes could not be removed", metadata: ["error": "\(error)"])
        }
    }

    private func forget(_ quote: StoredMintQuote) async {
        do {
            guard try await refreshed(quote).state == .unpaid else { return }
            try await store.removeUnpaid(mintQuote: quote.id)
        } catch let error as LightningError where error.code == .invoiceNotFound {
            // The backend has forgotten it too, so it can never be paid.
            try? await store.removeUnpaid(mintQuote: quote.id)
        } catch {
            logger.warning("an old quote was kept, as the backend does not answer", metadata: ["error": "\(error)"])
        }
    }

    private func attempting(_ sentence: Logger.Message, _ work: () async throws -> some Any) async {
        do {
            _ = try await work()
        } catch is CancellationError {
            // The end of the process, not of the work.
        } catch {
            logger.error(sentence, metadata: ["error": "\(error)"])
        }
    }

    /// The mint's housekeeping, at once and then every `recoveryIntervalSeconds`, and the questions about quotes that
    /// somebody watches, until the task is cancelled.
    public func run() async {
        async let watching: Void = watchQuotes()
        async let following: Void = followSettledInvoices()
        while !Task.isCancelled {
            await recoverPendingMelts()
            await forgetExpiredQuotes()
            await attempting("a keyset that is due could not be rotated") { try await rotateDueKeysets() }
            await attempting("melts that failed are looked at again later") { try await watchFreedMelts() }
            await attempting("the statement of liabilities is made later") { try await proveLiabilities() }
            await forgetOldAnswers()
            try? await Task.sleep(for: .seconds(configuration.recoveryIntervalSeconds))
        }
        await watching
        await following
    }
}
