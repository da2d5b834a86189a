public import Cashu
internal import Encodings
internal import Lightning
internal import Paywall
internal import Storage

extension Wallet {
    /// What one mint is to pay of an invoice.
    private struct Share: Sendable {
        var mint: MintURL
        var quote: MeltQuote
        /// In millisatoshi.
        var part: UInt64
    }

    /// The most mints that pay one invoice together.
    private static let maximumParts = 16

    /// Pays an invoice from one of the mints, or, where none holds enough, a part from each of several (NUT-15). All parts
    /// are on disk before the first is sent, and they are sent at once, since the payee takes all of them or none. The same
    /// invoice again does not pay again: it tells how the parts stand.
    /// - Parameters:
    ///   - mints: which may pay, in the order of preference; empty: every mint of which the wallet holds coins, those with
    ///     the most first.
    ///   - maximumFee: the most that may go in fees, over all parts, in `unit`.
    ///   - account: on whose account it goes, for limits; the parts count together.
    /// - Returns: the payment, `paid`, `pending` or `contradictory`.
    /// - Throws: `limitExceeded`, `insufficientFunds`, `paymentFailed`, all with nothing paid; `outcomeUnknown` where one
    ///   mint pays it alone and has not answered.
    public func payInvoice(
        _ text: String,
        fromAnyOf mints: [MintURL],
        unit: CurrencyUnit = .sat,
        maximumFee: UInt64,
        account: SpendingAccount = SpendingAccount()
    ) async throws -> InvoicePayment {
        let (invoice, asked) = try payable(text)
        if let earlier = try await partsUnderWay(of: invoice) { return try await resolve(earlier, isFresh: false) }
        guard !invoice.isExpired(at: clock.now()) else {
            throw WalletError(.invoiceExpired, "the invoice lapsed on \(invoice.expiresAt)")
        }
        let sources = try await sources(mints, unit: unit)
        do {
            let paid = try await payAlone(
                invoice,
                asked,
                sources,
                unit: unit,
                maximumFee: maximumFee,
                account: account
            )
            if let paid { return paid }
        } catch let other as InvoiceTaken {
            return try await resolve(other.payment, isFresh: false)
        }
        let shares = try await shares(of: invoice, asked: asked, from: sources, unit: unit)
        let reserve = try Amounts.sum(shares.map(\.quote.feeReserve))
        guard reserve <= maximumFee else {
            throw WalletError(
                .limitExceeded,
                "the \(shares.count) mints want to keep \(reserve) \(unit) ready for fees, more than the \(maximumFee)"
                    + " allowed"
            )
        }
        let spend = Spend(
            agent: account.agent,
            unit: unit,
            amount: try Amounts.adding(Amounts.sum(shares.map(\.quote.amount)), reserve),
            at: clock.now()
        )
        try await database.read { connection in try SpendingLimits.requireRoom(for: spend, in: connection) }
        for share in shares { try await prepareCoins(for: share.quote, at: share.mint, unit: unit) }
        let (payment, isFresh) = try await plan(shares, of: invoice, spend: spend)
        return try await resolve(payment, isFresh: isFresh)
    }

    // MARK: Who can pay

    private struct Source: Sendable {
        var mint: MintURL
        var available: UInt64
    }

    private func sources(_ mints: [MintURL], unit: CurrencyUnit) async throws -> [Source] {
        let now = clock.now()
        let candidates = try await mints.isEmpty ? self.mints() : mints
        let sources = try await database.read { connection in
            try candidates.map { mint in
                let coins = try CoinStore.available(mint: mint, unit: unit, at: now, in: connection)
                return Source(mint: mint, available: try Amounts.sum(coins.map(\.amount)))
            }
        }
        guard mints.isEmpty else { return sources }
        return sources.filter { $0.available > 0 }.sorted { $0.available > $1.available }
    }

    /// - Returns: nil where no mint holds enough.
    private func payAlone(
        _ invoice: BOLT11Invoice,
        _ asked: UInt64,
        _ sources: [Source],
        unit: CurrencyUnit,
        maximumFee: UInt64,
        account: SpendingAccount
    ) async throws -> InvoicePayment? {
        let size = Self.millisatoshi(unit)
        for source in sources {
            // A single mint is asked in any case, so that it says itself what is missing.
            let isOnly = sources.count == 1
            guard isOnly || size.map({ asked / $0 <= source.available }) ?? (source.available > 0) else { continue }
            do {
                let paid = try await payNew(
                    invoice.text,
                    from: source.mint,
                    unit: unit,
                    maximumFee: maximumFee,
                    account: account
                )
                let part = InvoicePayment.Part(mint: source.mint, amount: paid.amount, fee: paid.fee, state: .paid)
                return InvoicePayment(unit: unit, parts: [part], preimage: paid.preimage, state: .paid)
            } catch let error as WalletError where error.code == .insufficientFunds && !isOnly {
                continue
            }
        }
        return nil
    }

