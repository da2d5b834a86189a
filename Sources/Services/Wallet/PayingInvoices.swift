public import Cashu
internal import Encodings
internal import Lightning
internal import Paywall
internal import Storage

/// A Lightning invoice paid out of ecash.
public struct PaidInvoice: Sendable, Equatable {
    public var amount: UInt64
    /// What went to the mint and the Lightning network on top.
    public var fee: UInt64
    public var unit: CurrencyUnit
    /// Hex; proves the payment. Nil where the mint does not give it.
    public var preimage: String?
}

extension Wallet {
    /// Pays an invoice with coins of a mint (NUT-05). The same invoice again is not paid again, at this mint or another.
    /// - Parameters:
    ///   - maximumFee: the most that may go in fees, in `unit`.
    ///   - account: on whose account it goes, for limits. The fee reserve counts until it is known what is used of it.
    /// - Throws: `limitExceeded`, `insufficientFunds`, `paymentFailed`, `invoiceReused`, all with nothing paid;
    ///   `outcomeUnknown` while the payment is under way: `recover` finds out.
    public func payInvoice(
        _ text: String,
        from mint: MintURL,
        unit: CurrencyUnit = .sat,
        maximumFee: UInt64,
        account: SpendingAccount = SpendingAccount()
    ) async throws -> PaidInvoice {
        do {
            return try await payNew(text, from: mint, unit: unit, maximumFee: maximumFee, account: account)
        } catch let other as InvoiceTaken {
            throw try await refusal(of: other)
        }
    }

    /// - Throws: `InvoiceTaken` where the invoice is paid, or being paid, by another call; and what `payInvoice` throws.
    func payNew(
        _ text: String,
        from mint: MintURL,
        unit: CurrencyUnit,
        maximumFee: UInt64,
        account: SpendingAccount
    ) async throws -> PaidInvoice {
        let (invoice, asked) = try payable(text)
        let hash = invoice.paymentHash
        try await database.read { connection in try InvoicePartStore.requireNew(hash, in: connection) }
        guard !invoice.isExpired(at: clock.now()) else {
            throw WalletError(.invoiceExpired, "the invoice lapsed on \(invoice.expiresAt)")
        }
        let quote: MeltQuote
        do {
            quote = try await book.client(mint).requestMeltQuote(MeltQuoteRequest(request: invoice.text, unit: unit))
        } catch {
            throw WalletError(error, mint: mint)
        }
        try check(quote, asked: asked, unit: unit, maximumFee: maximumFee, mint: mint)
        let most = Spend(
            agent: account.agent,
            unit: unit,
            amount: try Amounts.adding(quote.amount, quote.feeReserve),
            at: clock.now()
        )
        try await database.read { connection in try SpendingLimits.requireRoom(for: most, in: connection) }
        try await prepareCoins(for: quote, at: mint, unit: unit)
        let result = try await perform(at: mint, unit: unit) { planner, connection in
            // Asked in the transaction that holds the coins: of any number of calls at once one goes on.
            try InvoicePartStore.requireNew(hash, in: connection)
            let operation = try Self.planMelt(quote, planner, in: connection)
            let payment = WalletID.random()
            try InvoicePartStore.insert(operation, payment: payment, paymentHash: hash, place: 0, in: connection)
            var spend = most
            spend.amount = try Amounts.adding(spend.amount, planner.netWorth(of: operation.inputs).fee)
            try spend.charged(as: operation.id, in: connection)
            return operation
        }
        let change = try Amounts.sum(result.coins.map(\.proof.amount))
        let spent = result.operation.inputSum - change
        guard spent >= quote.amount else {
            throw WalletError(.mintDishonest, "the mint gave back more than it was given")
        }
        return PaidInvoice(amount: quote.amount, fee: spent - quote.amount, unit: unit, preimage: result.preimage)
    }

