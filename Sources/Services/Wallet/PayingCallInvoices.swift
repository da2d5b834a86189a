internal import Cashu
internal import Encodings
internal import Lightning
internal import Logging
internal import Storage

/// Calls that are paid before they are made: their invoice first, then the request with what proves it.
extension Buyer {
    /// The most mints that are asked what an invoice would cost.
    private static let maximumMintsAsked = 5

    /// Pays a seller's invoice for a call: with ecash of the trusted mint where that costs least, else over the node's own
    /// Lightning backend. The intent is on disk, with the melt that carries it out, before anything leaves.
    /// - Returns: the payment, held, with the preimage on disk.
    /// - Throws: `limitExceeded`, `insufficientFunds`, `paymentFailed` and the like with nothing paid; `outcomeUnknown` where
    ///   it may be: `resume` goes on with it.
    func pay(_ offer: InvoiceOffer, for call: Call) async throws -> PaymentRecord {
        let request = call.request
        let asked = try requireAllowed(offer, for: request)
        let now = wallet.clock.now()
        try await wallet.database.read { connection in
            try InvoiceStore.requireNew(offer.invoice.paymentHash, in: connection)
            try Self.requireRoom(call, amount: asked, fee: 0, at: now, in: connection)
        }
        var obstacle: WalletError?
        for melt in try await melts(offer, asked: asked, for: call, obstacle: &obstacle) {
            // Once more where the mint may only have changed its keys meanwhile.
            for isAgain in [false, true] {
                if isAgain { _ = try? await wallet.book.refresh(melt.mint) }
                do {
                    return try await pay(offer, with: melt, for: call)
                } catch let error as WalletError where error.leavesOtherWays {
                    obstacle = error
                    guard error.code == .mintRefused else { break }
                }
            }
        }
        if wallet.lightning != nil { return try await payOverLightning(offer, asked: asked, for: call) }
        throw obstacle
            ?? WalletError(
                .insufficientFunds,
                "no trusted mint of this wallet holds \(asked) \(request.unit) to pay the seller's invoice with"
            )
    }

    /// What an invoice takes of the call's unit, without fees.
    /// - Throws: `challengeUnusable` for a unit that is not Lightning's, `limitExceeded` above what the call may cost.
    func requireAllowed(_ offer: InvoiceOffer, for request: PaidRequest) throws -> UInt64 {
        guard let asked = offer.amount(in: request.unit), asked <= UInt64(Int64.max) else {
            throw WalletError(
                .challengeUnusable,
                "the seller's invoice is in satoshi, the call may be paid in \(request.unit)"
            )
        }
        guard asked <= request.maximum else {
            throw WalletError(
                .limitExceeded,
                "the seller's invoice is over \(asked) \(request.unit), more than the \(request.maximum) allowed;"
                    + " nothing was paid"
            )
        }
        return asked
    }

    // MARK: With ecash

    private struct Melt: Sendable {
        var mint: MintURL
        var quote: MeltQuote
        /// All that may leave the wallet for it.
        var most: UInt64
    }

    /// What it would cost at each trusted mint that holds enough, the cheapest first.
    private func melts(
        _ offer: InvoiceOffer,
        asked: UInt64,
        for call: Call,
        obstacle: inout WalletError?
    ) async throws -> [Melt] {
        let unit = call.request.unit
        let now = wallet.clock.now()
        let trusted = try await wallet.knownMints().filter(\.isTrusted).map(\.url)
        var holding: [(mint: MintURL, there: UInt64)] = []
        for mint in trusted {
            let there = try await wallet.database.read { connection in
                try Amounts.sum(CoinStore.available(mint: mint, unit: unit, at: now, in: connection).map(\.amount))
            }
            if there >= asked { holding.append((mint, there)) }
        }
        var found: [Melt] = []
        for (mint, there) in holding.sorted(by: { $0.there > $1.there }).prefix(Self.maximumMintsAsked) {
            do {
                let melt = try await melt(offer, at: mint, for: call)
                guard melt.most <= there else {
                    throw WalletError(
                        .insufficientFunds,
                        "the invoice takes up to \(melt.most) \(unit) with its fees, and \(there) are there at \(mint)"
                    )
                }
                guard melt.most <= call.request.maximum else {
                    throw WalletError(
                        .limitExceeded,
                        "the invoice takes up to \(melt.most) \(unit) with its fees, more than the"
                            + " \(call.request.maximum) allowed; nothing was paid"
                    )
                }
                found.append(melt)
            } catch let error as WalletError where error.leavesOtherWays {
                obstacle = error
            }
        }
        return found.sorted { ($0.most, $0.mint.string) < ($1.most, $1.mint.string) }
    }