    /// How many millisatoshi make one; nil for units that are none of bitcoin's.
    private static func millisatoshi(_ unit: CurrencyUnit) -> UInt64? {
        switch unit {
        case .sat: 1000
        case .msat: 1
        default: nil
        }
    }

    // MARK: Who pays what

    /// Asks the mints for quotes of parts that make the invoice together, as few as it takes.
    /// - Throws: `insufficientFunds`, saying what is missing.
    private func shares(
        of invoice: BOLT11Invoice,
        asked: UInt64,
        from sources: [Source],
        unit: CurrencyUnit
    ) async throws -> [Share] {
        guard let size = Self.millisatoshi(unit) else {
            throw WalletError(.invalidArgument, "an invoice is paid in parts in sat or msat, not in \(unit)")
        }
        var left = asked
        var shares: [Share] = []
        var refusals: [String] = []
        for source in sources.sorted(by: { $0.available > $1.available }) where left > 0 && source.available > 0 {
            guard shares.count < Self.maximumParts else { break }
            guard try await book.info(source.mint)?.paysParts(unit) == true else {
                refusals.append("\(source.mint) pays no parts of invoices in \(unit) (NUT-15)")
                continue
            }
            do {
                guard let share = try await share(of: invoice, atMost: left, from: source, unit: unit, size: size)
                else { continue }
                shares.append(share)
                left -= share.part
            } catch let error as WalletError {
                refusals.append(error.message)
            }
        }
        guard left == 0 else {
            let there = try Amounts.sum(sources.map(\.available))
            let why = refusals.isEmpty ? "" : "; " + refusals.joined(separator: "; ")
            throw WalletError(
                .insufficientFunds,
                "\(asked / size + (asked % size == 0 ? 0 : 1)) \(unit) and the fees are needed; \(there) \(unit) are there,"
                    + " and \(left / size + (left % size == 0 ? 0 : 1)) \(unit) of the invoice would stay unpaid\(why)"
            )
        }
        return shares
    }

    /// The largest part that the coins at one mint pay, fees and all.
    private func share(
        of invoice: BOLT11Invoice,
        atMost left: UInt64,
        from source: Source,
        unit: CurrencyUnit,
        size: UInt64
    ) async throws -> Share? {
        // Whole units but for the last part, since a mint rounds up.
        var part = min(
            left,
            source.available.multipliedReportingOverflow(by: size).overflow ? left : source.available * size
        )
        for _ in 0..<6 where part > 0 {
            let quote: MeltQuote
            do {
                quote = try await book.client(source.mint).requestMeltQuote(
                    MeltQuoteRequest(
                        request: invoice.text,
                        unit: unit,
                        partialMillisatoshi: part == invoice.amountMsat ? nil : part
                    )
                )
            } catch {
                throw WalletError(error, mint: source.mint)
            }
            try check(quote, asked: part, unit: unit, maximumFee: .max, mint: source.mint)
            let cost = try await cost(of: quote, at: source.mint, unit: unit)
            if cost <= source.available { return Share(mint: source.mint, quote: quote, part: part) }
            let units = part / size
            part = (units - min(units, cost - source.available)) * size
        }
        return nil
    }

    /// The most that a melt can take: the amount, its reserve, and the input fees of making coins fit and of giving them.
    private func cost(of quote: MeltQuote, at mint: MintURL, unit: CurrencyUnit) async throws -> UInt64 {
        let keyset = try await book.terms(mint).keysetForNewCoins(unit: unit, at: clock.now())
        let need = try Amounts.adding(quote.amount, quote.feeReserve)
        let fitted = try Fees.grossedUp(price: need, feePPK: keyset.info.inputFeePPK)
        let limit = configuration.maximumInputs
        let now = clock.now()
        return try await database.read { connection in
            let coins = try CoinStore.available(mint: mint, unit: unit, at: now, in: connection)
            if let chosen = try CoinSelection.covering(coins, target: fitted, maximumInputs: limit) {
                return try Amounts.adding(fitted, Fees.total(inputFeesPPK: chosen.map(\.feePPK)))
            }
            // More than there is, by what the fees of all the coins would come to.
            let usable = coins.prefix(limit)
            let fees = try Fees.total(inputFeesPPK: usable.map(\.feePPK))
            let there = try Amounts.sum(usable.map(\.amount))
            return try Amounts.adding(max(fitted, there), max(fees, 1)) + (try Amounts.sum(coins.map(\.amount)) - there)
        }
    }