    /// An invoice that can be paid, and its millisatoshi.
    func payable(_ text: String) throws(WalletError) -> (BOLT11Invoice, asked: UInt64) {
        let invoice: BOLT11Invoice
        do {
            invoice = try BOLT11Invoice(decoding: text)
        } catch {
            throw WalletError(.invalidArgument, "this is not an invoice: \(error)", cause: error)
        }
        guard let asked = invoice.amountMsat else {
            throw WalletError(.invalidArgument, "the invoice names no amount; only those that do can be paid")
        }
        return (invoice, asked)
    }

    func check(_ quote: MeltQuote, asked: UInt64, unit: CurrencyUnit, maximumFee: UInt64, mint: MintURL) throws {
        guard quote.unit == unit, quote.amount > 0, quote.state == .unpaid else {
            throw WalletError(.mintRefused, "\(mint) answered with a quote that is not for this payment")
        }
        if unit == .sat || unit == .msat {
            let size: UInt64 = unit == .sat ? 1000 : 1
            let fair = asked / size + (asked % size == 0 ? 0 : 1)
            guard quote.amount <= fair else {
                throw WalletError(
                    .mintDishonest,
                    "\(mint) wants \(quote.amount) \(unit) for an invoice over \(asked) msat"
                )
            }
        }
        guard quote.feeReserve <= maximumFee else {
            throw WalletError(
                .limitExceeded,
                "\(mint) wants to keep \(quote.feeReserve) \(unit) ready for fees, more than the \(maximumFee) allowed"
            )
        }
    }

    /// Swaps for coins that come close to what the melt needs, so that little is bound in change: a mint without
    /// NUT-08 keeps what is too much.
    func prepareCoins(for quote: MeltQuote, at mint: MintURL, unit: CurrencyUnit) async throws {
        let need = try Amounts.adding(quote.amount, quote.feeReserve)
        let terms = try await book.terms(mint)
        let keyset = try terms.keysetForNewCoins(unit: unit, at: clock.now())
        let target = try Fees.grossedUp(price: need, feePPK: keyset.info.inputFeePPK)
        let now = clock.now()
        let hasExact = try await database.read { connection in
            let coins = try CoinStore.available(mint: mint, unit: unit, at: now, in: connection)
            guard let chosen = CoinSelection.exact(coins, target: target) else { return false }
            return try CoinSelection.netWorth(chosen) >= need
        }
        guard !hasExact else { return }
        _ = try await perform(at: mint, unit: unit) { planner, connection in
            let group = OutputGroup(use: .keep, amounts: try planner.keyset.split(target))
            return try planner.spend(.swap, groups: [group], reference: nil, in: connection)
        }
    }

    static func planMelt(
        _ quote: MeltQuote,
        _ planner: OperationPlanner,
        reference: String? = nil,
        in connection: Connection
    ) throws -> Operation {
        let need = try Amounts.adding(quote.amount, quote.feeReserve)
        let coins = try CoinStore.available(
            mint: planner.terms.mint,
            unit: planner.unit,
            at: planner.at,
            in: connection
        )
        let target = try Fees.grossedUp(price: need, feePPK: planner.keyset.info.inputFeePPK)
        var chosen = CoinSelection.exact(coins, target: target)
        if let exact = chosen, try CoinSelection.netWorth(exact) < need { chosen = nil }
        let limit = planner.maximumInputs
        guard let chosen = try chosen ?? CoinSelection.covering(coins, target: need, maximumInputs: limit) else {
            throw try planner.shortage(need, coins)
        }
        let fee = try Amounts.sum(chosen.map(\.amount)) - quote.amount
        let blanks = BlankOutputs.count(feeReserve: fee)
        return try planner.own(
            .melt,
            chosen,
            groups: blanks == 0 ? [] : [OutputGroup(use: .change, amounts: Array(repeating: 0, count: blanks))],
            fee: fee,
            quote: quote.quote,
            meltAmount: quote.amount,
            reference: reference,
            in: connection
        )
    }
}