    private func melt(_ offer: InvoiceOffer, at mint: MintURL, for call: Call) async throws -> Melt {
        let unit = call.request.unit
        let quote: MeltQuote
        do {
            let asking = MeltQuoteRequest(request: offer.invoice.text, unit: unit)
            quote = try await wallet.book.client(mint).requestMeltQuote(asking)
        } catch {
            throw WalletError(error, mint: mint)
        }
        try wallet.check(
            quote,
            asked: offer.amountMsat,
            unit: unit,
            maximumFee: call.request.maximum - min(quote.amount, call.request.maximum),
            mint: mint
        )
        // Coins are made to fit first, then given: each exchange has its input fee.
        let need = try Amounts.adding(quote.amount, quote.feeReserve)
        let keyset = try await wallet.book.terms(mint).keysetForNewCoins(unit: unit, at: wallet.clock.now())
        let fitted = try Fees.grossedUp(price: need, feePPK: keyset.info.inputFeePPK)
        let (limit, now) = (wallet.configuration.maximumInputs, wallet.clock.now())
        let making = try await wallet.database.read { connection -> UInt64 in
            let coins = try CoinStore.available(mint: mint, unit: unit, at: now, in: connection)
            if let exact = CoinSelection.exact(coins, target: fitted), try CoinSelection.netWorth(exact) >= need {
                return 0
            }
            let chosen = try CoinSelection.covering(coins, target: fitted, maximumInputs: limit)
            return try chosen.map { try Fees.total(inputFeesPPK: $0.map(\.feePPK)) } ?? 0
        }
        return Melt(mint: mint, quote: quote, most: try Amounts.adding(fitted, making))
    }

    private func pay(_ offer: InvoiceOffer, with melt: Melt, for call: Call) async throws -> PaymentRecord {
        let unit = call.request.unit
        let now = wallet.clock.now()
        try await wallet.database.read { connection in
            let fee = melt.most - min(melt.quote.amount, melt.most)
            try Self.requireRoom(call, amount: melt.quote.amount, fee: fee, at: now, in: connection)
        }
        try await wallet.prepareCoins(for: melt.quote, at: melt.mint, unit: unit)
        // In hand before it is written, so that nobody takes it for one that a crash left behind.
        let id = WalletID.random()
        _ = hold(id)
        do {
            let operation = try await wallet.planned(at: melt.mint, unit: unit) { planner, connection in
                let operation = try Wallet.planMelt(melt.quote, planner, in: connection)
                let inputFee = try planner.netWorth(of: operation.inputs).fee
                var invoice = call.invoice(offer, amount: melt.quote.amount, at: planner.at)
                invoice.mint = melt.mint
                invoice.operation = operation.id
                invoice.fee = try Amounts.adding(melt.quote.feeReserve, inputFee)
                try Self.begin(call, id: id, invoice, at: planner.at, in: connection)
                return operation
            }
            do {
                _ = try await wallet.runner.run(operation, isFresh: true)
            } catch {
                try await requireNotPaid(id, after: error)
                throw error
            }
            return try await requirePaid(id)
        } catch {
            release(id)
            throw error
        }
    }

    /// Writes the intent of a call that an invoice pays, and counts it against every limit.
    static func begin(
        _ call: Call,
        id: String,
        _ invoice: CallInvoice,
        at now: Timestamp,
        in connection: Connection
    ) throws {
        let most = try Amounts.adding(invoice.amount, invoice.fee)
        guard most <= call.request.maximum else {
            throw WalletError(
                .limitExceeded,
                "the invoice takes up to \(most) \(invoice.unit) with its fees, more than the"
                    + " \(call.request.maximum) allowed; nothing was paid"
            )
        }
        try requireRoom(call, amount: invoice.amount, fee: invoice.fee, at: now, in: connection)
        try InvoiceStore.insert(invoice, in: connection)
        let payment = call.record(id, of: invoice, amount: invoice.amount, fee: invoice.fee, at: now)
        try SpendingLimits.charge(payment.spend, in: connection)
        try PaymentStore.insert(payment, in: connection)
    }

    static func requireRoom(
        _ call: Call,
        amount: UInt64,
        fee: UInt64,
        at now: Timestamp,
        in connection: Connection
    ) throws {
        let most = try Amounts.adding(amount, fee)
        if let limit = call.request.spendingLimit {
            try requireRoom(call.request, amount: most, limit: limit, at: now, in: connection)
        }
        let spend = Spend(
            agent: call.request.agent,
            host: (call.address.host, call.address.effectivePort),
            unit: call.request.unit,
            amount: most,
            at: now
        )
        try SpendingLimits.requireRoom(for: spend, in: connection)
    }
}

extension WalletError {
    /// Whether nothing moved, so that a call may be paid in another way.
    var leavesOtherWays: Bool {
        [
            .mintUnknown, .mintUntrusted, .mintUnreachable, .mintRefused, .mintUnsuitable, .mintDishonest,
            .insufficientFunds, .limitExceeded, .challengeUnusable, .paymentFailed, .invoiceExpired, .belowFee,
            .assetUntrusted,
        ].contains(code)
    }
}