    // MARK: Paying

    /// Puts every part on disk in one transaction, counted together against the limits.
    /// - Returns: the payment's id, and whether it was made here: not where somebody else was quicker.
    private func plan(_ shares: [Share], of invoice: BOLT11Invoice, spend: Spend) async throws -> (
        payment: String, isFresh: Bool
    ) {
        var planners: [OperationPlanner] = []
        for share in shares {
            planners.append(
                try OperationPlanner(
                    // A part that is refused for an old keyset holds the others up: the terms must be fresh.
                    terms: try await book.terms(share.mint, maximumAgeSeconds: 60),
                    unit: spend.unit,
                    maximumInputs: configuration.maximumInputs,
                    at: clock.now()
                )
            )
        }
        let payment = WalletID.random()
        let hash = invoice.paymentHash
        let pairs = Array(zip(shares, planners))
        return try await database.write { connection in
            do {
                try InvoicePartStore.requireNew(hash, in: connection)
            } catch let other as InvoiceTaken {
                return (other.payment, false)
            }
            for (place, (share, planner)) in pairs.enumerated() {
                let operation = try Self.planMelt(share.quote, planner, reference: "part:" + payment, in: connection)
                var part = spend
                part.amount = try Amounts.adding(
                    Amounts.adding(share.quote.amount, share.quote.feeReserve),
                    planner.netWorth(of: operation.inputs).fee
                )
                try part.charged(as: operation.id, in: connection)
                try InvoicePartStore.insert(
                    operation,
                    payment: payment,
                    paymentHash: hash,
                    place: place,
                    in: connection
                )
            }
            return (payment, true)
        }
    }

    private func partsUnderWay(of invoice: BOLT11Invoice) async throws -> String? {
        let hash = invoice.paymentHash
        return try await database.read { connection in try InvoicePartStore.live(hash, in: connection) }
    }

    /// Why an invoice that another call took is not paid: `paymentFailed` where it is paid, else `outcomeUnknown`.
    func refusal(of other: InvoiceTaken) async throws -> WalletError {
        let status = try await database.read { connection in
            try InvoicePartStore.status(of: other.payment, in: connection)
        }
        guard status.state == .paid else {
            return WalletError(
                .outcomeUnknown,
                "this invoice is being paid; the wallet finds out by itself what becomes of it, and pays it no second time"
            )
        }
        return WalletError(.paymentFailed, "this invoice was paid before; nothing was paid now")
    }

    /// Sends the parts whose outcome is not known, all at once.
    /// - Parameter isFresh: nothing of them was sent before.
    /// - Throws: `paymentFailed` where every part failed.
    private func resolve(_ payment: String, isFresh: Bool) async throws -> InvoicePayment {
        defer { bell.ring() }
        let planned = try await database.read { connection in
            try InvoicePartStore.operations(of: payment, in: connection).filter { $0.state == .planned }
        }
        _ = try await runner.takeUp(planned, isFresh: isFresh)
        let status = try await database.read { connection in
            try InvoicePartStore.status(of: payment, in: connection)
        }
        guard status.state == .failed else { return status }
        let reasons = status.parts.map { "\($0.mint): \($0.reason ?? "not paid")" }.joined(separator: "; ")
        throw WalletError(.paymentFailed, "no part of the invoice was paid, and all coins are back. \(reasons)")
    }

    /// How an invoice stands that was paid from one mint or in parts, as far as the wallet knows; nil: nothing of it was
    /// paid or is under way. Payments of calls are not among them.
    public func invoicePayment(_ text: String) async throws -> InvoicePayment? {
        let (invoice, _) = try payable(text)
        let hash = invoice.paymentHash
        return try await database.read { connection in
            try InvoicePartStore.live(hash, in: connection).map { try InvoicePartStore.status(of: $0, in: connection) }
        }
    }
}
